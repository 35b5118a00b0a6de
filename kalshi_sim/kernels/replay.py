"""Replay of one market's events into rows: books, marks, features and flow.

The same kernel builds a tape (all events of a market in one call) and follows a live market
(a few events a call): everything it must remember between calls is in `Replay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.events import DELTA, GAP, LEVEL, NO_TIME, SNAPSHOT, TRADE
from kalshi_sim.kernels.features import (
    UNKNOWN_CLOSE,
    History,
    book_features,
    global_features,
    make_history,
    window_features,
)
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.ladder import (
    SIZE_SCALE,
    Ladders,
    best_price,
    clear_ladders,
    make_ladders,
    set_level,
)
from kalshi_sim.kernels.layout import (
    FLOW_ADDED,
    FLOW_PRICE,
    FLOW_REMOVED,
    FLOW_SIDE,
    FLOW_TRADED,
    N_FLOW,
    ROW_FLOW,
    ROW_FLOW_ENTRIES,
    ROW_MARK2,
    ROW_TS,
)
from kalshi_sim.kernels.rows import empty_rows, levels_fit, row_views, write_levels

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

# places in `Replay.state`
(
    LATEST,
    INTERVAL_LAST,
    IN_INTERVAL,
    HAS_BOOK,
    IN_GAP,
    ROWS,
    FLOWS,
    TOUCHED,
    MARK2,
    ENDED,
    CLOSE_AT,
    CLOSE_MS,
    FIRST_APPLIED,
    FEE_AT,
    TOO_LARGE_MS,
    N_STATE,
) = range(16)

# places in `Replay.counts`
(
    DROPPED_BEFORE_SNAPSHOT,
    DROPPED_IN_GAP,
    CLAMPED,
    RAISED,
    CROSSED,
    EMPTY,
    GAPS,
    UNTRUSTED,
    AFTER_CLOSE,
    N_COUNTS,
) = range(10)

# places in `Replay.market`
PAYOUT, ROW_INTERVAL, SESSION_FIRST, UTC_OFFSET, TAKER_MULTIPLIER, DEPTH, N_MARKET = range(7)


class EventColumns(NamedTuple):
    """Events of markets in stream order; prices already in the tape's money unit. All [n]."""

    kind: Int8Array
    side: Int8Array
    price: Int64Array
    size: Int64Array
    traded: Int64Array
    ts_ms: Int64Array


class Replay(NamedTuple):
    """One market's replay between two calls."""

    book: Ladders
    flow: Int64Array
    """[3, 2, payout + 1] removed, added, traded since the last row, 1/100 contract."""
    touched: Int64Array
    """[2 * (payout + 1)] keys side * (payout + 1) + price that have flow."""
    is_touched: Int8Array
    """[2, payout + 1] whether that key is in `touched`."""
    state: Int64Array
    counts: Int64Array
    market: Int64Array
    closes: Int64Array
    """[n, 2] (time known, close time) updates, by the first."""
    takers: Int64Array
    """[n, 2] (time known, taker multiplier) updates, by the first."""
    history: History
    shape: Int64Array
    """[2, 3] scratch space of the features."""


class Rows(NamedTuple):
    """Where rows are written; a market's rows begin at the first entry."""

    i64: Int64Array
    """[rows, width] as in `TapeArrays`, the flow counted from the market's first entry"""
    i32: Int32Array
    i16: Int16Array
    f32: Float32Array
    flow: Int64Array
    """[entries, 5] side, price, removed, added, traded; whole contracts."""


def make_replay(
    *,
    payout: int,
    depth: int,
    row_interval_ms: int,
    session_first_ms: int,
    utc_offset_ms: int,
    taker_multiplier: int,
    close_ms: int | None,
    close_updates: Sequence[tuple[int, int]],
    history_rows: int,
    taker_updates: Sequence[tuple[int, int]] = (),
) -> Replay:
    """A replay that has seen nothing yet; `history_rows` is how many rows it can compute."""
    width = payout + 1
    market = np.zeros(N_MARKET, np.int64)
    market[PAYOUT] = payout
    market[DEPTH] = depth
    market[ROW_INTERVAL] = row_interval_ms
    market[SESSION_FIRST] = session_first_ms
    market[UTC_OFFSET] = utc_offset_ms
    market[TAKER_MULTIPLIER] = taker_multiplier
    replay = Replay(
        book=make_ladders(payout),
        flow=np.zeros((3, 2, width), np.int64),
        touched=np.zeros(2 * width, np.int64),
        is_touched=np.zeros((2, width), np.int8),
        state=np.zeros(N_STATE, np.int64),
        counts=np.zeros(N_COUNTS, np.int64),
        market=market,
        closes=by_time(close_updates),
        takers=by_time(taker_updates),
        history=make_history(history_rows),
        shape=np.zeros((2, 3), np.int64),
    )
    replay.state[LATEST] = NO_TIME
    replay.state[MARK2] = payout
    replay.state[CLOSE_MS] = UNKNOWN_CLOSE if close_ms is None else close_ms
    replay.state[FIRST_APPLIED] = NO_TIME
    replay.state[TOO_LARGE_MS] = NO_TIME
    return replay


