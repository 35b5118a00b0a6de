"""From a merged stream of events to a `Session`: grouping, times, trades, quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.grid import is_sub_penny
from kalshi_sim.ingest.formats import MissingSnapshot
from kalshi_sim.ingest.matching import match_trades as match_trades_to_removals
from kalshi_sim.ingest.missing_snapshot import with_smallest_books
from kalshi_sim.kernels.recorded import resolve_times
from kalshi_sim.quality import audit_events
from kalshi_sim.session import (
    NO_TIME,
    REBUILT_SUFFIX,
    EventFlag,
    EventKind,
    Events,
    Int64Array,
    MarketInfo,
    MarketQuality,
    QualityReport,
    Session,
    validate_events,
)
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE, STORED_PER_CENT

_NAMED: Final = 5
"""A sentence names at most so many markets."""
_NOTHING: Mapping[str, int] = MappingProxyType({})


def assemble_session(
    session_id: int,
    markets: Sequence[MarketInfo],
    market_of: npt.NDArray[np.integer],
    events: Events,
    *,
    trades_recorded: bool,
    source: str,
    started_ms: int | None = None,
    last_message_ms: int | None = None,
    counts: Mapping[str, MarketQuality] | None = None,
    notes: Sequence[str] = (),
    other_frames: Mapping[str, int] = _NOTHING,
    bad_lines: int = 0,
    match_trades: bool = True,
    missing_snapshot: MissingSnapshot = "drop",
    gaps_checked: bool = False,
) -> Session:
    """A session from events in stream order.

    Events are grouped by market, missing times are resolved, trades are matched to removals,
    `sub_penny` is decided and the replay's counts are taken.

    Args:
        session_id: number of the session.
        markets: the session's markets.
        market_of: integers of any dtype [n_events], event i is of `markets[market_of[i]]`.
        events: in merged stream order; a record without a time has `ts_ms` NO_TIME.
        trades_recorded: the recording holds trades, even if a market had none.
        source: kind of recording, as `SessionInfo.source` names it.
        started_ms: start of the recording, in ms since 1970 UTC; None if unknown.
        last_message_ms: its last message, in ms since 1970 UTC; None for that of the events.
        counts: what the reader counted itself, by ticker; added to the counts found here.
        notes: sentences for the quality report.
        other_frames: frames that are no events, by kind.
        bad_lines: malformed lines left out.
        match_trades: match trades to removals; else `traded` stays as it is.
        missing_snapshot: "drop" deltas before a market's first snapshot, or put the "smallest" book
            before them.
        gaps_checked: missing sequence numbers were looked for.

    Returns:
        The session, its quality report filled.

    Raises:
        DataError: an event has a value that cannot be right.
    """
    grouped = events
    if (market_of[1:] < market_of[:-1]).any():
        grouped = events[np.argsort(market_of, kind="stable")]
    sizes = np.bincount(np.asarray(market_of, dtype=np.int64), minlength=len(markets))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    _validate(session_id, markets, grouped, offsets)
    rebuilt = np.empty(0, dtype=np.int64)
    if missing_snapshot == "smallest":
        grouped, offsets, rebuilt = with_smallest_books(grouped, offsets)
    # Trades are matched on times as recorded, so before any is inferred.
    matched = match_trades_to_removals(grouped, offsets) if match_trades else grouped
    ts_ms, flags = matched.ts_ms.copy(), matched.flags.copy()
    inferred = np.zeros(len(markets), dtype=np.int64)
    resolve_times(matched.kind, ts_ms, flags, offsets, inferred)
    table = replace(matched, ts_ms=ts_ms, flags=flags)
    infos = tuple(
        _with_grid(m, table, int(offsets[i]), int(offsets[i + 1])) for i, m in enumerate(markets)
    )
    first_book = _first_book_ms(table, offsets)
    known = table.ts_ms[table.ts_ms != NO_TIME]
    if last_message_ms is None:
        last_message_ms = int(known.max()) if len(known) else 0
    if first_book is None:
        first_book = int(known.min()) if len(known) else last_message_ms
    timeless = [m.ticker for i, m in enumerate(infos) if _is_timeless(table, offsets, i)]
    session = Session(
        session_id=session_id,
        markets=infos,
        events=table,
        market_offsets=offsets,
        first_book_ms=first_book,
        last_message_ms=last_message_ms,
        trades_recorded=trades_recorded,
        source=source,
        started_ms=started_ms,
    )
    quality = _quality(session, inferred, counts or {})
    said = (*notes, *_complaints(quality, timeless))
    if len(rebuilt):
        said = (*said, _rebuilt_note([markets[i].ticker for i in rebuilt.tolist()]))
        session = replace(session, source=source + REBUILT_SUFFIX)
    report = QualityReport(quality, said, dict(other_frames), bad_lines, gaps_checked)
    return replace(session, quality=report)


def _validate(
    session_id: int, markets: Sequence[MarketInfo], events: Events, offsets: Int64Array
) -> None:
    """Refuse values that cannot be right before a kernel uses them as places in an array."""
    validate_events(
        Session(
            session_id=session_id,
            markets=tuple(markets),
            events=events,
            market_offsets=offsets,
            first_book_ms=0,
            last_message_ms=0,
            trades_recorded=False,
        )
    )


def _with_grid(market: MarketInfo, events: Events, first: int, stop: int) -> MarketInfo:
    """`market` with `sub_penny` decided: from its grids if known, else from its prices."""
    fine = any(map(is_sub_penny, market.known_ranges))
    if market.starting_ranges is None and not fine:
        priced = np.isin(
            events.kind[first:stop], (EventKind.LEVEL, EventKind.DELTA, EventKind.TRADE)
        )
        fine = market.sub_penny or bool(
            (priced & (events.price[first:stop] % STORED_PER_CENT != 0)).any()
        )
    return market if fine == market.sub_penny else replace(market, sub_penny=fine)


def _is_book(kind: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    return np.isin(kind, (EventKind.SNAPSHOT, EventKind.LEVEL, EventKind.DELTA))


def _first_book_ms(events: Events, offsets: Int64Array) -> int | None:
    """Time of the first applied book event: the earliest first snapshot of any market.

    What comes before a market's first snapshot is not applied, but its times count for the
    running maximum that the snapshot's time is raised to.
    """
    found: list[int] = []
    book = _is_book(events.kind)
    snapshots = np.flatnonzero(events.kind == EventKind.SNAPSHOT)
    at = np.searchsorted(snapshots, offsets[:-1])
    for first, stop, k in zip(offsets[:-1], offsets[1:], at, strict=True):
        if k == len(snapshots) or snapshots[k] >= stop:
            continue
        until = slice(int(first), int(snapshots[k]) + 1)
        latest = int(events.ts_ms[until][book[until]].max())
        if latest != NO_TIME:
            found.append(latest)
    return min(found, default=None)


def _is_timeless(events: Events, offsets: Int64Array, market: int) -> bool:
    rows = slice(int(offsets[market]), int(offsets[market + 1]))
    book = _is_book(events.kind[rows])
    return bool(book.any()) and bool((events.ts_ms[rows][book] == NO_TIME).all())


def _complaints(quality: Mapping[str, MarketQuality], timeless: Sequence[str]) -> list[str]:
    """Sentences on markets of which nothing can be replayed."""
    notes = [f"{_names(timeless)}: no event has a time, so no row"] if timeless else []
    unseen = [t for t, q in quality.items() if q.deltas and q.dropped_before_snapshot >= q.deltas]
    if unseen:
        lost = sum(quality[t].dropped_before_snapshot for t in unseen)
        notes.append(
            f"{_names(unseen)}: all {lost} deltas came before the first snapshot and were dropped, "
            "so no row of a book; add the part of the recording that has the snapshot, or begin "
            "with the smallest book that fits (--missing-snapshot smallest)"
        )
    return notes


def _rebuilt_note(tickers: Sequence[str]) -> str:
    return (
        f"{_names(tickers)}: no first snapshot; begun with the smallest book that keeps every "
        "level at zero or more: sizes are understated, and no result on it is evidence"
    )


def _names(tickers: Sequence[str]) -> str:
    more = len(tickers) - _NAMED
    return ", ".join(tickers[:_NAMED]) + (f" and {more} more markets" if more > 0 else "")


def _quality(
    session: Session, inferred: Int64Array, counts: Mapping[str, MarketQuality]
) -> dict[str, MarketQuality]:
    """Counts per market: what the replay finds, what was inferred, what the reader counted."""
    fine = any(m.sub_penny for m in session.markets)
    audits = audit_events(
        session.events, session.market_offsets, PAYOUT_FINE if fine else PAYOUT_CENT
    )
    out: dict[str, MarketQuality] = {}
    for i, market in enumerate(session.markets):
        rows = slice(int(session.market_offsets[i]), int(session.market_offsets[i + 1]))
        kind, traded = session.events.kind[rows], session.events.traded[rows]
        trades = kind == EventKind.TRADE
        matched = int((trades & (traded > 0)).sum())
        recorded = session.events.flags[rows] & EventFlag.REBUILT == 0
        snapshots = int(((kind == EventKind.SNAPSHOT) & recorded).sum())
        rebuilt = int(((kind == EventKind.SNAPSHOT) & ~recorded).sum())
        deltas = int((kind == EventKind.DELTA).sum())
        found = MarketQuality(
            frames=snapshots + deltas,
            snapshots=snapshots,
            levels=int(((kind == EventKind.LEVEL) & recorded).sum()),
            deltas=deltas,
            trades=int(trades.sum()),
            trades_matched=matched,
            trades_unmatched=int(trades.sum()) - matched,
            inferred_times=int(inferred[i]) - rebuilt,
            gaps=int((kind == EventKind.GAP).sum()),
            untrusted_levels=int((kind == EventKind.DROP_LEVEL).sum()),
            rebuilt_books=rebuilt,
            pauses=len(market.pauses),
            grid_updates=len(market.grid_updates),
            fee_updates=len(market.fee_updates),
        )
        out[market.ticker] = _merge(found, audits[i], counts.get(market.ticker))
    return out


def _merge(
    found: MarketQuality, audit: MarketQuality, counted: MarketQuality | None
) -> MarketQuality:
    """What both the table and the replay count is taken once; the reader's counts are added."""
    values = {
        f.name: getattr(found, f.name) or getattr(audit, f.name) for f in fields(MarketQuality)
    }
    merged = MarketQuality(**values)
    return merged if counted is None else merged + counted
