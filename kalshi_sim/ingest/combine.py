"""Several sessions as one: their markets beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.continued import continued
from kalshi_sim.session import Events, MarketQuality, QualityReport, Session


def combine_sessions(sessions: Sequence[Session], session_id: int) -> Session:
    """One session with all markets of several, by ticker.

    Args:
        sessions: two or more, of one kind. A market may be in several that were recorded one after
            the other: it goes on with the snapshot of the later one.
        session_id: of the new session.

    Returns:
        The new session; it begins with the earliest and ends with the latest of them.

    Raises:
        DataError: they recorded a market at the same time, only some have trades, or they are of
            different kinds.
    """
    first = sessions[0]
    for other in sessions[1:]:
        if other.source != first.source:
            raise DataError(
                f"session {first.session_id} is from {first.source}, session {other.session_id} "
                f"from {other.source}: sessions of different kinds are not merged"
            )
        if other.trades_recorded != first.trades_recorded:
            with_trades = first if first.trades_recorded else other
            raise DataError(
                f"only session {with_trades.session_id} was recorded with trades: sessions with "
                "and without trades are not merged, as their orders fill by different rules"
            )
    tickers = sorted({m.ticker for s in sessions for m in s.markets})
    parts = [continued(sessions, ticker) for ticker in tickers]
    offsets = np.concatenate([[0], np.cumsum([len(events) for _, events in parts])])
    starts = [s.first_book_ms if s.started_ms is None else s.started_ms for s in sessions]
    return replace(
        first,
        session_id=session_id,
        markets=tuple(market for market, _ in parts),
        events=Events.concatenate([events for _, events in parts]),
        market_offsets=offsets.astype(np.int64),
        first_book_ms=min(s.first_book_ms for s in sessions),
        last_message_ms=max(s.last_message_ms for s in sessions),
        started_ms=min(starts),
        quality=_quality(sessions),
        name="",
        note="",
    )


def _quality(sessions: Sequence[Session]) -> QualityReport:
    markets: dict[str, MarketQuality] = {}
    others: Counter[str] = Counter()
    for session in sessions:
        for ticker, found in session.quality.markets.items():
            markets[ticker] = markets.get(ticker, MarketQuality()) + found
        others.update(session.quality.other_frames)
    merged = ", ".join(str(s.session_id) for s in sessions)
    notes = [f"session {s.session_id}: {note}" for s in sessions for note in s.quality.notes]
    return QualityReport(
        markets=dict(sorted(markets.items())),
        notes=(f"made of sessions {merged}", *notes),
        other_frames=dict(sorted(others.items())),
        bad_lines=sum(s.quality.bad_lines for s in sessions),
        gaps_checked=all(s.quality.gaps_checked for s in sessions),
    )
