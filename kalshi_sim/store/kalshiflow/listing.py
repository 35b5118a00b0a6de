"""Which sessions a kalshiflow database has: their list, their numbers, their fingerprints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from kalshi_sim.errors import StoreError
from kalshi_sim.session import SessionInfo
from kalshi_sim.store.kalshiflow.eras import era_of
from kalshi_sim.store.kalshiflow.rows import DELTAS, MAX_MS, SNAPSHOTS, sample_ladders
from kalshi_sim.store.numbers import DATES, NO_DATE
from kalshi_sim.units import MS_PER_SECOND

SESSIONS: Final = "rl_orderbook_sessions"

SOURCE: Final = "kalshiflow "
BOTH_SIZES: Final = "old_size > 0 AND new_size > 0"
TIMED: Final = f"FILTER (WHERE timestamp_ms BETWEEN 0 AND {MAX_MS})"
FIRST: Final = f"min(timestamp_ms) {TIMED}"
LAST: Final = f"max(timestamp_ms) {TIMED}"
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
    """The highest id the recorder gave that is no date, 0 if none."""
    query = f"SELECT coalesce(max(session_id), 0) FROM {SESSIONS} WHERE session_id {NO_DATE}"
    highest = int(await connection.fetchval(query))
    last = await _last_given(connection) or 0
    return highest if last in DATES else max(highest, last)


async def reserve_id(connection: Any, session_id: int) -> None:
    """Move the recorder's numbering past an id that is being saved beside its sessions.

    Else the recorder would give the same number to a later session. Where this role may not
    do that, such a clash is found and reported when the session is loaded.

    Args:
        connection: to the database, in the transaction that saves.
        session_id: the id being saved.
    """
    if session_id in DATES:  # the recorder counts, and does not get there
        return
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
        WITH n AS (SELECT session_id, count(*) AS snapshots, {FIRST} AS first_ms,
                          {LAST} AS last_ms FROM {SNAPSHOTS} GROUP BY session_id),
             d AS (SELECT session_id, count(*) AS deltas, {FIRST} AS first_ms,
                          {LAST} AS last_ms,
                          coalesce(bool_or({BOTH_SIZES}), false) AS both_sizes
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
        started_ms = ms_of(started)
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
                source=SOURCE + era,
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


def ms_of(time: datetime | None) -> int:
    """A time in ms since 1970 UTC; 0 if there is none."""
    return int(time.timestamp() * MS_PER_SECOND) if time else 0


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / MS_PER_SECOND, UTC)
