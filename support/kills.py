"""Processes that are killed again and again: nothing half, and no left-overs, whenever it is."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import KalshiSimError
from kalshi_sim.ingest import capture  # noqa: F401  # for the children
from kalshi_train.training import run  # noqa: F401  # for the children

# Children come from a process that has imported everything and runs no threads.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
_LONGEST_S: Final = 300.0
_STATES: Final = ("none", "old", "new", "refused")


def life(arguments: list[str], env: dict[str, str]) -> None:
    """What the killed process does: a command."""
    os.environ.update(env)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if arguments[0] == "kalshi-train":
        from kalshi_train.cli.train import train_main as main
    else:
        from kalshi_sim.cli.commands import main
    sys.exit(main(arguments[1:]))


def temporary_files(folder: Path) -> int:
    """Temporary files and folders of writers, below a folder."""
    return sum(1 for path in folder.rglob(".*") if path.suffix in (".tmp", ".unfinished"))


def digest(folder: Path) -> str:
    """All files below a folder by name and content, but for temporary ones."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.relative_to(folder).parts[0].startswith("."):
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


class Series(ABC):
    """One thing that is written, killed again and again in one folder."""

    name: str

    def __init__(self, folder: Path, sessions: Path, stack: ExitStack) -> None:
        """What it needs until the end it enters into `stack`."""
        self.folder = folder / self.name
        """Where it writes; its left-overs gather here if nobody removes them."""
        self.sessions = sessions
        self.env = {"KALSHI_SIM_TAPES": str(folder / "tapes")}
        self.folder.mkdir(parents=True)

    @abstractmethod
    def command(self, overwrite: bool) -> list[str]:
        """What is killed."""

    @abstractmethod
    def state(self) -> str:
        """`none`, `old`, `new` or `refused` (half, and known as such); anything else is wrong.

        Raises:
            KalshiSimError: something is half.
        """

    @abstractmethod
    def product(self) -> str:
        """A digest of what a run that ended well has written."""

    def before(self, k: int) -> bool:
        """Prepare for the k-th kill; whether something is to be overwritten."""
        for path in self.folder.iterdir():
            if not path.name.startswith("."):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False

    def finish(self, overwrite: bool) -> None:
        """Run again after a kill.

        Raises:
            RuntimeError: it did not end well.
        """
        process = self.start(overwrite)
        process.join(_LONGEST_S)
        if process.exitcode != 0:
            raise RuntimeError(f"{self.name}: the rerun ended with {process.exitcode}")

    def start(self, overwrite: bool) -> Any:
        """A process that does it."""
        process = CONTEXT.Process(target=life, args=(self.command(overwrite), self.env))
        process.start()
        return process

    def left(self) -> int:
        """Temporary files that are left."""
        return temporary_files(self.folder)

    def kill(self, k: int, process: Any, moment: float) -> None:
        """Kill a process after `moment` seconds."""
        process.join(moment)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()


def run_series(series: Series, kills: int) -> tuple[Counter[str], int, list[str]]:
    """Kill so often; the states that were seen, the most temporary files, and what was wrong."""
    rng = random.Random(series.name)
    for k in (0, 0):  # the first run also loads what the second finds in memory
        overwrite = series.before(k)
        begun = time.perf_counter()
        series.finish(overwrite)
        usual = time.perf_counter() - begun
    whole, seen, most, wrong = series.product(), Counter[str](), 0, []
    for k in range(kills):
        overwrite = series.before(k)
        moment = (k + rng.random()) / kills * usual
        process = series.start(overwrite)
        series.kill(k, process, moment)
        try:
            most = max(most, series.left())
            state = series.state()
            seen[state] += 1
            if state not in _STATES or (process.exitcode == 0 and state != "new"):
                wrong.append(f"kill {k} after {moment:.2f} s: {state}, exit {process.exitcode}")
            begun = time.perf_counter()
            series.finish(overwrite or state == "new")
            usual = (usual + time.perf_counter() - begun) / 2  # as busy as the machine now is
            if series.product() != whole:
                wrong.append(f"kill {k} after {moment:.2f} s: the rerun gave other bytes")
            if series.left():
                wrong.append(f"kill {k} after {moment:.2f} s: {series.left()} left-overs")
        except (KalshiSimError, ValueError, OSError, RuntimeError) as error:
            wrong.append(f"kill {k} after {moment:.2f} s: {type(error).__name__}: {error}")
    return seen, most, wrong
