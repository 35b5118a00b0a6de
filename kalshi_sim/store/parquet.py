"""Sessions in a folder, one Parquet file each: `session-<id>.parquet`.

A file holds the event table as columns, sorted by market, in row groups that end at market
boundaries, so that loading some markets reads little else; all metadata lie in the footer.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_sim.errors import ConfigError, DataError, SessionNotFoundError, StoreError
from kalshi_sim.files import remove_leftovers, sync_folder, whole_file
from kalshi_sim.session import Events, Int64Array, Session, SessionInfo, validate_events
from kalshi_sim.store.metadata import (
    SessionMetadata,
    content_digest,
    decode_metadata,
    encode_metadata,
)
from kalshi_sim.text import printable

_SMALL: Final = frozenset({"kind", "side", "flags"})
_SCHEMA: Final = pa.schema(
    [(f.name, pa.int8() if f.name in _SMALL else pa.int64()) for f in fields(Events)]
)
_METADATA_KEY: Final = b"kalshi-sim.session"
_INFO_KEY: Final = b"kalshi-sim.info"
_CONTENT_KEY: Final = b"kalshi-sim.content"
_CHECKS_KEY: Final = b"kalshi-sim.checks"
_CHECKED_KEYS: Final = (_METADATA_KEY, _INFO_KEY, _CONTENT_KEY)
_GROUP_ROWS: Final = 65_536
"""A row group is closed at the first market boundary beyond so many rows."""
_DICTIONARY: Final = ["kind", "side", "price", "size", "traded", "sid", "flags"]
"""Columns of few distinct values; the others rise slowly, so their differences are stored."""
_ENCODING: Final = dict.fromkeys(("ts_ms", "seq", "frame"), "DELTA_BINARY_PACKED")
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
        return [_read_info(path) for _, path in sorted(self._files().items())]

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
        path = self._existing(session_id)
        with _opened(path) as file:
            metadata = _metadata(file, path)
            if metadata.session_id != session_id:
                raise StoreError(
                    f"{path} holds session {metadata.session_id}; rename it to "
                    f"{self._path(metadata.session_id).name}"
                )
            rows = metadata.market_rows(markets)
            events = _read_events(file, rows)
            checks = _checks(file)
        session = metadata.session(events, markets)
        validate_events(session)
        damaged = _damaged_market(checks, metadata, markets, events, rows)
        if damaged is not None:
            raise StoreError(
                f"{path}: the events of market {printable(damaged)} are damaged; restore the file "
                "from a copy, or import the recording again"
            )
        return session

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
            with whole_file(path, replace=overwrite) as temporary:
                _write(temporary, session)
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
        path = self._existing(session_id)
        with _opened(path) as file:
            return _checked_header(file, path)[_CONTENT_KEY].decode()

    def next_session_id(self) -> int:
        """A session id that is free: one more than the largest."""
        return max(self._files(), default=0) + 1

    def _path(self, session_id: int) -> Path:
        return self.folder / f"session-{session_id}.parquet"

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


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The open file; whatever is wrong with it becomes a StoreError that names it."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} is damaged or no Parquet file ({_first_line(error)}); restore it from a "
            "copy, or delete it and import the recording again"
        ) from error
    except DataError as error:
        raise StoreError(f"{path}: {error}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _header(file: pq.ParquetFile, path: Path) -> dict[bytes, bytes]:
    header: dict[bytes, bytes] = file.schema_arrow.metadata or {}
    if _METADATA_KEY not in header or _INFO_KEY not in header:
        raise StoreError(
            f"{path} is a Parquet file, but holds no session of kalshi-sim; move it out of the "
            "store, or import the recording it came from"
        )
    return header


def _checked_header(file: pq.ParquetFile, path: Path) -> dict[bytes, bytes]:
    header = _header(file, path)
    checks = _checks(file)
    if checks is not None and checks.header != {
        key.decode(): _digest(header.get(key, b"")) for key in _CHECKED_KEYS
    }:
        raise DataError("its description is damaged; import the recording again")
    return header


class _Checks(msgspec.Struct):
    """Checksums of all that a file says, kept in its footer."""

    header: dict[str, str]
    """SHA-256 of each part of the description."""
    markets: list[int]
    """CRC-32 of each market's events."""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checks(file: pq.ParquetFile) -> _Checks | None:
    """The checksums of a file; None in older files, which have none and are read as they are.

    Raises:
        DataError: they are damaged.
    """
    found: dict[bytes, bytes] = file.schema_arrow.metadata or {}
    if _CHECKS_KEY not in found:
        return None
    try:
        return msgspec.json.decode(found[_CHECKS_KEY], type=_Checks)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError("its checksums are damaged; import the recording again") from error


