"""Pieces of a market interleaved by receive time (docs/contract.md#2-book-and-events)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kalshi_sim.ingest.merging.pieces import Piece
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import Int64Array


def interleaved_by_receive_time(pieces: Sequence[Piece]) -> tuple[Int64Array, Int64Array, int]:
    """Interleave files by receive time, each in its own order.

    Args:
        pieces: one of each file, all with receive times.

    Returns:
        int64 [n] frames in order, int64 [n] which recorder wrote each, and how many ties are open.
    """
    frames = pieces[0].frames
    recv = frames.batch.recv_ns
    rows = np.concatenate([piece.book for piece in pieces])
    of = np.repeat(np.arange(len(pieces)), [len(piece.book) for piece in pieces])
    clock = np.concatenate([np.maximum.accumulate(recv[piece.book]) for piece in pieces])
    recorder = np.zeros(len(rows), dtype=np.int64)
    if _recorders_overlap(pieces):
        recorder = of
    order = np.argsort(clock, kind="stable")
    cuts = np.flatnonzero(np.diff(clock[order])) + 1
    last: dict[int, int] = {}
    out: list[Int64Array] = []
    mixed = {
        at
        for at, part in enumerate(np.split(of[order], cuts))
        if len(part) > 1 and part.min() < part.max()
    }
    open_ties = 0
    for at, part in enumerate(np.split(order, cuts)):
        chosen = part
        if at in mixed:
            open_ties += not _is_decided(pieces, rows, of, part, last)
            chosen = _tie(pieces, rows, of, part, last)
        if mixed:
            for row in rows[chosen].tolist():
                sid, seq = int(frames.batch.sid[row]), int(frames.seq[row])
                if frames.is_snapshot[row] and seq <= last.get(sid, -1):
                    last.clear()  # a new connection, on all of its sids
                last[sid] = seq
        out.append(chosen)
    order = np.concatenate(out)
    return rows[order], recorder[order], open_ties


def _is_decided(
    pieces: Sequence[Piece],
    rows: Int64Array,
    of: Int64Array,
    part: Int64Array,
    last: dict[int, int],
) -> bool:
    """Whether more than the receive time orders frames of several files, or nothing has to."""
    frames = pieces[0].frames
    if not frames.is_snapshot[rows[part]].any():
        return True
    if _by_numbers(frames, rows[part], last) is not None:
        seq = frames.seq[rows[part]]
        anew = seq <= last.get(int(frames.batch.sid[rows[part][0]]), -1)
        # Beside a snapshot that starts anew, a higher number may be of either connection.
        return bool(anew.all() or not anew.any())
    phases = [
        int(rows[part[of[part] == p][0]] == pieces[p].book[0])
        - int(rows[part[of[part] == p][-1]] == pieces[p].book[-1])
        for p in np.unique(of[part]).tolist()
    ]
    return sorted(phases) == [-1, 1]  # one file ends there and another begins


def _by_numbers(frames: Frames, rows: Int64Array, last: dict[int, int]) -> Int64Array | None:
    """The order of frames of one sid whose numbers go on, start anew, or first the one; else None.

    Args:
        frames: all frames of the import.
        rows: int64 [n], frames received at one time.
        last: the latest number of each sid before.
    """
    sid, seq = frames.batch.sid[rows], frames.seq[rows]
    if len(np.unique(sid)) > 1 or len(np.unique(seq)) < len(seq) or (seq < 0).any():
        return None
    latest = last.get(int(sid[0]), -1)
    anew = seq <= latest
    if anew.any():
        first = int(np.flatnonzero(anew)[np.argmin(seq[anew])])
        going_on = np.sort(seq[~anew])
        known = np.array_equal(going_on, latest + 1 + np.arange(len(going_on)))
        either = len(going_on) > 0 and int(seq[anew].max()) + 1 == int(going_on[0])
        if either or not (known and frames.is_snapshot[rows[first]]):
            return None
    return np.lexsort((seq, anew))


def _recorders_overlap(pieces: Sequence[Piece]) -> bool:
    """Whether two pieces that hold deltas were received at the same time: two recorders."""
    recv = pieces[0].frames.batch.recv_ns
    spans = sorted(
        (int(recv[piece.book].min()), int(recv[piece.book].max()))
        for piece in pieces
        if piece.has_delta
    )
    return any(other[0] < one[1] for one, other in pairwise(spans))


def _tie(
    pieces: Sequence[Piece],
    rows: Int64Array,
    of: Int64Array,
    part: Int64Array,
    last: dict[int, int],
) -> Int64Array:
    """Frames of several files received at one time: each continues the number before.

    What ends its file comes before what begins its own.
    """
    frames = pieces[0].frames
    numbered = _by_numbers(frames, rows[part], last)
    if numbered is not None:
        return part[numbered]
    begins = {
        piece: rows[part[of[part] == piece][0]] == pieces[piece].book[0] for piece in of[part]
    }
    ends = {
        piece: rows[part[of[part] == piece][-1]] == pieces[piece].book[-1] for piece in of[part]
    }

    def phase(piece: int) -> int:
        return int(begins[piece]) - int(ends[piece])

    queues = [part[of[part] == piece].tolist() for piece in np.unique(of[part])]
    latest = dict(last)
    out: list[int] = []
    while queues:

        def key(queue: list[int]) -> tuple[int, int, int, int, int]:
            row = int(rows[queue[0]])
            sid, seq = int(frames.batch.sid[row]), int(frames.seq[row])
            step = seq - latest.get(sid, -1)
            known = sid in latest and seq >= 0
            anew = 0 if known and step > 0 else 1
            place = phase(int(of[queue[0]]))
            return place, anew, step if known and step > 0 else seq, sid, frames.line.of(row) >> 1

        queue = min(queues, key=key)
        chosen = queue.pop(0)
        latest[int(frames.batch.sid[rows[chosen]])] = int(frames.seq[rows[chosen]])
        out.append(chosen)
        queues = [queue for queue in queues if queue]
    return np.array(out, dtype=np.int64)
