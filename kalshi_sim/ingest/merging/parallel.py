"""Whether two sockets recorded the same at the same time, so that files lie side by side."""

from __future__ import annotations

import numpy as np

from kalshi_sim.ingest.merging.pieces import Piece, whole_file
from kalshi_sim.session import EventKind, Int64Array


def record_the_same(one: Piece, other: Piece) -> bool:
    """Whether two sockets recorded the same time under one sid, each with numbers of its own.

    Args:
        one, other: pieces of a market.
    """
    if one.times is None or other.times is None:
        return False
    begin, end = max(one.times[0], other.times[0]), min(one.times[1], other.times[1])
    first, second = (_changes(piece, begin, end) for piece in (one, other))
    shared = first.keys() & second.keys()
    again = sum(not first[change] & second[change] for change in shared)
    # Equal changes of one moment may be recorded twice by one socket, but seldom most of them.
    return begin < end and again > 0 and 2 * len(shared) > min(len(first), len(second))


def record_in_parallel(one: Piece, other: Piece) -> bool:
    """Whether their files hold the same changes of different moments under different sids.

    Of one moment a file may hold one, and the next the other: cut between two subscriptions. Where
    each file holds more of them itself, both are of one recorder, cut among frames written late.

    Args:
        one, other: pieces of a market.
    """
    if one.times is None or other.times is None:
        return False
    if max(one.times[0], other.times[0]) >= min(one.times[1], other.times[1]):
        return False
    frames = one.frames
    if (one.files, other.files) not in frames.in_parallel:
        (a, both_in_a), (b, both_in_b) = (_sent_in(piece) for piece in (one, other))
        _, at_a, at_b = np.intersect1d(frames.content[a], frames.content[b], return_indices=True)
        a, b = a[at_a], b[at_b]
        again = frames.batch.sid[a] != frames.batch.sid[b]
        moments = np.unique(frames.batch.ts_ms[a[again]])
        frames.in_parallel[one.files, other.files] = len(moments) > max(both_in_a, both_in_b, 1)
    return frames.in_parallel[one.files, other.files]


def _sent_in(piece: Piece) -> tuple[Int64Array, int]:
    """The deltas of its files, of all markets, that no subscription of the file repeats.

    And at how many moments one does.
    """
    frames = piece.frames
    rows = np.concatenate([whole_file(frames, file).rows for file in piece.files])
    rows = rows[frames.batch.kind[rows] == EventKind.DELTA]
    _, at, times = np.unique(frames.content[rows], return_index=True, return_counts=True)
    moments = np.unique(frames.batch.ts_ms[rows[at[times > 1]]])
    return np.asarray(rows[at[times == 1]], dtype=np.int64), len(moments)


def _changes(piece: Piece, begin: int, end: int) -> dict[tuple[int, int], set[int]]:
    """Changes from `begin` to `end` by sid and content, and the numbers they have."""
    frames, rows = piece.frames, piece.book
    ts_ms = frames.batch.ts_ms[rows]
    rows = rows[~frames.is_snapshot[rows] & (ts_ms >= begin) & (ts_ms <= end)]
    rows = rows[frames.seq[rows] >= 0]
    columns = (frames.batch.sid[rows], frames.content[rows], frames.seq[rows])
    out: dict[tuple[int, int], set[int]] = {}
    for sid, change, seq in zip(*(column.tolist() for column in columns), strict=True):
        out.setdefault((sid, change), set()).add(seq)
    return out
