"""Processes in a control group of their own, whose memory has a limit.

What counts there is memory of the processes themselves and the file cache of what they read and
write. Needs a Linux whose control groups this user may write.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_ENDS_S = 10.0


@dataclass(frozen=True)
class ControlGroup:
    """A control group, and how its files are named."""

    folder: Path
    limit: str
    peak: str

    def joined(self, code: str) -> str:
        """Python code that puts its process into the group first."""
        return f"open({str(self.folder / 'cgroup.procs')!r}, 'w').write('0')\n{code}"

    def peak_bytes(self) -> int:
        """Most memory it had."""
        return int((self.folder / self.peak).read_text())


@contextmanager
def limited_to(n_bytes: int) -> Iterator[ControlGroup]:
    """A control group with so much memory, while the block runs.

    Raises:
        OSError: this user may not make one.
    """
    name = f"kalshi-sim-{secrets.token_hex(4)}"
    if (_ROOT / "cgroup.controllers").exists():
        group = ControlGroup(_ROOT / name, "memory.max", "memory.peak")
    else:
        own = next(
            line.split(":", 2)[2]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.split(":", 2)[1] == "memory"
        )
        above = _ROOT / "memory" / own.strip("/")
        files = ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        group = ControlGroup(above / name, *files)
    group.folder.mkdir()
    try:
        (group.folder / group.limit).write_text(str(n_bytes))
        yield group
    finally:
        until = time.monotonic() + _ENDS_S
        while group.folder.exists() and time.monotonic() < until:
            with suppress(OSError):  # its last process is about to be gone
                group.folder.rmdir()
                break
            time.sleep(0.05)
