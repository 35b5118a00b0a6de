"""Kernels over recorded events: times the wire did not carry, and trades to their deltas.

Both walk one session's events grouped by market, in stream order (`Session.events`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.events import (
    DELTA,
    GAP,
    LEVEL,
    NO_TIME,
    SNAPSHOT,
    TIME_INFERRED,
    TRADE,
    WHOLE_SECOND,
)
from kalshi_sim.kernels.jit import jit
from kalshi_sim.units import PRICE_SCALE

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]

LAST_MS_OF_SECOND = 999
MATCH_MS = 2_000
"""A removal and the trade that caused it are at most so far apart."""


@jit
def resolve_times(
    kind: Int8Array, ts_ms: Int64Array, flags: Int8Array, offsets: Int64Array, inferred: Int64Array
) -> None:
    """Give every event a time where its market has one; changes `ts_ms` and `flags` in place.

    A snapshot without a time: one millisecond after the market's latest earlier book event, else
    the first later one's. Other book events: the latest earlier time, else the first later one. A
    level has its snapshot's time. `inferred` int64 [n_markets] counts frames that had no time.

    Args:
        kind: int8 [n_events] EventKind of each, markets one after the other, in stream order.
        ts_ms: int64 [n_events] times in ms since 1970 UTC, NO_TIME where there is none; changed.
        flags: int8 [n_events]; TIME_INFERRED is set where a time is.
        offsets: int64 [n_markets + 1], where each market's events begin.
        inferred: int64 [n_markets], overwritten: frames that had no time.
    """
    for market in range(len(offsets) - 1):
        latest = NO_TIME
        waiting = offsets[market]  # book events before this one have their time
        in_snapshot, snapshot_ms, snapshot_inferred = False, NO_TIME, False
        for i in range(offsets[market], offsets[market + 1]):
            if kind[i] == TRADE:
                continue
            if kind[i] == LEVEL and in_snapshot:
                ts_ms[i] = snapshot_ms
                if snapshot_inferred:
                    flags[i] |= TIME_INFERRED
            elif ts_ms[i] == NO_TIME:
                if kind[i] != GAP:
                    inferred[market] += 1
                    flags[i] |= TIME_INFERRED
                if latest != NO_TIME:
                    ts_ms[i] = latest + 1 if kind[i] == SNAPSHOT else latest
            if kind[i] != LEVEL:
                in_snapshot = kind[i] == SNAPSHOT
            if kind[i] == SNAPSHOT:
                snapshot_ms = ts_ms[i]
                snapshot_inferred = (flags[i] & TIME_INFERRED) != 0
            if latest == NO_TIME and ts_ms[i] != NO_TIME:
                for j in range(waiting, i):
                    if kind[j] != TRADE:
                        ts_ms[j] = ts_ms[i]
                waiting = i
            latest = max(latest, ts_ms[i])


@jit
def _last_ms(ts_ms: int, flags: int) -> int:
    return ts_ms + LAST_MS_OF_SECOND if flags & WHOLE_SECOND else ts_ms


@jit
def _match_one(
    size: int,
    low: int,
    high: int,
    first: int,
    here: int,
    stop: int,
    removal_size: Int64Array,
    removal_low: Int64Array,
    removal_high: Int64Array,
    latest_before: Int64Array,
    earliest_after: Int64Array,
    used: npt.NDArray[np.bool_],
) -> int:
    """The removal of one trade, as an index into its list [first, stop), or -1.

    `here` is the first removal of the list that comes after the trade in the stream.
    """
    enough = -1
    j = here - 1
    # latest_before[j] is the latest time up to j: below the window, nothing earlier can match.
    while j >= first and latest_before[j] >= low - MATCH_MS:
        near = removal_low[j] <= high + MATCH_MS and removal_high[j] >= low - MATCH_MS
        if near and not used[j]:
            if removal_size[j] == size:
                return j
            if enough < 0 and removal_size[j] > size:
                enough = j
        j -= 1
    if enough >= 0:
        return enough
    j = here
    while j < stop and earliest_after[j] <= high + MATCH_MS:
        near = removal_low[j] <= high + MATCH_MS and removal_high[j] >= low - MATCH_MS
        if near and not used[j] and removal_size[j] >= size:
            return j
        j += 1
    return -1


@jit
def match_market(
    kind: Int8Array,
    side: Int8Array,
    price: Int64Array,
    size: Int64Array,
    ts_ms: Int64Array,
    flags: Int8Array,
    traded: Int64Array,
) -> None:
    """Match one market's trades to removals, in stream order; writes `traded` in place.

    All arrays have shape [n_events] of one market. Times are as recorded: an event without one,
    or with an inferred one, matches nothing.

    Args:
        kind: int8 [n_events] EventKind of each.
        side: int8 [n_events] 0 YES, 1 NO.
        price: int64 [n_events] in 1/100 cent.
        size: int64 [n_events] in 1/100 contract; negative for a removal.
        ts_ms: int64 [n_events] in ms since 1970 UTC.
        flags: int8 [n_events].
        traded: int64 [n_events], overwritten: of a removal, how much was traded, in 1/100 contract.
    """
    n = len(kind)
    n_keys = 2 * PRICE_SCALE
    start = np.zeros(n_keys + 1, np.int64)
    for i in range(n):
        if kind[i] == DELTA and size[i] < 0:
            start[int(side[i]) * PRICE_SCALE + price[i] + 1] += 1
    for key in range(n_keys):
        start[key + 1] += start[key]
    n_removals = start[n_keys]
    event = np.empty(n_removals, np.int64)
    removal_size = np.empty(n_removals, np.int64)
    removal_low = np.empty(n_removals, np.int64)
    removal_high = np.empty(n_removals, np.int64)
    fill = start[:-1].copy()
    for i in range(n):
        if kind[i] == DELTA and size[i] < 0:
            key = int(side[i]) * PRICE_SCALE + price[i]
            k = fill[key]
            fill[key] += 1
            event[k] = i
            removal_size[k] = -size[i]
            removal_low[k] = ts_ms[i]
            removal_high[k] = _last_ms(ts_ms[i], flags[i])
    used = np.zeros(n_removals, np.bool_)
    latest_before = removal_high.copy()
    earliest_after = removal_low.copy()
    for key in range(n_keys):
        for k in range(start[key] + 1, start[key + 1]):
            latest_before[k] = max(latest_before[k], latest_before[k - 1])
        for k in range(start[key + 1] - 2, start[key] - 1, -1):
            earliest_after[k] = min(earliest_after[k], earliest_after[k + 1])
    for k in range(n_removals):
        used[k] = ts_ms[event[k]] == NO_TIME or (flags[event[k]] & TIME_INFERRED) != 0
    seen = start[:-1].copy()
    for i in range(n):
        if kind[i] == DELTA and size[i] < 0:
            seen[int(side[i]) * PRICE_SCALE + price[i]] += 1
        elif kind[i] == TRADE and ts_ms[i] != NO_TIME and (flags[i] & TIME_INFERRED) == 0:
            key = int(side[i]) * PRICE_SCALE + price[i]
            k = _match_one(
                size[i],
                ts_ms[i],
                _last_ms(ts_ms[i], flags[i]),
                start[key],
                seen[key],
                start[key + 1],
                removal_size,
                removal_low,
                removal_high,
                latest_before,
                earliest_after,
                used,
            )
            if k >= 0 and size[i] > 0:
                used[k] = True
                traded[event[k]] = size[i]
                traded[i] = size[i]
