"""Sessions in an object store: a Parquet object each, and a small one that says which it is.

A session is there from the moment its description (`session-<id>.json`) is written, which is the
last thing that `save` does and one request; until then nobody sees its Parquet object. To overwrite
is to write another Parquet object and then the description; to delete is to delete the description.
What a killed writer leaves is seen by nobody, and removed by a later save of that session.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from kalshi_sim.errors import SessionNotFoundError, StoreError
from kalshi_sim.parallel import in_order
from kalshi_sim.session import Session, SessionInfo
from kalshi_sim.store.metadata import content_digest
from kalshi_sim.store.numbers import DATES, next_after
from kalshi_sim.store.parquet_file import SessionFile, read_columns, read_session, write_session
from kalshi_sim.store.places import ObjectPlace

T = TypeVar("T")

VERSION: Final = 1
_NAME: Final = re.compile(r"session-(\d+)\.json")
_CLAIM: Final = ".claim"
_CLAIM_S: Final = 120.0
"""A claim older than this is of a writer that is gone."""
_LEFT_S: Final = 86_400.0
"""So is a Parquet object that no description names."""
_REQUESTS: Final = 16
"""Descriptions that are fetched at the same time."""
_ATTEMPTS: Final = 3
"""How often a session is read that others overwrite meanwhile."""


class _Description(msgspec.Struct, frozen=True):
    """What makes a session's Parquet object part of the store."""

    data: str
    """Name of the object, below the place."""
    fingerprint: str
    info: SessionInfo
    version: int = VERSION


