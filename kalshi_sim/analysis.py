"""What a session offers an agent: rows, spreads, depth, activity, coverage and quality."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import MIN_VIEW_ROWS
from kalshi_sim.errors import NoViewsError
from kalshi_sim.session import EventKind, MarketInfo, MarketQuality, QualityReport, Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from kalshi_sim.units import (
    MS_PER_MINUTE,
    MS_PER_SECOND,
    SIZE_SCALE,
    STORED_PER_CENT,
    money_per_cent,
)


@dataclass(frozen=True)
class MarketAnalysis:
    """One market of a session; prices in cents, sizes in contracts, medians over its rows."""

    market_ticker: str
    event: str
    suitable: bool
    """Whether it has rows enough for an episode."""
    reason: str
    """Why it is not suitable; empty if it is."""
    rows: int
    rows_after_close: int
    minutes: float
    """From its first row to its last."""
    rows_per_minute: float | None
    longest_gap_seconds: float | None
    two_sided_share: float | None
    spread_median_cents: float | None
    spread_mean_cents: float | None
    bid_size_median: float | None
    ask_size_median: float | None
    depth_median: float | None
    """Contracts on both sides of the levels a row keeps."""
    deltas: int
    trades: int
    contracts_traded: float
    settlement_value_cents: float | None
    close_time_ms: int | None
    sub_penny: bool


@dataclass(frozen=True)
class SessionAnalysis:
    """A session as a whole, its markets, and what its import and replay counted."""

    session_id: int
    source: str
    started_ms: int
    ended_ms: int
    minutes: float
    markets: int
    suitable_markets: int
    rows: int
    rows_per_market: dict[str, float]
    """Percentiles over suitable markets."""
    rows_per_minute: float
    trades_recorded: bool
    settled_markets: int
    min_episode_length: int
    total: MarketQuality
    """The quality of all markets together."""
    quality: QualityReport
    details: tuple[MarketAnalysis, ...]
    """Each market, those with most rows first."""


def analyze_session(
    session: Session,
    *,
    min_episode_length: int = 10,
    tape: Tape | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SessionAnalysis:
    """Measure what a session offers an agent.

    Args:
        session: what to measure.
        min_episode_length: fewest rows of a suitable market.
        tape: the session's tape, if there is one (`load_tape`), built with this
            `min_episode_length`; else the session is replayed market by market, so that memory
            holds one market's rows.
        progress: called with (markets done, markets in all) after each.

    Returns:
        Figures of the whole session and, in `details`, of each market, the one with most rows
        first.

    Raises:
        ConfigError: `min_episode_length` is out of range.
    """
    details = []
    known = {} if tape is None else _by_ticker(tape, session.session_id)
    for i, market in enumerate(session.markets):
        found = known.get(market.ticker) or _replayed(session, market, min_episode_length)
        details.append(_analyze_market(session, market, found))
        if progress is not None:
            progress(i + 1, len(session.markets))
    details.sort(key=lambda m: (-m.rows, m.market_ticker))
    suitable = [m for m in details if m.suitable]
    started = session.first_book_ms if session.started_ms is None else session.started_ms
    minutes = (session.last_message_ms - started) / MS_PER_MINUTE
    rows = sum(m.rows for m in details)
    return SessionAnalysis(
        session_id=session.session_id,
        source=session.source,
        started_ms=started,
        ended_ms=session.last_message_ms,
        minutes=minutes,
        markets=len(details),
        suitable_markets=len(suitable),
        rows=rows,
        rows_per_market=_percentiles([m.rows for m in suitable]),
        rows_per_minute=rows / minutes if minutes > 0 else 0.0,
        trades_recorded=session.trades_recorded,
        settled_markets=sum(m.settlement_value is not None for m in session.markets),
        min_episode_length=min_episode_length,
        total=session.quality.total,
        quality=session.quality,
        details=tuple(details),
    )


def _percentiles(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{p}": float(np.percentile(values, p)) for p in (0, 25, 50, 75, 90, 100)}


@dataclass(frozen=True)
class _Rows:
    """The rows of one market, or why it has too few."""

    count: int
    """Before its close time."""
    reason: str = ""
    after_close: int = 0
    tape: Tape | None = None
    rows: slice = field(default_factory=lambda: slice(0, 0))
    """Of the tape."""


def _by_ticker(tape: Tape, session_id: int) -> dict[str, _Rows]:
    found = {
        s.market_ticker: _Rows(s.rows, s.reason) for s in tape.skipped if s.session_id == session_id
    }
    for view in tape.views:
        if view.session_id == session_id:
            rows = _Rows(len(view), "", view.rows_after_close, tape, view.rows)
            found[view.market_ticker] = rows
    return found


def _replayed(session: Session, market: MarketInfo, min_episode_length: int) -> _Rows:
    alone = session.select([market.ticker])
    try:
        tape = build_tape([alone], min_episode_length=min_episode_length)
    except NoViewsError:
        return _why_not(alone, min_episode_length)
    return _by_ticker(tape, session.session_id)[market.ticker]


def _analyze_market(session: Session, market: MarketInfo, found: _Rows) -> MarketAnalysis:
    events = session.market_events(market.ticker)
    trades = events.kind == EventKind.TRADE
    measured: dict[str, float | None] = dict.fromkeys(_MEASURES)
    minutes = 0.0
    if found.tape is not None:
        ts = found.tape.ts_ms[found.rows]
        minutes = float(ts[-1] - ts[0]) / MS_PER_MINUTE
        measured = _measure(found.tape, found.rows, minutes)
    value = market.settlement_value
    return MarketAnalysis(
        market_ticker=market.ticker,
        event=market.event,
        suitable=not found.reason,
        reason=found.reason,
        rows=found.count,
        rows_after_close=found.after_close,
        minutes=minutes,
        **measured,
        deltas=int((events.kind == EventKind.DELTA).sum()),
        trades=int(trades.sum()),
        contracts_traded=int(events.size[trades].sum()) / SIZE_SCALE,
        settlement_value_cents=None if value is None else value / STORED_PER_CENT,
        close_time_ms=market.close_time_ms,
        sub_penny=market.sub_penny,
    )


def _why_not(alone: Session, min_episode_length: int) -> _Rows:
    """The reason a market has no view, and the rows it has before its close time."""
    total = alone.quality.total
    if not (alone.events.kind == EventKind.SNAPSHOT).any():
        return _Rows(0, "no snapshot of the book, so no row")
    rows = min(total.rows, MIN_VIEW_ROWS - 1)
    if min_episode_length > MIN_VIEW_ROWS and total.rows >= MIN_VIEW_ROWS:
        with suppress(NoViewsError):
            rows = len(build_tape([alone], min_episode_length=MIN_VIEW_ROWS))
    after = total.rows - rows
    late = f" before the close time, {after} after" if after else ""
    return _Rows(rows, f"{rows} rows{late}; needs {min_episode_length}")


_MEASURES = (
    "rows_per_minute",
    "longest_gap_seconds",
    "two_sided_share",
    "spread_median_cents",
    "spread_mean_cents",
    "bid_size_median",
    "ask_size_median",
    "depth_median",
)


def _measure(tape: Tape, rows: slice, minutes: float) -> dict[str, float | None]:
    """Means and medians over the rows of one market."""
    cent = money_per_cent(tape.payout)
    (px, qty), ts = tape.book(rows), tape.ts_ms[rows]
    best, size = px[:, :, 0], qty[:, :, 0]
    two_sided = (best > 0).all(axis=1)
    spread = (tape.payout - best.sum(axis=1))[two_sided] / cent
    gaps = np.diff(ts)
    values = (
        len(ts) / minutes if minutes > 0 else None,
        float(gaps.max()) / MS_PER_SECOND if len(gaps) else None,
        float(two_sided.mean()),
        _median(spread),
        float(spread.mean()) if len(spread) else None,
        _median(size[best[:, 0] > 0, 0]),
        _median(size[best[:, 1] > 0, 1]),
        _median(qty.sum(axis=(1, 2))),
    )
    return dict(zip(_MEASURES, values, strict=True))


def _median(values: npt.NDArray[np.number]) -> float | None:
    return float(np.median(values)) if len(values) else None
