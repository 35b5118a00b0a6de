"""Where control frames end a market's book: its subscription ended, or lost the market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kalshi_sim.ingest.decoding import CONTROL
from kalshi_sim.ingest.merging.places import Places
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import Int64Array


@dataclass(frozen=True)
class Book:
    """A market's book frames in order, without those that are passed over.

    market: its number · rows int64 [n] · connection int64 [n].
    """

    market: int
    rows: Int64Array
    connection: Int64Array


class Endings:
    """The control frames of an import, and which of them could be laid to no one connection."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._controls = np.flatnonzero(frames.batch.kind == CONTROL)
        self._unlaid: set[int] = set()
        self._numbers: dict[int, dict[int, Int64Array]] = {}

    @property
    def unlaid(self) -> int:
        """Control frames that may be of several connections, and so end nothing."""
        return len(self._unlaid)

    def ends(self, book: Book, places: Places) -> list[int]:
        """Places in `book` after which it ends."""
        frames = self._frames
        batch = frames.batch
        out = []
        for nth, row in enumerate(self._controls.tolist()):
            markets = batch.controls[nth].markets
            if markets is not None and frames.tickers[book.market] in markets:
                continue
            if batch.sid[row] < 0 or int(frames.file_of[row]) not in places.files:
                continue
            at = places.of(row)
            if at < 0 or not self._is_of(book, at, row):
                continue
            following = at + 1
            goes_on = (
                following < len(book.rows)
                and not frames.is_snapshot[book.rows[following]]
                and book.connection[following] == book.connection[at]
            )
            if not goes_on:
                out.append(at)
        return out

    def _is_of(self, book: Book, at: int, row: int) -> bool:
        """Whether the control frame is of the connection and sid on which the book is then."""
        frames = self._frames
        sid, seq = int(frames.batch.sid[row]), int(frames.batch.seq[row])
        own = book.rows[: at + 1]
        if frames.batch.sid[own[-1]] != sid:
            return False
        mine = self._since_restart(own, sid)
        if seq >= 0 and len(mine) and seq <= mine.max():
            return False
        rivals = [
            numbers
            for market, numbers in self._open_numbers(row, sid).items()
            if market != book.market and _meet(numbers, mine)
        ]
        if not rivals:
            return True
        before = seq - 1
        if seq >= 0 and before in (int(mine.max()), self._with_companions(row, sid, book, mine)):
            if all(int(numbers.max()) != before for numbers in rivals):
                return True
        elif any(int(numbers.max()) == before for numbers in rivals):
            return False  # it is the other's
        self._unlaid.add(row)
        return False

    def _with_companions(self, row: int, sid: int, book: Book, mine: Int64Array) -> int:
        """The highest number so far of the markets that may share the market's connection."""
        others = self._open_numbers(row, sid)
        shared = [n for m, n in others.items() if m != book.market and not _meet(n, mine)]
        return max(int(numbers.max()) for numbers in [mine, *shared])

    def _open_numbers(self, row: int, sid: int) -> dict[int, Int64Array]:
        """Numbers of each market on `sid` in the control frame's file before it."""
        if row in self._numbers:
            return self._numbers[row]
        frames = self._frames
        rows = np.flatnonzero(frames.is_book[:row] & (frames.file_of[:row] == frames.file_of[row]))
        rows = rows[frames.batch.sid[rows] == sid]
        out = {}
        for market in np.unique(frames.batch.market[rows]).tolist():
            numbers = self._since_restart(rows[frames.batch.market[rows] == market], sid)
            if len(numbers):
                out[market] = numbers
        self._numbers[row] = out
        return out

    def _since_restart(self, rows: Int64Array, sid: int) -> Int64Array:
        """The numbers of a market's latest connection on `sid`."""
        frames = self._frames
        rows = rows[frames.batch.sid[rows] == sid]
        seq = frames.seq[rows]
        before = np.concatenate([[-1], np.maximum.accumulate(seq)[:-1]])
        anew = np.flatnonzero(frames.is_snapshot[rows] & (seq <= before))
        numbers: Int64Array = seq[max(anew.tolist(), default=0) :]
        return numbers[numbers >= 0]


def _meet(one: Int64Array, other: Int64Array) -> bool:
    return len(np.intersect1d(one, other)) > 0
