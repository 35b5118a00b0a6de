"""What a replay remembers between two calls, and where it writes rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.events import NO_TIME
from kalshi_sim.kernels.features import UNKNOWN_CLOSE, History, make_history
from kalshi_sim.kernels.ladder import Ladders, make_ladders
from kalshi_sim.kernels.layout import N_FLOW
from kalshi_sim.kernels.rows import empty_rows, row_views

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
    """A replay that has seen no event.

    Args:
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
        session_first_ms: the session's first book event, in ms since 1970 UTC.
        utc_offset_ms: US Eastern time minus UTC, in ms.
        taker_multiplier: of the fee before any change, in 1/10 000.
        close_ms: the market's close in ms since 1970 UTC; None if unknown.
        close_updates: (time known, new close) of each change, in ms since 1970 UTC.
        history_rows: how many rows it can compute.
        taker_updates: (time known in ms since 1970 UTC, new multiplier) of each change.
    """
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
    """Updates by time; of two with one time, the later in the list stands last.

    Returns:
        int64 [n, 2] (time known, value).
    """
    return np.array(sorted(updates, key=lambda u: u[0]), np.int64).reshape(-1, 2)


def make_rows(rows: int, flow: int, depth: int) -> Rows:
    """Room for rows and flow entries; memory that is never written is never used.

    Args:
        rows: how many rows.
        flow: how many flow entries.
        depth: price levels a row shows on each side.

    Returns:
        Arrays of these sizes, not initialised.
    """
    i64, i32, i16, f32 = row_views(empty_rows(rows, depth))
    return Rows(i64, i32, i16, f32, np.empty((flow, N_FLOW), np.int64))


def rows_from(rows: Rows, row: int, flow: int) -> Rows:
    """The same room, beginning at a row and a flow entry.

    Args:
        row: number of the row that becomes the first.
        flow: number of the flow entry that becomes the first.
    """
    return Rows(rows.i64[row:], rows.i32[row:], rows.i16[row:], rows.f32[row:], rows.flow[flow:])
