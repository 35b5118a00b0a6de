"""`KalshiflowTables`: recordings written where the kalshiflow recorder's readers look for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kalshi_sim.errors import StoreError
from kalshi_sim.session import Session, SessionInfo, validate_events
from kalshi_sim.store.kalshiflow import listing
from kalshi_sim.store.kalshiflow.rows import DELTAS, SNAPSHOTS
from kalshi_sim.store.kalshiflow.written import DELTA_COLUMNS, SNAPSHOT_COLUMNS, left_out, rows_of
from kalshi_sim.store.postgres.connection import Target, in_transaction, run
from kalshi_sim.store.postgres.store import PostgresStore
from kalshi_sim.store.urls import parse_address
from kalshi_sim.units import MS_PER_SECOND

_WRITER: Final = "kalshi-sim"
_LOCK: Final = 0x6B666C6F77
"""Advisory lock: two first saves must not both make the tables."""
_CREATE: Final = (
    f"""CREATE TABLE {listing.SESSIONS} (
        session_id bigserial PRIMARY KEY, market_tickers text[] NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz,
        status varchar(20) NOT NULL DEFAULT 'active', websocket_url text,
        connection_metadata jsonb, messages_received bigint DEFAULT 0,
        snapshots_count bigint DEFAULT 0, deltas_count bigint DEFAULT 0,
        last_message_at timestamptz, error_message text,
        created_at timestamptz NOT NULL DEFAULT now(), environment text)""",
    f"""CREATE TABLE {SNAPSHOTS} (
        id bigserial PRIMARY KEY,
        session_id bigint NOT NULL REFERENCES {listing.SESSIONS} (session_id),
        market_ticker varchar(100) NOT NULL, timestamp_ms bigint NOT NULL,
        sequence_number bigint NOT NULL, yes_bids jsonb NOT NULL, yes_asks jsonb NOT NULL,
        no_bids jsonb NOT NULL, no_asks jsonb NOT NULL, yes_spread int, no_spread int,
        yes_mid_price numeric, no_mid_price numeric, total_volume bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (session_id, market_ticker, sequence_number))""",
    f"""CREATE TABLE {DELTAS} (
        id bigserial PRIMARY KEY,
        session_id bigint NOT NULL REFERENCES {listing.SESSIONS} (session_id),
        market_ticker varchar(100) NOT NULL, timestamp_ms bigint NOT NULL,
        sequence_number bigint NOT NULL, side varchar(3) NOT NULL, action varchar(10) NOT NULL,
        price int NOT NULL, old_size bigint, new_size bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (session_id, market_ticker, sequence_number))""",
)


class KalshiflowTables:
    """The kalshiflow tables of a database, to write recordings to; numbers are the database's.

    What the kalshiflow recorder wrote is never changed: a session of ours says so in its
    `connection_metadata`.
    """

    def __init__(self, url: str) -> None:
        """Name the database; nothing connects before the first call.

        Args:
            url: `postgresql://user@host:5432/database`.

        Raises:
            ConfigError: it is no such address.
        """
        self._store = PostgresStore(url)
        self._target = Target(parse_address(url).text)

    def exists(self, session_id: int) -> bool:
        """Whether the database has a session of this number, in any tables.

        Args:
            session_id: the number.
        """
        return self._store.exists(session_id)

    def next_session_id(self) -> int:
        """A number that is free in all tables of the database."""
        return self._store.next_session_id()

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Write a session in one transaction, whole or not at all; `left_out` says what is not in.

        Args:
            session: what to write.
            overwrite: replace a session of this number that was written here.

        Returns:
            The session's figures, with what was left out as its note.

        Raises:
            DataError: an event has a value that cannot be right.
            StoreError: the number is taken (`overwrite` replaces only what this class wrote), or
                the database cannot be written.
        """
        validate_events(session)

        async def body(connection: Any) -> None:
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if not await listing.exist(connection):
                for statement in _CREATE:
                    await connection.execute(statement)
            await self._clear(connection, session.session_id, overwrite=overwrite)
            await _write(connection, session)
            await listing.reserve_id(connection, session.session_id)

        doing = f"saving session {session.session_id} in the kalshiflow tables"
        run(in_transaction(self._target, body, doing=doing, readonly=False))
        return replace(session.info, location=SNAPSHOTS, note=left_out(session) or "")

    async def _clear(self, connection: Any, session_id: int, *, overwrite: bool) -> None:
        """Remove what was written under a number before; refuse what is not ours."""
        columns = await _columns_of(connection, listing.SESSIONS)
        if "connection_metadata" not in columns:
            raise StoreError(
                f"{self._target.shown}: {listing.SESSIONS} has no column connection_metadata, in "
                "which a session says who wrote it; add it (jsonb), or store in the own tables"
            )
        where = f"WHERE session_id = {session_id:d}"
        if not await listing.holds(connection, session_id):
            return
        writer = await connection.fetchval(
            f"SELECT connection_metadata->>'written_by' FROM {listing.SESSIONS} {where}"
        )
        if writer != _WRITER or not overwrite:
            raise StoreError(
                f"{self._target.shown}: session {session_id} belongs to the kalshiflow recorder "
                "and is never changed; choose another number"
            )
        for table in (DELTAS, SNAPSHOTS, listing.SESSIONS):
            await connection.execute(f"DELETE FROM {table} {where}")


