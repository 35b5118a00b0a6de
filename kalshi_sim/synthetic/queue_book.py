"""A true price-time queue: the order book behind a generated market.

Levels are indices of a price grid that is its own mirror: the bid at level i of one side meets
the bid at level `levels - 1 - i` of the other. Sizes are in 1/100 contract. Every change is
written to a log, from which both the public events and the truth about the queue are read.

Args of the functions here, unless they say more:
    book: the market's queues; changed.
    time: of what happens, in ms since 1970 UTC; ascending from call to call.
    side: whose bids, 0 YES or 1 NO.
    level: index of the price.
    size: in 1/100 contract.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit

Int64Array = npt.NDArray[np.int64]

MAX_ORDERS: Final = 256
"""Orders that can rest in one market at a time, if no other number is asked for."""

NEXT, PREVIOUS, SIZE, LEVEL, SIDE, NUMBER, PLACE = range(7)
"""Columns of `QueueBook.orders`. NUMBER counts a market's orders in order of arrival; -1 once
the order is gone. PLACE is where `live` lists the slot."""
HEAD, TAIL, SHOWN = range(3)
"""Last axis of `QueueBook.levels`: first and last order of the queue (-1: none), total size."""
LIVE, ISSUED, LOGGED = range(3)
"""Entries of `QueueBook.counts`: orders resting, orders ever numbered, log lines written."""

OPENING, CLEAR, STATE, ADD, CANCEL, FILL, UNFILLED = range(7)
"""Log kinds: an order that rests before the start · a snapshot begins · a level of it · a new
order rests · an order or part of it is withdrawn · a resting order is hit · what a taker wanted
at `level` or better and nobody gave (`side` is the side it would have hit)."""
LOG_TIME, LOG_KIND, LOG_SIDE, LOG_LEVEL, LOG_SIZE, LOG_NUMBER = range(6)
"""Columns of `QueueBook.log`."""


class QueueBook(NamedTuple):
    """The state of one market's queues and the log of all that happened to them."""

    orders: Int64Array
    """[orders, 7]"""
    levels: Int64Array
    """[2, levels, 3]"""
    live: Int64Array
    """[orders] slots of `orders`; the first `counts[LIVE]` are in use."""
    best: Int64Array
    """[2] best level of each side, -1 if the side is empty."""
    counts: Int64Array
    """[3]"""
    log: Int64Array
    """[capacity, 6]"""


def new_book(levels: int, log_capacity: int, orders: int = MAX_ORDERS) -> QueueBook:
    """An empty book of `levels` prices whose log holds `log_capacity` lines.

    Args:
        levels: number of prices.
        log_capacity: lines the log can hold.
        orders: how many can rest at a time.
    """
    queues = np.zeros((2, levels, 3), np.int64)
    queues[:, :, HEAD] = -1
    queues[:, :, TAIL] = -1
    return QueueBook(
        orders=np.zeros((orders, 7), np.int64),
        levels=queues,
        live=np.arange(orders, dtype=np.int64),
        best=np.full(2, -1, np.int64),
        counts=np.zeros(3, np.int64),
        log=np.zeros((log_capacity, 6), np.int64),
    )


@hot_jit
def write(
    book: QueueBook, time: int, kind: int, side: int, level: int, size: int, number: int
) -> None:
    """Append one line to the log.

    Args:
        kind: one of the log kinds, OPENING to UNFILLED.
        number: of the order; -1 if the line is of none.
    """
    line = book.log[book.counts[LOGGED]]
    line[LOG_TIME] = time
    line[LOG_KIND] = kind
    line[LOG_SIDE] = side
    line[LOG_LEVEL] = level
    line[LOG_SIZE] = size
    line[LOG_NUMBER] = number
    book.counts[LOGGED] += 1


@hot_jit
def has_room(book: QueueBook) -> bool:
    """Whether another order may rest."""
    return bool(book.counts[LIVE] < len(book.live))


@hot_jit
def add(book: QueueBook, time: int, kind: int, side: int, level: int, size: int) -> int:
    """Put a new order at the back of its queue; returns its slot.

    Args:
        kind: OPENING or ADD.
    """
    slot = book.live[book.counts[LIVE]]
    order = book.orders[slot]
    queue = book.levels[side, level]
    order[NEXT] = -1
    order[PREVIOUS] = queue[TAIL]
    order[SIZE] = size
    order[LEVEL] = level
    order[SIDE] = side
    order[NUMBER] = book.counts[ISSUED]
    order[PLACE] = book.counts[LIVE]
    if queue[TAIL] >= 0:
        book.orders[queue[TAIL], NEXT] = slot
    else:
        queue[HEAD] = slot
    queue[TAIL] = slot
    queue[SHOWN] += size
    book.best[side] = max(book.best[side], level)
    book.counts[LIVE] += 1
    book.counts[ISSUED] += 1
    write(book, time, kind, side, level, size, order[NUMBER])
    return int(slot)


@hot_jit
def reduce(book: QueueBook, time: int, kind: int, slot: int, size: int) -> None:
    """Take a part or all from an order; an empty one leaves its queue.

    Args:
        kind: CANCEL or FILL.
        slot: of the order in `orders`.
        size: at most the order's.
    """
    order = book.orders[slot]
    side = order[SIDE]
    level = order[LEVEL]
    queue = book.levels[side, level]
    order[SIZE] -= size
    queue[SHOWN] -= size
    write(book, time, kind, side, level, size, order[NUMBER])
    if order[SIZE] > 0:
        return
    if order[PREVIOUS] >= 0:
        book.orders[order[PREVIOUS], NEXT] = order[NEXT]
    else:
        queue[HEAD] = order[NEXT]
    if order[NEXT] >= 0:
        book.orders[order[NEXT], PREVIOUS] = order[PREVIOUS]
    else:
        queue[TAIL] = order[PREVIOUS]
    order[NUMBER] = -1
    book.counts[LIVE] -= 1
    last = book.live[book.counts[LIVE]]
    book.live[order[PLACE]] = last
    book.orders[last, PLACE] = order[PLACE]
    book.live[book.counts[LIVE]] = slot
    while book.best[side] >= 0 and book.levels[side, book.best[side], HEAD] < 0:
        book.best[side] -= 1


@hot_jit
def take(book: QueueBook, time: int, side: int, limit: int, size: int) -> int:
    """Hit the bids of a side, best level first, oldest order first; returns what nobody gave.

    Args:
        limit: lowest level to hit.
        size: contracts wanted.
    """
    while size > 0 and book.best[side] >= max(limit, 0):
        slot = book.levels[side, book.best[side], HEAD]
        part = min(size, book.orders[slot, SIZE])
        reduce(book, time, FILL, slot, part)
        size -= part
    return size


@hot_jit
def withdraw_above(book: QueueBook, time: int, side: int, limit: int) -> None:
    """Cancel all bids of `side` at `limit` or better.

    Args:
        limit: lowest level to cancel.
    """
    while book.best[side] >= max(limit, 0):
        slot = book.levels[side, book.best[side], HEAD]
        reduce(book, time, CANCEL, slot, book.orders[slot, SIZE])


@hot_jit
def snapshot(book: QueueBook, time: int) -> None:
    """Write the whole book to the log."""
    write(book, time, CLEAR, 0, 0, 0, -1)
    for side in range(2):
        for level in range(book.levels.shape[1]):
            if book.levels[side, level, SHOWN] > 0:
                write(book, time, STATE, side, level, book.levels[side, level, SHOWN], -1)
