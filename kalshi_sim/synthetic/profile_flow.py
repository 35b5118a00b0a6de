"""The order flow of a market of a profile: what happens is drawn by distance from the best price.

A latent fair value moves by news that is a fair coin, and at the end of every millisecond bid <
fair value < ask, as in `kalshi_sim.synthetic.order_flow`. Between the news the book is worked on at
distances from the best price that belong to the profile: orders join where a level is small and
leave where it is large, best levels are given up, quotes return to the fair value, and takers come,
more often on the side that the fair value is near.

Args of the functions here, unless they say more:
    rng: the market's random generator; it advances.
    book: the market's queues; changed.
    time: of what happens, in ms since 1970 UTC.
    grid: int64 [levels] prices in 1/100 cent, ascending.
    flow: the market's parameters.
    fair: value of YES in 1/100 cent.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit, jit
from kalshi_sim.synthetic.draws import (
    LARGEST_MOVE,
    Float64Array,
    below,
    cancel_order,
    draw_size,
    near_the_back,
    side_value,
)
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    HEAD,
    LOGGED,
    OPENING,
    SHOWN,
    SIZE,
    UNFILLED,
    Int64Array,
    QueueBook,
    add,
    has_room,
    reduce,
    snapshot,
    take,
    withdraw_above,
    write,
)

PRICE_SCALE = units.PRICE_SCALE
SIZE_SCALE = units.SIZE_SCALE
CENT = units.STORED_PER_CENT

BUCKETS: Final = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 40))
"""Cents behind the best price: first and last of each bucket of a profile."""
INSIDE: Final = len(BUCKETS)
"""Row of the sizes of orders that better the best price."""
FIRST: Final = np.array([first for first, _ in BUCKETS])
WIDTH: Final = np.array([last - first + 1 for first, last in BUCKETS])

MOST_JOIN: Final = 16
TRIES: Final = 8
"""Places that are looked at for one change; near 0 and 1 there may be no price."""


class ProfileFlow(NamedTuple):
    """The character of one market. Prices in 1/100 cent, sizes in contracts."""

    news: float
    """Chance per instant that the fair value moves."""
    step: float
    """Mean move at 50 cents; elsewhere 4p(1 - p) of it."""
    tail: float
    """Standard deviation of the logarithm of a move."""
    informed: float
    """Chance that quotes which news left too expensive are taken rather than withdrawn."""
    more: float
    """Chance that a change is followed by another one in the same millisecond."""
    taker: float
    """Chance that a change is a market order."""
    sweep: float
    """Chance that a market order goes beyond the best level."""
    tilt: float
    """How far takers follow the fair value: 0 not at all."""
    drop: float
    """Chance that a change empties the smaller of the two best levels."""
    fine: float
    """Factor on `drop` where prices are finer than a cent."""
    refill: float
    """Chance that a change betters a best price that is away from the fair value."""
    join: float
    """Chance that an order at a better price is joined by another one at once."""
    settle: float
    """Chance that before a lull both best prices return to the fair value."""
    lull_ms: float
    """A longer gap is a lull."""
    fractional: bool
    chance: Float64Array
    """[buckets] cumulative chances that other changes are so far behind the best price."""
    level: Float64Array
    """[buckets] contracts at which a level gains and loses alike."""
    sizes: Float64Array
    """[buckets + 1, n] quantiles of an order's contracts by distance; `INSIDE`: a better price."""
    takers: Float64Array
    """[n] quantiles of the contracts of market orders."""


@hot_jit
def wanted_level(book: QueueBook, grid: Int64Array, side: int, fair: float) -> int:
    """The best level of a side that the fair value allows.

    Args:
        side: 0 YES or 1 NO.
    """
    return below(grid, side_value(fair, side))