async def _columns_of(connection: Any, table: str) -> set[str]:
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
        f"AND attrelid = to_regclass('{table}')"
    )
    return {row["attname"] for row in rows}


async def _write(connection: Any, session: Session) -> None:
    """Write the rows, with those columns that the tables have."""
    info = session.info
    head = {
        "session_id": session.session_id,
        "market_tickers": [m.ticker for m in session.markets],
        "started_at": info.started_at,
        "ended_at": info.ended_at,
        "status": "closed",
        "connection_metadata": msgspec.json.encode({"written_by": _WRITER}).decode(),
        "messages_received": info.snapshots + info.deltas,
        "last_message_at": datetime.fromtimestamp(session.last_message_ms / MS_PER_SECOND, UTC),
    }
    there = await _columns_of(connection, listing.SESSIONS)
    head = {name: value for name, value in head.items() if name in there}
    places = ", ".join(f"${n}" for n in range(1, len(head) + 1))
    await connection.execute(
        f"INSERT INTO {listing.SESSIONS} ({', '.join(head)}) VALUES ({places})", *head.values()
    )
    snapshots = deltas = 0
    columns = {
        SNAPSHOTS: await _columns_of(connection, SNAPSHOTS),
        DELTAS: await _columns_of(connection, DELTAS),
    }
    for _, rows in rows_of(session):
        await _copy(connection, SNAPSHOTS, SNAPSHOT_COLUMNS, rows.snapshots, columns[SNAPSHOTS])
        await _copy(connection, DELTAS, DELTA_COLUMNS, rows.deltas, columns[DELTAS])
        snapshots += len(rows.snapshots)
        deltas += len(rows.deltas)
    if {"snapshots_count", "deltas_count"} <= there:
        await connection.execute(
            f"UPDATE {listing.SESSIONS} SET snapshots_count = $1, deltas_count = $2 "
            "WHERE session_id = $3",
            snapshots,
            deltas,
            session.session_id,
        )


async def _copy(
    connection: Any,
    table: str,
    names: Sequence[str],
    rows: list[tuple[Any, ...]],
    there: set[str],
) -> None:
    """Copy rows into a table, without the columns it does not have."""
    kept = [i for i, name in enumerate(names) if name in there]
    if len(kept) < len(names):
        rows = [tuple(row[i] for i in kept) for row in rows]
    await connection.copy_records_to_table(table, records=rows, columns=[names[i] for i in kept])
