"""`PostgresStore`: a kalshiflow database and the project's own tables under one id space."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from kalshi_sim.errors import ConfigError, SessionNotFoundError, StoreError
from kalshi_sim.session import Session, SessionInfo, validate_events
from kalshi_sim.store.kalshiflow import listing as kalshiflow
from kalshi_sim.store.kalshiflow import sessions as kalshiflow_sessions
from kalshi_sim.store.numbers import next_after
from kalshi_sim.store.postgres import tables as pg_tables
from kalshi_sim.store.postgres.connection import Target, in_transaction, run, twin
from kalshi_sim.store.urls import parse_address

_FINGERPRINTS: Final = 64
"""So many sessions are named in one transaction."""
_SHOWN: Final = 5
"""So many of them are in a message."""


class PostgresStore:
    """Sessions in PostgreSQL, at `postgresql://user:password@host:port/database`.

    Reads the tables of the kalshiflow recorder as they are, and keeps everything saved in
    tables of its own beside them. Methods work with or without a running event loop; those
    named `async_*` are coroutines. Nothing is connected until it is needed, and no connection
    is kept.

    With `skip_bad_rows`, recorded rows that cannot be right are left out and counted; without,
    they fail the load.

    Raises:
        ConfigError: `url` is not the address of a PostgreSQL database.
    """

    def __init__(self, url: str, *, skip_bad_rows: bool = False) -> None:
        """Name the database; nothing connects before the first call.

        Args:
            url: `postgresql://user@host:5432/database`.
            skip_bad_rows: leave out recorded rows that cannot be right, instead of failing.
        """
        address = parse_address(url)
        if address.kind != "postgresql":
            raise ConfigError("PostgresStore needs a URL like postgresql://user@host:5432/database")
        self._target = Target(address.text)
        self.skip_bad_rows = skip_bad_rows

    def __repr__(self) -> str:
        return f"PostgresStore({self._target.shown!r})"

    def list_sessions(self) -> list[SessionInfo]:
        """All sessions, by id; `location` says in which tables one lies.

        Counts are taken from the rows, never from the recorder's counters. An id held by both
        is listed twice.

        Raises:
            StoreError: the database cannot be read.
        """
        return run(self.async_list_sessions())

    def load(
        self,
        session_id: int,
        markets: Sequence[str] | None = None,
        *,
        skip_bad_rows: bool | None = None,
    ) -> Session:
        """One session, with all of its markets or only those named.

        Args:
            session_id: of the session.
            markets: tickers wanted; None for all.
            skip_bad_rows: as of the store, for this call; None: as the store has it.

        Raises:
            SessionNotFoundError: no such session, or the session has no such market.
            DataError: recorded rows cannot be right (named), and are not to be skipped.
            StoreError: the database cannot be read, or two sessions have this id.
        """
        return run(self.async_load(session_id, markets, skip_bad_rows=skip_bad_rows))

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Store a session in one transaction, whole or not at all.

        Args:
            session: what to store.
            overwrite: replace a session of this id that was saved here; never one of the recorder.

        Returns:
            What `list_sessions` now says of it.

        Raises:
            DataError: an event has a value that cannot be right.
            StoreError: the id is taken (`overwrite` replaces what was saved here, never what the
                recorder holds), or the database cannot be written.
        """
        return run(self.async_save(session, overwrite=overwrite))

    def delete(self, session_id: int) -> None:
        """Remove a session that was saved here, in one transaction.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: it is the recorder's, whose tables are only read, or the database cannot
                be written.
        """
        return run(self.async_delete(session_id))

    def check_writable(self, session_id: int) -> None:
        """Be sure that a session was saved here.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: it is the recorder's, or the database cannot be read.
        """

        async def body(connection: Any) -> None:
            await self._refuse_recorded(connection, session_id)

        run(in_transaction(self._target, body, doing=f"looking for session {session_id}"))

    def next_session_id(self) -> int:
        """An id above all that the recorder gave or that were saved here.

        Raises:
            StoreError: the database cannot be read.
        """
        return run(self.async_next_session_id())

    def fingerprint(self, session_id: int) -> str:
        """Names a session's content without loading it; recorded rows are hashed in SQL.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the database cannot be read.
        """
        return run(self.async_fingerprint(session_id))

    def fingerprints(self, session_ids: Sequence[int]) -> list[str]:
        """`fingerprint` of each, many of them over one connection.

        Raises:
            SessionNotFoundError: one of them is not there; it names the first such.
            StoreError: the database cannot be read.
        """
        return run(self.async_fingerprints(session_ids))

    def exists(self, session_id: int) -> bool:
        """Whether the recorder's tables or our own hold the session.

        Raises:
            StoreError: the database cannot be read, or two sessions have this id.
        """
        return run(self.async_exists(session_id))

    async def async_exists(self, session_id: int) -> bool:
        """`exists` as a coroutine."""

        async def body(connection: Any) -> bool:
            try:
                await self._is_recorded(connection, session_id)
            except SessionNotFoundError:
                return False
            return True

        return await in_transaction(self._target, body, doing=f"looking for session {session_id}")

    async def async_list_sessions(self) -> list[SessionInfo]:
        """`list_sessions` as a coroutine."""

        async def body(connection: Any) -> list[SessionInfo]:
            found: list[SessionInfo] = []
            if await kalshiflow.exist(connection):
                found += await kalshiflow.list_sessions(connection)
            if await pg_tables.exist(connection):
                found += await pg_tables.list_sessions(connection)
            return sorted(found, key=lambda info: info.session_id)

        return await in_transaction(self._target, body, doing="listing sessions")

    async def async_load(
        self,
        session_id: int,
        markets: Sequence[str] | None = None,
        *,
        skip_bad_rows: bool | None = None,
    ) -> Session:
        """`load` as a coroutine: same arguments, result and errors."""
        skip = self.skip_bad_rows if skip_bad_rows is None else skip_bad_rows

        async def body(connection: Any) -> Session:
            second = partial(twin, self._target, connection)
            if await self._is_recorded(connection, session_id):
                return await kalshiflow_sessions.load(
                    connection, second, session_id, markets, skip_bad_rows=skip
                )
            return await pg_tables.load(connection, second, session_id, markets)

        return await in_transaction(self._target, body, doing=f"loading session {session_id}")

    async def async_fingerprint(self, session_id: int) -> str:
        """`fingerprint` as a coroutine."""

        return (await self.async_fingerprints([session_id]))[0]

    async def async_fingerprints(self, session_ids: Sequence[int]) -> list[str]:
        """`fingerprints` as a coroutine."""
        found: list[str] = []
        for begin in range(0, len(session_ids), _FINGERPRINTS):
            some = session_ids[begin : begin + _FINGERPRINTS]

            async def body(connection: Any, some: Sequence[int] = some) -> list[str]:
                return [await self._fingerprint(connection, number) for number in some]

            named = ", ".join(map(str, some[:_SHOWN])) + (", …" if len(some) > _SHOWN else "")
            found += await in_transaction(self._target, body, doing=f"reading session {named}")
        return found

    async def _fingerprint(self, connection: Any, session_id: int) -> str:
        if await self._is_recorded(connection, session_id):
            rows = await kalshiflow.fingerprint(connection, session_id)
            text = f"{rows} skip_bad_rows={self.skip_bad_rows}"
        else:
            text = await pg_tables.fingerprint(connection, session_id)
        return hashlib.sha256(text.encode()).hexdigest()

    async def async_save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """`save` as a coroutine: same arguments, result and errors."""
        validate_events(session)
        token = secrets.token_hex(16)

        async def body(connection: Any) -> None:
            if await kalshiflow.exist(connection):
                if await kalshiflow.holds(connection, session.session_id):
                    raise StoreError(
                        f"{self._target.shown}: session {session.session_id} belongs to the "
                        "kalshiflow recorder and is never changed; save under another id"
                    )
                await kalshiflow.reserve_id(connection, session.session_id)
            await pg_tables.save(connection, session, overwrite=overwrite, token=token)

        doing = f"saving session {session.session_id}"
        await in_transaction(self._target, body, doing=doing, readonly=False)
        return replace(session.info, location=pg_tables.EVENTS)

    async def async_next_session_id(self) -> int:
        """`next_session_id` as a coroutine."""

        async def body(connection: Any) -> int:
            highest = 0
            if await kalshiflow.exist(connection):
                highest = await kalshiflow.highest_id(connection)
            if await pg_tables.exist(connection):
                highest = max(highest, await pg_tables.highest_id(connection))
            return next_after(highest)

        return await in_transaction(self._target, body, doing="looking for a free session id")

    async def async_delete(self, session_id: int) -> None:
        """`delete` as a coroutine."""

        async def body(connection: Any) -> None:
            if not again:
                await self._refuse_recorded(connection, session_id)
            again.append(True)  # after a cut in the commit it may be gone already
            await pg_tables.delete(connection, session_id)

        again: list[bool] = []
        doing = f"deleting session {session_id}"
        await in_transaction(self._target, body, doing=doing, readonly=False)

    async def _refuse_recorded(self, connection: Any, session_id: int) -> None:
        """Raise, if a session is not one that was saved here."""
        if await self._is_recorded(connection, session_id):
            raise StoreError(
                f"{self._target.shown}: session {session_id} belongs to the kalshiflow recorder "
                "and is never changed; copy it with kalshi-sim export --to"
            )

    async def _is_recorded(self, connection: Any, session_id: int) -> bool:
        """Whether the recorder's tables hold the session, and not our own.

        Raises:
            SessionNotFoundError: neither holds it.
            StoreError: both do.
        """
        old = await kalshiflow.exist(connection)
        own = await pg_tables.exist(connection)
        recorded = old and await kalshiflow.holds(connection, session_id)
        saved = own and await pg_tables.holds(connection, session_id)
        if recorded and saved:
            raise StoreError(self._two_sessions(session_id))
        if not recorded and not saved:
            raise SessionNotFoundError(self._not_found(session_id, old or own))
        return recorded

    def _not_found(self, session_id: int, any_tables: bool) -> str:
        if any_tables:
            return f"{self._target.shown}: no session {session_id}; list what there is"
        return (
            f"{self._target.shown}: no session {session_id}: the database has neither the "
            f"kalshiflow tables ({kalshiflow.SESSIONS}, ...) nor {pg_tables.SESSIONS}; "
            "check the database in the URL and its search_path"
        )

    def _two_sessions(self, session_id: int) -> str:
        return (
            f"{self._target.shown}: session {session_id} was saved here before the recorder "
            "gave the same number to a new one; renumber the saved one: UPDATE "
            f"{pg_tables.SESSIONS} SET session_id = NEW WHERE session_id = {session_id}, "
            f"and the same in {pg_tables.EVENTS}"
        )
