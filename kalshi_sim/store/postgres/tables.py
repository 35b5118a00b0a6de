"""The project's own tables: any `Session`, restored exactly as it was.

`kalshi_sim_sessions` holds a session's metadata as JSON, `kalshi_sim_events` one row an event,
`position` being its place in the event table. Both are made by the first save.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from kalshi_sim.errors import DataError, StoreError
from kalshi_sim.session import GENERATED_PREFIX, EventKind, Events, Session, SessionInfo
from kalshi_sim.store.metadata import decode_metadata, encode_metadata
from kalshi_sim.store.numbers import NO_DATE
from kalshi_sim.store.postgres.connection import Twin
from kalshi_sim.store.postgres.copy import WORTH_TWO, Column, copy_in, copy_out, copy_out_in_two

SESSIONS: Final = "kalshi_sim_sessions"
EVENTS: Final = "kalshi_sim_events"

_SAVE_LOCK: Final = 0x6B616C736869
"""Advisory lock: two first saves must not both make the tables."""
_SMALL: Final = ("kind", "side", "flags")
_EVENT_COLUMNS: Final[tuple[Column, ...]] = tuple(
    (f.name, "i2" if f.name in _SMALL else "i8") for f in fields(Events)
)
_STORED_COLUMNS: Final[tuple[Column, ...]] = (
    ("session_id", "i8"),
    ("position", "i8"),
    ("market", "i4"),
    *_EVENT_COLUMNS,
)
_SQL_TYPES: Final = {"i2": "smallint", "i4": "integer", "i8": "bigint"}

_CREATE: Final = (
    f"""CREATE TABLE IF NOT EXISTS {SESSIONS} (
        session_id bigint PRIMARY KEY,
        saved_at timestamptz NOT NULL DEFAULT now(),
        save_token text NOT NULL,
        metadata jsonb NOT NULL)""",
    f"""CREATE TABLE IF NOT EXISTS {EVENTS} (
        {", ".join(f"{name} {_SQL_TYPES[kind]} NOT NULL" for name, kind in _STORED_COLUMNS)},
        PRIMARY KEY (session_id, position))""",
    f"""COMMENT ON TABLE {EVENTS} IS 'Price in 1/100 cent, size in 1/100 contract, market = place
        in the markets of {SESSIONS}.metadata, kind and flags as in kalshi_sim.session.'""",
)


async def exist(connection: Any) -> bool:
    """Whether the tables are there.

    Raises:
        StoreError: only one of them is.
    """
    row = await connection.fetchrow(
        f"SELECT to_regclass('{SESSIONS}') IS NOT NULL, to_regclass('{EVENTS}') IS NOT NULL"
    )
    if row[0] != row[1]:
        missing = EVENTS if row[0] else SESSIONS
        raise StoreError(f"table {missing} is missing beside its twin; restore it from a backup")
    return bool(row[0])


async def list_sessions(connection: Any) -> list[SessionInfo]:
    """All saved sessions; events are counted, one pass over the table."""
    kinds = {"snapshots": EventKind.SNAPSHOT, "deltas": EventKind.DELTA, "trades": EventKind.TRADE}
    counts = ", ".join(f"count(*) FILTER (WHERE kind = {k:d}) AS {n}" for n, k in kinds.items())
    rows = await connection.fetch(f"""
        SELECT s.session_id, coalesce((metadata->>'started_ms')::bigint,
               (metadata->>'first_book_ms')::bigint) AS started_ms,
               (metadata->>'last_message_ms')::bigint AS last_ms, metadata->>'source' AS source,
               coalesce(metadata->>'name', '') AS name, coalesce(metadata->>'note', '') AS note,
               jsonb_array_length(metadata->'markets') AS markets,
               EXISTS (SELECT 1 FROM jsonb_array_elements(metadata->'markets') m
                       WHERE starts_with(m->>'ticker', '{GENERATED_PREFIX}')) AS generated,
               coalesce(snapshots, 0) AS snapshots, coalesce(deltas, 0) AS deltas,
               coalesce(trades, 0) AS trades
        FROM {SESSIONS} s
        LEFT JOIN (SELECT session_id, {counts} FROM {EVENTS} GROUP BY session_id) e
               ON e.session_id = s.session_id
        ORDER BY s.session_id""")
    return [
        SessionInfo(
            session_id=row["session_id"],
            started_at=datetime.fromtimestamp(row["started_ms"] / 1000, UTC),
            ended_at=datetime.fromtimestamp(row["last_ms"] / 1000, UTC),
            markets=row["markets"],
            snapshots=row["snapshots"],
            deltas=row["deltas"],
            trades=row["trades"],
            source=row["source"],
            location=EVENTS,
            generated=row["generated"],
            name=row["name"],
            note=row["note"],
        )
        for row in rows
    ]


async def holds(connection: Any, session_id: int) -> bool:
    """Whether a session of this id was saved.

    Args:
        connection: to the database.
        session_id: of the session.
    """
    return bool(
        await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {SESSIONS} WHERE session_id = {session_id:d})"
        )
    )


async def highest_id(connection: Any) -> int:
    """The highest saved id that is no date, 0 if none."""
    query = f"SELECT coalesce(max(session_id), 0) FROM {SESSIONS} WHERE session_id {NO_DATE}"
    return int(await connection.fetchval(query))


