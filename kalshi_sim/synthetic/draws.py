"""What all order flows share: levels on a grid, values of a side, sizes, who cancels how much."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.synthetic.queue_book import (
    CANCEL,
    PREVIOUS,
    SIZE,
    TAIL,
    Int64Array,
    QueueBook,
    reduce,
)

Float64Array = npt.NDArray[np.float64]

PRICE_SCALE = units.PRICE_SCALE
SIZE_SCALE = units.SIZE_SCALE

PART: Final = 0.2
"""Chance that a cancellation halves the order instead, which keeps its place."""
LARGEST_MOVE: Final = 0.2
"""Of 4p(1 - p); below a quarter, so that the fair value never reaches 0 or 1."""


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


@hot_jit
def near_the_back(rng: np.random.Generator, book: QueueBook, side: int, level: int) -> int:
    """The slot of an order of a level; those at the back have the least to lose.

    Args:
        rng: the market's random generator; it advances.
        book: the market's queues.
        side: 0 YES, 1 NO.
        level: where some order stands.
    """
    slot = book.levels[side, level, TAIL]
    while book.orders[slot, PREVIOUS] >= 0 and rng.random() < 0.5:
        slot = book.orders[slot, PREVIOUS]
    return int(slot)


@hot_jit
def cancel_order(rng: np.random.Generator, book: QueueBook, time: int, slot: int) -> None:
    """Cancel an order, or half of it.

    Args:
        rng: the market's random generator; it advances.
        book: the market's queues; changed.
        time: of the cancellation, in ms since 1970 UTC.
        slot: of the order.
    """
    size = book.orders[slot, SIZE]
    if size >= 2 * SIZE_SCALE and rng.random() < PART:
        size = size // (2 * SIZE_SCALE) * SIZE_SCALE
    reduce(book, time, CANCEL, slot, size)
