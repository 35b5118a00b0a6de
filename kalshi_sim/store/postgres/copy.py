"""PostgreSQL's binary COPY, decoded straight into numpy columns and encoded from them.

Every column is a NOT NULL smallint, integer or bigint, so every row has the same bytes and a
whole answer is one structured array; no Python object is made for a row. Nothing here prepares
a statement, so it works behind a pooler in transaction mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import StoreError
from kalshi_sim.store.postgres.connection import Twin

Arrays = list[npt.NDArray[Any]]
Convert = Callable[[Arrays], Arrays]
"""Makes other columns of some rows' columns, all of one length; run while more rows come."""
Column = tuple[str, str]
"""(name, numpy type): i2 for smallint, i4 for integer, i8 for bigint."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, no flags, no header extension."""
_TRAILER: Final = b"\xff\xff"
_MISSHAPEN: Final = "the server's COPY answer has another shape than asked for; try again"
_DECODED_AT_ONCE: Final = 1 << 20
"""Bytes that are decoded together, while the server makes the next ones."""
_WORTH_WAKING: Final = 1 << 17
"""Bytes in one read below which the next read is put off a little, to find more."""
_GATHER_SECONDS: Final = 0.001
"""How long: the server writes 8 KiB at a time, and waking for each costs more than decoding it."""
_ROWS_PER_CHUNK: Final = 32_768
WORTH_TWO: Final = 100_000
"""Rows from which a second connection pays."""
IDLE_SECONDS: Final = 300.0
"""A COPY that moves no byte for so long is given up: the connection is dead."""


def row_dtype(columns: Sequence[Column]) -> np.dtype[np.void]:
    """The bytes of one row: a field count, then length and value of each field, big-endian."""
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for i, (_, kind) in enumerate(columns):
        fields += [(f"length{i}", ">i4"), (f"value{i}", f">{kind}")]
    return np.dtype(fields)


