"""Commands in a real terminal of a given width, and what a person would read there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ROWS = 40


def in_terminal(
    program: str,
    arguments: Sequence[object],
    width: int,
    cwd: Path,
    *,
    errors_too: bool = False,
    **environment: str,
) -> str:
    """Standard output of a command in a terminal `width` columns wide; it has to succeed.

    With `errors_too` standard error is the terminal as well, so that progress is shown there.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, width, 0, 0))
    surroundings = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "COLUMNS")}
    command = [str(Path(sys.executable).parent / program), *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**surroundings, "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if errors_too else subprocess.PIPE,
    ) as running:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
        errors = shown if running.stderr is None else running.stderr.read()
    os.close(ours)
    assert running.returncode == 0, errors.decode()
    return _ESCAPES.sub("", shown.decode()).replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux: the other end is closed
        return b""
