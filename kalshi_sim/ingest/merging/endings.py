"""Where control frames end a market's book: its subscription ended, or lost the market."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kalshi_sim.ingest.decoding import CONTROL
from kalshi_sim.ingest.merging.sockets import ALL, NONE, Placed, Sockets
from kalshi_sim.ingest.merging.view import Frames


class Endings:
    """The control frames of an import, and which of them could be laid to no one connection."""

    def __init__(self, frames: Frames, markets: Sequence[Placed]) -> None:
        self._frames = frames
        self._controls = np.flatnonzero(frames.batch.kind == CONTROL)
        self._sockets = Sockets(frames, markets, whole=False) if len(self._controls) else None
        self._unlaid: set[int] = set()

    @property
    def unlaid(self) -> int:
        """Control frames that may be of several connections, and so end nothing."""
        return len(self._unlaid)

    def ends(self, market: Placed) -> list[int]:
        """Places in the book of `market` after which it ends."""
        batch = self._frames.batch
        book, places = market.book, market.places
        out = []
        for nth, row in enumerate(self._controls.tolist()):
            markets = batch.controls[nth].markets
            if markets is not None and self._frames.tickers[book.market] in markets:
                continue
            if batch.sid[row] < 0 or int(self._frames.file_of[row]) not in places.files:
                continue
            at = places.of(row)
            if at >= 0 and self._is_of(market, at, row) and not self._goes_on(market, at):
                out.append(at)
        return out

    def _is_of(self, market: Placed, at: int, row: int) -> bool:
        """Whether the control frame is of the connection and sid on which the book is then."""
        book, batch = market.book, self._frames.batch
        if self._sockets is None or batch.sid[book.rows[at]] != batch.sid[row]:
            return False
        laid = self._sockets.of_control(row)
        if laid == NONE:
            self._unlaid.add(row)
        return laid == ALL or laid == int(self._sockets.of_row[book.rows[at]]) != NONE

    def _goes_on(self, market: Placed, at: int) -> bool:
        """Whether the market's deltas simply go on there, without a new snapshot."""
        book, following = market.book, at + 1
        return (
            following < len(book.rows)
            and not bool(self._frames.is_snapshot[book.rows[following]])
            and bool(book.connection[following] == book.connection[at])
        )
