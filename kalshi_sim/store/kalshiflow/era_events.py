"""The kalshiflow recorder's rows of any era as one exact event table.

Pure functions over arrays. Prices are cents and sizes whole contracts, until `to_events` writes the
stored units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.session import EventKind, Events, Int64Array
from kalshi_sim.store.kalshiflow.eras import SPLIT, Era, Ladder
from kalshi_sim.units import CENTS_PER_DOLLAR, SIZE_SCALE, STORED_PER_CENT

JITTER_MS: Final = 2_000
"""A sequence number that falls back against rows no older than this is no new connection."""
_CONNECTION_BITS: Final = 40
"""`frame` is the recorder's number, above those of earlier connections."""


@dataclass(frozen=True)
class Snapshots:
    """Snapshot rows. Shapes [n]; levels flat, those of row i at `level_start[i]:[i + 1]`."""

    market: Int64Array
    ts_ms: Int64Array
    seq: Int64Array
    level_start: Int64Array
    level_side: Int64Array
    level_price: Int64Array
    level_size: Int64Array


@dataclass(frozen=True)
class Deltas:
    """Delta rows in the order of their ids. Shapes [n]; `side` 0 YES, 1 NO."""

    market: Int64Array
    ts_ms: Int64Array
    seq: Int64Array
    side: Int64Array
    price: Int64Array
    old: Int64Array
    new: Int64Array


@dataclass(frozen=True)
class EraEvents:
    """Events in stream order within each market, and what reading them found."""

    market: Int64Array
    events: Events
    restarts: int
    """Times a market's numbers began again: the recorder had reconnected."""
    ties: bool
    """Whether two deltas of a market share a number, so that the order given matters."""
    unseen: int
    """Era C: deltas whose old size is not what the book held; rows are missing before them."""
    untrusted: Int64Array
    """[n_markets] Era B: deltas that lead to an unknown size; the first of a level became its
    DROP_LEVEL, the others were left out."""


def flatten(
    rows: Sequence[tuple[int, int, int]], ladders: Sequence[tuple[Ladder, Ladder]]
) -> Snapshots:
    """Snapshot rows with their bid ladders as arrays, without empty levels.

    Args:
        rows: (market, ts_ms, seq) of each.
        ladders: YES bids and NO bids of each.

    Returns:
        The snapshots as columns.
    """
    head = np.array(rows, dtype=np.int64).reshape(-1, 3)
    flat: list[tuple[int, int, int]] = []
    start = [0]
    for sides in ladders:
        for side, ladder in enumerate(sides):
            flat += [(side, price, size) for price, size in sorted(ladder.items()) if size]
        start.append(len(flat))
    levels = np.array(flat, dtype=np.int64).reshape(-1, 3)
    market, ts_ms, seq = np.ascontiguousarray(head.T)
    side, price, size = np.ascontiguousarray(levels.T)
    return Snapshots(market, ts_ms, seq, np.array(start, dtype=np.int64), side, price, size)


def connections(ts_ms: Int64Array, seq: Int64Array, snapshot: npt.NDArray[np.bool_]) -> Int64Array:
    """Which connection each of one market's rows came through; rows in order of time.

    Numbers begin again at 1 with every connection. A row whose number falls back while time
    goes on opens a new one if it is a snapshot, or if the number had been passed more than
    `JITTER_MS` before; else it only arrived late, and its number puts it in its place.

    Args:
        ts_ms: int64 [rows] times in ms, ascending.
        seq: int64 [rows] sequence numbers.
        snapshot: bool [rows], True for a snapshot, False for a delta.

    Returns:
        int64 [rows] number of the connection, from 0.
    """
    out = np.zeros(len(seq), dtype=np.int64)
    current = 0
    peaks: list[int] = []  # running maxima of seq in this connection
    since: list[int] = []  # when each was reached
    for i, (t, s, is_snapshot) in enumerate(
        zip(ts_ms.tolist(), seq.tolist(), snapshot.tolist(), strict=True)
    ):
        if peaks and s < peaks[-1]:
            passed = since[bisect_right(peaks, s)]
            if t - passed > (0 if is_snapshot else JITTER_MS):
                current += 1
                peaks, since = [], []
        if not peaks or s > peaks[-1]:
            peaks.append(s)
            since.append(t)
        out[i] = current
    return out


def _order(
    market: Int64Array, ts_ms: Int64Array, seq: Int64Array, snapshot: npt.NDArray[np.bool_]
) -> tuple[Int64Array, Int64Array]:
    """(order, connection of each ordered row): by market, connection, number, then as given.

    Of a delta and a snapshot with one number the delta comes first (deltas are given first): a
    message has a number of its own, so such a snapshot was taken after applying the delta.
    """
    order = np.argsort(market, kind="stable")
    low = int(seq.min(initial=0))
    span = int(seq.max(initial=0)) - low + 1
    if span < 2**62 // (int(market.max(initial=0)) + 1):
        order = np.argsort(market * span + (seq - low), kind="stable")
    else:
        order = np.lexsort((seq, market))
    connection = np.zeros(len(order), dtype=np.int64)
    m, t = market[order], ts_ms[order]
    backwards = np.flatnonzero((np.diff(m) == 0) & (np.diff(t) < 0))
    for suspect in np.unique(m[backwards]).tolist():
        first, stop = np.searchsorted(m, [suspect, suspect + 1])
        rows = order[first:stop]
        rows = rows[np.lexsort((seq[rows], ts_ms[rows]))]
        which = connections(ts_ms[rows], seq[rows], snapshot[rows])
        # Back to the given order first, so that equal numbers keep it.
        back = np.argsort(rows, kind="stable")
        rows, which = rows[back], which[back]
        inner = np.lexsort((seq[rows], which))
        order[first:stop], connection[first:stop] = rows[inner], which[inner]
    return order, connection


