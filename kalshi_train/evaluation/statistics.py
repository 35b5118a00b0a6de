"""Figures from episodes: Sharpe ratios, drawdowns, means over time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def sharpe(values: FloatArray) -> float | None:
    """Mean over standard deviation (n - 1); None with fewer than two values or no deviation."""
    if len(values) < 2:
        return None
    deviation = float(np.std(values, ddof=1))
    return float(np.mean(values)) / deviation if deviation > 0 else None


def max_drawdown(equity: npt.NDArray[np.generic]) -> float:
    """The largest fall of a curve [n] from an earlier peak, its first value included."""
    curve = np.asarray(equity, np.float64)
    return float((np.maximum.accumulate(curve) - curve).max()) if len(curve) else 0.0


def time_weighted_mean(values: npt.NDArray[np.generic], ts_ms: Int64Array) -> float:
    """The mean of a step function.

    Args:
        values: numbers of any dtype [n], each holding from its time to the next.
        ts_ms: int64 [n] times in ms, ascending.
    """
    held = np.diff(ts_ms)
    total = int(held.sum())
    if total == 0:
        return float(np.asarray(values, np.float64).mean())
    return float((np.asarray(values[:-1], np.float64) * held).sum() / total)


def changes_by_period(values: FloatArray, ts_ms: Int64Array, period_ms: int) -> FloatArray:
    """Changes of a step function over the whole periods between its first and last time.

    Periods count from the first time. The last, incomplete one is left out.

    Args:
        values: float64 [n], each holding from its time to the next.
        ts_ms: int64 [n] times in ms, ascending.
        period_ms: length of a period, in ms.

    Returns:
        float64 [periods].
    """
    periods = int((ts_ms[-1] - ts_ms[0]) // period_ms)
    ends = ts_ms[0] + period_ms * np.arange(periods + 1, dtype=np.int64)
    rows = np.searchsorted(ts_ms, ends, side="right") - 1
    return np.diff(values[rows])


def ratio(part: float, whole: float) -> float | None:
    """part / whole, None where there is no whole.

    Args:
        part, whole: in any one unit each.

    Returns:
        The quotient.
    """
    return part / whole if whole else None


def finite(value: float | None) -> float | None:
    """The number, None instead of one that JSON does not know."""
    return value if value is not None and math.isfinite(value) else None
