"""What a session offers an agent: rows, spreads, depth, activity, coverage and quality."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import MIN_VIEW_ROWS
from kalshi_sim.errors import NoViewsError
from kalshi_sim.session import EventKind, MarketInfo, MarketQuality, QualityReport, Session
from kalshi_sim.tape import Tape, build_tape
from kalshi_sim.units import MS_PER_SECOND, SIZE_SCALE, STORED_PER_CENT, money_per_cent

_MS_PER_MINUTE = 60 * MS_PER_SECOND


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
    progress: Callable[[int, int], None] | None = None,
) -> SessionAnalysis:
    """Replay a session market by market, so that memory holds one market's rows, and measure it.

    Raises:
        ConfigError: `min_episode_length` is out of range.
    """
    details = []
    for i, market in enumerate(session.markets):
        details.append(_analyze_market(session, market, min_episode_length))
        if progress is not None:
            progress(i + 1, len(session.markets))
    details.sort(key=lambda m: (-m.rows, m.market_ticker))
    suitable = [m for m in details if m.suitable]
    started = session.first_book_ms if session.started_ms is None else session.started_ms
    minutes = (session.last_message_ms - started) / _MS_PER_MINUTE
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


def _analyze_market(
    session: Session, market: MarketInfo, min_episode_length: int
) -> MarketAnalysis:
    alone = session.select([market.ticker])
    quality = session.quality.markets.get(market.ticker, MarketQuality())
    trades = alone.events.kind == EventKind.TRADE
    reason, rows, after_close = "", quality.rows, 0
    measured: dict[str, float | None] = dict.fromkeys(_MEASURES)
    minutes = 0.0
    try:
        tape = build_tape([alone], min_episode_length=min_episode_length)
    except NoViewsError:
        reason, rows = _why_not(alone, min_episode_length)
    else:
        rows, after_close = len(tape), tape.views[0].rows_after_close
        minutes = float(tape.ts_ms[-1] - tape.ts_ms[0]) / _MS_PER_MINUTE
        measured = _measure(tape, minutes)
    value = market.settlement_value
    return MarketAnalysis(
        market_ticker=market.ticker,
        event=market.event,
        suitable=not reason,
        reason=reason,
        rows=rows,
        rows_after_close=after_close,
        minutes=minutes,
        **measured,
        deltas=int((alone.events.kind == EventKind.DELTA).sum()),
        trades=int(trades.sum()),
        contracts_traded=int(alone.events.size[trades].sum()) / SIZE_SCALE,
        settlement_value_cents=None if value is None else value / STORED_PER_CENT,
        close_time_ms=market.close_time_ms,
        sub_penny=market.sub_penny,
    )


def _why_not(alone: Session, min_episode_length: int) -> tuple[str, int]:
    """The reason a market has no view, and the rows it has before its close time."""
    total = alone.quality.total
    if not (alone.events.kind == EventKind.SNAPSHOT).any():
        return "no snapshot of the book, so no row", 0
    rows = min(total.rows, MIN_VIEW_ROWS - 1)
    if min_episode_length > MIN_VIEW_ROWS and total.rows >= MIN_VIEW_ROWS:
        with suppress(NoViewsError):
            rows = len(build_tape([alone], min_episode_length=MIN_VIEW_ROWS))
    after = total.rows - rows
    late = f" before the close time, {after} after" if after else ""
    return f"{rows} rows{late}; needs {min_episode_length}", rows


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


def _measure(tape: Tape, minutes: float) -> dict[str, float | None]:
    """Means and medians over the rows of a tape of one market."""
    cent = money_per_cent(tape.payout)
    best, size = tape.px[:, :, 0], tape.qty[:, :, 0]
    two_sided = (best > 0).all(axis=1)
    spread = (tape.payout - best.sum(axis=1))[two_sided] / cent
    gaps = np.diff(tape.ts_ms)
    values = (
        len(tape) / minutes if minutes > 0 else None,
        float(gaps.max()) / MS_PER_SECOND if len(gaps) else None,
        float(two_sided.mean()),
        _median(spread),
        float(spread.mean()) if len(spread) else None,
        _median(size[best[:, 0] > 0, 0]),
        _median(size[best[:, 1] > 0, 1]),
        _median(tape.qty.sum(axis=(1, 2))),
    )
    return dict(zip(_MEASURES, values, strict=True))


def _median(values: npt.NDArray[np.number]) -> float | None:
    return float(np.median(values)) if len(values) else None
