"""The planted market in which only making pays: what it is, and the quoter that is best in it.

Makers quote a cent on either side of a whole fair value. Takers who know nothing hit a side now
and then, each second one the side opposite to the one before. Before the fair value jumps, the
makers leave the best prices for one update, so the best sizes say *that* it will jump, not where
to; whoever still quotes the side that it passes is hit by those who know. See docs/generator.md.

Args of the functions here, unless they say more:
    rng: the market's random generator; it advances.
    book: the market's queues; changed.
    time: of what happens, in ms since 1970 UTC.
    fair: value of YES in whole cents.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import TABLES
from kalshi_sim.kernels.jit import hot_jit, jit
from kalshi_sim.kernels.observation import (
    ASK_DISTANCE,
    ASK_SIZE,
    ASK_WORKING,
    BID_DISTANCE,
    BID_SIZE,
    BID_WORKING,
    POSITION,
)
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    HEAD,
    LOGGED,
    MAX_ORDERS,
    OPENING,
    SHOWN,
    SIZE,
    QueueBook,
    add,
    reduce,
    snapshot,
    take,
    withdraw_above,
)
from kalshi_sim.units import SIZE_SCALE, STORED_PER_CENT

Int64Array = npt.NDArray[np.int64]

TAKER: Final = 0.35
"""Chance at a calm update that somebody who knows nothing takes."""
WARNING: Final = 0.25
"""Chance at a calm update that the makers leave; the fair value jumps at the next."""
HALF_SPREAD: Final = 1
"""Cents from the fair value to the best price of either side."""
JUMP: Final = 4
"""Cents."""
UPDATES: Final = (70, 110)
"""A market's updates in 35 minutes: least and most."""
FAIR: Final = (40, 60)
"""Cents at the start: least and most."""
RANGE: Final = (14, 86)
"""A market whose fair value leaves this falls silent."""
LEVELS: Final = 5
"""Prices quoted on each side."""
CROWD: Final = (800, 1_200)
"""Contracts at the best price: least, and random more."""
LEFT: Final = (10, 30)
"""Contracts at the best price when the makers have left: least, and random more."""
DEEPER: Final = 2_000
"""Contracts at each price behind the best."""
BEYOND: Final = 50
"""Contracts that a taker wants beyond those at the best price."""
THRESHOLD: Final = float(np.log1p(200) / np.log1p(1e7))
"""Features 5 and 6 at 200 contracts: fewer at both best prices are the warning."""


@hot_jit
def _draw(rng: np.random.Generator, least: int, more: int) -> int:
    """A size in 1/100 contract, `least` contracts and up to `more` beyond."""
    return (least + int(rng.random() * more)) * SIZE_SCALE


@hot_jit
def _best_level(fair: int, side: int, levels: int) -> int:
    """The level of the best price of a side.

    Args:
        side: 0 YES, 1 NO.
        levels: prices of the grid, a cent apart from one cent on.
    """
    value = fair if side == 0 else levels + 1 - fair
    return value - HALF_SPREAD - 1


@hot_jit
def _shrink(book: QueueBook, time: int, side: int, level: int, size: int) -> None:
    """Cancel orders at a level, oldest first, until it shows at most `size` in 1/100 contract."""
    while book.levels[side, level, SHOWN] > size:
        slot = book.levels[side, level, HEAD]
        over = book.levels[side, level, SHOWN] - size
        reduce(book, time, CANCEL, slot, min(over, book.orders[slot, SIZE]))


