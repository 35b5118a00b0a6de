"""The interval that every verdict rests on: of a mean over events, at its level with few of them.

A percentile bootstrap of few events is far too narrow: at 5 % it leaves out the true mean in half
of all cases of two events, and in a sixth of five. So the interval is, end by end, the wider of two
that allow for it: Student's t over events, and the studentised bootstrap (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 12), which follows skewed profits as well.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES

FloatArray = npt.NDArray[np.float64]

ENOUGH_EVENTS: Final = 5
"""Events from which an interval makes a verdict: with fewer, skewed profits break its level."""
_LARGEST_DF: Final = 1000
"""Degrees of freedom beyond which the normal distribution takes the place of Student's t."""
_ALIKE: Final = 1e-9
"""A standard error below this share of the mean is rounding: values are alike."""
_NO_SPREAD: Final = 1e-6
"""The same of a resample's, by the error of all: a root of differences keeps half of the digits."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies; ends are None with one event, or where all gave the same."""

    mean: float
    low: float | None
    high: float | None
    events: int

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it is on one side of zero, and it is of events enough for a verdict."""
        if self.low is None or self.high is None or self.events < ENOUGH_EVENTS:
            return False
        return self.low * self.high > 0


def standard_error(values: FloatArray, groups: Sequence[str]) -> float:
    """Standard error of the mean over groups, whose values move together.

    Args:
        values: float64 [n].
        groups: name of the group of each value.

    Returns:
        That of the ratio of sums to counts; nan with a single group.
    """
    sums, counts = _by_group(values, groups)
    n = len(sums)
    if n < 2:
        return math.nan
    rest = sums - np.mean(values) * counts
    return float(math.sqrt(n / (n - 1) * (rest**2).sum()) / len(values))


def bootstrap_means(
    values: FloatArray, groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Means over resampled groups, and their standard errors.

    Whole groups are drawn with replacement, as many as there are, since the values of one group
    (an event's markets) move together; a mean is the sum drawn over the number of values drawn.

    Args:
        values: float64 [n].
        groups: name of the group of each value, two or more.
        resamples: how many means.
        seed: of the draws.

    Returns:
        Means and standard errors, float64 [resamples] each.
    """
    sums, counts = _by_group(values, groups)
    n = len(sums)
    rng = np.random.Generator(np.random.Philox(seed))
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)

    def total(weights: FloatArray) -> FloatArray:
        # Row sums in a fixed order: BLAS may add in another on another machine.
        return np.asarray((drawn * weights).sum(axis=1), np.float64)

    size = total(counts)
    means = total(sums) / size
    rest = sums - np.mean(values) * counts  # from the mean, so that squares keep their digits
    shift = total(rest) / size
    squares = total(rest**2) - 2 * shift * total(rest * counts) + shift**2 * total(counts**2)
    return means, np.sqrt(n / (n - 1) * np.maximum(squares, 0)) / size


def mean_interval(
    values: FloatArray,
    groups: Sequence[str],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean with its interval over groups: the wider of Student's t and studentised bootstrap.

    Args:
        values: float64 [n].
        groups: name of the group of each value.
        confidence: of the interval, between 0 and 1.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        Without ends if there is one group, or if all have one mean that is not zero: that says
        nothing of how far the next one may lie from it.
    """
    mean, events = float(np.mean(values)), len(set(groups))
    if events < 2:
        return Interval(mean, None, None, events)
    error = standard_error(values, groups)
    if error <= _ALIKE * abs(mean):
        ends = None if mean else 0.0
        return Interval(mean, ends, ends, events)
    half = student_quantile(confidence, events - 1) * error
    means, errors = bootstrap_means(values, groups, resamples, seed)
    usable = errors > _NO_SPREAD * error  # one event drawn over and over: nothing to scale by
    low = high = mean
    if usable.any():
        tail = (1 - confidence) / 2
        scaled = (means[usable] - mean) / errors[usable]
        least, most = np.quantile(scaled, [tail, 1 - tail])
        low, high = mean - float(most) * error, mean - float(least) * error
    return Interval(mean, min(low, mean - half), max(high, mean + half), events)


@functools.cache
def student_quantile(confidence: float, df: int) -> float:
    """How many standard errors lie on each side of the mean: the two-sided quantile of Student's t.

    Args:
        confidence: between 0 and 1.
        df: degrees of freedom, 1 or more.

    Returns:
        12.706 at 0.95 with one degree of freedom, 1.96 with very many.
    """
    if df > _LARGEST_DF:
        return NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # bisection to the last bits of the angle atan(t / sqrt(df))
        middle = (low + high) / 2
        if _inside(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _inside(angle: float, df: int) -> float:
    """P(|T| <= sqrt(df) tan(angle)), a finite series (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, df, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _by_group(values: FloatArray, groups: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Sums and counts of each group, float64 [groups]."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=values).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)
