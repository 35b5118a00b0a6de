"""A run as a node of a cluster needs it, which sees neither files nor variables from here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kalshi_sim.fees import FeeSchedule
from kalshi_sim.files import temporary_folder
from kalshi_sim.shared_tapes import named_place, use_place
from kalshi_sim.store import absolute_address
from kalshi_train.config import TrainConfig
from kalshi_train.training.whereabouts import Whereabouts


@dataclass(frozen=True)
class RunTask:
    """Settings, and what stands behind the paths in them."""

    config: TrainConfig
    """As the results show it."""
    store: str
    """As the node opens it."""
    schedule: tuple[str, bytes] | None
    """Ending and content of a file of fees."""
    shared_tapes: str
    """What KALSHI_SIM_SHARED_TAPES is here; empty: as it is there."""
    command: tuple[str, ...] | None

    @staticmethod
    def of(config: TrainConfig, command: Sequence[str] | None) -> RunTask:
        """Of a run that is asked for here.

        Args:
            config: its settings.
            command: the words of the command line that asked for it.

        Returns:
            What a node needs to know.

        Raises:
            DataError: its file of fees is none.
        """
        given = config.tape.fee_schedule
        if given is not None:
            FeeSchedule.from_file(given)  # it is one
        return RunTask(
            config=config,
            store=absolute_address(config.store),
            schedule=None if given is None else (given.suffix, given.read_bytes()),
            shared_tapes=named_place(),
            command=None if command is None else tuple(command),
        )

    @contextmanager
    def placed(self) -> Iterator[Whereabouts]:
        """Inside the block this machine has what the run reads, and a folder for what it writes.

        Yields:
            Where; the folder is yet to be made.
        """
        use_place(self.shared_tapes)
        with temporary_folder(Path(tempfile.gettempdir()), "kalshi-train") as place:
            schedule = None
            if self.schedule is not None:
                suffix, content = self.schedule
                schedule = place / f"given{suffix}"
                schedule.write_bytes(content)
            yield Whereabouts(place / "run", self.store, schedule)
