"""A recorded session: its events, the markets' metadata and a quality report.

Events (`kalshi_sim.events`) are grouped by market in the order of `Session.markets` and, within a
market, in stream order. Times of snapshots are already resolved (see
docs/contract.md#2-book-and-events); times that run backwards are raised by the replay, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from kalshi_sim.errors import DataError, SessionNotFoundError
from kalshi_sim.events import (
    KIND_NAMES,
    NO_TIME,
    EventFlag,
    EventKind,
    Events,
    Int8Array,
    Int64Array,
)
from kalshi_sim.frames import Tabular, events_table
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE

POLLED: Final = "polls"
"""`source` of a session of polls: books without the changes between them."""
REBUILT_SUFFIX: Final = ", rebuilt start"
"""Ends the `source` of a session in which a market begins with a book that was not recorded."""


PriceRanges = tuple[tuple[int, int, int], ...]
"""A grid: (start, end, step) of YES prices in 1/100 cent, ascending."""


@dataclass(frozen=True)
class GridUpdate:
    """From `known_ms` on the market's grid is this one."""

    known_ms: int
    price_ranges: PriceRanges


@dataclass(frozen=True)
class FeeUpdate:
    """From `known_ms` (NO_TIME: from the start) on these fee multipliers hold, in 1/10 000."""

    known_ms: int
    taker_multiplier: int | None = None
    """None: the market's own, else the fee schedule's."""
    maker_multiplier: int | None = None
    """None: the market's own, else the fee schedule's."""


@dataclass(frozen=True)
class Pause:
    """The market was paused from `start_ms` up to, not including, `end_ms` (None: to the end)."""

    start_ms: int
    end_ms: int | None = None


@dataclass(frozen=True)
class MarketInfo:
    """What is known of one market, apart from its book."""

    ticker: str
    event_ticker: str | None = None
    close_time_ms: int | None = None
    """The close time as known at the session's start."""
    close_updates: tuple[tuple[int, int], ...] = ()
    """(time the update was known, new close time), in ms, in order of the first."""
    settlement_value: int | None = None
    """What a YES contract paid, in 1/100 cent (10 000 = yes, 0 = no, between = scalar)."""
    settlement_known_ms: int | None = None
    """When the result was known; None with a settlement value counts as known."""
    sub_penny: bool = False
    """Decided at import, from the metadata or else the prices."""
    price_ranges: PriceRanges | None = None
    """The grid, the last one if it changed while it was recorded; None: unknown."""
    taker_multiplier: int | None = None
    """Fee multiplier in 1/10 000; None: the fee schedule decides."""
    maker_multiplier: int | None = None
    fee_unit: int | None = None
    """Fees are rounded up to this, in 1/100 cent; None: the fee schedule decides."""
    first_price_ranges: PriceRanges | None = None
    """The grid before the first of `grid_updates`; None: unknown. Of no meaning without them."""
    grid_updates: tuple[GridUpdate, ...] = ()
    """Changes of the grid while it was recorded, by `known_ms`."""
    fee_updates: tuple[FeeUpdate, ...] = ()
    """Changes of the fees while it was recorded, by `known_ms`."""
    pauses: tuple[Pause, ...] = ()
    """When trading was paused, ascending and apart from each other."""

    @property
    def starting_ranges(self) -> PriceRanges | None:
        """The grid at the session's start, None if unknown."""
        return self.first_price_ranges if self.grid_updates else self.price_ranges

    @property
    def known_ranges(self) -> tuple[PriceRanges, ...]:
        """Every grid that is known of the market, the first one first."""
        first = self.starting_ranges
        updates = tuple(update.price_ranges for update in self.grid_updates)
        return updates if first is None else (first, *updates)

    @property
    def event(self) -> str:
        """The event this market belongs to (both teams of a game share one)."""
        return self.event_ticker or self.ticker.rpartition("-")[0] or self.ticker

    @property
    def series(self) -> str:
        """The series, for the fee schedule."""
        return self.ticker.partition("-")[0]


