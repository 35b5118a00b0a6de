"""Pieces of a market: its frames in each file, and the runs of frames that files share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product

import numpy as np

from kalshi_sim.ingest.merging.view import Frames, UInt64Array
from kalshi_sim.ingest.wire_time import NS_PER_MS
from kalshi_sim.session import NO_TIME, EventKind, Int64Array


@dataclass(frozen=True)
class Piece:
    """Frames of one market that follow one another: those of a file, or of files that overlap.

    rows int64 [n]: the frames in order of arrival · dropped: frames of its files that repeat one
    of these -> the frame they repeat · taken: how many of them may as well have been sent twice:
    snapshots of new subscriptions to an unchanged book, frames without numbers of one moment.
    """

    frames: Frames
    files: tuple[int, ...]
    rows: Int64Array
    dropped: dict[int, int]
    taken: int = 0

    @cached_property
    def book(self) -> Int64Array:
        """Its snapshots and deltas."""
        return self.rows[self.frames.is_book[self.rows]]

    @cached_property
    def lines(self) -> UInt64Array:
        """What identifies each of its frames."""
        return self.frames.line[self.rows]

    @cached_property
    def held(self) -> tuple[bytes, bytes, bytes]:
        """What puts pieces in an order, in whichever order files are given to the import.

        Not `lines` of trades: their ids are numbered as they are read.
        """
        batch = self.frames.batch
        own = self.frames.line[self.book]
        return own.tobytes(), batch.seq[self.rows].tobytes(), batch.ts_ms[self.rows].tobytes()

    @cached_property
    def times(self) -> tuple[int, int] | None:
        """Earliest and latest time that its book frames have; None if none does."""
        times = self.frames.batch.ts_ms[self.book]
        times = times[times != NO_TIME]
        return (int(times.min()), int(times.max())) if len(times) else None

    @property
    def has_snapshot(self) -> bool:
        """Whether any frame is a snapshot."""
        return bool(self.frames.is_snapshot[self.book].any())

    @property
    def has_delta(self) -> bool:
        """Whether any frame is a delta."""
        return not bool(self.frames.is_snapshot[self.book].all())

    @cached_property
    def subscriptions(self) -> dict[int, Subscription]:
        """What its numbered frames are on each sid, in order of the first."""
        seq, sid = self.frames.seq[self.book], self.frames.batch.sid[self.book]
        out = {}
        for value in dict.fromkeys(sid.tolist()):
            here = self.book[sid == value]
            out[value] = Subscription.of(seq[sid == value], self.frames.is_snapshot[here])
        return out


@dataclass(frozen=True)
class Subscription:
    """The numbers of a piece on one sid: its first frame, and the connection of its last."""

    first: int
    begins_anew: bool
    """Whether its first frame is a snapshot."""
    last: int
    """The highest number of the connection on which the piece ends."""
    snapshot: int
    """The number of the latest snapshot of that connection, -1 if it has none."""
    used: frozenset[int]
    """The latest numbers of that connection."""

    @staticmethod
    def of(seq: Int64Array, snapshot: np.typing.NDArray[np.bool_]) -> Subscription:
        """The state of a subscription after some frames.

        Args:
            seq: int64 [n >= 1] their numbers in order.
            snapshot: bool [n] which of them are snapshots.

        Returns:
            The subscription at its last frame.
        """
        before = np.concatenate([[-1], np.maximum.accumulate(seq)[:-1]])
        start = max(np.flatnonzero(snapshot & (seq <= before)).tolist(), default=0)
        snapshots = seq[start:][snapshot[start:]]
        return Subscription(
            first=int(seq[0]),
            begins_anew=bool(snapshot[0]),
            last=int(seq[start:].max()),
            snapshot=int(snapshots[-1]) if len(snapshots) else -1,
            used=frozenset(seq[start:][-1_000:].tolist()),
        )


def pieces_of(frames: Frames, rows: Int64Array) -> list[Piece]:
    """One piece for each file.

    Args:
        frames: all frames of the import.
        rows: int64 [n] frames, in order of files.

    Returns:
        The pieces, in order of files.
    """
    file_of = frames.file_of[rows]
    cuts = np.flatnonzero(np.diff(file_of)) + 1
    return [
        Piece(frames, (int(frames.file_of[part[0]]),), part, {}) for part in np.split(rows, cuts)
    ]


def without_overlaps(pieces: list[Piece]) -> list[Piece]:
    """Pieces that share a run at their joint become one, read once.

    A run that holds snapshots alone, without receive times, may as well be a new subscription
    to an unchanged book: see `snapshots_shared`. Frames without numbers that were received in one
    millisecond may as well have been sent twice: taken as an overlap, and counted.
    """
    if len(pieces) == 1 or not _share_lines(pieces):
        return pieces
    # By what they hold: in which order files are given to the import does not count.
    pieces = sorted(pieces, key=lambda piece: piece.held)
    while True:
        for one, other in permutations(range(len(pieces)), 2):
            run = _overlap(pieces[one], pieces[other])
            if run is not None:
                start, length, certain = run
                whole = joined(pieces[one], pieces[other], start, length)
                pieces[one] = whole if certain else replace(whole, taken=whole.taken + length)
                del pieces[other]
                break
        else:
            return pieces


def _overlap(one: Piece, other: Piece) -> tuple[int, int, bool] | None:
    """The first shared run that is an overlap: equal snapshots may lie in several places.

    Where it begins in `one`, how long it is, and whether it can be nothing else.
    """
    for start, length in _shared_runs(one, other):
        if _is_certain(one, other, start, length):
            return start, length, True
        files = _files_overlap(one, other, start, length)
        if files is not None or _is_timed(other, length):
            return start, length, bool(files)
    return None


def _share_lines(pieces: list[Piece]) -> bool:
    lines = np.concatenate([np.unique(piece.lines) for piece in pieces])
    return len(np.unique(lines)) < len(lines)


def shared_run(one: Piece, other: Piece) -> int:
    """How many frames at the beginning of `other` are the last of `one`, or a run inside it.

    Args:
        one, other: pieces of different files.
    """
    return next((length for _, length in _shared_runs(one, other)), 0)


def _shared_runs(one: Piece, other: Piece) -> Iterator[tuple[int, int]]:
    """Where in `one` such runs begin, and how long they are."""
    a, b = one.lines, other.lines
    for start in np.flatnonzero(a == b[0]).tolist():
        length = min(len(a) - start, len(b))
        if np.array_equal(a[start : start + length], b[:length]):
            yield start, length


def _is_certain(one: Piece, other: Piece, start: int, length: int) -> bool:
    """Whether a shared run can be nothing but an overlap."""
    return _is_timed(other, length) and not _is_of_one_moment(one, start, length)


def _is_timed(piece: Piece, length: int) -> bool:
    """Whether the first frames of `piece` are not snapshots alone, or each has its time."""
    run = piece.rows[:length]
    frames = piece.frames
    if (frames.batch.kind[run] != EventKind.SNAPSHOT).any() or frames.received(run):
        return True
    return bool((frames.batch.ts_ms[run] != NO_TIME).all())  # when each snapshot was sent


def _is_of_one_moment(piece: Piece, start: int, length: int) -> bool:
    """Whether a run may have been sent twice, one after the other: nothing distinguishes them.

    Changes alone or snapshots alone, without numbers, of one millisecond in which `piece` ends.
    """
    frames = piece.frames
    rest = piece.rows[start:]
    run = rest[:length]
    if (frames.seq[run] >= 0).any() or not frames.is_book[run].all():
        return False
    if len(np.unique(frames.is_snapshot[run])) > 1:
        return False
    received = frames.received(rest)
    times = frames.batch.recv_ns if received else frames.batch.ts_ms
    moment = int(times[run[0]])
    if received and moment % NS_PER_MS:
        return False  # a finer clock
    return bool((times[run] == moment).all() and (times[rest] <= moment).all())


def _files_overlap(one: Piece, other: Piece, start: int, length: int) -> bool | None:
    """Whether a run that their files share with all markets' frames holds theirs, for certain.

    None: no such run is certain, or is all that a file has.
    """
    shared = (one.rows[start : start + length], other.rows[:length])
    found = None
    for first, second in product(one.files, other.files):
        a, b = whole_file(one.frames, first), whole_file(one.frames, second)
        for at, run in _shared_runs(a, b):
            certain = _is_certain(a, b, at, run)
            if not (certain or run == len(b.rows)):
                continue
            runs = (a.rows[at : at + run], b.rows[:run])
            if all(
                np.array_equal(np.intersect1d(piece.rows, rows), np.sort(own))
                for piece, rows, own in zip((one, other), runs, shared, strict=True)
            ):
                if certain:
                    return True
                found = False
    return found


def whole_file(frames: Frames, file: int) -> Piece:
    """The event frames of a file, of all markets.

    Args:
        frames: all frames of the import.
        file: number of the file.
    """
    if file not in frames.whole_files:
        frames.whole_files[file] = np.flatnonzero(
            (frames.is_book | frames.is_trade) & (frames.file_of == file)
        )
    return Piece(frames, (file,), frames.whole_files[file], {})


def joined(one: Piece, other: Piece, start: int, length: int) -> Piece:
    """Two pieces as one, a run that both have only once.

    Args:
        one, other: pieces; the second begins with the run.
        start: place of the run in the first.
        length: frames of the run.

    Returns:
        One piece that knows which frames were dropped.
    """
    repeats = dict(
        zip(
            other.rows[:length].tolist(),
            one.rows[start : start + length].tolist(),
            strict=True,
        )
    )
    return Piece(
        one.frames,
        (*one.files, *other.files),
        np.concatenate([one.rows, other.rows[length:]]),
        {**one.dropped, **other.dropped, **repeats},
        one.taken + other.taken,
    )


def snapshots_shared(one: Piece, other: Piece) -> int:
    """How many snapshots, and nothing else, end `one` and begin `other`.

    Args:
        one, other: pieces of different files.
    """
    snapshot = one.frames.is_snapshot
    leading = int(np.argmin(np.append(snapshot[other.rows], False)))
    for length in range(min(len(one.rows), leading), 0, -1):
        if np.array_equal(one.lines[-length:], other.lines[:length]):
            return length
    return 0