class Decoder:
    """Turns the bytes of a binary COPY into columns while they arrive."""

    def __init__(self, columns: Sequence[Column], convert: Convert | None = None) -> None:
        """Decode a binary COPY that arrives in pieces of any length.

        Args:
            columns: name and kind of each column of the answer.
            convert: makes other columns of those read, piece by piece; None keeps them.
        """
        self._columns = columns
        self._convert = convert
        self._dtype = row_dtype(columns)
        self._waiting = bytearray()
        self._pieces: list[Arrays] = []
        self._begun = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            StoreError: they are not rows of these columns, or a value is NULL.
        """
        self._waiting += chunk
        if len(self._waiting) >= _DECODED_AT_ONCE:
            self._decode()

    def finish(self) -> list[Arrays]:
        """The columns piece by piece (at least one), in native byte order.

        Returns:
            The columns of each piece (at least one), arrays [rows] of the dtypes of `columns`,
            native byte order.

        Raises:
            StoreError: the answer was cut short.
        """
        self._decode()
        if not self._begun or self._waiting != _TRAILER:
            raise StoreError(_MISSHAPEN)
        return self._pieces

    def _decode(self) -> None:
        start = 0
        if not self._begun:
            if not self._waiting.startswith(_HEADER):
                raise StoreError(_MISSHAPEN)
            self._begun, start = True, len(_HEADER)
        # The trailer is shorter than a row, so it is never taken for one.
        count = (len(self._waiting) - start) // self._dtype.itemsize
        rows = np.frombuffer(bytes(self._waiting), self._dtype, count, start)
        fits = bool((rows["count"] == len(self._columns)).all())
        for i, (_, kind) in enumerate(self._columns):
            fits = fits and bool((rows[f"length{i}"] == np.dtype(kind).itemsize).all())
        if not fits:
            raise StoreError(_MISSHAPEN)
        piece = [rows[f"value{i}"].astype(kind) for i, (_, kind) in enumerate(self._columns)]
        self._pieces.append(self._convert(piece) if self._convert else piece)
        del self._waiting[: start + count * self._dtype.itemsize]


async def encode(
    arrays: Mapping[str, npt.NDArray[Any]], columns: Sequence[Column]
) -> AsyncIterator[bytes]:
    """A binary COPY of arrays, in chunks.

    Args:
        arrays: columns by name, [rows] each, of integer or float dtype.
        columns: name and kind of each column to send, in order.

    Yields:
        Bytes of about a chunk of rows.
    """
    total = len(arrays[columns[0][0]])
    dtype = row_dtype(columns)
    yield _HEADER
    for start in range(0, total, _ROWS_PER_CHUNK):
        part = slice(start, min(start + _ROWS_PER_CHUNK, total))
        rows = np.empty(part.stop - part.start, dtype)
        rows["count"] = len(columns)
        for i, (name, kind) in enumerate(columns):
            rows[f"length{i}"] = np.dtype(kind).itemsize
            rows[f"value{i}"] = arrays[name][part]
        yield rows.tobytes()
    yield _TRAILER


async def _read(
    connection: Any, query: str, columns: Sequence[Column], convert: Convert | None
) -> list[Arrays]:
    decoder = Decoder(columns, convert)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as limit:

        async def sink(chunk: bytes) -> None:
            decoder.feed(chunk)
            limit.reschedule(loop.time() + IDLE_SECONDS)
            if len(chunk) < _WORTH_WAKING:
                await asyncio.sleep(_GATHER_SECONDS)

        await connection.copy_from_query(query, output=sink, format="binary")
    return decoder.finish()


def _joined(pieces: Sequence[Arrays]) -> Arrays:
    return [np.concatenate(column) for column in zip(*pieces, strict=True)]


async def copy_out(
    connection: Any, query: str, columns: Sequence[Column], convert: Convert | None = None
) -> Arrays:
    """The result of a query, by binary COPY.

    Args:
        connection: to the database.
        query: SQL whose columns are cast as `columns` say.
        columns: name and kind of each column.
        convert: makes other columns of those read; None keeps them.

    Returns:
        The columns, arrays [rows] of the dtypes of `columns`, or what `convert` made.

    Raises:
        StoreError: the answer does not fit the columns.
        TimeoutError: nothing arrived for `IDLE_SECONDS`.
    """
    return _joined(await _read(connection, query, columns, convert))


async def copy_out_in_two(
    connection: Any,
    twin: Twin,
    queries: tuple[str, str],
    columns: Sequence[Column],
    convert: Convert | None = None,
) -> Arrays:
    """The results of two queries, one after the other; read at once if a twin is to be had.

    The server makes the rows of a query on one core and is the slower end.

    Args:
        connection: to the database.
        twin: makes a second connection in the same snapshot; where it gives None, the first reads
            both.
        queries: SQL whose columns are cast as `columns` say.
        columns: name and kind of each column.
        convert: makes other columns of those read; None keeps them.

    Returns:
        The columns, arrays [rows] of the dtypes of `columns`, or what `convert` made.

    Raises:
        StoreError: an answer does not fit the columns.
        TimeoutError: nothing arrived for `IDLE_SECONDS`.
    """
    async with twin() as second:
        if second is None:
            halves = [await _read(connection, query, columns, convert) for query in queries]
        else:
            pairs = zip((connection, second), queries, strict=True)
            tasks = [asyncio.create_task(_read(c, q, columns, convert)) for c, q in pairs]
            try:
                halves = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    return _joined([piece for half in halves for piece in half])


async def copy_in(
    connection: Any, table: str, arrays: Mapping[str, npt.NDArray[Any]], columns: Sequence[Column]
) -> None:
    """Append rows to a table, inside the caller's transaction.

    Args:
        connection: to the database.
        table: its name.
        arrays: columns by name, [rows] each, of integer or float dtype.
        columns: name and kind of each column of the table to fill.

    Raises:
        TimeoutError: nothing was taken for `IDLE_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as limit:

        async def source() -> AsyncIterator[bytes]:
            async for chunk in encode(arrays, columns):
                limit.reschedule(loop.time() + IDLE_SECONDS)
                yield chunk

        names = [name for name, _ in columns]
        await connection.copy_to_table(table, source=source(), columns=names, format="binary")
