"""Sessions of the kalshiflow recorder, read as they are; its tables are never written.

What its three eras meant is in `kalshiflow_eras.py`, how rows are read in `kalshiflow_rows.py`
(snapshots) and `kalshiflow_deltas.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from kalshi_sim.errors import SessionNotFoundError, StoreError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.session import EventKind, MarketInfo, MarketQuality, Session, SessionInfo
from kalshi_sim.store.kalshiflow.deltas import read_deltas
from kalshi_sim.store.kalshiflow.eras import SPLIT, Deltas, Era, EraEvents, era_of, flatten
from kalshi_sim.store.kalshiflow.eras import to_events as rows_to_events
from kalshi_sim.store.kalshiflow.rows import (
    DELTAS,
    MAX_MS,
    SNAPSHOTS,
    BadRows,
    SnapshotRow,
    read_snapshots,
    refuse,
    sample_ladders,
)
from kalshi_sim.store.postgres.connection import Twin
from kalshi_sim.units import MS_PER_SECOND

SESSIONS: Final = "rl_orderbook_sessions"

_SOURCE: Final = "kalshiflow "
_BOTH_SIZES: Final = "old_size > 0 AND new_size > 0"
_TIMED: Final = f"FILTER (WHERE timestamp_ms BETWEEN 0 AND {MAX_MS})"
_FIRST: Final = f"min(timestamp_ms) {_TIMED}"
_LAST: Final = f"max(timestamp_ms) {_TIMED}"
_SEQUENCE: Final = f"pg_get_serial_sequence('{SESSIONS}', 'session_id')::regclass"


async def exist(connection: Any) -> bool:
    """Whether the recorder's tables are there.

    Raises:
        StoreError: some of them are missing.
    """
    names = (SESSIONS, SNAPSHOTS, DELTAS)
    row = await connection.fetchrow(
        "SELECT " + ", ".join(f"to_regclass('{name}') IS NOT NULL" for name in names)
    )
    missing = [name for name, there in zip(names, row, strict=True) if not there]
    if missing and len(missing) < len(names):
        raise StoreError(
            f"of the recorder's tables {', '.join(missing)} is missing; "
            "check the database in the URL and its search_path"
        )
    return not missing


async def holds(connection: Any, session_id: int) -> bool:
    """Whether the recorder has a session of this id.

    Args:
        connection: to the database.
        session_id: of the recorder.
    """
    return bool(
        await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {SESSIONS} WHERE session_id = {session_id:d})"
        )
    )


async def highest_id(connection: Any) -> int:
    """The highest id the recorder gave, 0 if none."""
    highest = int(await connection.fetchval(f"SELECT coalesce(max(session_id), 0) FROM {SESSIONS}"))
    return max(highest, await _last_given(connection) or 0)


async def reserve_id(connection: Any, session_id: int) -> None:
    """Move the recorder's numbering past an id that is being saved beside its sessions.

    Else the recorder would give the same number to a later session. Where this role may not
    do that, such a clash is found and reported when the session is loaded.

    Args:
        connection: to the database, in the transaction that saves.
        session_id: the id being saved.
    """
    last = await _last_given(connection, "UPDATE")
    if last is not None and last < session_id:
        await connection.execute(f"SELECT setval({_SEQUENCE}, {session_id:d})")


async def _last_given(connection: Any, privilege: str = "SELECT") -> int | None:
    """The last number the recorder's sequence gave; None if there is none or it is not ours."""
    allowed = await connection.fetchval(
        f"SELECT has_sequence_privilege({_SEQUENCE}, 'SELECT') "
        f"AND has_sequence_privilege({_SEQUENCE}, '{privilege}')"
    )
    if not allowed:
        return None
    last = await connection.fetchval(f"SELECT coalesce(pg_sequence_last_value({_SEQUENCE}), 0)")
    return int(last)


