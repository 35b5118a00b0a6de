"""Replay of one market's events into rows: books, marks, features and flow.

The same kernel builds a tape (all events of a market in one call) and follows a live market
(a few events a call): everything it must remember between calls is in `Replay`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.events import DELTA, GAP, LEVEL, NO_TIME, SNAPSHOT, TRADE
from kalshi_sim.kernels.features import (
    UNKNOWN_CLOSE,
    book_features,
    global_features,
    window_features,
)
from kalshi_sim.kernels.jit import entry_jit, hot_jit
from kalshi_sim.kernels.ladder import (
    SIZE_SCALE,
    best_price,
    clear_ladders,
    set_level,
)
from kalshi_sim.kernels.layout import (
    FLOW_ADDED,
    FLOW_PRICE,
    FLOW_REMOVED,
    FLOW_SIDE,
    FLOW_TRADED,
    ROW_FLOW,
    ROW_FLOW_ENTRIES,
    ROW_MARK2,
    ROW_TS,
)
from kalshi_sim.kernels.replay_state import (
    AFTER_CLOSE,
    CLAMPED,
    CLOSE_AT,
    CLOSE_MS,
    CROSSED,
    DEPTH,
    DROPPED_BEFORE_SNAPSHOT,
    DROPPED_IN_GAP,
    EMPTY,
    ENDED,
    FEE_AT,
    FIRST_APPLIED,
    FLOWS,
    GAPS,
    HAS_BOOK,
    IN_GAP,
    IN_INTERVAL,
    INTERVAL_LAST,
    LATEST,
    MARK2,
    PAYOUT,
    RAISED,
    ROW_INTERVAL,
    ROWS,
    SESSION_FIRST,
    TAKER_MULTIPLIER,
    TOO_LARGE_MS,
    TOUCHED,
    UNTRUSTED,
    UTC_OFFSET,
    EventColumns,
    Replay,
    Rows,
)
from kalshi_sim.kernels.rows import levels_fit, write_levels

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


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
    """Apply a signed change and add it to the flow; a level never becomes negative.

    Args:
        change: signed, in 1/100 contract.
        traded: of a removal, how much was traded, in 1/100 contract.
    """
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
    """The doubled mark of YES after a book.

    Args:
        mark2: the doubled mark before it.
        bid, no_bid: its best bids, 0 where there is none.
    """
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
    """Sort the first `n` keys in place; rows touch few prices.

    Args:
        keys: int64 [at least n], its first n are sorted.
        n: how many.
    """
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

    Returns:
        Net and gross flow, in contracts, at the best prices of the last row (still in the history)
        and of this one.
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


@entry_jit
def close_row(replay: Replay, rows: Rows, emit: bool) -> None:
    """End the open interval: judge its book and, unless it makes no row, write the row.

    Args:
        emit: write the row; else it is only counted.
    """
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
    """Apply events in stream order, closing each row at the first later event.

    Args:
        events: columns of one or more markets.
        start, stop: the events to apply.
        rows: has room for one row an event and one flow entry a delta.
        emit: write the rows; else they are only counted.
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
