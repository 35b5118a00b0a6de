"""Markets followed from the lines of a recording as they are written.

What is traded upon is what is recorded, read as an import reads it: every frame is decoded once,
and a market is unknown from a hole in the numbers of its subscription to its next snapshot. Where
an import knows better afterwards (a frame that came late, a row that was closed before its last
frame came) the difference is kept as a `Cut`, with which a replay does the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from kalshi_sim.errors import DataError
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule
from kalshi_sim.ingest.decoding import MALFORMED, Batch, FrameDecoder
from kalshi_sim.ingest.segments import Converter, frame_of
from kalshi_sim.live.so_far import PlayableMarket
from kalshi_sim.market_state import market_payout
from kalshi_sim.session import NO_TIME, EventKind, MarketInfo
from kalshi_sim.units import PAYOUT_CENT

_REMEMBERED: Final = 1024
"""Frames of a subscription whose repeats are recognized."""


@dataclass(frozen=True)
class Cut:
    """Where the live book and an import part.

    It stands behind the market's snapshot number `snapshot` (from 0) and `deltas` deltas after it.
    """

    market: str
    kind: Literal["gap", "late"]
    """gap: unknown until the next snapshot; late: what follows belongs to `from_ms` or later."""
    snapshot: int
    deltas: int
    from_ms: int = 0


@dataclass
class _Place:
    """How far the stream of a market has come."""

    snapshot: int = -1
    deltas: int = 0
    closed_ms: int = NO_TIME
    """Rows before this time are closed."""


class Following:
    """Live markets that share one decoder, one money unit and one beginning."""

    def __init__(
        self,
        tickers: Iterable[str],
        *,
        replay: bool,
        use_yes_price: bool = False,
        depth: int = 10,
        row_interval_ms: int = 1,
        fee_schedule: FeeSchedule = DEFAULT_SCHEDULE,
    ) -> None:
        """Follow markets from the beginning of a run.

        Args:
            tickers: of the markets.
            replay: as the header of the segments states it.
            use_yes_price: frames state NO prices in YES terms.
            depth: levels a side that a row keeps.
            row_interval_ms: as in `build_tape`.
            fee_schedule: as in `build_tape`.
        """
        self.markets = {
            ticker: PlayableMarket(
                MarketInfo(ticker),
                depth=depth,
                row_interval_ms=row_interval_ms,
                fee_schedule=fee_schedule,
                whole_subscription=False,
            )
            for ticker in tickers
        }
        self.cuts: list[Cut] = []
        """In the order in which they were made; whoever writes them down may clear the list."""
        self.first_book_ms: int | None = None
        self.payout: int | None = None
        self.touched: str | None = None
        """The market of the latest line's frame; None: it was of none."""
        self.open_markets: set[str] = set()
        """Those that may have an open row."""
        self.repeated = 0
        """Frames that came twice and were passed over."""
        self._schedule = fee_schedule
        self._convert = Converter(replay=replay)
        self._decoder = FrameDecoder(use_yes_price=use_yes_price)
        self._places = {ticker: _Place() for ticker in self.markets}
        self._latest: dict[int, int] = {}
        self._recent: dict[int, OrderedDict[int, int]] = {}
        self._latest_ms = NO_TIME
        self._names: list[str] = []

    def take(self, line: bytes) -> list[str]:
        """Follow a line of a segment.

        Args:
            line: as it is written.

        Returns:
            Tickers of markets in which rows closed.

        Raises:
            DataError: a price does not fit the money unit.
        """
        self.touched = None
        try:
            frame = self._convert(line.rstrip(b"\n"))
            batch = self._decoded(frame) if frame else None
        except MALFORMED:
            batch = None
            for ticker in self.markets:
                self._lose(ticker)
        if batch is None or not len(batch) or self._is_repeat(batch, line):
            return []
        self._follow_numbers(batch)
        closed = [ticker for ticker in self._concerned(batch) if self._feed(ticker, batch)]
        self._latest_ms = max(self._latest_ms, int(batch.ts_ms.max(initial=NO_TIME)))
        return closed

    def close_rows(self, tickers: Iterable[str]) -> list[str]:
        """Close the open rows of markets whose time has passed; what comes late belongs to later.

        Args:
            tickers: of the markets.

        Returns:
            Tickers of those in which a row closed.
        """
        closed = []
        for ticker in tickers:
            market = self.markets[ticker]
            self.open_markets.discard(ticker)
            until = market.open_until_ms
            if until is not None:
                self._places[ticker].closed_ms = until
                if market.advance(until):
                    closed.append(ticker)
        return closed

    def finish(self) -> list[str]:
        """Close all open rows: nothing more comes.

        Returns:
            Tickers of the markets in which a row closed.
        """
        return [ticker for ticker, market in self.markets.items() if market.finish()]

    def _decoded(self, line: bytes) -> Batch:
        try:
            return self._decoder.decode(line)
        except MALFORMED:
            return self._decoder.decode_other(line)

    def _is_repeat(self, batch: Batch, line: bytes) -> bool:
        """Whether a frame came before, with its number and content: an import reads it once."""
        sid, seq = int(batch.sid[0]), int(batch.seq[0])
        if sid < 0 or seq < 0:
            return False
        recent = self._recent.setdefault(sid, OrderedDict())
        content = hash(frame_of(line))
        if recent.get(seq) == content:
            self.repeated += 1
            return True
        recent[seq] = content
        if len(recent) > _REMEMBERED:
            recent.popitem(last=False)
        return False

    def _follow_numbers(self, batch: Batch) -> None:
        sid, seq = int(batch.sid[0]), int(batch.seq[0])
        if sid < 0 or seq < 0:
            return
        latest = self._latest.get(sid)
        self._latest[sid] = seq if latest is None else max(latest, seq)
        if latest is not None and seq != latest + 1:
            for ticker, market in self.markets.items():
                if market.book_is_of(sid):
                    self._lose(ticker)

    def _lose(self, ticker: str) -> None:
        market = self.markets[ticker]
        if market.book_is_known:
            place = self._places[ticker]
            self.cuts.append(Cut(ticker, "gap", place.snapshot, place.deltas))
            market.gap()

    def _concerned(self, batch: Batch) -> Iterable[str]:
        if batch.lifecycles or batch.controls:
            return self.markets
        number = int(batch.market[0])
        if number >= len(self._names):
            self._names = [str(ticker) for ticker in self._decoder.tickers]
        ticker = self._names[number] if number >= 0 else ""
        return (ticker,) if ticker in self.markets else ()

    def _feed(self, ticker: str, batch: Batch) -> bool:
        market, place = self.markets[ticker], self._places[ticker]
        number = self._decoder.tickers.get(ticker, -1)
        kind = int(batch.kind[0]) if batch.market[0] == number >= 0 else -1
        known = market.book_is_known
        if kind == EventKind.SNAPSHOT and self.first_book_ms is None:
            self._begin(int(batch.ts_ms[0]))
        late = NO_TIME < int(batch.ts_ms[0]) < place.closed_ms
        if late and kind in (EventKind.SNAPSHOT, EventKind.DELTA):
            self.cuts.append(Cut(ticker, "late", place.snapshot, place.deltas, place.closed_ms))
        if kind in (EventKind.SNAPSHOT, EventKind.DELTA):
            self.touched = ticker
            self.open_markets.add(ticker)
        closed = market.feed_batch(batch, number, latest_ms=self._latest_ms)
        if known and not market.book_is_known:
            self.cuts.append(Cut(ticker, "gap", place.snapshot, place.deltas))
        if kind == EventKind.SNAPSHOT:
            place.snapshot, place.deltas = place.snapshot + 1, 0
        elif kind == EventKind.DELTA and known:
            place.deltas += 1
        return closed > 0

    def _begin(self, first_book_ms: int) -> None:
        """The session's first book: the money unit is decided, and all markets begin."""
        if first_book_ms == NO_TIME:
            raise DataError("the first snapshot has no time; record with receive times")
        self.first_book_ms = first_book_ms
        needed = [
            market_payout(market.market, first_book_ms, self._schedule)
            for market in self.markets.values()
        ]
        self.payout = max(needed, default=PAYOUT_CENT)
        for market in self.markets.values():
            market.begin(first_book_ms, self.payout)
