"""Sessions in a folder, one Parquet file each: `session-<id>.parquet`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from kalshi_sim.errors import ConfigError, SessionNotFoundError, StoreError
from kalshi_sim.files import remove_leftovers, sync_folder, whole_file
from kalshi_sim.session import Session, SessionInfo
from kalshi_sim.store.numbers import DATES, next_after
from kalshi_sim.store.parquet_file import (
    SessionFile,
    file_name,
    read_columns,
    read_fingerprint,
    read_info,
    read_session,
    write_session,
)

_NAME: Final = re.compile(r"session-(\d+)\.parquet")


class ParquetStore:
    """A `SessionStore` in a folder, which the first `save` makes if it is not there.

    Raises:
        StoreError: there is a file, not a folder, at `folder`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"{self.folder} is a file, not a store; name a folder")

    def __repr__(self) -> str:
        return f"ParquetStore({str(self.folder)!r})"

    def list_sessions(self) -> list[SessionInfo]:
        """All sessions, by id; reads the files' footers only, and removes what killed writers left.

        Raises:
            StoreError: a file is damaged, foreign or of a newer version.
        """
        remove_leftovers(self.folder)
        return [read_info(SessionFile.at(path)) for _, path in sorted(self._files().items())]

    def exists(self, session_id: int) -> bool:
        """Whether there is a file of this session; it is not opened."""
        return session_id in self._files()

    def load(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        """One session, with all of its markets or only those named.

        Args:
            session_id: of the session.
            markets: tickers wanted; None for all.

        Raises:
            SessionNotFoundError: no such session, or the session has no such market.
            StoreError: the file is damaged, foreign or of a newer version.
            DataError: an event has a value that cannot be right.
        """
        return read_session(SessionFile.at(self._existing(session_id)), session_id, markets)

    def load_columns(
        self, session_id: int, columns: Sequence[str], markets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Some columns of a session's events; what is not asked for is not read.

        Args:
            session_id: of the session.
            columns: fields of `Events`, by name.
            markets: tickers wanted; None for all.

        Returns:
            Each column by name, [n] of its dtype, one market after the other.

        Raises:
            ConfigError: there is no such column.
            SessionNotFoundError: no such session, or the session has no such market.
            StoreError: the file is damaged, foreign or of a newer version.
        """
        place = SessionFile.at(self._existing(session_id))
        return read_columns(place, session_id, columns, markets)

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Store a session whole or not at all.

        Args:
            session: what to store.
            overwrite: replace a session that has its id.

        Returns:
            What `list_sessions` now says of it.

        Raises:
            StoreError: the id is taken (unless `overwrite`), or the folder cannot be written.
        """
        path = self._path(session.session_id)
        taken = f"the store {self.folder} already has session {session.session_id}"
        if path.exists() and not overwrite:
            raise StoreError(f"{taken}; choose another id, or overwrite it")
        try:
            with whole_file(path, replace=overwrite) as temporary, temporary.open("wb") as stream:
                write_session(stream, session)
        except FileExistsError as error:  # somebody else was faster
            raise StoreError(f"{taken}; choose another id, or overwrite it") from error
        except ConfigError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.__cause__}") from error
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"cannot write {path}: {error}") from error
        return replace(session.info, location=path.name)

    def delete(self, session_id: int) -> None:
        """Remove a session's file; others that have it open read on.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the folder cannot be written.
        """
        path = self._existing(session_id)
        try:
            path.unlink()
            sync_folder(self.folder)
        except OSError as error:
            raise StoreError(f"cannot delete {path}: {error.strerror}") from error

    def check_writable(self, session_id: int) -> None:
        """Be sure that there is such a session; every one in a folder can be replaced.

        Raises:
            SessionNotFoundError: no such session.
        """
        self._existing(session_id)

    def fingerprint(self, session_id: int) -> str:
        """Names a session's content; reads the file's footer only.

        Raises:
            SessionNotFoundError: no such session.
            StoreError: the file is damaged, foreign or of a newer version.
        """
        return read_fingerprint(SessionFile.at(self._existing(session_id)))

    def next_session_id(self) -> int:
        """A session id that is free: one more than the largest that is no date."""
        return next_after(max((n for n in self._files() if n not in DATES), default=0))

    def _path(self, session_id: int) -> Path:
        return self.folder / file_name(session_id)

    def _existing(self, session_id: int) -> Path:
        path = self._path(session_id)
        if not path.is_file():
            have = ", ".join(map(str, sorted(self._files()))) or "none"
            raise SessionNotFoundError(
                f"the store {self.folder} has no session {session_id}; it has {have}"
            )
        return path

    def _files(self) -> dict[int, Path]:
        if not self.folder.is_dir():
            return {}
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {int(match[1]): path for match, path in found if match}
