"""The Parquet file of one session, wherever its bytes lie: how it is written, read and checked.

A file holds the event table as columns, sorted by market, in row groups that end at market
boundaries, so that loading some markets reads little else; all metadata lie in the footer, with
checksums of themselves and of each market's events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from zlib_ng import zlib_ng

from kalshi_sim.errors import ConfigError, DataError, StoreError
from kalshi_sim.parallel import in_order
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


@dataclass(frozen=True)
class SessionFile:
    """Where a file's bytes lie: on a disk, or in an object store."""

    shown: str
    """In messages, without credentials."""
    name: str
    """In lists of sessions."""
    open: Callable[[], Any]
    """Opens it for reading: an Arrow file."""
    far: bool = False
    """Whether each read takes a request, so that several are fetched together."""

    @staticmethod
    def at(path: Path) -> SessionFile:
        """A file on a disk."""
        # As bytes: a path it takes as UTF-8 alone.
        return SessionFile(str(path), path.name, lambda: pa.OSFile(os.fsencode(path)))


def file_name(session_id: int) -> str:
    """The name of a session's file in its folder."""
    return f"session-{session_id}.parquet"


def read_session(place: SessionFile, session_id: int, markets: Sequence[str] | None) -> Session:
    """The session of a file, with all of its markets or only those named.

    Args:
        place: the file.
        session_id: the session that it must hold.
        markets: tickers wanted; None for all.

    Returns:
        The session.

    Raises:
        SessionNotFoundError: the session has no such market.
        StoreError: the file is damaged, foreign or of a newer version.
        DataError: an event has a value that cannot be right.
    """
    with _opened(place) as file:
        metadata = _metadata_of(file, place, session_id)
        rows = metadata.market_rows(markets)
        events = Events(**_read_columns(file, rows, [f.name for f in fields(Events)]))
        checks = _checks(file)
    session = metadata.session(events, markets)
    validate_events(session)
    damaged = _damaged_market(checks, metadata, markets, events, rows)
    if damaged is not None:
        raise StoreError(
            f"{place.shown}: the events of market {printable(damaged)} are damaged; restore the "
            "file from a copy, or import the recording again"
        )
    return session