def by_time(updates: Sequence[tuple[int, int]]) -> Int64Array:
    """Updates (time known, value) as [n, 2] by time; of one time the later stands last."""
    return np.array(sorted(updates, key=lambda u: u[0]), np.int64).reshape(-1, 2)


def make_rows(rows: int, flow: int, depth: int) -> Rows:
    """Room for rows and flow entries; memory that is never written is never used."""
    i64, i32, i16, f32 = row_views(empty_rows(rows, depth))
    return Rows(i64, i32, i16, f32, np.empty((flow, N_FLOW), np.int64))


def rows_from(rows: Rows, row: int, flow: int) -> Rows:
    """The same room, beginning at a row and a flow entry."""
    return Rows(rows.i64[row:], rows.i32[row:], rows.i16[row:], rows.f32[row:], rows.flow[flow:])


@hot_jit
def touch(replay: Replay, side: int, price: int) -> None:
    """Remember that (side, price) has flow since the last row."""
    if replay.is_touched[side, price] == 0:
        replay.is_touched[side, price] = 1
        n = replay.state[TOUCHED]
        replay.touched[n] = side * replay.is_touched.shape[1] + price
        replay.state[TOUCHED] = n + 1


@hot_jit
def apply_delta(replay: Replay, side: int, price: int, change: int, traded: int) -> None:
    """Apply a signed change and add it to the flow; a level never becomes negative."""
    before = replay.book.exact[side, price]
    after = before + change
    if after < 0:
        after = 0
        replay.counts[CLAMPED] += 1
    touch(replay, side, price)
    if change < 0:
        removed = before - after
        replay.flow[0, side, price] += removed
        replay.flow[2, side, price] += min(traded, removed)
    else:
        replay.flow[1, side, price] += change
    set_level(replay.book, side, price, after)


@hot_jit
def next_mark2(mark2: int, bid: int, no_bid: int, payout: int) -> int:
    """The doubled mark of YES after a book with these best bids (0 = none)."""
    if bid > 0 and no_bid > 0:
        return bid + payout - no_bid
    if bid > 0:
        return max(mark2, 2 * bid)
    return min(mark2, 2 * (payout - no_bid))


@hot_jit
def clear_flow(replay: Replay) -> None:
    """Forget the flow since the last row."""
    width = replay.is_touched.shape[1]
    for i in range(replay.state[TOUCHED]):
        side = replay.touched[i] // width
        price = replay.touched[i] % width
        replay.is_touched[side, price] = 0
        replay.flow[:, side, price] = 0
    replay.state[TOUCHED] = 0


