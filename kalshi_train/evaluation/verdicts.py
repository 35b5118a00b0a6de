"""The one rule by which a profit, or a difference, is found to be more than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.intervals import ENOUGH_EVENTS, Interval, mean_interval
from kalshi_train.evaluation.luck import Moments, deflated_sharpe
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES

FloatArray = npt.NDArray[np.float64]

ENOUGH: Final = 0.95
"""Deflated Sharpe ratio from which the number of tries is no likely explanation."""


@dataclass(frozen=True)
class Verdict:
    """What values by market say of their mean, and how surely."""

    interval: Interval
    tries: int = 1
    """Models that could have been taken in place of this one."""
    deflated: float | None = None
    """Probability that so many tries do not explain it; None where it was not chosen among them."""
    confidence: float = CONFIDENCE

    @property
    def above(self) -> bool:
        """Whether neither chance nor the choice among the tries explains so high a mean."""
        return self.interval.excludes_zero and self.interval.mean > 0 and not self._lucky

    @property
    def below(self) -> bool:
        """Whether chance does not explain so low a mean."""
        return self.interval.excludes_zero and self.interval.mean < 0

    @property
    def _lucky(self) -> bool:
        return self.deflated is not None and self.deflated < ENOUGH

    @property
    def interval_text(self) -> str:
        """The interval in words, money in dollars; why there is none where there is none."""
        low, high = self.interval.low, self.interval.high
        if low is None or high is None:
            return "no interval"
        ends = f"{dollars(low, signed=True)} to {dollars(high, signed=True)}"
        return f"{100 * self.confidence:g} % interval {ends}"

    @property
    def basis(self) -> str:
        """Events and tries it rests on."""
        tries = numbered(self.tries, "try", "tries")
        kind = tries if self.deflated is None else f"the best of {tries}"
        return f"{numbered(self.interval.events, 'event')}, {kind}"

    @property
    def doubt(self) -> str:
        """Why it is neither above nor below zero; empty where it is."""
        if self.above or self.below:
            return ""
        events = self.interval.events
        if events < ENOUGH_EVENTS:
            few = "is too few" if events == 1 else "are too few"
            return f"{numbered(events, 'event')} {few} for a verdict ({ENOUGH_EVENTS} at least)"
        if self.interval.low is None:
            return "every event gave the same, which says nothing of the next one"
        if self._lucky:
            return "no more than so many tries explain"
        return "zero is inside: no more than chance explains"


def judge(
    values: FloatArray,
    groups: Sequence[str],
    *,
    tries: int = 1,
    chosen: bool = False,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """The verdict on the mean of profits, or of differences of them.

    Args:
        values: float64 [n], one a market.
        groups: event of each.
        tries: models that could have been taken, this one included.
        chosen: it was taken for being the best of them on these markets.
        confidence: of the interval, between 0 and 1.
        resamples: draws of the bootstrap.
        seed: of the draws.
    """
    interval = mean_interval(values, groups, confidence=confidence, resamples=resamples, seed=seed)
    return of_interval(interval, values, groups, tries=tries, chosen=chosen, confidence=confidence)


def of_interval(
    interval: Interval,
    values: FloatArray,
    groups: Sequence[str],
    *,
    tries: int,
    chosen: bool,
    confidence: float,
) -> Verdict:
    """The verdict where the interval is known.

    Args:
        interval: of the mean of `values`.
        values: float64 [n], one a market.
        groups: event of each.
        tries: models that could have been taken, this one included.
        chosen: it was taken for being the best of them on these markets.
        confidence: of the interval, between 0 and 1.
    """
    moments = Moments.of(by_event(values, groups)) if chosen and tries > 1 else None
    deflated = None if moments is None else deflated_sharpe(moments, tries)
    return Verdict(interval, tries, deflated, confidence)


def by_event(values: FloatArray, groups: Sequence[str]) -> FloatArray:
    """Sums over the markets of each event.

    Args:
        values: float64 [..., n], the last axis by market.
        groups: event of each market.

    Returns:
        float64 [..., events], in the order of their names.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    rows = values.reshape(-1, values.shape[-1])
    sums = np.stack([np.bincount(index, weights=row) for row in rows]).astype(np.float64)
    return sums.reshape(*values.shape[:-1], -1)
