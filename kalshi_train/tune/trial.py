"""One trial: training runs of the same settings with several seeds, and what they came to."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError, KalshiSimError, StoreError
from kalshi_train.config import TrainConfig

if TYPE_CHECKING:
    from kalshi_train.evaluation.heldout import HeldoutResult

FloatArray = npt.NDArray[np.float64]
State = Literal["complete", "pruned", "failed"]
Report = Callable[[int, float], bool]
"""Called with the number of an evaluation and the value so far; true ends the trial."""

STEPS_PER_SEED: Final = 10_000
"""Evaluation e of run k is reported as step k * STEPS_PER_SEED + e."""


@dataclass(frozen=True)
class Task:
    """What a worker needs to know of a trial."""

    number: int
    config: TrainConfig
    """Of its first run; the others differ in seed and folder."""
    seeds: tuple[int, ...]
    folder: Path
    heldout: tuple[str, ...]
    """The held-out markets that all trials are compared on."""

    def config_of(self, seed: int) -> TrainConfig:
        """The settings of the run with a seed, in a folder of its own."""
        path = self.folder / f"seed-{seed}" / self.config.model_save_path.name
        return self.config.changed(seed=seed, model_save_path=path)


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    state: State
    value: float | None = None
    """Mean over the runs of the held-out profit of an event after fees, in cents; of a pruned
    trial what it was when it ended."""
    by_seed: tuple[float, ...] = ()
    """The same of each finished run."""
    profits: tuple[float, ...] = ()
    """Of each held-out market, in cents: mean over the finished runs."""
    message: str = ""
    """Why it failed."""
    seconds: float = 0.0


class _Pruned(Exception):  # noqa: N818  # it is no error
    """The trial is not worth going on."""


@dataclass
class _Progress:
    """Values of a trial so far."""

    task: Task
    report: Report
    finished: list[float] = field(default_factory=list)
    """Last value of each finished run."""
    run_value: float | None = None
    evaluations: int = 0
    last: HeldoutResult | None = None
    profits: list[FloatArray] = field(default_factory=list)
    """Of the markets, of each finished run."""

    @property
    def value(self) -> float | None:
        """Mean over the runs, the present one as it is."""
        known = self.finished + ([] if self.run_value is None else [self.run_value])
        return statistics.fmean(known) if known else None

    def after_evaluation(self, steps: int, result: HeldoutResult) -> None:
        """Report an evaluation.

        Raises:
            ConfigError: it is of other markets than those that trials are compared on.
            _Pruned: the trial is not worth going on.
        """
        if result.tickers != self.task.heldout:
            raise ConfigError(
                "its held-out markets are others than those of the study, so it cannot be "
                "compared; search no setting that changes which markets have rows enough"
            )
        self.last = result
        self.run_value = float(result.profit_by_event.mean())
        step = len(self.finished) * STEPS_PER_SEED + self.evaluations
        self.evaluations += 1
        value = self.value
        assert value is not None
        last_run = len(self.finished) + 1 == len(self.task.seeds)
        over = last_run and steps >= self.task.config.total_timesteps
        if self.report(step, value) and not over:
            raise _Pruned

    def end_run(self) -> None:
        """The present run is over."""
        assert self.run_value is not None
        assert self.last is not None
        self.profits.append(self.last.profit)
        self.finished.append(self.run_value)
        self.run_value, self.evaluations = None, 0


def run_trial(task: Task, report: Report) -> Outcome:
    """Train as a trial says.

    Args:
        task: the trial.
        report: called after each held-out evaluation.

    Returns:
        What it came to; a setting that cannot be is a trial that failed.

    Raises:
        StoreError: the disk is full, say: no other settings would fare better.
    """
    from kalshi_train.training.run import train

    begin = time.perf_counter()
    progress = _Progress(task, report)

    def outcome(state: State, message: str = "") -> Outcome:
        seconds = time.perf_counter() - begin
        runs = progress.profits
        profits = tuple(np.mean(runs, axis=0).tolist()) if runs else ()
        by_seed = tuple(progress.finished)
        return Outcome(state, progress.value, by_seed, profits, message, seconds)

    # What a killed process left of this trial is made anew, and counted once.
    shutil.rmtree(task.folder, ignore_errors=True)
    try:
        for seed in task.seeds:
            train(task.config_of(seed), after_evaluation=progress.after_evaluation)
            progress.end_run()
    except _Pruned:
        return outcome("pruned")
    except StoreError:
        raise
    except KalshiSimError as error:
        return outcome("failed", str(error))
    return outcome("complete")
