"""Where a run reads and writes: as its settings say, or elsewhere, as on a node of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kalshi_sim.fees import FeeSchedule
from kalshi_sim.files import write_whole

if TYPE_CHECKING:
    from kalshi_train.config import TrainConfig


@dataclass(frozen=True)
class Whereabouts:
    """What takes the place of paths in the settings of a run; what the run writes shows these."""

    folder: Path
    """Everything is written into it, instead of the folder of the model."""
    store: str | None
    fee_schedule: Path | None = None

    @staticmethod
    def of(config: TrainConfig) -> Whereabouts:
        """Where the settings say.

        Args:
            config: of the run.
        """
        return Whereabouts(config.run_folder, config.store, config.tape.fee_schedule)

    def used(self, config: TrainConfig) -> TrainConfig:
        """The settings by which data is read.

        Args:
            config: of the run.

        Returns:
            A changed copy.
        """
        return config.changed(store=self.store, fee_schedule=self.fee_schedule)

    def with_own_fees(self, config: TrainConfig) -> tuple[TrainConfig, Whereabouts]:
        """The fee schedule, if there is one, from a copy that lies with the model.

        Args:
            config: of the run.

        Returns:
            Settings and whereabouts that name the copy.

        Raises:
            DataError: it is no fee schedule.
            StoreError: the copy cannot be written.
        """
        given = self.fee_schedule
        if given is None:
            return config, self
        FeeSchedule.from_file(given)  # it is one
        name = f"fee_schedule{given.suffix}"
        kept = self.folder / name
        if not (kept.exists() and kept.samefile(given)):
            write_whole(kept, given.read_bytes())
        shown = config.changed(fee_schedule=config.run_folder / name)
        return shown, replace(self, fee_schedule=kept)