class ObjectStore:
    """A `SessionStore` in a bucket, or wherever else Arrow's file systems reach.

    Raises:
        ConfigError: the address cannot be understood.
        MissingExtraError: fsspec, or what it needs for this address, is not installed.
    """

    def __init__(self, address: str) -> None:
        self._place = ObjectPlace(address)

    def __repr__(self) -> str:
        return f"ObjectStore({self._place.shown!r})"

    def list_sessions(self) -> list[SessionInfo]:
        """All sessions, by id; reads their descriptions only.

        Raises:
            StoreError: the store cannot be read, or a description is damaged.
        """
        found = in_order(self._ids(), self._described, _REQUESTS)
        return [replace(d.info, location=d.data) for d in found if d is not None]

    def exists(self, session_id: int) -> bool:
        """Whether there is a description of this session; it is not read.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._place.exists(_name(session_id))

    def load(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        """One session, with all of its markets or only those named, of which no more is fetched.

        Args:
            session_id: of the session.
            markets: tickers wanted; None for all.

        Raises:
            SessionNotFoundError: no such session, or the session has no such market.
            StoreError: the store cannot be read, or the session is damaged.
            DataError: an event has a value that cannot be right.
        """
        return self._reading(session_id, lambda file: read_session(file, session_id, markets))

    def load_columns(
        self, session_id: int, columns: Sequence[str], markets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Some columns of a session's events; what is not asked for is not fetched.

        Args:
            session_id: of the session.
            columns: fields of `Events`, by name.
            markets: tickers wanted; None for all.

        Returns:
            Each column by name, [n] of its dtype, one market after the other.

        Raises:
            ConfigError: there is no such column.
            SessionNotFoundError: no such session, or the session has no such market.
            StoreError: the store cannot be read, or the session is damaged.
        """

        def read(file: SessionFile) -> dict[str, np.ndarray]:
            return read_columns(file, session_id, columns, markets)

        return self._reading(session_id, read)

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Store a session whole or not at all.

        Args:
            session: what to store.
            overwrite: replace a session that has its id.

        Returns:
            What `list_sessions` now says of it.

        Raises:
            StoreError: the id is taken (unless `overwrite`), somebody else is saving it, or the
                store cannot be written.
        """
        number = session.session_id
        before = self._described(number)
        if before is not None and not overwrite:
            raise StoreError(self._taken(number))
        unique = uuid.uuid4().hex
        data = f"session-{number}/{unique}.parquet"
        with self._place.writing(data) as stream:
            write_session(stream, session)
        made = _Description(data, content_digest(session), session.info)
        claim = f"session-{number}/{unique}{_CLAIM}"
        begun = time.monotonic()
        try:
            self._place.write(claim, b"claim")
            left = self._others(number, unique)
            if not overwrite and self.exists(number):
                raise StoreError(self._taken(number))
            if time.monotonic() - begun > _CLAIM_S / 2:  # others may soon take it for left behind
                raise StoreError(
                    f"{self._place.shown} answers too slowly to save session {number} safely; try "
                    "again"
                )
            self._place.write(_name(number), msgspec.json.encode(made))
        except StoreError:
            # If its answer was lost, the description may be there all the same.
            if self._described(number) != made:
                self._place.delete(data)
            raise
        finally:
            self._place.delete(claim)
        for name in {*left, *([] if before is None else [before.data])} - {data}:
            self._place.delete(name)
        return replace(session.info, location=data)

    def delete(self, session_id: int) -> None:
        """Remove a session; who has it open may find it gone.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store cannot be written.
        """
        data = self._existing(session_id).data
        self._place.delete(_name(session_id))
        self._place.delete(data)

    def check_writable(self, session_id: int) -> None:
        """Be sure that there is such a session.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store cannot be read.
        """
        self._existing(session_id)

    def fingerprint(self, session_id: int) -> str:
        """Names a session's content; reads its description only.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the store cannot be read.
        """
        return self._existing(session_id).fingerprint

    def fingerprints(self, session_ids: Sequence[int]) -> list[str]:
        """`fingerprint` of each, several of which are fetched at the same time.

        Raises:
            SessionNotFoundError: one of them is not there; it names the first such.
            StoreError: the store cannot be read.
        """
        return list(in_order(session_ids, self.fingerprint, _REQUESTS))

    def next_session_id(self) -> int:
        """A session id that is free: one more than the largest that is no date."""
        return next_after(max((n for n in self._ids() if n not in DATES), default=0))

    def _reading(self, session_id: int, read: Callable[[SessionFile], T]) -> T:
        """What `read` makes of a session; of the newer one where it was overwritten meanwhile."""
        described = self._existing(session_id)
        for _ in range(_ATTEMPTS - 1):
            try:
                return read(self._file(described))
            except StoreError:
                before, described = described, self._existing(session_id)
                if described == before:
                    raise
        return read(self._file(described))

    def _file(self, described: _Description) -> SessionFile:
        name = described.data
        return SessionFile(self._place.path(name), name, lambda: self._place.open(name), far=True)

    def _existing(self, session_id: int) -> _Description:
        found = self._described(session_id)
        if found is None:
            have = ", ".join(map(str, self._ids())) or "none"
            raise SessionNotFoundError(
                f"the store {self._place.shown} has no session {session_id}; it has {have}"
            )
        return found

    def _described(self, session_id: int) -> _Description | None:
        data = self._place.read(_name(session_id))
        if data is None:
            return None
        try:
            found = msgspec.json.decode(data, type=_Description)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self._place.path(_name(session_id))} is damaged ({error}); delete it and import "
                "the recording again"
            ) from error
        if found.version > VERSION:
            raise StoreError(
                f"{self._place.path(_name(session_id))} has version {found.version}, this version "
                f"reads up to {VERSION}; update kalshi-sim"
            )
        return found

    def _ids(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self._place.names())
        return sorted(int(match[1]) for match in found if match)

    def _others(self, session_id: int, unique: str) -> list[str]:
        """What writers that are gone left of a session.

        Two writers of one session each write a claim before they look for others', so that at
        least one of them finds the other's.

        Raises:
            StoreError: another writer is saving it.
        """
        folder = f"session-{session_id}"
        found = self._place.names(folder)
        now = found.get(f"{unique}{_CLAIM}", time.time())  # by the store's own clock
        left = []
        for name, written in found.items():
            age = now - written
            claim = name.endswith(_CLAIM)
            if name.startswith(unique):
                continue
            if claim and age < _CLAIM_S:
                raise StoreError(
                    f"another program is saving session {session_id} in {self._place.shown}, or "
                    "was ended while it did; try again in two minutes"
                )
            if claim or age > _LEFT_S:
                left.append(f"{folder}/{name}")
        return left

    def _taken(self, session_id: int) -> str:
        return (
            f"the store {self._place.shown} already has session {session_id}; choose another id, "
            "or overwrite it"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"_place": self._place}


def _name(session_id: int) -> str:
    return f"session-{session_id}.json"
