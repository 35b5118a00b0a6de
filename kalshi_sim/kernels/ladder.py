"""One market's book: two ladders of bids with exact sizes, and what each row shows of them.

Exact sizes (1/100 contract) are kept densely by price; the shown levels (whole contracts,
rounded down, at least one) are kept as a list sorted by price, ascending, so that the best bid
is the last entry and changes near it move little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit

Int64Array = npt.NDArray[np.int64]

SIZE_SCALE = units.SIZE_SCALE
mirror = hot_jit(units.mirror)


class Ladders(NamedTuple):
    """Both sides of one market's book; side 0 = YES bids, side 1 = NO bids."""

    exact: Int64Array
    """[2, payout + 1] size at each price, 1/100 contract."""
    prices: Int64Array
    """[2, payout + 1] prices of the shown levels, ascending; `levels` of them are used."""
    sizes: Int64Array
    """[2, payout + 1] whole contracts shown at these."""
    levels: Int64Array
    """[2] shown levels."""
    total: Int64Array
    """[2] whole contracts shown, all levels."""


def make_ladders(payout: int) -> Ladders:
    """Empty ladders for a tape whose winning contract pays `payout`."""
    width = payout + 1
    return Ladders(
        exact=np.zeros((2, width), np.int64),
        prices=np.zeros((2, width), np.int64),
        sizes=np.zeros((2, width), np.int64),
        levels=np.zeros(2, np.int64),
        total=np.zeros(2, np.int64),
    )


@hot_jit
def clear_ladders(book: Ladders) -> None:
    """Empty both sides."""
    book.exact[:, :] = 0
    book.levels[:] = 0
    book.total[:] = 0


@hot_jit
def best_price(book: Ladders, side: int) -> int:
    """The best bid of a side, 0 if it shows none."""
    n = book.levels[side]
    if n == 0:
        return 0
    return int(book.prices[side, n - 1])


@hot_jit
def find_level(book: Ladders, side: int, price: int) -> int:
    """The place of the first shown level at or above `price`."""
    low = 0
    high = book.levels[side]
    while low < high:
        middle = (low + high) // 2
        if book.prices[side, middle] < price:
            low = middle + 1
        else:
            high = middle
    return int(low)


@hot_jit
def set_level(book: Ladders, side: int, price: int, exact: int) -> None:
    """Set the size at a price.

    Args:
        exact: in 1/100 contract, 0 or more.
    """
    before = book.exact[side, price] // SIZE_SCALE
    shown = exact // SIZE_SCALE
    book.exact[side, price] = exact
    if shown == before:
        return
    at = find_level(book, side, price)
    n = book.levels[side]
    book.total[side] += shown - before
    if before == 0:
        for i in range(n, at, -1):
            book.prices[side, i] = book.prices[side, i - 1]
            book.sizes[side, i] = book.sizes[side, i - 1]
        book.prices[side, at] = price
        book.sizes[side, at] = shown
        book.levels[side] = n + 1
    elif shown == 0:
        for i in range(at, n - 1):
            book.prices[side, i] = book.prices[side, i + 1]
            book.sizes[side, i] = book.sizes[side, i + 1]
        book.levels[side] = n - 1
    else:
        book.sizes[side, at] = shown