@hot_jit
def churn(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    kind: int,
    grid: Int64Array,
    flow: ProfileFlow,
    fair: float,
) -> bool:
    """An order joins or leaves somewhere behind the best price; returns whether one did.

    Args:
        kind: OPENING or ADD, of an order that joins.
    """
    for _ in range(TRIES):
        side = int(rng.random() * 2.0)
        best = book.best[side]
        if best < 0:
            best = wanted_level(book, grid, side, fair)
            if best < 0:
                continue
        bucket = int(np.searchsorted(flow.chance, rng.random()))
        cents = FIRST[bucket] + int(rng.random() * WIDTH[bucket])
        level = best
        if cents > 0:
            # Anywhere within that cent where the grid is finer.
            price = grid[best] - CENT * (cents - 1) - int(rng.random() * CENT)
            level = below(grid, float(price))
            if level < 0:
                continue
        shown = float(book.levels[side, level, SHOWN])
        usual = flow.level[bucket] * SIZE_SCALE
        if rng.random() * (shown + usual) < shown:
            cancel_order(rng, book, time, near_the_back(rng, book, side, level))
            return True
        if has_room(book):
            size = draw_size(rng, flow.sizes[bucket], flow.fractional)
            add(book, time, kind, side, level, size)
            return True
    return False


@hot_jit
def better(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    flow: ProfileFlow,
    fair: float,
    side: int,
    full: bool,
) -> bool:
    """Better the best price of a side if the fair value allows it; returns whether it did.

    Args:
        side: 0 YES or 1 NO.
        full: up to the fair value; else anywhere on the way to it.
    """
    wanted = wanted_level(book, grid, side, fair)
    missing = wanted - book.best[side]
    if missing <= 0 or wanted < 0 or not has_room(book):
        return False
    if not full and book.best[side] >= 0:
        wanted -= int(rng.random() * missing)
    add(book, time, ADD, side, wanted, draw_size(rng, flow.sizes[INSIDE], flow.fractional))
    for _ in range(MOST_JOIN):
        if rng.random() >= flow.join or not has_room(book):
            break
        add(book, time, ADD, side, wanted, draw_size(rng, flow.sizes[0], flow.fractional))
    return True


@hot_jit
def is_fine(book: QueueBook, grid: Int64Array) -> bool:
    """Whether the best bid of YES stands where prices are finer than a cent."""
    best = book.best[0]
    return bool(best > 0 and grid[best] - grid[best - 1] < CENT)


@hot_jit
def give_up(book: QueueBook, time: int) -> bool:
    """Empty the smaller of the two best levels; returns whether both sides had one."""
    if book.best[0] < 0 or book.best[1] < 0:
        return False
    yes = book.levels[0, book.best[0], SHOWN]
    no = book.levels[1, book.best[1], SHOWN]
    side = 0 if yes < no else 1
    level = book.best[side]
    while book.levels[side, level, HEAD] >= 0:
        slot = book.levels[side, level, HEAD]
        reduce(book, time, CANCEL, slot, book.orders[slot, SIZE])
    return True


@hot_jit
def taker(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    flow: ProfileFlow,
    fair: float,
) -> bool:
    """A market order; returns whether there was somebody to trade with.

    It is the likelier to buy the nearer the fair value is to the ask, and still pays more than it.
    """
    up = 0.5
    if book.best[0] >= 0 and book.best[1] >= 0:
        bid = grid[book.best[0]]
        ask = PRICE_SCALE - grid[book.best[1]]
        up += flow.tilt * ((fair - bid) / (ask - bid) - 0.5)
    side = 1 if rng.random() < up else 0
    best = book.best[side]
    if best < 0:
        return False
    size = draw_size(rng, flow.takers, flow.fractional)
    shown = book.levels[side, best, SHOWN]
    limit = best
    if rng.random() < flow.sweep:
        size += shown
        limit = 0
    else:
        size = min(size, shown)
    rest = take(book, time, side, limit, size)
    if rest > 0:
        write(book, time, UNFILLED, side, limit, rest, -1)
    return True