async def list_sessions(connection: Any) -> list[SessionInfo]:
    """The recorder's sessions; rows are counted in one pass over each table."""
    rows = await connection.fetch(f"""
        WITH n AS (SELECT session_id, count(*) AS snapshots, {_FIRST} AS first_ms,
                          {_LAST} AS last_ms FROM {SNAPSHOTS} GROUP BY session_id),
             d AS (SELECT session_id, count(*) AS deltas, {_FIRST} AS first_ms,
                          {_LAST} AS last_ms,
                          coalesce(bool_or({_BOTH_SIZES}), false) AS both_sizes
                   FROM {DELTAS} GROUP BY session_id),
             m AS (SELECT session_id, count(*) AS markets FROM (
                       SELECT session_id, market_ticker FROM {SNAPSHOTS}
                       UNION SELECT session_id, market_ticker FROM {DELTAS}) t GROUP BY session_id)
        SELECT s.session_id, s.started_at, coalesce(s.ended_at, s.started_at) AS ended_at,
               least(n.first_ms, d.first_ms) AS first_ms, greatest(n.last_ms, d.last_ms) AS last_ms,
               coalesce(snapshots, 0) AS snapshots, coalesce(deltas, 0) AS deltas,
               coalesce(markets, 0) AS markets, coalesce(both_sizes, false) AS both_sizes
        FROM {SESSIONS} s LEFT JOIN n USING (session_id) LEFT JOIN d USING (session_id)
        LEFT JOIN m USING (session_id) ORDER BY s.session_id""")
    samples = await sample_ladders(connection, [row["session_id"] for row in rows])
    out: list[SessionInfo] = []
    for row in rows:
        first, last = _time(row["first_ms"]), _time(row["last_ms"])
        started = first or row["started_at"]
        started_ms = _ms(started)
        era = era_of(samples[row["session_id"]], row["both_sizes"], started_ms)
        out.append(
            SessionInfo(
                session_id=row["session_id"],
                started_at=started or datetime.fromtimestamp(0, UTC),
                ended_at=last or row["ended_at"] or datetime.fromtimestamp(0, UTC),
                markets=row["markets"],
                snapshots=row["snapshots"],
                deltas=row["deltas"],
                trades=0,
                source=_SOURCE + era,
                location="rl_orderbook_*",
            )
        )
    return out


async def fingerprint(connection: Any, session_id: int) -> str:
    """Name the rows of a session, in one pass over them in SQL: a sum of hashes, no row is sent.

    Args:
        connection: to the database.
        session_id: of the recorder.

    Returns:
        A text that differs once a row does.
    """
    where = f"WHERE session_id = {session_id:d}"
    row = await connection.fetchrow(f"""
        SELECT * FROM (SELECT count(*), sum(hashtextextended(concat_ws('|', id, market_ticker,
                timestamp_ms, sequence_number, yes_bids, '|', yes_asks, '|', no_bids, '|',
                no_asks), 0)) FROM {SNAPSHOTS} {where}) n,
            (SELECT count(*), sum(hashint8extended(id, timestamp_ms # (sequence_number << 20)
                # (coalesce(old_size, -1)::bigint << 7) # (coalesce(new_size, -1)::bigint << 33)
                # (price::bigint << 50) # ((side = 'no')::integer::bigint << 60)))
             FROM {DELTAS} {where}) d,
            (SELECT status, error_message, started_at FROM {SESSIONS} {where}) s""")
    return "kalshiflow " + " ".join(str(value) for value in row)


def _ms(time: datetime | None) -> int:
    return int(time.timestamp() * MS_PER_SECOND) if time else 0


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / MS_PER_SECOND, UTC)


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
    dated_ms = span[0] if span else _ms(started)
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
    return _ms(started)


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
        FROM (SELECT {_FIRST} AS first, {_LAST} AS last
              FROM {SNAPSHOTS} WHERE session_id = {session_id:d}) n,
             (SELECT {_FIRST} AS first, {_LAST} AS last,
                     coalesce(bool_or({_BOTH_SIZES}), false) AS b
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
        source=_SOURCE + era,
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
