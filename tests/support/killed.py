"""A command that kills itself at a chosen change of names in a folder.

    python -m tests.support.killed N FOLDER kalshi-sim export 1 --out ...

The N-th time that a file or folder in FOLDER is made, renamed or removed, the process is killed
just before; with fewer changes it ends as the command does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_CHANGES: Final = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link"})


def run_killed(at: int, folder: Path, *command: str) -> bool:
    """Run a command as above; whether it was killed, else it must have ended well."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed", str(at), str(folder), *command],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def main() -> int:
    """Run the command line."""
    at, folder, program, *arguments = sys.argv[1:]
    left = int(at)

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _CHANGES and os.fspath(args[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if program == "kalshi-sim":
        from kalshi_sim.cli.commands import main as command
    else:
        from kalshi_train.cli.train import train_main as command
    sys.addaudithook(count)
    code: int = command(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
