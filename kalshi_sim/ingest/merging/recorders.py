"""Which recorder wrote each piece of a market: several that record at once rotate their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from kalshi_sim.ingest.merging.pieces import Piece, shared_run, whole_file
from kalshi_sim.ingest.merging.view import Frames, two_sockets
from kalshi_sim.session import NO_TIME


def recorders(pieces: Sequence[Piece]) -> list[int]:
    """Which recorder wrote each piece: two that use one sid at a time are different ones.

    A later file, as when files are rotated, is of the recorder whose very next number it begins
    with, or of the only one that had ended by then; one that begins with a snapshot may be of
    any: its connection is a new one. Files between, that hold no frame of the market, show which
    numbers came next.

    Args:
        pieces: of one market, all with receive times.

    Returns:
        The number of the recorder of each piece.

    Raises:
        DataError: a file may be of several recorders.
    """
    out = [0] * len(pieces)
    frames = pieces[0].frames
    if not (
        any(_record_at_once(one, other) for one, other in combinations(pieces, 2))
        or any(_has_one_beside(frames, file) for piece in pieces for file in piece.files)
    ):
        return out
    runs = [_Run.of(frames, piece.files, piece.held, nth) for nth, piece in enumerate(pieces)]
    own = {file for piece in pieces for file in piece.files}
    for file in set(range(len(frames.files))) - own:
        rows = slice(*np.searchsorted(frames.file_of, [file, file + 1]).tolist())
        received = frames.batch.recv_ns[rows]
        if len(received) and (received != NO_TIME).all() and frames.numbers_of(file)[0]:
            held = received.tobytes(), frames.batch.seq[rows].tobytes()
            runs.append(_Run.of(frames, (file,), held, None))
    found: list[_Recorder] = []
    for run in sorted(runs, key=lambda run: (run.begin, run.held)):
        free = [recorder for recorder in found if recorder.end <= run.begin]
        steps = [recorder.goes_on(run) for recorder in free]
        best = [r for r, n in zip(free, steps, strict=True) if n and n == max(steps)] or free
        goes_on = any(steps) and len(best) == 1
        if run.piece is None:
            if goes_on:
                best[0].take(run)
            continue
        begins_anew = bool(frames.is_snapshot[pieces[run.piece].book[0]])
        if len(best) > 1 and not begins_anew:
            raise two_sockets(frames, np.concatenate([piece.book for piece in pieces]))
        if not (goes_on or (len(best) == 1 and not begins_anew)):
            best = [_Recorder(len(found))]
            found += best
        best[0].take(run)
        out[run.piece] = best[0].number
    return out


@dataclass(frozen=True)
class _Run:
    """Files that overlap, or one: when its frames were received, its first and last numbers."""

    begin: int
    end: int
    first: dict[int, int]
    last: dict[int, int]
    held: tuple[bytes, ...]
    piece: int | None
    """The piece that lies in it; None of a file without frames of the market."""

    @staticmethod
    def of(
        frames: Frames, files: Sequence[int], held: tuple[bytes, ...], piece: int | None
    ) -> _Run:
        """The run of these files.

        Args:
            frames: all frames of the import.
            files: their numbers.
            held: what orders runs that began at one time.
            piece: its number, if they hold one.
        """
        begin, end = (times[[*files]] for times in frames.spans)
        first, last = frames.numbers_of(files[0])[0], frames.numbers_of(files[-1])[1]
        return _Run(int(begin.min()), int(end.max()), first, last, held, piece)


@dataclass
class _Recorder:
    """A recorder as far as its files are known."""

    number: int
    end: int = 0
    last: dict[int, int] = field(default_factory=dict)

    def goes_on(self, run: _Run) -> int:
        """On how many sids a run begins with the very next number."""
        return sum(self.last.get(sid) == number - 1 for sid, number in run.first.items())

    def take(self, run: _Run) -> None:
        """Go on with a run."""
        self.end = run.end
        self.last.update(run.last)


def _record_at_once(one: Piece, other: Piece) -> bool:
    """Whether two pieces hold deltas of one sid that were received at the same time.

    Or the numbers of a sid do not rise through the time that both files recorded.
    """
    batch = one.frames.batch
    if not np.isin(batch.sid[one.book], batch.sid[other.book]).any():
        return False
    if one.has_delta and other.has_delta:
        a, b = batch.recv_ns[one.book], batch.recv_ns[other.book]
        if a.min() < b.max() and b.min() < a.max():
            return True
    snapshots, deltas = one.frames.file_kinds
    for first, second in ((one, other), (other, one)):
        if not (deltas.intersection(first.files) or snapshots.intersection(second.files)):
            return False  # a file of snapshots lies beside one of deltas
    return any(_numbers_fall(one.frames, a, b) for a, b in product(one.files, other.files))


def _has_one_beside(frames: Frames, file: int) -> bool:
    """Whether another recorder wrote a file at the same time: any market of both shows it.

    A market of few frames need not show it itself.
    """
    if file not in frames.beside:
        others = set(range(len(frames.files))) - {file}
        frames.beside[file] = any(_are_beside(frames, file, other) for other in others)
    return frames.beside[file]


def _are_beside(frames: Frames, one: int, other: int) -> bool:
    """Whether two files hold a market that two recorders wrote at once."""
    first, last = frames.spans
    files = [one, other]
    if (first[files] == NO_TIME).any() or first[files].max() >= last[files].min():
        return False
    wholes = [whole_file(frames, file) for file in files]
    of_market = [_of_markets(whole) for whole in wholes]
    both = of_market[0].keys() & of_market[1].keys()
    if not both or shared_run(*wholes) or shared_run(*wholes[::-1]):
        return False  # one recorder wrote what both files hold
    return any(_record_at_once(of_market[0][market], of_market[1][market]) for market in both)


def _of_markets(whole: Piece) -> dict[int, Piece]:
    """The book frames of each market in a file, all with receive times."""
    frames, book = whole.frames, whole.book
    market = frames.batch.market[book]
    order = np.argsort(market, kind="stable")
    parts = np.split(book[order], np.flatnonzero(np.diff(market[order])) + 1)
    return {
        int(frames.batch.market[rows[0]]): Piece(frames, whole.files, rows, {})
        for rows in parts
        if frames.received(rows)  # not of no rows
    }


def _numbers_fall(frames: Frames, one: int, other: int) -> bool:
    """Whether numbers of a sid fall from a frame of one file to the next, in another file.

    In the time that both recorded, and from the frame before it to the one after it.
    """
    first, last = frames.spans
    begin, end = max(first[one], first[other]), min(last[one], last[other])
    if begin >= end:
        return False
    rows, of = [], []
    for file in (one, other):
        own = whole_file(frames, file).rows
        own = own[frames.seq[own] >= 0]
        received = np.maximum.accumulate(frames.batch.recv_ns[own])
        start = int(np.searchsorted(received, begin)) - 1
        rows.append(own[max(start, 0) : int(np.searchsorted(received, end, side="right")) + 1])
        of.append(np.full(len(rows[-1]), file))
    if np.isin(frames.line[rows[0]], frames.line[rows[1]]).any():
        return False  # one recorder wrote what both files hold
    row, file_of = np.concatenate(rows), np.concatenate(of)
    order = np.argsort(frames.batch.recv_ns[row], kind="stable")
    row, file_of = row[order], file_of[order]
    sid, seq = frames.batch.sid[row], frames.seq[row]
    for value in np.unique(sid).tolist():
        straight = np.zeros(len(row), dtype=np.bool_)
        for file in (one, other):  # without frames that were written late
            own = np.flatnonzero((sid == value) & (file_of == file))
            before = np.concatenate([[-1], np.maximum.accumulate(seq[own])[:-1]])
            straight[own] = seq[own] > before[: len(own)]
        falls = (np.diff(seq[straight]) <= 0) & (np.diff(file_of[straight]) != 0)
        if falls.any():
            return True
    return False
