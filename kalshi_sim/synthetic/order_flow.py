"""The order flow of one generated market: news, takers, makers and cancellations.

A latent fair value moves only with news, by a step whose sign is a fair coin (or, with an edge,
one that the best sizes give away beforehand). In the same millisecond all quotes it left
too expensive are hit or withdrawn, so that at the end of every millisecond bid < fair value < ask:
taking costs at least the distance to a martingale.

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
    LIVE,
    LOGGED,
    MAX_ORDERS,
    NEXT,
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
from kalshi_sim.synthetic.signalling import signal

PRICE_SCALE = units.PRICE_SCALE

FAST: Final = 0.5
"""Chance that a maker withdraws a quote that news left too expensive before anyone hits it."""
INFORMED: Final = 0.7
"""Chance that somebody trades on a piece of news."""
RESTS: Final = 0.8
"""Chance that what an informed taker did not get stays as a bid (else it is cancelled)."""
REQUOTES: Final = 0.6
"""Chance that makers quote again in the millisecond of the news."""
SEES_SIZE: Final = 0.9
"""Chance that a noise taker asks for no more than the best level shows."""
IMPROVES: Final = 0.08
JOINS: Final = 0.4
"""Chances that a new limit order goes inside the usual spread, or to it (else deeper)."""
NEAR: Final = 0.4
"""Chance that a cancellation is at a best price."""


class Flow(NamedTuple):
    """The character of one market. Chances are per instant; prices in 1/100 cent."""

    news: float
    """Chance that the fair value moves."""
    taker: float
    """Chance of a market order that knows nothing."""
    snapshot: float
    """Chance that the recorder is sent the whole book again."""
    step: float
    """Mean move of the fair value at 50 cents; elsewhere 4p(1 - p) of it."""
    last_step: float
    """Factor by which moves have grown when the market closes (1: it closes later)."""
    half_spread: float
    """Usual distance of the best quotes from the fair value at 50 cents."""
    least_half_spread: float
    depth: float
    """Mean distance of deeper orders from the best ones, in levels."""
    orders: float
    """Orders that usually rest."""
    bare_side: int
    """The side nobody bids on, -1: none."""
    fractional: bool
    edge: float
    """How far the sign of a move follows the signalled sign: 0 not at all, 1 always."""
    flip: float
    """Chance that the signalled sign is redrawn; 0: there is no signalling maker."""


@hot_jit
def quote_distance(flow: Flow, fair: float) -> float:
    """Usual distance of the best quotes from the fair value: less where it can move less.

    Args:
        flow: the market's parameters.
        fair: of YES, in 1/100 cent.

    Returns:
        A distance in 1/100 cent.
    """
    share = fair / PRICE_SCALE
    return max(flow.least_half_spread, flow.half_spread * 4.0 * share * (1.0 - share))


@hot_jit
def place_limit(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    kind: int,
    grid: Int64Array,
    sizes: Float64Array,
    flow: Flow,
    fair: float,
) -> bool:
    """A new limit order on a random side; returns whether there was a price and room for it.

    Args:
        kind: OPENING or ADD, for the log.
        sizes: float64 [n], see `draw_size`.
    """
    side = int(rng.random() * 2.0)
    if side == flow.bare_side:
        side = 1 - side
    distance = quote_distance(flow, fair)
    what = rng.random()
    deeper = 0
    if what < IMPROVES:
        distance *= rng.random()
    elif what >= IMPROVES + JOINS:
        deeper = 1 + int(-math.log(1.0 - rng.random()) * flow.depth)
    level = below(grid, side_value(fair, side) - distance) - deeper
    if level < 0 or not has_room(book):
        return False
    add(book, time, kind, side, level, draw_size(rng, sizes, flow.fractional))
    return True


@hot_jit
def withdraw(rng: np.random.Generator, book: QueueBook, time: int) -> bool:
    """Cancel an order, or half of it; returns whether there was one."""
    if book.counts[LIVE] == 0:
        return False
    side = int(rng.random() * 2.0)
    if rng.random() < NEAR and book.best[side] >= 0:
        slot = near_the_back(rng, book, side, book.best[side])
    else:
        slot = book.live[int(rng.random() * book.counts[LIVE])]
    cancel_order(rng, book, time, slot)
    return True


@hot_jit
def noise_taker(
    rng: np.random.Generator, book: QueueBook, time: int, sizes: Float64Array, flow: Flow
) -> bool:
    """A market order that knows nothing; returns whether there was somebody to trade with.

    Args:
        sizes: float64 [n], see `draw_size`.
    """
    side = int(rng.random() * 2.0)
    best = book.best[side]
    if best < 0:
        return False
    size = draw_size(rng, sizes, flow.fractional)
    limit = max(0, best - int(rng.random() * 3.0))
    if rng.random() < SEES_SIZE:
        size = min(size, book.levels[side, best, SHOWN])
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
    sizes: Float64Array,
    flow: Flow,
    side: int,
    fair: float,
) -> None:
    """Hit or withdraw all bids of `side` that the fair value has left too expensive.

    Args:
        sizes: float64 [n], see `draw_size`.
        side: whose bids, 0 YES or 1 NO.
    """
    limit = below(grid, side_value(fair, side)) + 1
    if book.best[side] < limit:
        return
    for level in range(book.best[side], limit - 1, -1):
        slot = book.levels[side, level, HEAD]
        while slot >= 0:
            following = book.orders[slot, NEXT]
            if rng.random() < FAST:
                reduce(book, time, CANCEL, slot, book.orders[slot, SIZE])
            slot = following
    if rng.random() < INFORMED:
        rest = take(book, time, side, limit, draw_size(rng, sizes, flow.fractional))
        if rest > 0:
            stays = rng.random() < RESTS and flow.bare_side != 1 - side and has_room(book)
            if stays:
                add(book, time, ADD, 1 - side, len(grid) - 1 - limit, rest)
            else:
                write(book, time, UNFILLED, side, limit, rest, -1)
    withdraw_above(book, time, side, limit)


@hot_jit
def requote(
    rng: np.random.Generator,
    book: QueueBook,
    time: int,
    grid: Int64Array,
    sizes: Float64Array,
    flow: Flow,
    fair: float,
) -> None:
    """New best quotes where the old ones are far from the fair value.

    Args:
        sizes: float64 [n], see `draw_size`.
    """
    for side in range(2):
        level = below(grid, side_value(fair, side) - quote_distance(flow, fair))
        wanted = side != flow.bare_side and level > book.best[side] and has_room(book)
        if wanted and rng.random() < REQUOTES:
            add(book, time, ADD, side, level, draw_size(rng, sizes, flow.fractional))


@hot_jit
def move(rng: np.random.Generator, flow: Flow, fair: float, progress: float, sign: int) -> float:
    """The fair value after news: a fair coin, tilted by the edge towards `sign`.

    Args:
        progress: share of the market's instants that have passed, 0 to 1.
        sign: 1 or -1, the direction the maker's sizes have shown.

    Returns:
        A fair value in 1/100 cent.
    """
    up = rng.random() < 0.5 * (1.0 + flow.edge * sign)
    growth = min(flow.last_step, 1.0 / math.sqrt(max(1.0 - progress, 1e-9)))
    share = fair / PRICE_SCALE
    size = min(LARGEST_MOVE, flow.step / PRICE_SCALE * growth * (0.5 + rng.random()))
    change = size * 4.0 * share * (1.0 - share) * PRICE_SCALE
    return fair + change if up else fair - change


@jit
def run_market(
    rng: np.random.Generator,
    times: Int64Array,
    grid: Int64Array,
    maker_sizes: Float64Array,
    taker_sizes: Float64Array,
    flow: Flow,
    fair: float,
    book: QueueBook,
) -> float:
    """Let a market trade; everything that happens goes to the log of `book`.

    Args:
        times: int64 [n >= 1] distinct instants in ms, ascending; the first is the snapshot's.
        maker_sizes, taker_sizes: float64 [n], see `draw_size`.
        fair: of YES at the start, in 1/100 cent.

    Returns:
        The fair value after the last instant, or -1.0 if the log has no room for the next.
    """
    for _ in range(int(2.0 * flow.orders)):
        if book.counts[LIVE] < flow.orders:
            place_limit(rng, book, times[0], OPENING, grid, maker_sizes, flow, fair)
    snapshot(book, times[0])
    quoted = np.full((2, 3), -1, np.int64)
    sign = 1 if rng.random() < 0.5 else -1
    most = 4 * MAX_ORDERS + 2 * len(grid) + 16
    for i in range(1, len(times)):
        if book.counts[LOGGED] + most > len(book.log):
            return -1.0
        time = times[i]
        if rng.random() < flow.snapshot:
            snapshot(book, time)
        # The maker shows the sign it learnt at the instant before.
        shown = sign
        if rng.random() < flow.flip:
            sign = 1 if rng.random() < 0.5 else -1
        lines = book.counts[LOGGED]
        what = rng.random()
        if what < flow.news:
            fair = move(rng, flow, fair, i / len(times), shown)
            for side in range(2):
                clear_stale(rng, book, time, grid, maker_sizes, flow, side, fair)
            requote(rng, book, time, grid, maker_sizes, flow, fair)
        elif what < flow.news + flow.taker:
            noise_taker(rng, book, time, taker_sizes, flow)
        elif rng.random() * (flow.orders + book.counts[LIVE]) >= flow.orders:
            withdraw(rng, book, time)
        if flow.flip > 0.0:
            signal(rng, book, time, grid, quoted, fair, shown)
        # An instant without any change would be no update at all.
        if book.counts[LOGGED] == lines and not place_limit(
            rng, book, time, ADD, grid, maker_sizes, flow, fair
        ):
            withdraw(rng, book, time)
    return fair
