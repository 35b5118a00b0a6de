"""Where control frames end a market's book: its subscription ended, or lost the market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kalshi_sim.ingest.decoding import CONTROL
from kalshi_sim.ingest.merging.arrival import NONE, Arrival
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.sockets import ALL, Sockets
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import NO_TIME, Int64Array


class Endings:
    """The control frames of an import, and which of them could be assigned to no one connection."""

    def __init__(
        self,
        frames: Frames,
        markets: Sequence[Placed],
        arrival: Arrival,
        *,
        whole: bool,
        own_sids: bool = False,
    ) -> None:
        """Assign the control frames of an import to connections.

        Args:
            frames: all frames of the import.
            markets: their book frames in order.
            arrival: the order of files.
            whole: the files hold whole subscriptions.
            own_sids: no two connections have a sid in common, so that a control frame without seq
                leaves no doubt.
        """
        self._own_sids = own_sids
        self._frames = frames
        controls = np.flatnonzero(frames.batch.kind == CONTROL)
        self._controls = [
            (row, frames.batch.controls[nth].markets)
            for nth, row in enumerate(controls.tolist())
            if frames.batch.sid[row] >= 0
        ]
        self._unassigned: set[int] = set()
        self._unnumbered: set[int] = set()
        if not self._controls and not whole:
            return
        self.sockets = Sockets(frames, markets, arrival, whole=whole)
        self._shared = {
            self._chain_and_sid(row)
            for market in markets
            for row, at in self._touched(market)
            if frames.batch.seq[row] < 0 and self._goes_on(market, at)
        }
        """Chains and sids of which a control frame without a number ended only a part: several
        connections use the sid, and nothing shows of which such a frame is."""

    def notes(self) -> list[str]:
        """What was taken for granted, and what ends nothing: sentences for people."""
        out = []
        if self._unassigned:
            out.append(
                f"{len(self._unassigned)} control frames could be assigned to no one connection: "
                "they end no book"
            )
        if self._unnumbered:
            names = sorted(
                {self._frames.files[f] for f in self._frames.file_of[[*self._unnumbered]]}
            )
            out.append(
                f"{', '.join(names)}: {len(self._unnumbered)} control frames without seq are taken "
                "as of the one connection of their sid; of two sockets nothing would show which"
            )
        return out

    def ends(self, market: Placed) -> list[int]:
        """Places in the book of `market` after which it ends."""
        out: list[int] = []
        for row, at in self._touched(market) if self._controls else ():
            assigned = self.sockets.of_control(row)
            own = int(self.sockets.numbers.of_row[market.book.rows[at]])
            if self._frames.batch.seq[row] < 0 and self._chain_and_sid(row) in self._shared:
                assigned = NONE
            if assigned == NONE:
                self._unassigned.add(row)
            elif assigned in (ALL, own) and not self._goes_on(market, at):
                out.append(at)
                if self._frames.batch.seq[row] < 0 and not self._own_sids:
                    self._unnumbered.add(row)
        return out

    def _chain_and_sid(self, row: int) -> tuple[int, int]:
        chain = self.sockets.chains[self._frames.file_of[row]]
        return int(chain), int(self._frames.batch.sid[row])

    def _touched(self, market: Placed) -> Iterator[tuple[int, int]]:
        """Control frames that may end the book, and the place after which each stands in it."""
        batch, book = self._frames.batch, market.book
        ticker = self._frames.tickers[book.market]
        clock = self._clock(market)
        for row, listed in self._controls:
            if int(self._frames.file_of[row]) not in market.places.files:
                continue
            if listed is not None and ticker in listed:
                continue
            at = market.places.of(row)
            if clock is not None and batch.recv_ns[row] != NO_TIME:
                received = int(np.searchsorted(clock, batch.recv_ns[row])) - 1
                # It comes after the frames before it in its file, else before the first one there.
                leads = bool(market.places.lead(np.array([row], dtype=np.int64))[0])
                at = min(at, received) if leads else max(at, received)
            if at < 0 or batch.sid[book.rows[at]] != batch.sid[row]:
                continue
            files = self._frames.file_of[[row, book.rows[at]]]
            if len(np.unique(self.sockets.chains[files])) == 1:
                yield row, at

    def _clock(self, market: Placed) -> Int64Array | None:
        """Receive times of the book, if its files were written at the same time: they wove it."""
        files = list(market.places.files)
        book = market.book.rows
        if len(np.unique(self.sockets.chains[files])) == 1 or not self._frames.received(book):
            return None
        return np.minimum.accumulate(self._frames.batch.recv_ns[book][::-1])[::-1]  # late: forward

    def _goes_on(self, market: Placed, at: int) -> bool:
        """Whether the market's deltas simply go on there, without a new snapshot."""
        book, following = market.book, at + 1
        return (
            following < len(book.rows)
            and not bool(self._frames.is_snapshot[book.rows[following]])
            and bool(book.connection[following] == book.connection[at])
        )
