"""What commands show of sessions: what an import counted, a store's list, an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kalshi_sim.cli.console import (
    clock,
    count,
    decimal,
    print_json,
    print_notes,
    share,
)
from kalshi_sim.cli.tables import Layout, print_pairs, print_table, print_text
from kalshi_sim.origins import origin_of
from kalshi_sim.units import CENTS_PER_DOLLAR

if TYPE_CHECKING:
    from kalshi_sim.analysis import SessionAnalysis
    from kalshi_sim.session import Session, SessionInfo


def report_import(session: Session, store: str, seconds: float, *, as_json: bool) -> None:
    """Print what an import or a generator made.

    Args:
        session: what was made.
        store: where it was saved, without a password.
        seconds: how long the work took, in s.
        as_json: print JSON instead of tables.
    """
    quality = session.quality
    total = quality.total
    if as_json:
        info = session.info
        print_json(
            {
                "session_id": session.session_id,
                "store": store,
                "source": session.source,
                "started_at": info.started_at,
                "ended_at": info.ended_at,
                "markets": info.markets,
                "sub_penny_markets": sum(m.sub_penny for m in session.markets),
                "book_frames": total.frames,
                "snapshots": total.snapshots,
                "deltas": total.deltas,
                "trades": total.trades,
                "trades_matched": total.trades_matched,
                "match_rate": total.trades_matched / total.trades if total.trades else None,
                "trades_recorded": session.trades_recorded,
                "gaps": total.gaps,
                "gaps_checked": quality.gaps_checked,
                "rows": total.rows,
                "bad_lines": quality.bad_lines,
                "seconds": seconds,
                "frames_per_second": total.frames / seconds,
                "quality": quality,
                "total": total,
            }
        )
        return
    rows = [
        ("time (UTC)", f"{clock(session.started_ms)} to {clock(session.last_message_ms)}"),
        ("markets", f"{count(len(session.markets))}{_sub_penny(session)}"),
        ("book frames", count(total.frames)),
        ("snapshots", count(total.snapshots)),
        ("deltas", count(total.deltas)),
        ("trades", _trades(session)),
        ("gaps", _gaps(session)),
        ("rows at 1 ms", count(total.rows)),
        *_quality_rows(session),
        ("speed", f"{total.frames / seconds:,.0f} book frames/s, {seconds:.1f} s"),
    ]
    print_pairs(f"session {session.session_id} is in {store}", rows)
    print_notes(quality.notes)


def _sub_penny(session: Session) -> str:
    fine = sum(m.sub_penny for m in session.markets)
    return f", {fine} with sub-penny prices" if fine else ""


def _trades(session: Session) -> str:
    total = session.quality.total
    if not session.trades_recorded:
        return "not recorded"
    matched = share(total.trades_matched, total.trades)
    return f"{count(total.trades)}, {count(total.trades_matched)} matched ({matched})"


def _gaps(session: Session) -> str:
    """How many gaps there are, and whether holes in the sequence numbers were looked for."""
    from kalshi_sim.gaps import gaps_text

    gaps = session.quality.total.gaps
    if session.quality.gaps_checked:
        return gaps_text(session)
    return f"{gaps_text(session)}, holes in seq not checked" if gaps else "not checked"


def _quality_rows(session: Session) -> list[tuple[str, str]]:
    """What was dropped, clamped, raised, inferred, crossed or changed, where there was any."""
    total = session.quality.total
    labels = (
        ("trades_unmatched", "trades unmatched"),
        ("block_trades_dropped", "block trades dropped"),
        ("passed_over", "frames of other subscriptions passed over"),
        ("repeated_frames", "frames recorded twice, read once"),
        ("late_deltas", "deltas written late, put in place"),
        ("dropped_before_snapshot", "deltas dropped, before a snapshot"),
        ("dropped_in_gap", "events dropped, in a gap"),
        ("clamped_deltas", "deltas clamped at zero"),
        ("raised_times", "times raised"),
        ("inferred_times", "frames without a time"),
        ("crossed_ms", "milliseconds crossed or locked"),
        ("empty_ms", "milliseconds with an empty book"),
        ("untrusted_levels", "levels of unknown size"),
        ("rebuilt_books", "books without a first snapshot, rebuilt"),
        ("pauses", "pauses of trading"),
        ("grid_updates", "changes of the grid"),
        ("fee_updates", "changes of the fees"),
        ("bad_rows", "rows skipped as bad"),
    )
    rows = [(label, count(getattr(total, name))) for name, label in labels if getattr(total, name)]
    others = session.quality.other_frames
    if others:
        rows.append(("other frames", ", ".join(f"{count(n)} {kind}" for kind, n in others.items())))
    if session.quality.bad_lines:
        rows.append(("malformed lines skipped", count(session.quality.bad_lines)))
    return rows


LIST_COLUMNS: Final = (
    "session",
    "name",
    "data",
    "started (UTC)",
    "minutes",
    "markets",
    "deltas",
    "trades",
    "snapshots",
    "source",
    "note",
)
"""Columns of a store's list of sessions."""


