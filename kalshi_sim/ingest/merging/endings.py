"""Where control frames end a market's book: its subscription ended, or lost the market."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Placed:
    """A market's book, and where other frames of its files stand in it."""

    book: Book
    places: Places


class Endings:
    """The control frames of an import, and which of them could be laid to no one connection."""

    def __init__(self, frames: Frames, markets: Sequence[Placed]) -> None:
        self._frames = frames
        self._markets = markets
        self._controls = np.flatnonzero(frames.batch.kind == CONTROL)
        self._unlaid: set[int] = set()
        self._shared: dict[tuple[int, int, int, int], bool] = {}

    @property
    def unlaid(self) -> int:
        """Control frames that may be of several connections, and so end nothing."""
        return len(self._unlaid)

    def ends(self, market: Placed) -> list[int]:
        """Places in the book of `market` after which it ends."""
        frames = self._frames
        batch = frames.batch
        book, places = market.book, market.places
        out = []
        for nth, row in enumerate(self._controls.tolist()):
            markets = batch.controls[nth].markets
            if markets is not None and frames.tickers[book.market] in markets:
                continue
            if batch.sid[row] < 0 or int(frames.file_of[row]) not in places.files:
                continue
            at = places.of(row)
            if at < 0 or not self._is_of(market, at, row):
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

    def _is_of(self, market: Placed, at: int, row: int) -> bool:
        """Whether the control frame is of the connection and sid on which the book is then.

        It cannot be if its number was used there already. Where other markets are on other
        connections of the same sid, the number must follow this connection's latest one.
        """
        batch = self._frames.batch
        sid, seq = int(batch.sid[row]), int(self._frames.seq[row])
        if batch.sid[market.book.rows[at]] != sid:
            return False
        latest = self._latest(market.book, at)
        if seq >= 0 and (seq <= latest or seq in self._numbers(market.book, at)):
            return False
        here, rivals = [latest], []
        for other in self._markets:
            if other is market or int(self._frames.file_of[row]) not in other.places.files:
                continue
            place = other.places.of(row)
            if place < 0 or batch.sid[other.book.rows[place]] != sid:
                continue
            number = self._latest(other.book, place)
            if not self._meet(market.book, at, other.book, place):
                here.append(number)
            elif seq < 0 or seq > number:  # else that connection has used the number
                rivals.append(number)
        if not rivals:
            return True
        follows = seq >= 0 and seq - 1 in (latest, max(here))
        if follows != (seq - 1 in rivals):
            return follows
        self._unlaid.add(row)
        return False

    def _numbers(self, book: Book, at: int) -> Int64Array:
        """All numbers of a market on the connection on which its book is at a place."""
        numbers: Int64Array = self._frames.seq[book.rows[book.connection == book.connection[at]]]
        return numbers[numbers >= 0]

    def _latest(self, book: Book, at: int) -> int:
        """The highest of them up to that place, -1 without any."""
        upto = slice(0, at + 1)
        rows = book.rows[upto][book.connection[upto] == book.connection[at]]
        return int(self._frames.seq[rows].max(initial=-1))

    def _meet(self, one: Book, at: int, other: Book, place: int) -> bool:
        """Whether a number stands on both connections, so that they are two."""
        key = (one.market, int(one.connection[at]), other.market, int(other.connection[place]))
        if key not in self._shared:
            both = np.intersect1d(self._numbers(one, at), self._numbers(other, place))
            self._shared[key] = len(both) > 0
        return self._shared[key]