@dataclass(frozen=True)
class MarketQuality:
    """Counts of what was dropped, clamped, raised, skipped, crossed or unmatched in one market."""

    frames: int = 0
    """Book frames (snapshots and deltas) read."""
    snapshots: int = 0
    levels: int = 0
    deltas: int = 0
    trades: int = 0
    trades_matched: int = 0
    trades_unmatched: int = 0
    block_trades_dropped: int = 0
    passed_over: int = 0
    """Book frames of another connection or subscription than that of the latest snapshot."""
    repeated_frames: int = 0
    """Frames that were in the files twice, or sent twice, and count once."""
    late_deltas: int = 0
    """Deltas that the recorder wrote late; they stand where their number belongs."""
    gaps: int = 0
    dropped_before_snapshot: int = 0
    dropped_in_gap: int = 0
    clamped_deltas: int = 0
    raised_times: int = 0
    inferred_times: int = 0
    crossed_ms: int = 0
    """Milliseconds (at row_interval_ms 1) that ended crossed or locked and made no row."""
    empty_ms: int = 0
    """Milliseconds that ended with no level on either side and made no row."""
    rows: int = 0
    """Rows at row_interval_ms 1, before the close time ends a view."""
    untrusted_levels: int = 0
    rebuilt_books: int = 0
    """Books that began without a recorded snapshot, as the smallest that the deltas allow."""
    pauses: int = 0
    """Times that trading was paused."""
    grid_updates: int = 0
    fee_updates: int = 0
    bad_rows: int = 0
    """Stored rows or lines that could not be right and were skipped on request."""

    def __add__(self, other: MarketQuality) -> MarketQuality:
        return MarketQuality(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )


@dataclass(frozen=True)
class QualityReport:
    """The quality of a session: counts per market, and notes on the whole."""

    markets: Mapping[str, MarketQuality] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences for people: what an era lost, what an option would repair."""
    other_frames: Mapping[str, int] = field(default_factory=dict)
    """Frames that are no book event or trade, by type (ok, subscribed, error, ticker, ...)."""
    bad_lines: int = 0
    """Lines that could not be read and were skipped on request."""
    gaps_checked: bool = False
    """Whether the sequence numbers were searched for holes (the whole subscription was there)."""

    @property
    def total(self) -> MarketQuality:
        """The counts of all markets together."""
        return sum(self.markets.values(), MarketQuality())


@dataclass(frozen=True)
class SessionInfo:
    """One line of a store's list of sessions. Counts are of stored events."""

    session_id: int
    started_at: datetime
    ended_at: datetime
    markets: int
    snapshots: int
    deltas: int
    trades: int
    source: str
    """"capture", "polls" (books without the changes between them), "synthetic", or "kalshiflow A",
    "kalshiflow B", "kalshiflow C"; with REBUILT_SUFFIX if a market began without a snapshot."""
    location: str = ""
    """Where in the store it lies (a file, or which tables)."""
    name: str = ""
    note: str = ""


