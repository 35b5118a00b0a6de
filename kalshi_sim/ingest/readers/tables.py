"""Parquet and CSV files as columns of Python values, some rows at a time."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import PARQUET_MAGIC
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.wire_time import time_of_any_unit
from kalshi_sim.units import MS_PER_SECOND

_ROWS: Final = 8_192
_US_PER_MS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def table_rows(source: Source, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    """Read columns of a Parquet or CSV file in blocks of rows.

    Args:
        source: the file.
        columns: names of those wanted.

    Yields:
        The number of a block's first row, from 1, and the values of each column.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    if source.head().startswith(PARQUET_MAGIC):
        yield from _parquet_rows(source, columns)
    else:
        yield from _csv_rows(source, columns)


def _parquet_rows(source: Source, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 1
    try:
        # By its bytes: a path it takes as UTF-8 alone.
        with pa.OSFile(os.fsencode(source.path)) as stream, pq.ParquetFile(stream) as file:
            for batch in file.iter_batches(_ROWS, columns=list(columns)):
                found = [batch.column(batch.schema.get_field_index(name)) for name in columns]
                yield first, [_values(column) for column in found]
                first += batch.num_rows
    except (pa.ArrowException, OSError, KeyError, IndexError) as error:
        raise DataError(f"{source.path} cannot be read as Parquet: {error}") from error


def _values(column: Any) -> list[Any]:
    """A column's values; times with a date as integers in microseconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        unit = pa.timestamp("us", column.type.tz)
        column = column.cast(unit, safe=False).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


def _csv_rows(source: Source, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    rows = csv.reader(_text_lines(source))
    try:
        header = [name.strip() for name in next(rows, [])]
        places = [header.index(name) for name in columns]
        first, block = 1, []
        for row in rows:
            block.append([row[p] if p < len(row) and row[p] else None for p in places])
            if len(block) == _ROWS:
                yield first, [list(column) for column in zip(*block, strict=True)]
                first, block = first + len(block), []
        if block:
            yield first, [list(column) for column in zip(*block, strict=True)]
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{source.path} cannot be read as CSV: {error}") from error


def _text_lines(source: Source) -> Iterator[str]:
    for _, block in source.blocks():
        yield from io.StringIO(block.decode(), newline="")


def time_ms(value: Any) -> int | None:
    """A cell's time in ms: a number of any unit, RFC 3339 or a date type; None where it is empty.

    Raises:
        ValueError: not a time since the exchange opened.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
        return int(since.total_seconds() * MS_PER_SECOND)
    return time_of_any_unit(value)[0]


def number_as_text(value: Any) -> str | int | float | None:
    """A cell's number as JSON can hold it, None where it is empty."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