async def fingerprint(connection: Any, session_id: int) -> str:
    """Name the save that stored a session.

    Args:
        connection: to the database.
        session_id: of the session.

    Returns:
        A text that differs once the session was saved again.
    """
    where = f"WHERE session_id = {session_id:d}"
    return "saved " + str(await connection.fetchval(f"SELECT save_token FROM {SESSIONS} {where}"))


async def load(
    connection: Any, twin: Twin, session_id: int, markets: Sequence[str] | None
) -> Session:
    """A saved session (it must exist), with all of its markets or only those named.

    Args:
        connection: to the database, in a transaction.
        twin: makes a second connection in the same snapshot.
        session_id: of the session.
        markets: tickers wanted; None for all.

    Raises:
        SessionNotFoundError: the session has no such market.
        StoreError: rows are missing, or the metadata cannot be read.
    """
    where = f"session_id = {session_id:d}"
    text = await connection.fetchval(f"SELECT metadata::text FROM {SESSIONS} WHERE {where}")
    try:
        metadata = decode_metadata(text)
    except DataError as error:
        raise StoreError(f"table {SESSIONS}, session {session_id}: {error}") from None
    wanted = metadata.market_rows(markets)
    names = ", ".join(name for name, _ in _EVENT_COLUMNS)
    query = f"SELECT position, {names} FROM {EVENTS} WHERE {where}"
    if markets is not None:
        # One range of the primary key a market.
        ranges = ", ".join(f"({a}::bigint, {b}::bigint)" for a, b in set(wanted) or {(0, 0)})
        query = (
            f"SELECT position, {names} FROM (VALUES {ranges}) AS r (first, stop) "
            f"JOIN {EVENTS} ON {where} AND position >= r.first AND position < r.stop"
        )
    read = (("position", "i8"), *_EVENT_COLUMNS)
    if sum(stop - first for first, stop in set(wanted)) < WORTH_TWO:
        position, *values = await copy_out(connection, query, read)
    else:
        middle = _middle(sorted(set(wanted)))
        halves = (f"{query} AND position < {middle}", f"{query} AND position >= {middle}")
        position, *values = await copy_out_in_two(connection, twin, halves, read)
    if (np.diff(position) <= 0).any():
        order = np.argsort(position)
        position = position[order]
        values = [column[order] for column in values]
    parts = [np.arange(first, stop, dtype=np.int64) for first, stop in wanted]
    asked = np.concatenate([np.zeros(0, np.int64), *parts])
    if not np.array_equal(position, np.unique(asked)):
        raise StoreError(
            f"table {EVENTS}, session {session_id}: {len(np.unique(asked))} events were saved, "
            f"{len(position)} are there; rows were changed by hand: save the session again"
        )
    named = zip((name for name, _ in _EVENT_COLUMNS), values, strict=True)
    events = Events.from_columns(**dict(named))
    if not np.array_equal(position, asked):
        events = events[np.searchsorted(position, asked)]
    return metadata.session(events, markets)


def _middle(ranges: Sequence[tuple[int, int]]) -> int:
    """The position that has half of the rows of the ascending ranges below it."""
    left = sum(stop - first for first, stop in ranges) // 2
    for first, stop in ranges:
        if left < stop - first:
            return first + left
        left -= stop - first
    return 0


async def delete(connection: Any, session_id: int) -> None:
    """Remove a saved session inside the caller's transaction; none is there: nothing happens.

    Args:
        connection: to the database.
        session_id: which session.
    """
    await connection.execute(f"SELECT pg_advisory_xact_lock({_SAVE_LOCK})")
    for table in (EVENTS, SESSIONS):
        await connection.execute(f"DELETE FROM {table} WHERE session_id = {session_id:d}")


async def save(connection: Any, session: Session, *, overwrite: bool, token: str) -> None:
    """Store a session inside the caller's transaction, making the tables if they are absent.

    Args:
        connection: to the database.
        session: what to store.
        overwrite: replace a session that has its id.
        token: this save's own: run again after a cut, the save sees whether it took place.

    Raises:
        StoreError: the id is taken, unless `overwrite`.
    """
    where = f"session_id = {session.session_id:d}"
    await connection.execute(f"SELECT pg_advisory_xact_lock({_SAVE_LOCK})")
    if not await exist(connection):
        for statement in _CREATE:
            await connection.execute(statement)
    held = await connection.fetchval(f"SELECT save_token FROM {SESSIONS} WHERE {where}")
    if held == token:
        return
    if held is not None:
        if not overwrite:
            raise StoreError(
                f"session {session.session_id} is already stored; choose another id, or overwrite"
            )
        await connection.execute(f"DELETE FROM {EVENTS} WHERE {where}")
        await connection.execute(f"DELETE FROM {SESSIONS} WHERE {where}")
    await connection.execute(
        f"INSERT INTO {SESSIONS} (session_id, save_token, metadata) VALUES ($1, $2, $3)",
        session.session_id,
        token,
        encode_metadata(session).decode(),
    )
    sizes = np.diff(session.market_offsets)
    arrays: dict[str, Any] = {f.name: getattr(session.events, f.name) for f in fields(Events)}
    arrays["session_id"] = np.full(len(session.events), session.session_id, np.int64)
    arrays["position"] = np.arange(len(session.events), dtype=np.int64)
    arrays["market"] = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    await copy_in(connection, EVENTS, arrays, _STORED_COLUMNS)