def read_columns(
    place: SessionFile, session_id: int, columns: Sequence[str], markets: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Some columns of a file's events, of all markets or only those named; the rest is not read.

    Args:
        place: the file.
        session_id: the session that it must hold.
        columns: fields of `Events`.
        markets: tickers wanted; None for all.

    Returns:
        Each column by name, [n] of its dtype, one market after the other.

    Raises:
        ConfigError: there is no such column.
        SessionNotFoundError: the session has no such market.
        StoreError: the file is damaged, foreign or of a newer version.
    """
    known = [f.name for f in fields(Events)]
    unknown = [name for name in columns if name not in known]
    if unknown or not columns:
        raise ConfigError(
            f"events have no column {', '.join(unknown) or '(none given)'}; they have "
            f"{', '.join(known)}"
        )
    with _opened(place) as file:
        metadata = _metadata_of(file, place, session_id)
        return _read_columns(file, metadata.market_rows(markets), list(columns))


def _metadata_of(file: pq.ParquetFile, place: SessionFile, session_id: int) -> SessionMetadata:
    metadata = _metadata(file, place)
    if metadata.session_id != session_id:
        raise StoreError(
            f"{place.shown} holds session {metadata.session_id}; rename it to "
            f"{file_name(metadata.session_id)}"
        )
    return metadata


class _File(pq.ParquetFile):  # type: ignore[misc]  # pyarrow has no types
    """An open file that makes its schema, with megabytes of metadata, once."""

    @cached_property
    def schema_arrow(self) -> pa.Schema:
        """Names and types of the columns, and the metadata."""
        return super().schema_arrow


@contextmanager
def _opened(place: SessionFile) -> Iterator[pq.ParquetFile]:
    """The open file; whatever is wrong with it becomes a StoreError that names it."""
    try:
        with (
            place.open() as stream,
            _File(stream, page_checksum_verification=True, pre_buffer=place.far) as file,
        ):
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise StoreError(
            f"{place.shown} {'cannot be read, or ' if place.far else ''}is damaged or no Parquet "
            f"file ({_first_line(error)}); restore it from a copy, or delete it and import the "
            "recording again"
        ) from error
    except DataError as error:
        raise StoreError(f"{place.shown}: {error}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _header(file: pq.ParquetFile, place: SessionFile) -> dict[bytes, bytes]:
    header: dict[bytes, bytes] = file.schema_arrow.metadata or {}
    if _METADATA_KEY not in header or _INFO_KEY not in header:
        raise StoreError(
            f"{place.shown} is a Parquet file, but holds no session of kalshi-sim; move it out of "
            "the store, or import the recording it came from"
        )
    return header


def _checked_header(file: pq.ParquetFile, place: SessionFile) -> dict[bytes, bytes]:
    header = _header(file, place)
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


def _checksums(events: Events, starts: Sequence[int]) -> list[int]:
    """CRC-32 of the rows of each market: from one of `starts` to before the next."""
    columns = [np.ascontiguousarray(getattr(events, c.name)) for c in fields(Events)]
    # of memory views, since a slice of an array costs more than the checksum of a small market
    views = [(column.data.cast("B"), column.itemsize) for column in columns if len(column)]
    sums = []
    for first, stop in pairwise(starts):
        value = 0
        for view, size in views:
            value = zlib_ng.crc32(view[first * size : stop * size], value)
        sums.append(value)
    return sums


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
    starts = np.cumsum([0, *(last - first for first, last in rows)]).tolist()
    threads = _threads()
    size = max(1, len(rows) // (4 * threads))  # a task for each of hundreds of markets costs more
    parts = [starts[at : at + size + 1] for at in range(0, len(rows), size)]
    sums = in_order(parts, lambda part: _checksums(events, part), threads)
    for index, found in zip(wanted, chain.from_iterable(sums), strict=True):
        if index >= len(checks.markets) or found != checks.markets[index]:
            return metadata.markets[index].ticker
    return None


def read_info(place: SessionFile) -> SessionInfo:
    """The line of a store's list; reads the footer only.

    Raises:
        StoreError: the file is damaged, foreign or of a newer version.
    """
    with _opened(place) as file:
        text = _checked_header(file, place)[_INFO_KEY]
        try:
            return replace(msgspec.json.decode(text, type=SessionInfo), location=place.name)
        except msgspec.MsgspecError as error:
            raise DataError(f"its description cannot be read ({error})") from error


def _metadata(file: pq.ParquetFile, place: SessionFile) -> SessionMetadata:
    metadata = decode_metadata(_header(file, place)[_METADATA_KEY])
    _checked_header(file, place)
    if not file.schema_arrow.equals(_SCHEMA, check_metadata=False):
        raise DataError("its columns are not those of a session; import the recording again")
    if file.metadata.num_rows != metadata.market_offsets[-1]:
        raise DataError("its rows do not fit its markets; import the recording again")
    return metadata


def _read_columns(
    file: pq.ParquetFile, rows: list[tuple[int, int]], names: list[str]
) -> dict[str, Any]:
    """Columns in `rows`, (first, one past the last) of each wanted market, in that order."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    wanted = [
        i
        for i, (start, stop) in enumerate(pairwise(starts))
        if any(first < stop and last > start for first, last in rows)
    ]
    table = file.read_row_groups(wanted, columns=names, use_threads=True)
    columns = {name: _column(table.column(name)) for name in names}
    if len(wanted) == len(sizes) and _in_file_order(rows, int(starts[-1])):
        return columns
    kept = np.concatenate([[0], np.cumsum([sizes[i] for i in wanted])]).astype(np.int64)
    shift = {i: int(kept[k] - starts[i]) for k, i in enumerate(wanted)}
    group = np.searchsorted(starts, [first for first, _ in rows], side="right") - 1
    parts = [
        slice(first + shift[int(g)], last + shift[int(g)])
        for (first, last), g in zip(rows, group, strict=True)
        if last > first
    ]
    return {
        name: np.concatenate([column[part] for part in parts or [slice(0)]])
        for name, column in columns.items()
    }


def _threads() -> int:
    from kalshi_sim.threads import usable_cpus  # it needs the compiler, a listing does not

    return usable_cpus()


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


def read_fingerprint(place: SessionFile) -> str:
    """Names the content of a file's session; reads the footer only.

    Raises:
        StoreError: the file is damaged, foreign or of a newer version.
    """
    with _opened(place) as file:
        return _checked_header(file, place)[_CONTENT_KEY].decode()


def write_session(stream: Any, session: Session) -> None:
    """Write a session to a new file.

    Args:
        stream: the file, open for writing bytes; it is left open.
        session: what to write.

    Raises:
        OSError: the file cannot be written.
    """
    header = {
        _METADATA_KEY: encode_metadata(session),
        _INFO_KEY: msgspec.json.encode(session.info),
        _CONTENT_KEY: content_digest(session).encode(),
    }
    checks = _Checks(
        header={key.decode(): _digest(header[key]) for key in _CHECKED_KEYS},
        markets=_checksums(session.events, session.market_offsets.tolist()),
    )
    header[_CHECKS_KEY] = msgspec.json.encode(checks)
    schema = _SCHEMA.with_metadata(header)
    table = pa.table(
        [pa.array(getattr(session.events, f.name)) for f in fields(Events)], schema=schema
    )
    with pq.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        use_dictionary=_DICTIONARY,
        column_encoding=_ENCODING,
        write_page_checksum=True,
    ) as writer:
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
