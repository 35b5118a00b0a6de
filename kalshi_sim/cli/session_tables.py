"""What commands show of sessions: what an import counted, a store's list, an analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalshi_sim.cli.console import (
    clock,
    count,
    decimal,
    print_json,
    print_notes,
    print_table,
    share,
)

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
    print_table(f"session {session.session_id} is in {store}", ("", ""), rows, left=2)
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
    gaps = session.quality.total.gaps
    if session.quality.gaps_checked:
        return count(gaps)
    return f"{count(gaps)}, holes in seq not checked" if gaps else "not checked"


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


def session_row(info: SessionInfo) -> tuple[str, ...]:
    """A session's line in a store's list.

    Returns:
        A text for each column.
    """
    minutes = (info.ended_at - info.started_at).total_seconds() / 60
    return (
        str(info.session_id),
        info.source,
        info.started_at.strftime("%Y-%m-%d %H:%M:%S"),
        decimal(minutes),
        count(info.markets),
        count(info.snapshots),
        count(info.deltas),
        count(info.trades),
    )


def show_analysis(session: Session, found: SessionAnalysis, top: int) -> None:
    """Print what `analyze` found.

    Args:
        session: what was analysed.
        found: the figures.
        top: how many markets to list, those with most rows.
    """
    per_market = ", ".join(f"{name} {value:,.0f}" for name, value in found.rows_per_market.items())
    rows = [
        ("source", found.source),
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
    print_table(f"session {found.session_id}", ("", ""), rows, left=2)
    print_notes(session.quality.notes)
    shown = found.details[: max(top, 0)]
    print_table(
        f"the {len(shown)} markets with most rows, medians over rows",
        (
            "market",
            "rows",
            "minutes",
            "rows/min",
            "longest gap",
            "spread",
            "two-sided",
            "bid size",
            "ask size",
            "depth",
            "trades",
            "contracts",
            "result",
            "",
        ),
        [
            (
                m.market_ticker,
                count(m.rows),
                decimal(m.minutes),
                decimal(m.rows_per_minute),
                decimal(m.longest_gap_seconds, unit=" s"),
                decimal(m.spread_median_cents, unit=" c"),
                decimal(None if m.two_sided_share is None else 100 * m.two_sided_share, unit=" %"),
                decimal(m.bid_size_median, 0),
                decimal(m.ask_size_median, 0),
                decimal(m.depth_median, 0),
                count(m.trades),
                decimal(m.contracts_traded, 0),
                decimal(m.settlement_value_cents, 0, " c"),
                m.reason,
            )
            for m in shown
        ],
    )
    unfit = found.markets - found.suitable_markets
    if unfit:
        print(
            f"{count(unfit)} of {count(found.markets)} markets are not suitable; --json names all"
        )
