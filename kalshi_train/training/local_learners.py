"""The other learners of a model as processes of this machine.

Learner 0 is the process that asks for the training. It speaks with the others over a pipe each
until they are ready, and from then on through their group. They end when it does, in whatever way.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from kalshi_sim.errors import ConfigError
from kalshi_sim.interrupts import StopRequest
from kalshi_train.learner.group import ALONE, Group, LostLearnerError
from kalshi_train.training.checkpoints import is_saved_since, resume_command

if TYPE_CHECKING:
    from kalshi_sim.session import Session
    from kalshi_train.config import TrainConfig
    from kalshi_train.training.checkpoints import Checkpoint

_PROCESS: Final = "kalshi_train.training.learner_process"
_MEETING_FILE: Final = "meeting"
_ENDED_S: Final = 5.0
"""How long a process may take to end when its pipe is closed."""
_LAST_WORDS_S: Final = 3.0
"""How long a learner that failed may take to say why."""


@dataclass(frozen=True)
class LearnerTask:
    """What another learner needs to know."""

    config: TrainConfig
    sessions: Sequence[Session] | None
    rank: int
    meeting: Path
    """File by which the learners find each other."""


@dataclass(frozen=True)
class Ready:
    """A learner has all it needs, and is about to meet the others."""


@dataclass(frozen=True)
class Failed:
    """A learner ended by an error."""

    text: str
    is_fault: bool
    """Whether it is one of the program."""


@dataclass
class _Other:
    rank: int
    process: subprocess.Popen[bytes]
    connection: Connection

    def __str__(self) -> str:
        return f"learner {self.rank} (process {self.process.pid})"


class Others(Protocol):
    """The other learners of a training, as the first one sees them."""

    def join(self) -> Group:
        """Wait until they are ready; the group with them."""
        ...

    def obey(self, stop: StopRequest) -> None:
        """Let `stop` be set where the training is asked to stop by other means than a signal."""
        ...


class OtherLearners:
    """The other learners of one training."""

    def __init__(self, config: TrainConfig, sessions: Sequence[Session] | None, folder: Path):
        """Start them; each loads what it needs.

        Args:
            config: of the run.
            sessions: what it trains on, if not sessions of the store.
            folder: where they meet.
        """
        self._config, self._begun = config, time.time()
        self._size = config.learners
        self._meeting = folder / _MEETING_FILE
        self._others: list[_Other] = []
        for rank in range(1, self._size):
            self._others.append(_started(rank))
            task = LearnerTask(config, sessions, rank, self._meeting)
            self._others[-1].connection.send(task)

    def join(self) -> Group:
        """Wait until the others are ready, and form the group with them.

        Returns:
            The group, as learner 0 sees it.

        Raises:
            KalshiSimError: one of them cannot train; it says why.
        """
        for other in self._others:
            try:
                answer = other.connection.recv()
            except (EOFError, OSError):
                answer = None
            if not isinstance(answer, Ready):
                raise self._reason(other, answer)
        return Group.meet(self._meeting, 0, self._size)

    def obey(self, stop: StopRequest) -> None:
        """Signals reach learner 0 itself."""

    def reason(self, lost: LostLearnerError) -> Exception:
        """Why the learners lost each other.

        Args:
            lost: how this one noticed.

        Returns:
            The error that names the learner and what happened to it.
        """
        deadline = time.monotonic() + _LAST_WORDS_S
        while True:
            ended = [o for o in self._others if o.process.poll() is not None]
            for other in ended:
                said = _last_words(other)
                if isinstance(said, Failed) or (said is None and other.process.returncode):
                    return self._reason(other, said)
            if len(ended) == len(self._others) or time.monotonic() > deadline:
                return LostLearnerError(f"{lost}{self._advice()}")
            time.sleep(0.05)

    def close(self) -> None:
        """End the others."""
        for other in self._others:
            other.connection.close()
        for other in self._others:
            try:
                other.process.wait(_ENDED_S)
            except subprocess.TimeoutExpired:
                other.process.kill()
                other.process.wait()

    def _reason(self, other: _Other, said: object) -> Exception:
        if isinstance(said, Failed):
            if said.is_fault:
                return RuntimeError(f"{other} failed:\n{said.text}")
            return ConfigError(f"{other}: {said.text}")
        code = other.process.wait(_ENDED_S)
        how = f"ended with code {code}"
        if code < 0:
            how = f"was killed ({signal.Signals(-code).name})"
        return LostLearnerError(f"{other} {how}, which ends the training{self._advice()}")

    def _advice(self) -> str:
        folder = self._config.run_folder
        if not is_saved_since(folder, self._begun):
            return ""
        return f"; go on from its last checkpoint with: {resume_command(folder)}"


def _started(rank: int) -> _Other:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", _PROCESS, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for learner 0, which decides for all
        )
    return _Other(rank, process, Connection(ours.detach()))


def _last_words(other: _Other) -> object:
    try:
        return other.connection.recv() if other.connection.poll() else None
    except (EOFError, OSError):
        return None


class Lonely:
    """There are no other learners."""

    def join(self) -> Group:
        """The group of one."""
        return ALONE

    def obey(self, stop: StopRequest) -> None:
        """Signals reach this learner itself."""


@contextmanager
def other_learners(
    config: TrainConfig, sessions: Sequence[Session] | None, checkpoint: Checkpoint | None
) -> Iterator[Others]:
    """The other learners of a run, from their start to their end.

    Args:
        config: of the run.
        sessions: what it trains on, if not sessions of the store.
        checkpoint: what all of them go on from.

    Yields:
        The others.

    Raises:
        KalshiSimError: one of them was lost.
    """
    if config.learners == 1:
        yield Lonely()
        return
    if checkpoint is not None:
        config = config.changed(resume_from=checkpoint.path)
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="kalshi-learners-")))
        others = OtherLearners(config, sessions, folder)
        held.callback(others.close)
        try:
            yield others
        except LostLearnerError as lost:
            raise others.reason(lost) from None
