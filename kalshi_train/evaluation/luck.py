"""How much of a good result the number of tries explains.

The deflated Sharpe ratio is that of Bailey and López de Prado, "The Deflated Sharpe Ratio" (2014).
The probability of backtest overfitting, by combinatorially symmetric cross-validation, is that of
Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting" (2015).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

EULER_GAMMA: Final = float(np.euler_gamma)
SPLITS: Final = 10
"""Blocks of events that cross-validation makes; 252 ways to halve them."""
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Moments:
    """What the deflated Sharpe ratio needs to know of a series of profits."""

    sharpe: float
    """Mean over standard deviation, of one value."""
    n: int
    skewness: float
    kurtosis: float
    """3 of a normal distribution."""

    @staticmethod
    def of(values: FloatArray) -> Moments | None:
        """The moments of profits that do not depend on each other.

        Args:
            values: float64 [n], one an event.

        Returns:
            None with fewer than three values, or no deviation.
        """
        if len(values) < 3 or not values.std() > 0:
            return None
        scaled = (values - values.mean()) / values.std()
        return Moments(
            sharpe=float(values.mean() / values.std(ddof=1)),
            n=len(values),
            skewness=float((scaled**3).mean()),
            kurtosis=float((scaled**4).mean()),
        )


def expected_best_sharpe(tries: int, variance: float) -> float:
    """The Sharpe ratio that the best of so many worthless tries is expected to have.

    Args:
        tries: independent ones, 1 or more.
        variance: of the Sharpe ratios of the tries.

    Returns:
        0 for a single try.
    """
    if tries < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / tries)
    second = _NORMAL.inv_cdf(1 - 1 / (tries * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio is above a benchmark.

    Args:
        moments: of the profits.
        benchmark: a Sharpe ratio of one value.
    """
    m = moments
    spread = 1 - m.skewness * m.sharpe + (m.kurtosis - 1) / 4 * m.sharpe**2
    if spread <= 0:  # the approximation does not hold so far out
        return 1.0 if m.sharpe > benchmark else 0.0
    return _NORMAL.cdf((m.sharpe - benchmark) * math.sqrt(m.n - 1) / math.sqrt(spread))


def deflated_sharpe(moments: Moments, tries: int, variance: float | None = None) -> float:
    """The probability that the true Sharpe ratio is above what the number of tries explains.

    Args:
        moments: of the profits of the chosen try.
        tries: from which it was chosen.
        variance: of the Sharpe ratios of the tries; if omitted, what chance alone gives:
            1 / (n - 1).

    Returns:
        Between 0 and 1; 0.95 and more is usually asked for.
    """
    by_chance = 1 / (moments.n - 1)
    best = expected_best_sharpe(tries, by_chance if variance is None else variance)
    return probabilistic_sharpe(moments, best)


@dataclass(frozen=True)
class Overfitting:
    """What cross-validation says of choosing the best of some tries."""

    probability: float
    """Share of the splits in which the best of one half is in the worse half of the other."""
    tries: int
    events: int
    splits: int


def overfitting(profits: FloatArray, blocks: int = SPLITS) -> Overfitting | None:
    """The probability of backtest overfitting: CSCV over all ways to halve the events.

    In each half the try with the best mean profit is chosen; its rank among the tries is looked
    up in the other half.

    Args:
        profits: float64 [tries, events] profit of every try on every event.
        blocks: groups of events; fewer where there are fewer events, an even number.

    Returns:
        None with fewer than two tries or four events.
    """
    tries, events = profits.shape
    blocks = min(blocks, events // 2 * 2)
    if tries < 2 or blocks < 4:
        return None
    parts = np.array_split(np.arange(events), blocks)
    sums = np.stack([profits[:, part].sum(axis=1) for part in parts], axis=1)
    sizes = np.array([len(part) for part in parts], np.float64)
    halves = list(itertools.combinations(range(blocks), blocks // 2))
    worse = 0.0
    for half in halves:
        inside = np.zeros(blocks, bool)
        inside[list(half)] = True
        chosen = int(np.argmax(sums[:, inside].sum(axis=1) / sizes[inside].sum()))
        others = sums[:, ~inside].sum(axis=1)
        # Equal ones share their ranks, so that tries that never trade are neither better nor worse.
        below = np.count_nonzero(others < others[chosen])
        equal = np.count_nonzero(others == others[chosen])
        rank = (below + (equal + 1) / 2) / (tries + 1)
        worse += 1.0 if rank < 0.5 else 0.5 if rank == 0.5 else 0.0
    return Overfitting(worse / len(halves), tries, events, len(halves))