@hot_jit
def _quote(
    rng: np.random.Generator, book: QueueBook, time: int, kind: int, fair: int, leaving: bool
) -> None:
    """The makers' book around the fair value.

    Args:
        kind: OPENING or ADD, for the log.
        leaving: whether they leave the best prices.
    """
    levels = book.levels.shape[1]
    for side in range(2):
        top = _best_level(fair, side, levels)
        withdraw_above(book, time, side, top + 1)
        for level in range(top - LEVELS + 1):
            _shrink(book, time, side, level, 0)
        for level in range(top - LEVELS + 1, top):
            missing = DEEPER * SIZE_SCALE - book.levels[side, level, SHOWN]
            if missing > 0:
                add(book, time, kind, side, level, missing)
            _shrink(book, time, side, level, DEEPER * SIZE_SCALE)
        if leaving:
            least, more = LEFT
            _shrink(book, time, side, top, _draw(rng, least, more))
        elif book.levels[side, top, SHOWN] < CROWD[0] * SIZE_SCALE:
            least, more = CROWD
            add(book, time, kind, side, top, _draw(rng, least, more))
    # An instant without any change would be no update at all.
    deepest = _best_level(fair, 0, levels) - LEVELS + 1
    _shrink(book, time, 0, deepest, 0)
    add(book, time, kind, 0, deepest, DEEPER * SIZE_SCALE)


@jit
def run_making(
    rng: np.random.Generator, times: Int64Array, fair_value: float, book: QueueBook
) -> float:
    """Let a market trade; everything that happens goes to the log of `book`.

    Args:
        times: int64 [n >= 1] distinct instants in ms, ascending; the first is the snapshot's.
        fair_value: of YES at the start, in 1/100 cent.

    Returns:
        The fair value after the last instant, in 1/100 cent, or -1.0 if the log has no room.
    """
    fair = int(fair_value) // STORED_PER_CENT
    levels = book.levels.shape[1]
    _quote(rng, book, times[0], OPENING, fair, False)
    snapshot(book, times[0])
    leaving = False
    last, paired = 0, True
    for i in range(1, len(times)):
        if book.counts[LOGGED] + 4 * MAX_ORDERS > len(book.log):
            return -1.0
        time = times[i]
        if leaving:
            leaving = False
            side = 0 if rng.random() < 0.5 else 1
            fair += -JUMP if side == 0 else JUMP
            passed = _best_level(fair, side, levels) + 1
            take(book, time, side, passed, LEVELS * DEEPER * SIZE_SCALE)
        else:
            what = rng.random()
            if what < WARNING:
                leaving = True
            elif what < WARNING + TAKER:
                if paired:
                    last = 0 if rng.random() < 0.5 else 1
                else:
                    last = 1 - last
                paired = not paired
                best = book.best[last]
                wanted = book.levels[last, best, SHOWN] + BEYOND * SIZE_SCALE
                take(book, time, last, best - 1, wanted)
        _quote(rng, book, time, ADD, fair, leaving)
        if fair <= RANGE[0] or fair >= RANGE[1]:
            break
    return float(fair * STORED_PER_CENT)


def best_making_policy(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The actions of the quoter that is best in this market, for the table `maker`.

    It joins the best price of both sides, first the one that brings its position back, and
    cancels both as soon as the makers leave.

    Args:
        observations: float32 [n, 52], the features of `kalshi_sim.features`.

    Returns:
        int64 [n] rows of the table.
    """
    seen = observations
    warned = (seen[:, BID_SIZE] < THRESHOLD) & (seen[:, ASK_SIZE] < THRESHOLD)
    quoted = (seen[:, BID_WORKING] > 0) | (seen[:, ASK_WORKING] > 0)
    bid = (seen[:, BID_WORKING] == 0) | (seen[:, BID_DISTANCE] != 0)
    ask = (seen[:, ASK_WORKING] == 0) | (seen[:, ASK_DISTANCE] != 0)
    bid_first = bid & (~ask | (seen[:, POSITION] <= 0))
    names = TABLES["maker"].names
    cancel, join_yes, join_no = (
        names.index(name) for name in ("cancel_both", "buy_yes_join", "buy_no_join")
    )
    quotes = np.where(bid_first, join_yes, np.where(ask, join_no, 0))
    return np.where(warned, np.where(quoted, cancel, 0), quotes).astype(np.int64)


def most_profit(takers: float, order_size: int = 10) -> float:
    """Cents that no policy exceeds in expectation, whatever it does.

    Args:
        takers: those who know nothing, in number.
        order_size: largest order of the action table.

    Returns:
        Cents.
    """
    return takers * HALF_SPREAD * order_size
