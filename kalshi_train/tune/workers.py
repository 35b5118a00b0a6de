"""Where trials run: processes of their own, or threads of this process; both speak over a pipe.

A worker is sent a `Task`, sends a `Report` after each held-out evaluation and is answered whether
to end the trial, and sends the `Outcome`. A worker that is killed closes its end of the pipe.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, Protocol

from kalshi_sim.errors import StoreError
from kalshi_train.tune.trial import Outcome, Task, run_trial

_WORKER: Final = "kalshi_train.tune.worker"
_ENDED_S: Final = 5.0
"""How long a worker may take to end when its pipe is closed."""


@dataclass(frozen=True)
class Report:
    """The value of a trial after an evaluation."""

    step: int
    value: float


@dataclass(frozen=True)
class Fault:
    """A trial ended by an error of the program or of where it ran, not of its settings."""

    text: str
    of_program: bool = True


class _GivenUpError(Exception):
    """Nobody waits for the trial any more."""


class Worker(Protocol):
    """Runs one trial after the other."""

    connection: Connection
    """The pipe to it."""

    def close(self) -> None:
        """Let it end; a trial it still runs is given up."""
        ...


class ProcessWorker:
    """A process of its own, which ends when this one does, in whatever way."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for this process, which knows what to keep
            )
        self.connection = Connection(ours.detach())

    def close(self) -> None:
        """End the process and with it a trial that it still runs."""
        self.connection.close()
        try:
            self._process.wait(_ENDED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ThreadWorker:
    """A thread of this process; trainings of one process take turns (`one_training`)."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours.detach())
        self._thread = threading.Thread(
            target=serve, args=(Connection(theirs.detach()),), daemon=True, name="kalshi-tune"
        )
        self._thread.start()

    def close(self) -> None:
        """Let the thread end; a trial ends at its next evaluation."""
        self.connection.close()


def serve(connection: Connection) -> None:
    """Run the trials that come over a pipe, until it is closed.

    Args:
        connection: the worker's end.
    """

    def report(step: int, value: float) -> bool:
        try:
            connection.send(Report(step, value))
            return bool(connection.recv())
        except (EOFError, OSError) as error:
            raise _GivenUpError from error

    with connection, suppress(EOFError, OSError, _GivenUpError):
        while True:
            task: Task = connection.recv()
            connection.send(answer_to(task, report))


def answer_to(task: Task, report: Callable[[int, float], bool]) -> Outcome | Fault:
    """Run a trial; what ends it otherwise than as one is an answer too.

    Args:
        task: the trial.
        report: called after each held-out evaluation.

    Returns:
        What it came to, or what kept it from that.
    """
    try:
        return run_trial(task, report)
    except _GivenUpError:
        raise
    except StoreError as error:
        return Fault(str(error), of_program=False)
    except Exception:
        return Fault(traceback.format_exc())
