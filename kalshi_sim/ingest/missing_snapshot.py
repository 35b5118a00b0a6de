"""Recordings without a first snapshot: the smallest book their deltas allow.

What rested at a level before the recording began is not known, but no level is ever negative. The
smallest book has at each level just enough that no delta up to the first recorded snapshot takes
more than there is. Levels that no delta takes from, and the part of others that is never taken,
are missing in it: sizes are understated, never overstated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Events, Int64Array
from kalshi_sim.units import PRICE_SCALE

BoolArray = npt.NDArray[np.bool_]
_SIDES: Final = 2


def with_smallest_books(
    events: Events, offsets: Int64Array
) -> tuple[Events, Int64Array, Int64Array]:
    """Put the smallest book before the deltas of every market that begins without a snapshot.

    Args:
        events: grouped by market, in stream order within a market; times as recorded.
        offsets: int64 [n_markets + 1], where each market's events begin.

    Returns:
        The events with a SNAPSHOT and its LEVELs, flagged REBUILT and without a time, at the
        beginning of such markets; their offsets int64 [n_markets + 1]; and int64 [k], the indices
        of these markets.
    """
    n_markets = len(offsets) - 1
    market = np.repeat(np.arange(n_markets), np.diff(offsets))
    deltas = np.flatnonzero(_unknown_book(events, offsets, market))
    at, side, price, size = _smallest(events[deltas], market[deltas])
    rebuilt = np.unique(market[deltas])
    made_of = np.concatenate([rebuilt, at])
    kind = np.full(len(made_of), EventKind.LEVEL)
    kind[: len(rebuilt)] = EventKind.SNAPSHOT
    nothing = np.zeros(len(rebuilt), dtype=np.int64)
    made = Events.from_columns(
        kind=kind,
        side=np.concatenate([nothing, side]),
        price=np.concatenate([nothing, price]),
        size=np.concatenate([nothing, size]),
        ts_ms=np.full(len(made_of), NO_TIME),
        flags=np.full(len(made_of), EventFlag.REBUILT),
        frame=np.searchsorted(rebuilt, made_of),
    )
    joined = Events.concatenate([made, replace(events, frame=events.frame + len(rebuilt))])
    owner = np.concatenate([made_of, market])
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=n_markets)
    return joined[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), rebuilt


def _unknown_book(events: Events, offsets: Int64Array, market: Int64Array) -> BoolArray:
    """Which events are deltas before the first snapshot or gap of their market, bool [n_events]."""
    n = len(events)
    ends = np.flatnonzero(np.isin(events.kind, (EventKind.SNAPSHOT, EventKind.GAP)))
    first_end = np.append(ends, n)[np.searchsorted(ends, offsets[:-1])]
    unknown: BoolArray = (events.kind == EventKind.DELTA) & (np.arange(n) < first_end[market])
    return unknown


def _smallest(
    deltas: Events, market: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Market, side, price and size of every level that must have held something at first."""
    key = (market * _SIDES + deltas.side) * PRICE_SCALE + deltas.price
    order = np.argsort(key, kind="stable")
    key, change = key[order], deltas.size[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    running = np.cumsum(change)
    before = running[starts] - change[starts]
    lowest = np.minimum.reduceat(running, starts) - before if len(starts) else running
    held = lowest < 0
    key, size = key[starts][held], -lowest[held]
    level, price = np.divmod(key, PRICE_SCALE)
    return level // _SIDES, level % _SIDES, price, size
