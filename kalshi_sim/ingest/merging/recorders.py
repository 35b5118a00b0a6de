"""Which recorder wrote each piece of a market: several that record at once rotate their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from kalshi_sim.ingest.merging.pieces import Piece, whole_file
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
    if not any(_record_at_once(one, other) for one, other in combinations(pieces, 2)):
        return out
    frames = pieces[0].frames
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

    Or their files gave one number of a sid to different frames in the time that both recorded.
    """
    if not (one.has_delta and other.has_delta):
        return False
    batch = one.frames.batch
    a, b = batch.recv_ns[one.book], batch.recv_ns[other.book]
    if not np.isin(batch.sid[one.book], batch.sid[other.book]).any():
        return False
    if a.min() < b.max() and b.min() < a.max():
        return True
    return any(_give_twice(one.frames, a, b) for a, b in product(one.files, other.files))


def _give_twice(frames: Frames, one: int, other: int) -> bool:
    """Whether in the time that two files share a number lies in both, with other content."""
    first, last = frames.spans
    begin, end = max(first[one], first[other]), min(last[one], last[other])
    if begin >= end:
        return False
    given: list[dict[tuple[int, int], int]] = []
    for file in (one, other):
        rows = whole_file(frames, file).rows
        received = frames.batch.recv_ns[rows]
        rows = rows[(received >= begin) & (received <= end) & (frames.seq[rows] >= 0)]
        numbers = zip(frames.batch.sid[rows].tolist(), frames.seq[rows].tolist(), strict=True)
        given.append(dict(zip(numbers, frames.message[rows].tolist(), strict=True)))
    a, b = given
    return any(a[number] != b[number] for number in a.keys() & b.keys())
