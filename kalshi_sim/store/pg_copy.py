"""PostgreSQL's binary COPY, decoded straight into numpy columns and encoded from them.

Every column is a NOT NULL smallint, integer or bigint, so every row has the same bytes and a
whole answer is one structured array; no Python object is made for a row. Nothing here prepares
a statement, so it works behind a pooler in transaction mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import StoreError

Column = tuple[str, str]
"""(name, numpy type): i2 for smallint, i4 for integer, i8 for bigint."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, no flags, no header extension."""
_TRAILER: Final = b"\xff\xff"
_ROWS_PER_CHUNK: Final = 32_768
IDLE_SECONDS: Final = 300.0
"""A COPY that moves no byte for so long is given up: the connection is dead."""


def row_dtype(columns: Sequence[Column]) -> np.dtype[np.void]:
    """The bytes of one row: a field count, then length and value of each field, big-endian."""
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for i, (_, kind) in enumerate(columns):
        fields += [(f"length{i}", ">i4"), (f"value{i}", f">{kind}")]
    return np.dtype(fields)


def decode(data: bytes | bytearray, columns: Sequence[Column]) -> dict[str, npt.NDArray[Any]]:
    """The columns of a complete binary COPY answer, by name, in native byte order.

    Raises:
        StoreError: the bytes are not such an answer: cut short, or a value is NULL.
    """
    dtype = row_dtype(columns)
    body = len(data) - len(_HEADER) - len(_TRAILER)
    whole = body >= 0 and data.startswith(_HEADER) and data.endswith(_TRAILER)
    if not whole or body % dtype.itemsize:
        raise StoreError("the server's COPY answer has another shape than asked for; try again")
    rows = np.frombuffer(data, dtype, count=body // dtype.itemsize, offset=len(_HEADER))
    out: dict[str, npt.NDArray[Any]] = {}
    fits = bool((rows["count"] == len(columns)).all())
    for i, (name, kind) in enumerate(columns):
        fits = fits and bool((rows[f"length{i}"] == np.dtype(kind).itemsize).all())
        out[name] = rows[f"value{i}"].astype(kind)
    if not fits:
        raise StoreError("the server's COPY answer has another shape than asked for; try again")
    return out


async def encode(
    arrays: Mapping[str, npt.NDArray[Any]], columns: Sequence[Column]
) -> AsyncIterator[bytes]:
    """The arrays (all of one length) as chunks of a binary COPY."""
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


async def copy_out(
    connection: Any, query: str, columns: Sequence[Column]
) -> dict[str, npt.NDArray[Any]]:
    """The result of `query`, whose columns are cast to and named as `columns` say.

    Raises:
        StoreError: the answer does not fit the columns.
        TimeoutError: nothing arrived for `IDLE_SECONDS`.
    """
    data = bytearray()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as limit:

        async def sink(chunk: bytes) -> None:
            data.extend(chunk)
            limit.reschedule(loop.time() + IDLE_SECONDS)

        await connection.copy_from_query(query, output=sink, format="binary")
    return decode(data, columns)


async def copy_in(
    connection: Any, table: str, arrays: Mapping[str, npt.NDArray[Any]], columns: Sequence[Column]
) -> None:
    """Append the arrays to `table`, inside the caller's transaction.

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
