"""What all order flows draw: levels on a grid, values of a side, sizes of orders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.synthetic.queue_book import Int64Array

Float64Array = npt.NDArray[np.float64]

PRICE_SCALE = units.PRICE_SCALE
SIZE_SCALE = units.SIZE_SCALE


@hot_jit
def below(grid: Int64Array, value: float) -> int:
    """The highest level whose price is below `value`, -1 if there is none.

    Args:
        grid: int64 [levels] prices, ascending.
        value: in the same unit.
    """
    return int(np.searchsorted(grid, value)) - 1


@hot_jit
def side_value(fair: float, side: int) -> float:
    """What a contract of `side` is worth when YES is worth `fair`.

    Args:
        fair: in 1/100 cent.
        side: 0 YES, 1 NO.
    """
    return fair if side == 0 else PRICE_SCALE - fair


@hot_jit
def draw_size(rng: np.random.Generator, quantiles: Float64Array, fractional: bool) -> int:
    """A size in 1/100 contract.

    Args:
        rng: the market's random generator.
        quantiles: float64 [n] contracts at equally spaced shares.
        fractional: half of the sizes get decimals.
    """
    at = rng.random() * (len(quantiles) - 1)
    i = int(at)
    whole = max(1, int(quantiles[i] + (at - i) * (quantiles[i + 1] - quantiles[i])))
    unit = 1
    while unit * 10 <= whole:
        unit *= 10
    # People like round numbers: one digit, two digits, or as it comes.
    roundness = rng.random()
    if roundness < 0.5:
        whole = whole // unit * unit
    elif roundness < 0.8 and unit >= 10:
        whole = whole // (unit // 10) * (unit // 10)
    size = whole * SIZE_SCALE
    if fractional and rng.random() < 0.5:
        size += int(rng.random() * SIZE_SCALE)
    return size
