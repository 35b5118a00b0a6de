"""What the best of the runs in a folder is worth, given how many were tried on the same markets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_train.evaluation.luck import Moments, Overfitting, deflated_sharpe, overfitting

FloatArray = npt.NDArray[np.float64]

EVALUATIONS: Final = Path("eval_logs") / "evaluations.npz"
ENOUGH: Final = 0.95
"""Deflated Sharpe ratio from which chance is no likely explanation."""


@dataclass(frozen=True)
class Tries:
    """Evaluations of all checkpoints of all runs that held out the same markets."""

    runs: int
    tries: int
    """Evaluations: each is a model that could have been chosen."""
    markets: int
    events: int
    best: Path
    """Folder of the run with the best evaluation."""
    best_steps: int
    best_profit_cents: float
    """A market."""
    sharpe: float | None
    """Of the best, by event; None with fewer than three events or without trades."""
    deflated: float | None
    """Probability that its true Sharpe ratio is above what the number of tries explains."""
    overfitting: Overfitting | None

    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        start = (
            f"best of {self.tries} tries ({_counted(self.runs, 'run')} with their checkpoints) on "
            f"{self.markets} markets of {_counted(self.events, 'event')}: {self.best.name} at "
            f"{self.best_steps:,} steps, {self.best_profit_cents:+,.1f} cents a market"
        )
        if self.deflated is None:
            return f"{start}; too few events or trades to judge it"
        verdict = "more than" if self.deflated >= ENOUGH else "no more than"
        text = (
            f"{start}; Sharpe ratio by event {self.sharpe:+.2f}, deflated {self.deflated:.2f}: "
            f"{verdict} so many tries explain"
        )
        if self.overfitting is not None:
            text += f"; probability of backtest overfitting {self.overfitting.probability:.2f}"
        return text


def tries_of(folders: Iterable[Path]) -> Tries | None:
    """The tries of runs that held out the same markets as the most of them.

    Args:
        folders: of runs; those without held-out evaluations are passed over.

    Returns:
        None if no run has one.
    """
    found: dict[tuple[str, ...], list[tuple[Path, FloatArray, FloatArray]]] = {}
    events_of: dict[tuple[str, ...], list[str]] = {}
    for folder in folders:
        path = folder / EVALUATIONS
        if not path.is_file():
            continue
        with np.load(path, allow_pickle=False) as stored:
            tickers = tuple(stored["tickers"].tolist())
            events_of[tickers] = stored["events"].tolist()
            found.setdefault(tickers, []).append(
                (folder, stored["timesteps"], np.asarray(stored["profit_cents"], np.float64))
            )
    if not found:
        return None
    tickers, runs = max(found.items(), key=lambda item: len(item[1]))
    names = [e or t for e, t in zip(events_of[tickers], tickers, strict=True)]
    profits = np.concatenate([profit for _, _, profit in runs])
    _, index = np.unique(names, return_inverse=True)
    by_event = np.stack([np.bincount(index, weights=row).astype(np.float64) for row in profits])
    best = int(profits.mean(axis=1).argmax())
    places = [(folder, int(steps)) for folder, at, _ in runs for steps in at]
    moments = Moments.of(by_event[best])
    return Tries(
        runs=len(runs),
        tries=len(profits),
        markets=len(tickers),
        events=by_event.shape[1],
        best=places[best][0],
        best_steps=places[best][1],
        best_profit_cents=float(profits[best].mean()),
        sharpe=None if moments is None else moments.sharpe,
        deflated=None if moments is None else deflated_sharpe(moments, len(profits)),
        overfitting=overfitting(by_event),
    )


def _counted(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"
