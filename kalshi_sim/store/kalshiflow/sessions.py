"""A session of the kalshiflow recorder, read as it is; its rows are never changed.

What its three eras meant is in `eras.py` and `era_events.py`, how rows are read in `rows.py`
(snapshots) and `deltas.py`, which sessions there are in `listing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from kalshi_sim.errors import SessionNotFoundError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.session import EventKind, MarketInfo, MarketQuality, Session
from kalshi_sim.store.kalshiflow.deltas import read_deltas
from kalshi_sim.store.kalshiflow.era_events import Deltas, EraEvents, flatten
from kalshi_sim.store.kalshiflow.era_events import to_events as rows_to_events
from kalshi_sim.store.kalshiflow.eras import SPLIT, Era, era_of
from kalshi_sim.store.kalshiflow.listing import BOTH_SIZES, FIRST, LAST, SESSIONS, SOURCE, ms_of
from kalshi_sim.store.kalshiflow.rows import (
    DELTAS,
    SNAPSHOTS,
    BadRows,
    SnapshotRow,
    read_snapshots,
    refuse,
    sample_ladders,
)
from kalshi_sim.store.postgres.connection import Twin


async def load(
    connection: Any,
    twin: Twin,
    session_id: int,
    markets: Sequence[str] | None,
    *,
    skip_bad_rows: bool,
) -> Session:
    """A recorded session (it must exist), with all of its markets or only those named.

    Args:
        connection: to the database, in a transaction.
        twin: makes a second connection in the same snapshot.
        session_id: of the recorder.
        markets: tickers wanted; None for all.
        skip_bad_rows: leave out rows that cannot be right, and count them in the quality report.

    Raises:
        SessionNotFoundError: the session has no row of such a market.
        DataError: rows that cannot be right, unless `skip_bad_rows`.
        StoreError: the tables cannot be read.
    """
    head = await connection.fetchrow(
        f"SELECT market_tickers, started_at, status, error_message FROM {SESSIONS} "
        f"WHERE session_id = {session_id:d}"
    )
    chosen = None if markets is None else list(dict.fromkeys(markets))
    bad = BadRows()
    sample = (await sample_ladders(connection, [session_id]))[session_id]
    # Only the era's being C matters for which columns are needed; that the sample alone shows.
    mirrored = era_of(sample, False, 0) == "C"
    snapshots = await read_snapshots(connection, session_id, chosen, mirrored, bad)
    subscribed = list(dict.fromkeys(head["market_tickers"] or ()))
    known = list(dict.fromkeys([*subscribed, *sorted({row.market for row in snapshots})]))
    started = head["started_at"]
    near_ms = _near(started, snapshots)
    deltas, tickers = await read_deltas(connection, twin, session_id, chosen, known, near_ms, bad)
    span, both_sizes = await _whole_session(connection, session_id, chosen, snapshots, deltas)
    dated_ms = span[0] if span else ms_of(started)
    era = era_of(sample, both_sizes, dated_ms)
    place = {ticker: i for i, ticker in enumerate(tickers)}
    heads = [(place[row.market], row.ts_ms, row.seq) for row in snapshots]
    flat = flatten(heads, [row.ladders.bids(era) for row in snapshots])
    read = rows_to_events(era, flat, deltas, len(tickers))
    if read.ties:
        # Without the recorder's unique key, rows of one number are distinguished by their ids.
        by_id = (connection, None, session_id, chosen, tickers, near_ms, BadRows())
        deltas, _ = await read_deltas(*by_id)
        read = rows_to_events(era, flat, deltas, len(tickers))
    refuse(bad, session_id, skip_bad_rows)
    return _session(session_id, chosen, markets, tickers, era, read, span, bad, head)


def _near(started: datetime | None, snapshots: Sequence[SnapshotRow]) -> int:
    """A time amid the session, of what is known before its deltas are read; 0 if nothing is."""
    if snapshots:
        return int(np.median([row.ts_ms for row in snapshots]))
    return ms_of(started)


async def _whole_session(
    connection: Any,
    session_id: int,
    chosen: Sequence[str] | None,
    snapshots: Sequence[SnapshotRow],
    deltas: Deltas,
) -> tuple[tuple[int, int, int] | None, bool]:
    """((first row's time, last row's time, first snapshot's time) or None, whether a delta has
    both sizes), of the whole session however few of its markets were read."""
    if chosen is None:
        times = np.concatenate([deltas.ts_ms, [row.ts_ms for row in snapshots]]).astype(np.int64)
        both = bool(((deltas.old > 0) & (deltas.new > 0)).any())
        if not len(times):
            return None, both
        first_book = min((row.ts_ms for row in snapshots), default=int(times.min()))
        return (int(times.min()), int(times.max()), first_book), both
    row = await connection.fetchrow(f"""
        SELECT least(n.first, d.first), greatest(n.last, d.last), coalesce(n.first, d.first), b
        FROM (SELECT {FIRST} AS first, {LAST} AS last
              FROM {SNAPSHOTS} WHERE session_id = {session_id:d}) n,
             (SELECT {FIRST} AS first, {LAST} AS last,
                     coalesce(bool_or({BOTH_SIZES}), false) AS b
              FROM {DELTAS} WHERE session_id = {session_id:d}) d""")
    return (None if row[0] is None else (row[0], row[1], row[2])), row[3]


def _session(
    session_id: int,
    chosen: Sequence[str] | None,
    markets: Sequence[str] | None,
    tickers: Sequence[str],
    era: Era,
    read: EraEvents,
    span: tuple[int, int, int] | None,
    bad: BadRows,
    head: Any,
) -> Session:
    has_rows = np.zeros(len(tickers), dtype=np.bool_)
    has_rows[read.market] = True
    for i, ticker in enumerate(tickers):
        has_rows[i] |= ticker in bad.counts
    if chosen is not None:
        present = {t for t, there in zip(tickers, has_rows, strict=True) if there}
        for ticker in chosen:
            if ticker not in present:
                raise SessionNotFoundError(f"session {session_id} has no row of market {ticker!r}")
    kept = np.cumsum(has_rows) - 1
    infos = [MarketInfo(t) for t, there in zip(tickers, has_rows, strict=True) if there]
    counts = {
        ticker: MarketQuality(
            frames=int(read.untrusted[i]),
            deltas=int(read.untrusted[i]),
            bad_rows=bad.counts.get(ticker, 0),
        )
        for i, ticker in enumerate(tickers)
        if read.untrusted[i] or bad.counts.get(ticker, 0)
    }
    silent = [t for t, there in zip(tickers, has_rows, strict=True) if not there]
    session = assemble_session(
        session_id,
        infos,
        kept[read.market],
        read.events,
        trades_recorded=False,
        source=SOURCE + era,
        started_ms=None if span is None else span[0],
        last_message_ms=None if span is None else span[1],
        counts=counts,
        notes=_notes(era, read, bad, head, [] if chosen is not None else silent),
    )
    if chosen is None or span is None:
        return session
    return replace(session, first_book_ms=span[2]).select(list(markets or ()))


def _notes(
    era: Era, read: EraEvents, bad: BadRows, head: Any, silent: Sequence[str]
) -> tuple[str, ...]:
    """What people should know of this recording."""
    drops = int((read.events.kind == EventKind.DROP_LEVEL).sum())
    lost = {
        "A": "levels and changes are recovered exactly",
        "B": (
            f"exact up to {SPLIT} cents; above, "
            f"{drops} levels lost their size with a change and are out of the book until the next "
            f"snapshot, their {int(read.untrusted.sum()) - drops} further changes left out"
        ),
        "C": "as stored",
    }[era]
    notes = [f"kalshiflow era {era}: {lost}; receive clock, no trades, no results"]
    if read.unseen:
        notes.append(
            f"{read.unseen} deltas name an old size that the book did not hold: rows are missing "
            "before them; the sizes they lead to were taken as recorded"
        )
    if read.restarts:
        gaps = int((read.events.kind == EventKind.GAP).sum())
        notes.append(
            f"the recorder connected anew {read.restarts} times (counted per market); {gaps} times "
            "no snapshot was kept, and the market's book is invalid until the next one"
        )
    if silent:
        few = ", ".join(silent[:3]) + (", ..." if len(silent) > 3 else "")
        notes.append(f"{len(silent)} subscribed markets have no row: {few}")
    if head["status"] == "active":
        notes.append("the recorder marks the session as active: it may be incomplete")
    if head["error_message"]:
        notes.append(f"the recorder noted an error: {head['error_message']}")
    if bad.counts:
        notes.append(f"skipped {bad.text}")
    return tuple(notes)
