"""The maker whose sizes show the hidden sign of a planted edge."""

from __future__ import annotations

from typing import Final

import numpy as np

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.synthetic.draws import below, side_value
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    LEVEL,
    NUMBER,
    SIZE,
    Int64Array,
    QueueBook,
    add,
    has_room,
    reduce,
)

SIZE_SCALE = units.SIZE_SCALE

HEAVY: Final = (800, 1200)
THIN: Final = (100, 200)
"""Contracts of the signalling maker on the two sides: least, and random more."""


@hot_jit
def signal(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    quoted: Int64Array,
    fair: float,
    sign: int,
) -> None:
    """Quote next to the fair value on both sides, more on the side the price will leave.

    Args:
        rng: the market's random generator; it advances.
        book: the market's queues; changed.
        time: of what happens, in ms since 1970 UTC.
        grid: int64 [levels] prices in 1/100 cent, ascending.
        quoted: int64 [2, 3] the signalling maker's orders: slot, number, the sign they show;
            changed.
        fair: value of YES in 1/100 cent.
        sign: 1 or -1, the direction to show.
    """
    for side in range(2):
        level = below(grid, side_value(fair, side))
        slot = quoted[side, 0]
        stands = slot >= 0 and book.orders[slot, NUMBER] == quoted[side, 1]
        if stands and (book.orders[slot, LEVEL] != level or quoted[side, 2] != sign):
            reduce(book, time, CANCEL, slot, book.orders[slot, SIZE])
            stands = False
        if not stands and level >= 0 and has_room(book):
            least, more = HEAVY if (sign > 0) == (side == 0) else THIN
            contracts = least + int(rng.random() * more)
            slot = add(book, time, ADD, side, level, contracts * SIZE_SCALE)
            quoted[side, 0] = slot
            quoted[side, 1] = book.orders[slot, NUMBER]
            quoted[side, 2] = sign