@hot_jit
def clear_stale(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    flow: ProfileFlow,
    side: int,
    fair: float,
) -> None:
    """Take or withdraw all bids of `side` that the fair value has left too expensive.

    Args:
        side: whose bids, 0 YES or 1 NO.
    """
    limit = wanted_level(book, grid, side, fair) + 1
    if book.best[side] < limit:
        return
    if rng.random() < flow.informed:
        rest = take(book, time, side, limit, draw_size(rng, flow.takers, flow.fractional))
        if rest > 0:
            write(book, time, UNFILLED, side, limit, rest, -1)
    withdraw_above(book, time, side, limit)


@hot_jit
def moved(rng: np.random.Generator, flow: ProfileFlow, fair: float) -> float:
    """The fair value after news: up or down alike, so that it is a martingale."""
    share = fair / PRICE_SCALE
    # Of mean 1 whatever the tail.
    factor = math.exp(flow.tail * rng.standard_normal() - 0.5 * flow.tail * flow.tail)
    size = min(LARGEST_MOVE, flow.step / PRICE_SCALE * factor)
    change = size * 4.0 * share * (1.0 - share) * PRICE_SCALE
    return fair + change if rng.random() < 0.5 else fair - change


@hot_jit
def change(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    flow: ProfileFlow,
    fair: float,
) -> None:
    """One change of the book: a taker, a level given up, a better price, or another order."""
    what = rng.random()
    drop = flow.drop * (flow.fine if is_fine(book, grid) else 1.0)
    if what < flow.taker:
        if taker(rng, book, time, grid, flow, fair):
            return
    elif what < flow.taker + drop:
        if give_up(book, time):
            return
    elif what < flow.taker + drop + flow.refill:
        side = int(rng.random() * 2.0)
        if better(rng, book, time, grid, flow, fair, side, False):
            return
        if better(rng, book, time, grid, flow, fair, 1 - side, False):
            return
    churn(rng, book, time, ADD, grid, flow, fair)


@jit
def run_profile_market(
    rng: np.random.Generator,
    times: Int64Array,
    grid: Int64Array,
    flow: ProfileFlow,
    fair: float,
    book: QueueBook,
) -> float:
    """Let a market trade; everything that happens goes to the log of `book`.

    Args:
        times: int64 [n >= 1] distinct instants in ms, ascending; the first is the snapshot's.
        fair: of YES at the start, in 1/100 cent.

    Returns:
        The fair value after the last instant, or -1.0 if the log has no room for the next.
    """
    room = len(book.live)
    for side in range(2):
        level = wanted_level(book, grid, side, fair)
        if level >= 0:
            size = draw_size(rng, flow.sizes[0], flow.fractional)
            add(book, times[0], OPENING, side, level, size)
    for _ in range(room):
        churn(rng, book, times[0], OPENING, grid, flow, fair)
    snapshot(book, times[0])
    most = 8 * room + 2 * len(grid) + 64
    for i in range(1, len(times)):
        if book.counts[LOGGED] + most > len(book.log):
            return -1.0
        time = times[i]
        lines = book.counts[LOGGED]
        if rng.random() < flow.news:
            fair = moved(rng, flow, fair)
            for side in range(2):
                clear_stale(rng, book, time, grid, flow, side, fair)
        lull = i + 1 < len(times) and times[i + 1] - time > flow.lull_ms
        if lull and rng.random() < flow.settle:
            for side in range(2):
                better(rng, book, time, grid, flow, fair, side, True)
        if book.counts[LOGGED] == lines:
            change(rng, book, time, grid, flow, fair)
        for _ in range(32):
            if rng.random() >= flow.more:
                break
            change(rng, book, time, grid, flow, fair)
        # An instant without any change would be no update at all.
        for side in range(2):
            if book.counts[LOGGED] == lines:
                better(rng, book, time, grid, flow, fair, side, True)
    return fair
