"""Files of one frame type each, in order of the numbers of one subscription."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kalshi_sim.ingest.merging.arranging import arranged
from kalshi_sim.ingest.merging.pieces import Piece
from kalshi_sim.ingest.merging.refusals import refused
from kalshi_sim.ingest.merging.view import APART_MS, Frames
from kalshi_sim.session import NO_TIME, Int64Array


def is_split_by_type(frames: Frames, pieces: Sequence[Piece]) -> bool:
    """Whether snapshots lie in files of their own, and deltas in others.

    Args:
        frames: all frames of the import.
        pieces: of one market.
    """
    snapshots, deltas = frames.file_kinds
    if any(piece.has_snapshot and piece.has_delta for piece in pieces):
        return False
    if len({piece.has_delta for piece in pieces}) == 1:
        return False
    times = sorted(piece.times for piece in pieces if piece.times is not None)
    if len(times) == len(pieces) and all(a[1] < b[0] for a, b in pairwise(times)):
        return False
    return all(
        not deltas.intersection(piece.files)
        if piece.has_snapshot
        else not snapshots.intersection(piece.files)
        for piece in pieces
    )


def interleaved_by_seq(pieces: Sequence[Piece], *, settled: bool) -> Int64Array:
    """Frames in order of the numbers of one sid without a restart.

    Args:
        pieces: of one market.
        settled: files of snapshots beside files of deltas may also follow one another, where
            every delta is of the last snapshot's subscription.

    Returns:
        The book frames int64 [n] in order.

    Raises:
        DataError: the numbers are of several subscriptions, or of none.
    """
    frames = pieces[0].frames
    rows = np.concatenate([piece.book for piece in pieces])
    rows = rows[np.lexsort((frames.line[rows], frames.message[rows], frames.seq[rows]))]
    sid, seq = frames.batch.sid[rows], frames.seq[rows]
    # A delta that two files have is left to `connections` to drop.
    twice = ~frames.is_snapshot[rows[1:]] & (np.diff(frames.message[rows]) == 0)
    rising = bool(((np.diff(seq) > 0) | twice).all())
    times = frames.batch.ts_ms[rows]
    times = times[times != NO_TIME]
    # Where the times of the numbers run back, a connection started anew.
    rising = rising and bool((np.maximum.accumulate(times) - times <= APART_MS).all())
    if rising and seq[0] >= 0 and len(np.unique(sid)) == 1 and _ascend(pieces):
        return rows
    if settled:
        snapshots = [piece for piece in pieces if piece.has_snapshot]
        others = [piece for piece in pieces if not piece.has_snapshot]
        found = arranged(others) if len(others) > 1 else tuple(others)
        if len(snapshots) == 1 and found is not None and _all_after(snapshots[0], others):
            return np.concatenate([snapshots[0].book, *(piece.book for piece in found)])
    raise refused(
        pieces,
        "neither receive times nor the numbers of one subscription decide the order of",
    )


def _ascend(pieces: Sequence[Piece]) -> bool:
    """Whether no snapshot of a piece has a lower or used number: that is a restart."""
    frames = pieces[0].frames
    for piece in pieces:
        seq = frames.seq[piece.book]
        before = np.concatenate([[-1], np.maximum.accumulate(seq)[:-1]])
        if (frames.is_snapshot[piece.book] & (seq <= before)).any():
            return False
    return True


def _all_after(snapshots: Piece, others: Sequence[Piece]) -> bool:
    """Whether all of `others` can only come after the last of the snapshots."""
    frames = snapshots.frames
    last = snapshots.book[-1]
    sid, seq = int(frames.batch.sid[last]), int(frames.seq[last])
    earlier = snapshots.book[:-1]
    if (frames.batch.sid[earlier] == sid).any():
        return False
    if len(earlier) == 0 and seq < 0:
        return True
    rows = np.concatenate([piece.book for piece in others])
    return bool(((frames.batch.sid[rows] == sid) & (seq >= 0) & (frames.seq[rows] > seq)).all())