def _checksum(events: Events, first: int, stop: int) -> int:
    """CRC-32 of rows of an event table."""
    value = 0
    for column in fields(Events):
        rows: np.ndarray = np.ascontiguousarray(getattr(events, column.name)[first:stop])
        value = zlib.crc32(rows.view(np.uint8).data, value)
    return value


def _damaged_market(
    checks: _Checks | None,
    metadata: SessionMetadata,
    markets: Sequence[str] | None,
    events: Events,
    rows: list[tuple[int, int]],
) -> str | None:
    """The first market whose events are not those of its checksum, None if all are."""
    if checks is None:
        return None
    place = {market.ticker: i for i, market in enumerate(metadata.markets)}
    wanted = range(len(place)) if markets is None else [place[ticker] for ticker in markets]
    at = 0
    for index, (first, last) in zip(wanted, rows, strict=True):
        stop = at + last - first
        if index >= len(checks.markets) or _checksum(events, at, stop) != checks.markets[index]:
            return metadata.markets[index].ticker
        at = stop
    return None


def _read_info(path: Path) -> SessionInfo:
    with _opened(path) as file:
        text = _checked_header(file, path)[_INFO_KEY]
        try:
            return replace(msgspec.json.decode(text, type=SessionInfo), location=path.name)
        except msgspec.MsgspecError as error:
            raise DataError(f"its description cannot be read ({error})") from error


def _metadata(file: pq.ParquetFile, path: Path) -> SessionMetadata:
    metadata = decode_metadata(_header(file, path)[_METADATA_KEY])
    _checked_header(file, path)
    if not file.schema_arrow.equals(_SCHEMA, check_metadata=False):
        raise DataError("its columns are not those of a session; import the recording again")
    if file.metadata.num_rows != metadata.market_offsets[-1]:
        raise DataError("its rows do not fit its markets; import the recording again")
    return metadata


def _read_events(file: pq.ParquetFile, rows: list[tuple[int, int]]) -> Events:
    """The events in `rows`, (first, one past the last) of each wanted market, in that order."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    wanted = [
        i
        for i, (start, stop) in enumerate(pairwise(starts))
        if any(first < stop and last > start for first, last in rows)
    ]
    table = file.read_row_groups(wanted, use_threads=True)
    events = Events(*(_column(table.column(f.name)) for f in fields(Events)))
    if len(wanted) == len(sizes) and _in_file_order(rows, int(starts[-1])):
        return events
    kept = np.concatenate([[0], np.cumsum([sizes[i] for i in wanted])]).astype(np.int64)
    shift = {i: int(kept[k] - starts[i]) for k, i in enumerate(wanted)}
    group = np.searchsorted(starts, [first for first, _ in rows], side="right") - 1
    parts = [
        events[slice(first + shift[int(g)], last + shift[int(g)])]
        for (first, last), g in zip(rows, group, strict=True)
        if last > first
    ]
    return Events.concatenate(parts)


def _in_file_order(rows: list[tuple[int, int]], n: int) -> bool:
    at = 0
    for first, last in rows:
        if first != at:
            return False
        at = last
    return at == n


def _column(column: pa.ChunkedArray) -> Any:
    values = column.to_numpy()
    return np.require(values, requirements=["C", "W"]) if values.flags.writeable else values.copy()


def _write(path: Path, session: Session) -> None:
    header = {
        _METADATA_KEY: encode_metadata(session),
        _INFO_KEY: msgspec.json.encode(session.info),
        _CONTENT_KEY: content_digest(session).encode(),
    }
    bounds = pairwise(session.market_offsets.tolist())
    checks = _Checks(
        header={key.decode(): _digest(header[key]) for key in _CHECKED_KEYS},
        markets=[_checksum(session.events, first, stop) for first, stop in bounds],
    )
    header[_CHECKS_KEY] = msgspec.json.encode(checks)
    schema = _SCHEMA.with_metadata(header)
    table = pa.table(
        [pa.array(getattr(session.events, f.name)) for f in fields(Events)], schema=schema
    )
    with (
        path.open("wb") as stream,
        pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            use_dictionary=_DICTIONARY,
            column_encoding=_ENCODING,
            write_page_checksum=True,
        ) as writer,
    ):
        for first, stop in _row_groups(session.market_offsets):
            writer.write_table(table.slice(first, stop - first), row_group_size=stop - first)
        writer.close()


def _row_groups(offsets: Int64Array) -> Iterator[tuple[int, int]]:
    """Row ranges of whole markets, each as short as `_GROUP_ROWS` allows."""
    first = 0
    for stop in offsets[1:].tolist():
        if stop - first >= _GROUP_ROWS or (stop == offsets[-1] and stop > first):
            yield first, stop
            first = stop
