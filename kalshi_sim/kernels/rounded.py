"""tanh and log1p as float32 features need them: the very bits of the C library's, sooner.

A short formula with a known error bound is enough to know the float32 next to the C library's
double, unless that double lies within the bound of the middle between two float32; then, once
in tens of thousands of times, the C library is asked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kalshi_sim.kernels.jit import hot_jit

MARGIN = 2.0**-40
"""More than the relative error of the formulas below and of the C library together."""
SERIES_BELOW = 0.25
"""Up to here the series' first term left out is below 2^-42 of its sum."""
EXP_BELOW = 8.0
LOG_ABOVE = 2.0**-10
"""From here on rounding 1 + x costs less than 2^-42 of the logarithm."""

# Maclaurin series of tanh, coefficients of x^3, x^5, ...
C3 = -1.0 / 3.0
C5 = 2.0 / 15.0
C7 = -17.0 / 315.0
C9 = 62.0 / 2835.0
C11 = -1382.0 / 155_925.0
C13 = 21_844.0 / 6_081_075.0
C15 = -929_569.0 / 638_512_875.0


@hot_jit
def tanh32(x: float) -> Any:
    """The float32 nearest to `math.tanh(x)`."""
    size = abs(x)
    if size < SERIES_BELOW:
        z = x * x
        y = x * (1.0 + z * (C3 + z * (C5 + z * (C7 + z * (C9 + z * (C11 + z * (C13 + z * C15)))))))
    elif size < EXP_BELOW:
        power = math.exp(2.0 * size)
        y = math.copysign((power - 1.0) / (power + 1.0), x)
    else:
        return np.float32(math.tanh(x))
    low = np.float32(y * (1.0 - MARGIN))
    if low == np.float32(y * (1.0 + MARGIN)):
        return low
    return np.float32(math.tanh(x))


@hot_jit
def log1p32(x: float, scale: float) -> Any:
    """The float32 nearest to `math.log1p(x) * scale`, for x >= 0.

    Args:
        x: 0 or more.
        scale: factor of the logarithm.
    """
    if x >= LOG_ABOVE:
        y = math.log(1.0 + x) * scale
        low = np.float32(y * (1.0 - MARGIN))
        if low == np.float32(y * (1.0 + MARGIN)):
            return low
    return np.float32(math.log1p(x) * scale)