def show_sessions(title: str, sessions: Sequence[SessionInfo], layout: Layout) -> None:
    """Print a store's list of sessions.

    Args:
        title: stands above it.
        sessions: what the store has.
        layout: which columns to show.
    """
    print_table(
        title,
        LIST_COLUMNS,
        [_session_row(info) for info in sessions],
        words=("name", "data", "started (UTC)", "source", "note"),
        layout=layout,
        least=("source", "snapshots", "minutes", "note"),
    )


def _session_row(info: SessionInfo) -> tuple[str, ...]:
    minutes = (info.ended_at - info.started_at).total_seconds() / 60
    return (
        str(info.session_id),
        info.name,
        "generated" if info.generated else origin_of(info.source),
        info.started_at.strftime("%Y-%m-%d %H:%M"),
        decimal(minutes),
        count(info.markets),
        count(info.deltas),
        count(info.trades),
        count(info.snapshots),
        info.source,
        info.note,
    )


def _data_text(session: Session) -> str:
    """Whether it was recorded, and from what."""
    return f"{origin_of(session.source, (m.ticker for m in session.markets))} ({session.source})"


MARKET_COLUMNS: Final = (
    "market",
    "rows",
    "spread",
    "result",
    "trades",
    "bid size",
    "ask size",
    "contracts",
    "minutes",
    "rows/min",
    "longest gap s",
    "two-sided",
    "depth",
    "unsuitable",
)
"""Columns of the markets that `analyze` shows, the important ones first."""


def show_analysis(session: Session, found: SessionAnalysis, top: int, layout: Layout) -> None:
    """Print what `analyze` found.

    Args:
        session: the session that was analyzed.
        found: the figures of it.
        top: how many markets to list, those with most rows.
        layout: which columns of the markets to show.
    """
    per_market = ", ".join(f"{name} {value:,.0f}" for name, value in found.rows_per_market.items())
    rows = [
        ("data", _data_text(session)),
        ("time (UTC)", f"{clock(found.started_ms)} to {clock(found.ended_ms)}"),
        ("length", decimal(found.minutes, unit=" minutes")),
        ("markets", f"{count(found.markets)}{_sub_penny(session)}"),
        (
            "suitable markets",
            f"{count(found.suitable_markets)}, {found.min_episode_length} rows or more",
        ),
        ("with a known result", count(found.settled_markets)),
        ("rows", f"{count(found.rows)}, {found.rows_per_minute:,.0f} a minute"),
        ("rows per suitable market", per_market or "-"),
        ("book frames", count(found.total.frames)),
        ("trades", _trades(session)),
        ("gaps", _gaps(session)),
        *_quality_rows(session),
    ]
    print_pairs(f"session {found.session_id}", rows)
    print_notes(session.quality.notes)
    shown = found.details[: max(top, 0)]
    print_table(
        f"the {len(shown)} markets with most rows, medians over rows; prices in cents, sizes in "
        "contracts",
        MARKET_COLUMNS,
        [
            (
                m.market_ticker,
                count(m.rows),
                decimal(m.spread_median_cents),
                result_text(m.settlement_value_cents),
                count(m.trades),
                decimal(m.bid_size_median, 0),
                decimal(m.ask_size_median, 0),
                decimal(m.contracts_traded, 0),
                decimal(m.minutes),
                decimal(m.rows_per_minute),
                decimal(m.longest_gap_seconds),
                decimal(None if m.two_sided_share is None else 100 * m.two_sided_share, unit=" %"),
                decimal(m.depth_median, 0),
                m.reason,
            )
            for m in shown
        ],
        words=("result", "unsuitable"),
        layout=layout,
    )
    unfit = found.markets - found.suitable_markets
    if unfit:
        print_text(
            f"{count(unfit)} of {count(found.markets)} markets are not suitable; --json names all"
        )


def result_text(settlement_cents: float | None) -> str:
    """A market's result: YES, NO, what a contract pays in cents, or a dash if it is not known."""
    if settlement_cents is None:
        return "-"
    known = {float(CENTS_PER_DOLLAR): "YES", 0.0: "NO"}
    return known.get(float(settlement_cents), f"pays {settlement_cents:g}")
