"""A recorded session: its events, the markets' metadata (`kalshi_sim.market_info`) and a quality
report (`kalshi_sim.quality_report`).

Events (`kalshi_sim.events`) are grouped by market in the order of `Session.markets` and, within a
market, in stream order. Times of snapshots are already resolved (see
docs/contract.md#2-book-and-events); times that run backwards are raised by the replay, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from kalshi_sim.market_info import FeeUpdate, GridUpdate, MarketInfo, Pause, PriceRanges
from kalshi_sim.quality_report import MarketQuality, QualityReport
from kalshi_sim.units import MS_PER_MINUTE, MS_PER_SECOND, PRICE_SCALE

POLLED: Final = "polls"
"""`source` of a session of polls: books without the changes between them."""
GENERATED_PREFIX: Final = "KXGEN-"
"""Begins the ticker of a generated market; kept through an export and another import."""
_INT64_MAX: Final = int(np.iinfo(np.int64).max)
REBUILT_SUFFIX: Final = ", rebuilt start"
"""Ends the `source` of a session in which a market begins with a book that was not recorded."""


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
    generated: bool = False
    """Whether markets of the generator are in it, whatever the source says."""


def _span(start_ms: int, end_ms: int) -> str:
    """A stretch of time in UTC: 2026-03-18 23:10 and how long it lasts."""
    if start_ms <= 0 or end_ms < start_ms:
        return "no time known"
    start = datetime.fromtimestamp(start_ms / MS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M")
    minutes = (end_ms - start_ms) / MS_PER_MINUTE
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
            generated=any(m.ticker.startswith(GENERATED_PREFIX) for m in self.markets),
        )


def _outside(column: Int64Array | Int8Array, low: int, high: int, where: Any = None) -> int | None:
    """The first place of a value below `low` or above `high`, None if there is none."""
    if not len(column) or (column.min() >= low and column.max() <= high):
        return None
    bad = (column < low) | (column > high)
    if where is not None:
        bad &= where
    at = int(bad.argmax())
    return at if bad[at] else None


def validate_events(session: Session) -> None:
    """Check every event for values that cannot be right.

    Raises:
        DataError: the first bad event, by session, market, index and column.
    """
    e = session.events
    level, delta, trade = (  # as plain numbers: numpy widens the column to compare it with an enum
        e.kind == int(kind) for kind in (EventKind.LEVEL, EventKind.DELTA, EventKind.TRADE)
    )
    checks = (
        ("kind", _outside(e.kind, 0, int(max(EventKind)))),
        ("side", _outside(e.side, 0, 1)),
        ("price", _outside(e.price, 1, PRICE_SCALE - 1, level | delta | trade)),
        ("size", _outside(e.size, 0, _INT64_MAX, level | trade)),
        ("traded", _outside(e.traded, 0, _INT64_MAX)),
    )
    for column, at in checks:
        if at is not None:
            i = int(np.searchsorted(session.market_offsets, at, side="right")) - 1
            raise DataError(
                f"session {session.session_id}, market {session.markets[i].ticker}, "
                f"event {at - int(session.market_offsets[i])}: "
                f"{column} {int(getattr(e, column)[at])} cannot be right; "
                "re-import the recording, or leave the market out with markets="
            )


__all__ = [
    "GENERATED_PREFIX",
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
