"""Where recorded sessions live: `open_store` and the protocol all stores share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from kalshi_sim.extras import import_module
from kalshi_sim.session import Session, SessionInfo
from kalshi_sim.store.urls import parse_address

DEFAULT_FOLDER = "sessions"


@runtime_checkable
class SessionStore(Protocol):
    """A place that holds sessions. Saving is whole or not at all, the same in every store."""

    def list_sessions(self) -> list[SessionInfo]:
        """All sessions, by id.

        Returns:
            A line of figures for each session, by id.
        """
        ...

    def exists(self, session_id: int) -> bool:
        """Whether the store holds the session; nothing of it is read.

        Args:
            session_id: which session.

        Returns:
            True if it is there.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def load(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        """One session, with all of its markets or only those named.

        Args:
            session_id: which session.
            markets: tickers to load; all if omitted.

        Returns:
            The session.

        Raises:
            SessionNotFoundError: no such session, or the session has no such market.
            StoreError: the store cannot be read.
        """
        ...

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Store a session whole or not at all.

        Args:
            session: what to store, under its own id.
            overwrite: replace a session of this id.

        Returns:
            The figures that `list_sessions` shows.

        Raises:
            StoreError: the id is taken (unless `overwrite`), or the store cannot be written.
        """
        ...

    def fingerprint(self, session_id: int) -> str:
        """Names a session's content without loading it: equal names mean equal sessions.

        Args:
            session_id: which session.

        Returns:
            Text that changes with the content.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store cannot be read.
        """
        ...

    def next_session_id(self) -> int:
        """A session id that is free.

        Returns:
            An id above all that are there, but for those that are dates (20261127).
        """
        ...


@runtime_checkable
class ManagedStore(SessionStore, Protocol):
    """A store whose sessions can be deleted and replaced, as both of this package are."""

    def delete(self, session_id: int) -> None:
        """Remove a session, whole or not at all.

        Args:
            session_id: which session.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store cannot be written, or only reads this session.
        """
        ...

    def check_writable(self, session_id: int) -> None:
        """Be sure that a session can be replaced and deleted.

        Args:
            session_id: which session.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store only reads this session, as it belongs to another program.
        """
        ...


def fingerprints(store: SessionStore, session_ids: Sequence[int]) -> list[str]:
    """`store.fingerprint` of each session, as fast as the store can.

    Args:
        store: has the sessions; it may have a method `fingerprints` of its own.
        session_ids: which sessions.

    Returns:
        A text for each, in this order.

    Raises:
        SessionNotFoundError: one of them is not there; it names the first such.
        StoreError: the store cannot be read.
    """
    together = getattr(store, "fingerprints", None)
    if together is not None:
        return list(together(session_ids))
    return [store.fingerprint(number) for number in session_ids]


def open_store(
    url: str | os.PathLike[str] | None = None, *, skip_bad_rows: bool = False
) -> ManagedStore:
    """The store at `url`: a folder, `postgresql://user:password@host/database`, `s3://bucket/path`.

    Without `url`: the environment variable DATABASE_URL, else the folder `sessions`.
    `skip_bad_rows`: rows of a kalshiflow database that cannot be right are left out and counted
    instead of failing the load; no other store has such rows.

    Args:
        url: a folder, a postgresql:// URL, or an object store: s3://, gs://, abfs://, or
            fsspec+NAME:// for any of fsspec (which must be installed).
        skip_bad_rows: leave out and count rows of a kalshiflow database that cannot be right,
            instead of failing the load; no other store has such rows.

    Returns:
        The store.

    Raises:
        ConfigError: `url` is an address of another kind.
        MissingExtraError: it is a database, and the extra `postgres` is not installed.
        StoreError: there is nothing that can be opened at `url`.
    """
    address = parse_address(os.fspath(url) if url is not None else default_address())
    if address.kind == "postgresql":
        postgres = import_module("kalshi_sim.store.postgres.store")  # of the extra `postgres`
        store: ManagedStore = postgres.PostgresStore(address.text, skip_bad_rows=skip_bad_rows)
        return store
    if address.kind == "objects":
        from kalshi_sim.store.objects import ObjectStore

        return ObjectStore(address.text)
    from kalshi_sim.store.parquet import ParquetStore

    return ParquetStore(address.text)


def default_address() -> str:
    """The store that is meant where none is named: DATABASE_URL, else the folder `sessions`."""
    return os.environ.get("DATABASE_URL", "").strip() or DEFAULT_FOLDER


def absolute_address(url: str | None) -> str:
    """The same store for a process that works in another folder, or on another machine.

    Args:
        url: as `open_store` takes it.

    Returns:
        An address, with the credentials that `url` has; a folder from the root.

    Raises:
        ConfigError: `url` is an address of another kind.
    """
    address = parse_address(url or default_address())
    return str(Path(address.text).absolute()) if address.kind == "folder" else address.text
