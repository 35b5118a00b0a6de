"""What the learners on a cluster and the command say to each other, and where they leave it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from kalshi_sim.errors import KalshiSimError
from kalshi_train.training.run_task import RunTask


@dataclass(frozen=True)
class LearnersTask:
    """What each learner needs to know."""

    run: RunTask
    checkpoint: bytes | None
    """What all go on from."""
    files: dict[str, bytes]
    """What a run that goes on had in its folder, by name."""
    level: int


@dataclass(frozen=True)
class Failed:
    """A learner ended by a mistake of the user or a lack of its node, or by a loss of another."""

    rank: int
    error: KalshiSimError


@dataclass(frozen=True)
class Fault:
    """A learner ended by an error of the program."""

    rank: int
    text: str


@dataclass(frozen=True)
class Stopped:
    """Learner 0 has saved and stopped, as it was asked to."""

    signum: int
    text: str


@dataclass(frozen=True)
class Over:
    """All of a `TrainResult` but its model."""

    values: dict[str, Any]


class Mailbox:
    """What the learners send, and what it asks of them: an actor beside the command."""

    def __init__(self) -> None:
        """Begin without messages."""
        self._messages: asyncio.Queue[object] = asyncio.Queue()
        self._asked = asyncio.Event()
        self._signum = 0

    async def put(self, message: object) -> None:
        """Send a message to the command.

        Args:
            message: anything that can be pickled.
        """
        self._messages.put_nowait(message)

    async def take(self, patience_s: float) -> list[object]:
        """Wait for messages.

        Args:
            patience_s: seconds to wait for the first.

        Returns:
            Those that are there, in their order; none if none came.
        """
        try:
            found = [await asyncio.wait_for(self._messages.get(), patience_s)]
        except TimeoutError:
            return []
        while not self._messages.empty():
            found.append(self._messages.get_nowait())
        return found

    async def stop(self, signum: int) -> None:
        """Ask the learners to save and to stop.

        Args:
            signum: the signal by which the command was asked to.
        """
        self._signum = signum
        self._asked.set()

    async def asked(self) -> int:
        """Wait until they are asked to stop.

        Returns:
            The signal by which.
        """
        await self._asked.wait()
        return self._signum
