"""SQLite databases with a column of raw JSON frames and one of market tickers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import (
    MARKET_KEYS,
    TIME_KEYS,
    Block,
    Head,
    ReadOptions,
    json_object,
    receive_time,
)
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import RECEIVE_KEYS

_MAGIC: Final = b"SQLite format 3\0"
_RAW: Final = ("raw", "raw_json", "payload_json", "payload", "message", "frame", "json", "data")
_ROWS: Final = 2_000
_LEVELS: Final = frozenset({"yes", "no", "yes_dollars", "no_dollars"})


class SqliteReader:
    """Reads the one table that has both columns, in the order in which rows were inserted."""

    name = "sqlite"
    record = "row"

    def knows(self, head: Head) -> bool:
        """By the file's first bytes."""
        return head.text.startswith(_MAGIC)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The table's rows, in the known envelope.

        Args:
            source: the database file.
            options: not used.

        Raises:
            DataError: the file cannot be read as SQLite.
        """
        address = f"file:{quote(str(source.path.resolve()))}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True)) as database:
                table, raw, market, time = _table(database, source)
                columns = [f'"{name}"' for name in (raw, market, time) if name is not None]
                query = f'SELECT {", ".join(columns)} FROM "{table}" ORDER BY rowid'
                rows = database.execute(query)
                first = 1
                while found := rows.fetchmany(_ROWS):
                    yield _block(first, found, time)
                    first += len(found)
        except sqlite3.Error as error:
            raise DataError(f"{source.path} cannot be read as SQLite: {error}") from error


def _table(database: sqlite3.Connection, source: Source) -> tuple[str, str, str, str | None]:
    """The table's name and its columns of frames, of markets and of times.

    Raises:
        DataError: no table has the columns, or several have.
    """
    found = []
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        escaped = table.replace('"', '""')
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{escaped}")')]
        raw = next((name for name in _RAW if name in columns), None)
        market = next((name for name in MARKET_KEYS if name in columns), None)
        if raw is not None and market is not None:
            times = (*RECEIVE_KEYS, *TIME_KEYS)
            found.append((escaped, raw, market, next((n for n in times if n in columns), None)))
    if len(found) != 1:
        tables = ", ".join(table for table, *_ in found)
        raise DataError(
            f"{source.path}: "
            + (f"several tables hold frames ({tables})" if found else "no table holds frames")
            + f"; a table needs a column of JSON ({', '.join(_RAW)}) and one of markets "
            f"({', '.join(MARKET_KEYS)}): make a database of just that table"
        )
    return found[0]


def _block(first: int, rows: list[tuple[Any, ...]], time: str | None) -> Block:
    out: list[bytes] = []
    bad: list[tuple[int, str]] = []
    for i, (raw, market, *times) in enumerate(rows):
        try:
            out.append(_line(raw, market, {time: times[0]} if time is not None else {}))
        except (ValueError, ArithmeticError, RecursionError) as error:
            out.append(b"")
            bad.append((first + i, str(error)))
    return Block(first, b"\n".join(out), tuple(bad))


def _line(raw: object, market: object, times: dict[str, Any]) -> bytes:
    if isinstance(raw, str):
        raw = raw.encode()
    if not isinstance(raw, bytes):
        raise ValueError("no JSON in the column of frames")
    frame = json_object(raw)
    if "type" not in frame and _LEVELS & frame.keys():
        frame = {"orderbook": frame}
    out = {**receive_time(times), "raw": frame}
    if isinstance(market, str):
        out["market_ticker"] = market
    return msgspec.json.encode(out)