@hot_jit
def sort_keys(keys: Int64Array, n: int) -> None:
    """Sort the first `n` keys in place; rows touch few prices."""
    for i in range(1, n):
        key = keys[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@hot_jit
def write_flow(replay: Replay, rows: Rows, bid: int, no_bid: int) -> tuple[int, int]:
    """Write the flow entries since the last row, by side and price.

    Returns the net and the gross flow at the best prices of the last row (still in the
    history) and of this one (`bid`, `no_bid`).
    """
    state = replay.state
    width = replay.is_touched.shape[1]
    n = state[TOUCHED]
    sort_keys(replay.touched, n)
    net = 0
    gross = 0
    for i in range(n):
        side = replay.touched[i] // width
        price = replay.touched[i] % width
        removed = replay.flow[0, side, price] // SIZE_SCALE
        added = replay.flow[1, side, price] // SIZE_SCALE
        entry = rows.flow[state[FLOWS]]
        entry[FLOW_SIDE] = side
        entry[FLOW_PRICE] = price
        entry[FLOW_REMOVED] = removed
        entry[FLOW_ADDED] = added
        entry[FLOW_TRADED] = replay.flow[2, side, price] // SIZE_SCALE
        state[FLOWS] += 1
        best_now = bid if side == 0 else no_bid
        if price == best_now or price == replay.history.last[side]:
            net += added - removed if side == 0 else removed - added
            gross += added + removed
    return net, gross


@hot_jit
def close_row(replay: Replay, rows: Rows, emit: bool) -> None:
    """End the open interval: judge its book and, unless it makes no row, write the row."""
    state = replay.state
    if state[IN_INTERVAL] == 0:
        return
    state[IN_INTERVAL] = 0
    book = replay.book
    payout = replay.market[PAYOUT]
    bid = best_price(book, 0)
    no_bid = best_price(book, 1)
    if bid == 0 and no_bid == 0:
        replay.counts[EMPTY] += 1
        return
    if bid + no_bid >= payout:
        replay.counts[CROSSED] += 1
        return
    now = state[INTERVAL_LAST]
    depth = replay.market[DEPTH]
    if not levels_fit(book, depth):
        if state[TOO_LARGE_MS] == NO_TIME:
            state[TOO_LARGE_MS] = now
        return
    while state[CLOSE_AT] < len(replay.closes) and replay.closes[state[CLOSE_AT], 0] <= now:
        state[CLOSE_MS] = replay.closes[state[CLOSE_AT], 1]
        state[CLOSE_AT] += 1
    while state[FEE_AT] < len(replay.takers) and replay.takers[state[FEE_AT], 0] <= now:
        replay.market[TAKER_MULTIPLIER] = replay.takers[state[FEE_AT], 1]
        state[FEE_AT] += 1
    if state[CLOSE_MS] != UNKNOWN_CLOSE and now >= state[CLOSE_MS]:
        state[ENDED] = 1
    if state[ENDED] == 1:
        replay.counts[AFTER_CLOSE] += 1
        return
    r = state[ROWS]
    state[MARK2] = next_mark2(state[MARK2], bid, no_bid, payout)
    if emit:
        i64, i16 = rows.i64[r], rows.i16[r]
        i64[:] = 0
        i64[ROW_TS] = now
        i16[ROW_MARK2] = state[MARK2]
        write_levels(book, depth, rows.i32[r], i16)
        net = 0
        gross = 0
        flow = state[FLOWS]
        i64[ROW_FLOW] = flow
        if r > 0:
            net, gross = write_flow(replay, rows, bid, no_bid)
        i16[ROW_FLOW_ENTRIES] = state[FLOWS] - flow
        out = rows.f32[r]
        book_features(book, state[MARK2], payout, replay.shape, out)
        window_features(replay.history, r, rows.i64, rows.i16, bid, no_bid, net, gross, payout, out)
        global_features(
            now,
            state[MARK2],
            replay.market[SESSION_FIRST],
            replay.market[UTC_OFFSET],
            state[CLOSE_MS],
            replay.market[TAKER_MULTIPLIER],
            payout,
            out,
        )
    clear_flow(replay)
    state[ROWS] = r + 1


@hot_jit
def apply_events(
    replay: Replay, events: EventColumns, start: int, stop: int, rows: Rows, emit: bool
) -> None:
    """Apply events `start:stop` in stream order, closing each row at the first later event.

    With `emit` False rows are counted, not written. `rows` must have room for one row an event
    and one flow entry a delta.
    """
    state = replay.state
    interval = replay.market[ROW_INTERVAL]
    for i in range(start, stop):
        kind = events.kind[i]
        if kind == TRADE:
            continue
        if kind == GAP:
            state[IN_GAP] = 1
            replay.counts[GAPS] += 1
            continue
        ts = events.ts_ms[i]
        if ts < state[LATEST]:
            replay.counts[RAISED] += 1
            ts = state[LATEST]
        state[LATEST] = ts
        if kind == SNAPSHOT:
            state[IN_GAP] = 0
            state[HAS_BOOK] = 1
        elif state[HAS_BOOK] == 0:
            replay.counts[DROPPED_BEFORE_SNAPSHOT] += 1
            continue
        elif state[IN_GAP] == 1:
            replay.counts[DROPPED_IN_GAP] += 1
            continue
        if ts == NO_TIME:
            continue
        if state[FIRST_APPLIED] == NO_TIME:
            state[FIRST_APPLIED] = ts
        if state[IN_INTERVAL] == 1 and ts // interval != state[INTERVAL_LAST] // interval:
            close_row(replay, rows, emit)
        state[IN_INTERVAL] = 1
        state[INTERVAL_LAST] = ts
        side = int(events.side[i])
        price = events.price[i]
        if kind == SNAPSHOT:
            clear_ladders(replay.book)
        elif kind == LEVEL:
            set_level(replay.book, side, price, events.size[i])
        elif kind == DELTA:
            apply_delta(replay, side, price, events.size[i], events.traded[i])
        else:
            set_level(replay.book, side, price, 0)
            replay.counts[UNTRUSTED] += 1