def _span(start_ms: int, end_ms: int) -> str:
    """A stretch of time in UTC: 2026-03-18 23:10 and how long it lasts."""
    if start_ms <= 0 or end_ms < start_ms:
        return "no time known"
    start = datetime.fromtimestamp(start_ms / MS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M")
    minutes = (end_ms - start_ms) / (60 * MS_PER_SECOND)
    return f"{start} UTC, {minutes:,.1f} minutes"


@dataclass(frozen=True, eq=False, repr=False)
class Session(Tabular):
    """One recorded session; immutable. `to_pandas` and the like show its events, by market.

    `market_offsets` has shape [n_markets + 1]: events of market i are rows
    `market_offsets[i]:market_offsets[i + 1]` of `events`.
    """

    session_id: int
    markets: tuple[MarketInfo, ...]
    events: Events
    market_offsets: Int64Array
    first_book_ms: int
    """Time of the first applied book event of any market of the whole session."""
    last_message_ms: int
    """Time of the last recorded message of any kind or market of the whole session."""
    trades_recorded: bool
    """Whether the recording had a trade channel (a property set at import)."""
    source: str = "capture"
    quality: QualityReport = field(default_factory=QualityReport)
    started_ms: int | None = None
    """Time of the first recorded message; None: `first_book_ms`."""
    name: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.market_offsets) != len(self.markets) + 1:
            raise DataError(f"session {self.session_id}: market_offsets do not fit the markets")
        if self.market_offsets[0] != 0 or self.market_offsets[-1] != len(self.events):
            raise DataError(f"session {self.session_id}: market_offsets do not cover the events")

    def __repr__(self) -> str:
        trades = "with trades" if self.trades_recorded else "without trades"
        when = _span(self.first_book_ms, self.last_message_ms)
        return (
            f"Session({self.session_id}: {len(self.markets):,} markets, "
            f"{len(self.events):,} events {trades}, {when}, "
            f"from {self.source})"
        )

    def _arrow(self) -> Any:
        return events_table(self.events, KIND_NAMES, self)

    def market_index(self, ticker: str) -> int:
        """The place of a market in `markets`.

        Args:
            ticker: the market.

        Returns:
            Its index in `markets`.

        Raises:
            SessionNotFoundError: the session has no such market.
        """
        for i, market in enumerate(self.markets):
            if market.ticker == ticker:
                return i
        raise SessionNotFoundError(f"session {self.session_id} has no market {ticker!r}")

    def market_events(self, ticker: str) -> Events:
        """The events of one market, in stream order.

        Args:
            ticker: the market.

        Returns:
            Its events; views of this session's arrays.
        """
        i = self.market_index(ticker)
        return self.events[slice(int(self.market_offsets[i]), int(self.market_offsets[i + 1]))]

    def select(self, tickers: Sequence[str]) -> Session:
        """The session with only these markets; what belongs to the whole session stays.

        Args:
            tickers: the markets to keep.

        Returns:
            A session with these markets, in the order of this one.

        Raises:
            SessionNotFoundError: the session lacks one of them.
        """
        order = [self.market_index(t) for t in tickers]
        parts = [self.market_events(t) for t in tickers]
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
        report = replace(
            self.quality,
            markets={t: self.quality.markets[t] for t in tickers if t in self.quality.markets},
        )
        return replace(
            self,
            markets=tuple(self.markets[i] for i in order),
            events=Events.concatenate(parts),
            market_offsets=offsets,
            quality=report,
        )

    @property
    def info(self) -> SessionInfo:
        """The line a store's list shows."""
        kinds = np.bincount(self.events.kind, minlength=len(EventKind))
        start = self.first_book_ms if self.started_ms is None else self.started_ms
        return SessionInfo(
            session_id=self.session_id,
            started_at=datetime.fromtimestamp(start / 1000, UTC),
            ended_at=datetime.fromtimestamp(self.last_message_ms / 1000, UTC),
            markets=len(self.markets),
            snapshots=int(kinds[EventKind.SNAPSHOT]),
            deltas=int(kinds[EventKind.DELTA]),
            trades=int(kinds[EventKind.TRADE]),
            source=self.source,
            name=self.name,
            note=self.note,
        )


def validate_events(session: Session) -> None:
    """Check every event for values that cannot be right.

    Raises:
        DataError: the first bad event, by session, market, index and column.
    """
    e = session.events
    book = (e.kind == EventKind.LEVEL) | (e.kind == EventKind.DELTA) | (e.kind == EventKind.TRADE)
    checks = (
        ("kind", (e.kind < 0) | (e.kind > max(EventKind))),
        ("side", (e.side < 0) | (e.side > 1)),
        ("price", book & ((e.price <= 0) | (e.price >= PRICE_SCALE))),
        ("size", ((e.kind == EventKind.LEVEL) | (e.kind == EventKind.TRADE)) & (e.size < 0)),
        ("traded", e.traded < 0),
    )
    for column, bad in checks:
        if bad.any():
            at = int(np.argmax(bad))
            i = int(np.searchsorted(session.market_offsets, at, side="right")) - 1
            raise DataError(
                f"session {session.session_id}, market {session.markets[i].ticker}, "
                f"event {at - int(session.market_offsets[i])}: "
                f"{column} {int(getattr(e, column)[at])} cannot be right; "
                "re-import the recording, or leave the market out with markets="
            )


__all__ = [
    "NO_TIME",
    "POLLED",
    "REBUILT_SUFFIX",
    "EventFlag",
    "EventKind",
    "Events",
    "FeeUpdate",
    "GridUpdate",
    "Int8Array",
    "Int64Array",
    "MarketInfo",
    "MarketQuality",
    "Pause",
    "PriceRanges",
    "QualityReport",
    "Session",
    "SessionInfo",
    "validate_events",
]
