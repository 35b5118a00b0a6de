"""Where trades stand among the book frames of their market."""

from __future__ import annotations

from typing import Final

import numpy as np

from kalshi_sim.ingest.merging.pieces import pieces_of, without_overlaps
from kalshi_sim.ingest.merging.places import Places
from kalshi_sim.ingest.merging.view import BoolArray, Frames
from kalshi_sim.kernels.recorded import resolve_times
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Int8Array, Int64Array
from kalshi_sim.units import MS_PER_SECOND

_END: Final = np.iinfo(np.int64).max


def place_trades(
    frames: Frames, trades: Int64Array, book: Int64Array, known: Places, *, beside: bool = False
) -> tuple[Int64Array, Int64Array, int]:
    """The trades of one market in order of arrival, each once, and where they stand.

    Args:
        frames: all frames of the import.
        trades: int64 [n] the market's trades, by file and line.
        book: int64 [m] its kept book frames in order.
        known: where a frame of a file that holds book frames stands.
        beside: its files were written at once, so that receive times interleave all frames.

    Returns:
        trades int64 [k] · the place of the book frame each stands after, -1: before the first ·
        how many were recorded twice.
    """
    recorded = len(trades)
    with_book = np.isin(frames.file_of[trades], list(known.files))
    own, apart = trades[with_book], trades[~with_book]
    if len(apart):
        apart = np.concatenate([piece.rows for piece in without_overlaps(pieces_of(frames, apart))])
    # After the same book frame: what follows it in its file, then what precedes the next one.
    places, leading, clock = known.all(own), known.lead(own), np.full(len(own), NO_TIME)
    if beside and frames.received(trades) and frames.received(book):
        places = _among(frames, own, book, places, leading)
        leading, clock = np.zeros(len(own), dtype=np.bool_), _clock(frames, own)
    rows = np.concatenate([own, apart])
    places = np.concatenate([places, _by_time(frames, apart, book)])
    leading = np.concatenate([leading, np.zeros(len(apart), dtype=np.bool_)])
    clock = np.concatenate([clock, _clock(frames, apart)])
    within = _within(frames, rows, clock, known.order)
    order = np.lexsort((within, clock, leading, places))
    order = order[_once(frames, rows[order])]
    return rows[order], places[order], recorded - len(order)


def _among(
    frames: Frames, trades: Int64Array, book: Int64Array, places: Int64Array, leading: BoolArray
) -> Int64Array:
    """After what was received before them in any file, and where their own file has them.

    The book frames of another recorder are passed over: its file alone shows too early a place.
    """
    received = frames.batch.recv_ns[trades]
    clock = np.minimum.accumulate(frames.batch.recv_ns[book][::-1])[::-1]  # late: forward
    before, until = (np.searchsorted(clock, received, side=side) - 1 for side in ("left", "right"))
    return np.where(leading, np.minimum(places, until), np.maximum(places, before))


def _within(
    frames: Frames, rows: Int64Array, clock: Int64Array, files: tuple[int, ...]
) -> Int64Array:
    """What orders trades of one place: files in their order, and inside a file that of its lines.

    Files without book frames are ordered by their first trade, so that how they are given to the
    import does not count.
    """
    of = frames.file_of[rows]
    names, start = np.unique(of, return_index=True)  # rows of a file are in order of lines
    first = rows[start]
    keys = (frames.line[first], frames.seq[first], frames.batch.ts_ms[first], clock[start])
    apart = [int(name) for name in names[np.lexsort(keys)] if name not in files]
    rank = {file: at for at, file in enumerate([*files, *apart])}
    ranks = np.array([rank[file] for file in of.tolist()], dtype=np.int64)
    return np.lexsort((rows, ranks)).argsort(kind="stable")


def _once(frames: Frames, rows: Int64Array) -> Int64Array:
    """Places of trades that no earlier one repeats: by trade_id, else by sid, seq and content."""
    ids = frames.batch.trade_id[rows]
    numbered = (ids < 0) & (frames.seq[rows] >= 0)
    key = np.where(numbered, frames.message[rows].view(np.int64), np.arange(len(rows)))
    kind = np.where(ids >= 0, 0, np.where(numbered, 1, 2))
    key = np.where(ids >= 0, ids, key)
    order = np.lexsort((np.arange(len(rows)), key, kind))
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (np.diff(key[order]) != 0) | (np.diff(kind[order]) != 0)
    return np.sort(order[first])


def _clock(frames: Frames, rows: Int64Array) -> Int64Array:
    """What orders trades of files without book frames: receive times, else their own.

    In each file it never falls: the order of its lines is a fact.
    """
    clock = frames.batch.recv_ns[rows] if frames.received(rows) else _latest_ms(frames, rows)
    for file in np.unique(frames.file_of[rows]).tolist():
        own = frames.file_of[rows] == file
        clock[own] = np.maximum.accumulate(clock[own])
    return clock


def _latest_ms(frames: Frames, rows: Int64Array) -> Int64Array:
    """The last millisecond that each trade's time may stand for."""
    whole = (frames.batch.flags[rows] & EventFlag.WHOLE_SECOND) != 0
    times = frames.batch.ts_ms[rows]
    return np.where(times == NO_TIME, _END, times + np.where(whole, MS_PER_SECOND - 1, 0))


def _by_time(frames: Frames, trades: Int64Array, book: Int64Array) -> Int64Array:
    """After which book frame trades stand whose file holds none of their market."""
    if len(trades) == 0 or len(book) == 0:
        return np.full(len(trades), -1, dtype=np.int64)
    if frames.received(trades) and frames.received(book):
        # After the last frame received by then; one that was written late moved forward.
        clock = np.minimum.accumulate(frames.batch.recv_ns[book][::-1])[::-1]
        return np.searchsorted(clock, frames.batch.recv_ns[trades], side="right") - 1
    clock = np.maximum.accumulate(_resolved(frames.batch.kind[book], frames.batch.ts_ms[book]))
    return np.searchsorted(clock, _latest_ms(frames, trades), side="right") - 1


def _resolved(kind: Int8Array, recorded: Int64Array) -> Int64Array:
    """Times of book frames, those of snapshots without one inferred."""
    times = recorded.copy()
    n = len(times)
    resolve_times(
        np.where(kind == EventKind.SNAPSHOT, kind, EventKind.DELTA).astype(np.int8),
        times,
        np.zeros(n, dtype=np.int8),
        np.array([0, n], dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )
    return times