def to_events(era: Era, snapshots: Snapshots, deltas: Deltas, n_markets: int) -> EraEvents:
    """The exact events of a session's rows, in stored units.

    In era B a level above the split becomes untrusted with its first change after a snapshot:
    one DROP_LEVEL takes it out of the book, its further changes are left out.

    A new connection that does not begin with a snapshot begins with a GAP: what was missed is
    unknown, so the book is invalid until the next snapshot.

    Args:
        era: how the rows are to be read.
        snapshots, deltas: the rows, markets numbered from 0.
        n_markets: how many markets there are.

    Returns:
        The events, grouped by market in stream order.
    """
    n_deltas, n_snapshots = len(deltas.seq), len(snapshots.seq)
    market = np.concatenate([deltas.market, snapshots.market])
    ts_ms = np.concatenate([deltas.ts_ms, snapshots.ts_ms])
    seq = np.concatenate([deltas.seq, snapshots.seq])
    is_snapshot = np.arange(n_deltas + n_snapshots) >= n_deltas
    order, connection = _order(market, ts_ms, seq, is_snapshot)
    market, ts_ms, seq, is_snapshot = market[order], ts_ms[order], seq[order], is_snapshot[order]

    opens = np.zeros(len(order), dtype=np.bool_)
    opens[1:] = (np.diff(market) == 0) & (np.diff(connection) > 0)
    gap = opens & ~is_snapshot
    row_of = np.maximum(order - n_deltas, 0)
    n_levels = np.zeros(len(order), dtype=np.int64)
    n_levels[is_snapshot] = np.diff(snapshots.level_start)[row_of[is_snapshot]]

    count = 1 + n_levels + gap
    source = np.repeat(np.arange(len(order)), count)
    at = np.cumsum(count) - count + gap  # of each row's own event, after its GAP
    kind = np.full(len(source), EventKind.LEVEL, dtype=np.int8)
    kind[at] = np.where(is_snapshot, EventKind.SNAPSHOT, EventKind.DELTA)
    kind[at[gap] - 1] = EventKind.GAP

    side, price = np.zeros(len(source), np.int64), np.zeros(len(source), np.int64)
    size, old = np.zeros(len(source), np.int64), np.zeros(len(source), np.int64)
    own, row = at[~is_snapshot], order[~is_snapshot]
    side[own], price[own], size[own] = deltas.side[row], deltas.price[row], deltas.new[row]
    old[own] = deltas.old[row]
    levels = np.flatnonzero(kind == EventKind.LEVEL)
    flat = snapshots.level_start[row_of[source[levels]]] + levels - at[source[levels]] - 1
    side[levels], price[levels] = snapshots.level_side[flat], snapshots.level_price[flat]
    size[levels] = snapshots.level_size[flat]

    tied = (np.diff(market) == 0) & (np.diff(connection) == 0) & (np.diff(seq) == 0)
    ties = bool((tied & ~is_snapshot[1:]).any())
    market = market[source]
    level = _level_keys(market, kind, side, price)
    keep = np.ones(len(source), dtype=np.bool_)
    unseen = 0
    if era == "C":
        old, unseen = _held(level, kind, size, old)
    delta = kind == EventKind.DELTA
    size[delta] -= old[delta]
    if era == "B":
        untrusted = delta & (price > SPLIT) & (level >= 0)
        _, first = np.unique(level[untrusted], return_index=True)
        keep[untrusted] = False
        dropped = np.flatnonzero(untrusted)[first]
        keep[dropped], kind[dropped], size[dropped] = True, EventKind.DROP_LEVEL, 0
    else:
        untrusted = np.zeros(len(source), dtype=np.bool_)
    events = Events.from_columns(
        kind=kind,
        side=side,
        price=price * STORED_PER_CENT,
        size=size * SIZE_SCALE,
        ts_ms=ts_ms[source],
        seq=seq[source],
        frame=((connection << _CONNECTION_BITS) + seq)[source],
    )
    lost = np.bincount(market[untrusted], minlength=n_markets)
    return EraEvents(market[keep], events[keep], int(opens.sum()), ties, unseen, lost)


def _level_keys(
    market: Int64Array, kind: npt.NDArray[np.int8], side: Int64Array, price: Int64Array
) -> Int64Array:
    """A number for each level of each snapshot's book; -1 where no snapshot shows the book."""
    starts = (kind == EventKind.SNAPSHOT) | (kind == EventKind.GAP)
    latest = np.maximum.accumulate(np.where(starts, np.arange(len(kind)), 0))
    known = (kind[latest] == EventKind.SNAPSHOT) & (market[latest] == market)
    return np.where(known, (latest * 2 + side) * CENTS_PER_DOLLAR + price, -1)


def _held(
    level: Int64Array, kind: npt.NDArray[np.int8], size: Int64Array, old: Int64Array
) -> tuple[Int64Array, int]:
    """(size of each delta's level before it, how many contradict `old`), from absolute sizes.

    The book before follows from the rows before; where rows are missing this and `old` differ,
    and only this one leads to the size that the delta then says.
    """
    rows = np.flatnonzero((kind == EventKind.DELTA) | (kind == EventKind.LEVEL))
    rows = rows[level[rows] >= 0]
    rows = rows[np.argsort(level[rows], kind="stable")]
    before = np.zeros(len(rows), dtype=np.int64)
    same = np.diff(level[rows]) == 0
    before[1:][same] = size[rows[:-1]][same]
    held = old.copy()
    held[rows] = before
    return held, int(((held != old) & (kind == EventKind.DELTA)).sum())
