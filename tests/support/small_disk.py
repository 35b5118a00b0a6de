"""A disk of a few megabytes that can be filled: a tmpfs where this user may mount one.

Elsewhere (no root) the commands run under a limit on the size of files, which ends writing in
the same places with another error of the system.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MEGABYTES = 24
NO_ROOM = r"(No space left on device; free some space|File too large; raise the limit)"
_COMMANDS = {
    "kalshi-sim": "from kalshi_sim.cli.commands import main",
    "kalshi-train": "from kalshi_train.cli.train import train_main as main",
    "kalshi-evaluate": "from kalshi_train.cli.train import evaluate_main as main",
    "kalshi-runs": "from kalshi_train.cli.runs import main",
}


@dataclass
class SmallDisk:
    """`folder` lies on it; `leave` says how much more can be written."""

    folder: Path
    mounted: bool
    limit: int | None = None
    """Largest file, where nothing could be mounted."""

    def leave(self, n_bytes: int | None) -> None:
        """Fill the disk but for so many bytes; None empties it again."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        if not self.mounted:
            self.limit = n_bytes
        elif n_bytes is not None:
            free = os.statvfs(self.folder)
            filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - n_bytes)))

    def run(self, program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands."""
        code = f"import sys; {_COMMANDS[program]}; sys.exit(main(sys.argv[1:]))"
        return self.python(code, *arguments, **env)

    def python(self, code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run some code."""
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **env},
            preexec_fn=self._limited(),
        )

    def _limited(self) -> Callable[[], None] | None:
        limit = self.limit
        if limit is None:
            return None
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def contents(self) -> dict[str, bytes]:
        """All that lies on it."""
        return {
            str(p.relative_to(self.folder)): p.read_bytes()
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and p.name != "filler"
        }


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """An empty one; other users (a database's server) can reach it, unlike pytest's folders."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-disk-"))
    folder.chmod(0o755)
    size = f"size={MEGABYTES}m,mode=0777"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    allowed = os.geteuid() == 0
    mounted = allowed and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder)
