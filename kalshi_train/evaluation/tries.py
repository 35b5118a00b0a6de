"""What the best of the runs in a folder is worth, given how many were tried on the same markets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed
from kalshi_sim.text import dollars, numbered, printable
from kalshi_train.evaluation.luck import Moments, Overfitting, overfitting
from kalshi_train.evaluation.verdicts import Verdict, by_event, judge

FloatArray = npt.NDArray[np.float64]

EVALUATIONS: Final = Path("eval_logs") / "evaluations.npz"
SEVERAL: Final = "runs.json"
"""In the folder of runs that one command made."""

COUNTED: Final = "tries.json"
"""In the folder of a study: how many tries there were, wherever they ran."""
_LEVELS: Final = 3
"""Folders between a study and a model in it."""


@dataclass(frozen=True)
class Tries:
    """Evaluations of all checkpoints of all runs that held out the same markets."""

    runs: int
    tries: int
    """Evaluations: each is a model that could have been chosen."""
    markets: int
    best: Path
    """Folder of the run with the best evaluation."""
    best_steps: int
    verdict: Verdict
    """On the profit of the best, a market."""
    sharpe: float | None
    """Of the best, by event; None with fewer than three events or without trades."""
    overfitting: Overfitting | None

    @property
    def events(self) -> int:
        """Events of the markets."""
        return self.verdict.interval.events

    @property
    def best_profit_cents(self) -> float:
        """Mean profit of the best, a market."""
        return self.verdict.interval.mean

    @property
    def deflated(self) -> float | None:
        """Probability that its true Sharpe ratio is above what the number of tries explains."""
        return self.verdict.deflated

    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        found = self.verdict
        text = (
            f"best of {numbered(self.tries, 'try', 'tries')} ({numbered(self.runs, 'run')} with "
            f"their checkpoints) on {numbered(self.markets, 'market')} of "
            f"{numbered(self.events, 'event')}: {self.best.name} at {self.best_steps:,} steps, "
            f"{dollars(self.best_profit_cents, signed=True)} a market ({found.interval_text})"
        )
        if self.sharpe is None:
            return f"{text}; too few events or trades to judge it"
        text += f"; Sharpe ratio by event {self.sharpe:+.2f}"
        if self.deflated is not None:
            text += f", deflated {self.deflated:.2f}"
        text += f": {found.doubt}" if found.doubt else f": {_finding(found)}"
        if self.overfitting is not None:
            text += f"; probability of backtest overfitting {self.overfitting.probability:.2f}"
        return text


def _finding(found: Verdict) -> str:
    if found.above:
        return "more than so many tries explain"
    return "a loss that chance does not explain"


@dataclass(frozen=True)
class Evaluations:
    """What a run left of its held-out evaluations."""

    tickers: tuple[str, ...]
    events: tuple[str, ...]
    """Of each market; the market itself where none is known."""
    timesteps: npt.NDArray[np.int64]
    """[evaluations]"""
    profit_cents: FloatArray
    """[evaluations, markets]"""


def read_evaluations(folder: Path) -> Evaluations | None:
    """The held-out evaluations of a run.

    Args:
        folder: of the run.

    Returns:
        None if it has none.

    Raises:
        ConfigError: their file is damaged.
    """
    path = folder / EVALUATIONS
    if not path.is_file():
        return None
    try:
        # Opened here: of a damaged archive numpy would leave the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            tickers = tuple(map(str, stored["tickers"].tolist()))
            names = zip(stored["events"].tolist(), tickers, strict=True)
            found = Evaluations(
                tickers=tickers,
                events=tuple(str(event or ticker) for event, ticker in names),
                timesteps=np.asarray(stored["timesteps"], np.int64),
                profit_cents=np.asarray(stored["profit_cents"], np.float64),
            )
    except Exception as error:  # zip, zlib and numpy each raise their own of a damaged file
        said = printable(str(error)) or type(error).__name__
        raise ConfigError(f"{path} is damaged: {said}") from error
    if found.profit_cents.shape != (len(found.timesteps), len(tickers)) or not tickers:
        raise ConfigError(f"{path} is damaged: its arrays do not fit each other")
    if not np.isfinite(found.profit_cents).all():
        raise ConfigError(f"{path} is damaged: a profit is no number")
    return found


def tries_of(folders: Iterable[Path], notes: list[str] | None = None) -> Tries | None:
    """The tries of runs that held out the same markets as the most of them.

    Args:
        folders: of runs; those without held-out evaluations are passed over.
        notes: takes a sentence on each whose evaluations are damaged.

    Returns:
        None if no run has one.

    Raises:
        ConfigError: evaluations are damaged, and there are no `notes` to say so.
    """
    found: dict[tuple[str, ...], list[tuple[Path, Evaluations]]] = {}
    for folder in folders:
        try:
            evaluations = read_evaluations(folder)
        except ConfigError as error:
            if notes is None:
                raise
            notes.append(f"not counted among the tries: {error}")
            continue
        if evaluations is not None and len(evaluations.timesteps):
            found.setdefault(evaluations.tickers, []).append((folder, evaluations))
    if not found:
        return None
    tickers, runs = max(found.items(), key=lambda item: len(item[1]))
    events = runs[0][1].events
    profits = np.concatenate([run.profit_cents for _, run in runs])
    best = int(profits.mean(axis=1).argmax())
    places = [(folder, int(steps)) for folder, run in runs for steps in run.timesteps]
    sums = by_event(profits, events)
    moments = Moments.of(sums[best])
    return Tries(
        runs=len(runs),
        tries=len(profits),
        markets=len(tickers),
        best=places[best][0],
        best_steps=places[best][1],
        verdict=judge(profits[best], events, tries=len(profits), chosen=True),
        sharpe=None if moments is None else moments.sharpe,
        overfitting=overfitting(sums),
    )


def tries_beside(model: Path) -> int:
    """How many models could have been taken in place of a saved one: the tries of its run.

    A model of a study has all those of the study.

    Args:
        model: the file, in the folder of a run or one below it.

    Returns:
        Evaluations of the run, and of the runs beside it where one command made several; 1 if
        none is known.
    """
    above = model.absolute().parent
    for folder in (above, *above.parents[:_LEVELS]):
        if (folder / COUNTED).is_file():
            return int(read_sealed(folder / COUNTED, "number of tries")["tries"])
    run = next((f for f in (above, above.parent) if (f / EVALUATIONS).is_file()), None)
    if run is None:
        return 1
    folders = [run]
    if (run.parent / SEVERAL).is_file():
        folders = sorted(file.parent for file in run.parent.glob("*/config.json"))
    found = tries_of(folders, notes=[])
    return 1 if found is None else found.tries
