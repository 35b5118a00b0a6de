"""How long orders took: quantiles with exact intervals, and the constant that fits best.

An interval of a quantile reaches from one order statistic to another, whatever the distribution:
the number of observations below the quantile is binomial. The constant that the simulation can be
given is the median: no other is nearer to what the orders took, on average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.calibration.estimate import CONFIDENCE, Estimate, too_little

QUANTILES: Final = {"median": 0.5, "p90": 0.9, "p99": 0.99}


def needed_for(quantile: float) -> int:
    """The fewest observations of which the extremes bracket a quantile with confidence.

    Args:
        quantile: from 0 to 1.
    """
    n = 2
    while quantile**n + (1 - quantile) ** n > 1 - CONFIDENCE:
        n += 1
    return n


def latency_of(took_ms: Sequence[float]) -> list[Estimate]:
    """Quantiles of latencies.

    Args:
        took_ms: milliseconds, one an order.

    Returns:
        An estimate a quantile, in the order of `QUANTILES`.
    """
    values = np.sort(np.asarray(took_ms, np.float64))
    found = []
    for name, quantile in QUANTILES.items():
        needed = needed_for(quantile)
        if len(values) < needed:
            found.append(too_little(f"latency {name}", len(values), "timed orders", needed))
            continue
        low, high = _bracket(len(values), quantile)
        value = float(np.quantile(values, quantile))
        more = {"mean_absolute_error_ms": float(np.abs(values - round(value)).mean())}
        found.append(
            Estimate(
                f"latency {name}",
                value,
                float(values[low]),
                float(values[high]),
                len(values),
                "timed orders",
                needed,
                more if name == "median" else {},
            )
        )
    return found


def _bracket(n: int, quantile: float) -> tuple[int, int]:
    """Places of the order statistics that bracket a quantile, half the doubt on each side."""
    below = np.cumsum(_binomial(n, quantile))
    half = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(below, half, side="right")) - 1
    high = int(np.searchsorted(below, 1 - half, side="left"))
    return max(low, 0), min(high, n - 1)


def _binomial(n: int, p: float) -> npt.NDArray[np.float64]:
    """Probabilities of 0 to n successes: float64 [n + 1]."""
    k = np.arange(n + 1)
    logs = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    chance = logs[n] - logs[k] - logs[n - k] + k * math.log(p) + (n - k) * math.log1p(-p)
    found: npt.NDArray[np.float64] = np.exp(chance)
    return found
