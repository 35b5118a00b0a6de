"""Pieces of a market interleaved by receive time (docs/contract.md#2-book-and-events)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kalshi_sim.ingest.merging.pieces import Piece
from kalshi_sim.ingest.merging.recorders import recorders
from kalshi_sim.ingest.merging.view import group_numbers
from kalshi_sim.session import Int64Array

_CUT: Final = [-1, 1]
"""One file ends at a time and another begins."""


def interleaved_by_receive_time(pieces: Sequence[Piece]) -> tuple[Int64Array, Int64Array, int]:
    """Interleave files by receive time, each in its own order.

    Args:
        pieces: one of each file, all with receive times.

    Returns:
        int64 [n] frames in order, int64 [n] which recorder wrote each, and how many ties are open.
    """
    frames = pieces[0].frames
    rows = np.concatenate([piece.book for piece in pieces])
    of = np.repeat(np.arange(len(pieces)), [len(piece.book) for piece in pieces])
    clock = np.concatenate(
        [np.maximum.accumulate(frames.batch.recv_ns[piece.book]) for piece in pieces]
    )
    recorder = np.array(recorders(pieces), dtype=np.int64)[of]
    order = np.argsort(clock, kind="stable")
    ties = _Ties(pieces, rows, of, recorder)
    open_ties = 0
    moments = np.split(order, np.flatnonzero(np.diff(clock[order])) + 1)
    mixed = [len(part) > 1 and of[part].min() < of[part].max() for part in moments]
    for at in range(len(moments) if any(mixed) else 0):
        if mixed[at]:
            following = moments[at + 1] if at + 1 < len(moments) else order[:0]
            open_ties += not ties.is_decided(moments[at], following)
            moments[at] = ties.ordered(moments[at])
        ties.pass_by(moments[at])
    order = np.concatenate(moments)
    return rows[order], recorder[order], open_ties


class _Ties:
    """Frames of several files that were received at one time, each file in its own order.

    Of those of one subscription numbers show the order: each continues the number before. Of a
    file that ends there and one that begins the first comes before the second.
    """

    def __init__(
        self, pieces: Sequence[Piece], rows: Int64Array, of: Int64Array, recorder: Int64Array
    ) -> None:
        frames = pieces[0].frames
        self._pieces = pieces
        self._spans = frames.spans
        self._received = frames.batch.recv_ns
        self._of = of
        self._rows = rows
        self._line = frames.line
        self._sid, self._seq = frames.batch.sid[rows], frames.seq[rows]
        self._snapshot = frames.is_snapshot[rows]
        self._lane = group_numbers(recorder, self._sid)
        self._recorder_of = dict(zip(self._lane.tolist(), recorder.tolist(), strict=True))
        self._latest: dict[int, int] = {}
        """The latest number of each subscription (of each recorder)."""

    def pass_by(self, part: Int64Array) -> None:
        """Go on behind these frames."""
        for at in part.tolist():
            lane, seq = int(self._lane[at]), int(self._seq[at])
            if self._snapshot[at] and seq <= self._latest.get(lane, -1):
                own = self._recorder_of[lane]  # a new connection, on all sids of its recorder
                for other in [x for x in self._latest if self._recorder_of[x] == own]:
                    del self._latest[other]
            self._latest[lane] = seq

    def is_decided(self, part: Int64Array, following: Int64Array) -> bool:
        """Whether more than the receive time orders frames of several files, or nothing has to.

        Args:
            part: the frames, at one time.
            following: those of the next time; none if there is no next.
        """
        if not self._snapshot[part].any():
            # The last frame before a snapshot, or of all, shows whether its owner still sends.
            ends = bool(self._snapshot[following].any()) or len(following) == 0
            return not ends or len(np.unique(self._lane[part])) == 1
        if self._by_numbers(part) is not None:
            anew = self._seq[part] <= self._latest.get(int(self._lane[part[0]]), -1)
            # Beside a snapshot that starts anew, a higher number may be of either connection.
            return bool(anew.all() or not anew.any())
        phases = [self._phase(piece, part) for piece in np.unique(self._of[part]).tolist()]
        return sorted(phases) == _CUT

    def ordered(self, part: Int64Array) -> Int64Array:
        """The frames in order."""
        files = np.unique(self._of[part]).tolist()
        queues = {piece: part[self._of[part] == piece].tolist() for piece in files}
        phase = {piece: self._phase(piece, part) for piece in files}
        numbered = self._by_numbers(part)
        if numbered is not None:
            if self._snapshot[part].any() or sorted(phase.values()) != _CUT:
                return part[numbered]
            # Behind a cut a delta with a lower number was written late, as inside a file.
            return np.concatenate([queues[piece] for piece in sorted(files, key=phase.__getitem__)])
        latest = dict(self._latest)

        def key(piece: int) -> tuple[int, ...]:
            at = queues[piece][0]
            seq = int(self._seq[at])
            step = seq - latest.get(int(self._lane[at]), seq)
            goes_on = seq >= 0 and step > 0
            line = self._line.of(int(self._rows[at])) >> 1
            number = step if goes_on else seq
            recorder = self._recorder_of[int(self._lane[at])]
            return phase[piece], not goes_on, number, int(self._sid[at]), line, recorder

        out: list[int] = []
        while queues:
            chosen = min(queues, key=key)
            out.append(queues[chosen].pop(0))
            latest[int(self._lane[out[-1]])] = int(self._seq[out[-1]])
            if not queues[chosen]:
                del queues[chosen]
        return np.array(out, dtype=np.int64)

    def _phase(self, piece: int, part: Int64Array) -> int:
        """1 of a file that begins with them, -1 of one that ends; 0 of others.

        With frames of other markets too: a file of snapshots does not end with those of one.
        """
        own = self._rows[part[self._of[part] == piece]]
        files = [*self._pieces[piece].files]
        book = self._pieces[piece].book
        began, ended = (times[files] for times in self._spans)
        now = int(self._received[own[0]])
        begins = own[0] == book[0] and int(began.min()) == now
        ends = own[-1] == book[-1] and int(ended.max()) == now
        return int(begins) - int(ends)

    def _by_numbers(self, part: Int64Array) -> Int64Array | None:
        """The order of frames of one subscription whose numbers go on, start anew, or both."""
        lane, seq = self._lane[part], self._seq[part]
        if len(np.unique(lane)) > 1 or len(np.unique(seq)) < len(seq) or (seq < 0).any():
            return None
        latest = self._latest.get(int(lane[0]), -1)
        anew = seq <= latest
        if anew.any():
            first = int(np.flatnonzero(anew)[np.argmin(seq[anew])])
            going_on = np.sort(seq[~anew])
            known = np.array_equal(going_on, latest + 1 + np.arange(len(going_on)))
            either = len(going_on) > 0 and int(seq[anew].max()) + 1 == int(going_on[0])
            if either or not (known and self._snapshot[part[first]]):
                return None
        return np.lexsort((seq, anew))
