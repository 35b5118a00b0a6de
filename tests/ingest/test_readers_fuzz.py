"""Whatever a file holds, every reader gives a session or says what is wrong: no other error."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.formats import FORMATS, Limits
from tests.support.modes import examples
from tests.support.wire import MARKET, T0, book, delta

TEXTS = (MARKET, "yes", "no", "bid", "ask", "0.4200", "40", "13.00", "-1", "1e-2", "", "snapshot")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from((*TEXTS, T0, T0 // 1000, T0 / 1000, T0 * 10**6, "2026-03-18T19:36:06Z")),
    st.text(max_size=6),
)
LEVELS = st.lists(st.lists(SCALARS, max_size=3), max_size=3)
BOOKS = st.dictionaries(
    st.sampled_from(("yes", "no", "yes_dollars", "no_dollars", "bids", "market_ticker")),
    st.one_of(LEVELS, SCALARS),
    max_size=4,
)
FRAMES = st.one_of(
    st.just(book()), st.integers(2, 9).map(lambda i: delta(i, i)), BOOKS, SCALARS, LEVELS
)
LINES = st.dictionaries(
    st.sampled_from(
        (
            *("orderbook", "orderbook_fp", "ticker", "market_ticker", "ts", "ts_ms", "timestamp"),
            *("recv_ts_ns", "received_at", "payload_json", "raw", "data", "event_type", "type"),
            *("msg", "response", "open", "trade_id"),
        )
    ),
    st.one_of(FRAMES, FRAMES.map(json.dumps), st.fixed_dictionaries({"orderbook": BOOKS})),
    max_size=6,
)
COLUMNS = (
    *("market_ticker", "ts", "received_at", "price_cents", "delta_amount", "side", "captured_at"),
    *("yes_levels", "no_levels", "size", "price", "kind", "ts_ms", "ticker", "raw"),
)
TABLES: tuple[tuple[str, ...], ...] = (
    ("market_ticker", "ts", "price_cents", "delta_amount", "side", "received_at"),
    ("market_ticker", "captured_at", "yes_levels", "no_levels"),
    ("ticker", "ts_ms", "kind", "side", "price", "size"),
    COLUMNS,
)
CELLS = st.one_of(SCALARS, LEVELS.map(json.dumps), st.just("[[40, 5]]"))
ROWS = st.integers(0, len(TABLES) - 1).flatmap(
    lambda i: st.tuples(
        st.just(TABLES[i]),
        st.lists(st.tuples(*[CELLS] * len(TABLES[i])), min_size=1, max_size=5),
    )
)
PACKINGS: tuple[Callable[[bytes], bytes], ...] = (bytes, gzip.compress, bz2.compress, lzma.compress)
LIMITS = Limits(max_line_bytes=1 << 20, max_unpacked_bytes=1 << 22)
SEARCH = settings(max_examples=examples(150))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def attempt(path: Path, **options: Any) -> None:
    """Import must end in a session or in a DataError; any other error fails the test."""
    for bad in (0, 100):
        try:
            session = import_captures(
                [path], session_id=1, max_bad_lines=bad, limits=LIMITS, **options
            )
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017  # both ends are right
        else:
            assert session.quality.bad_lines <= bad


@SEARCH
@given(
    st.lists(LINES, min_size=1, max_size=5),
    st.sampled_from(("auto", *FORMATS.split(", "))),
    st.sampled_from((None, "data", "data=recv:ts", "raw=recv:response.ts", ".=recv:timestamp")),
    st.sampled_from(("drop", "smallest")),
)
def test_any_lines(
    folder: Path, lines: list[Any], name: str, envelope: str | None, missing: str
) -> None:
    path = folder / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if name in ("auto", "envelope"):
        attempt(path, format=name, envelope=envelope or "data", missing_snapshot=missing)
    if name != "envelope":
        attempt(path, format=name, missing_snapshot=missing, nearest_tick=True)


@SEARCH
@given(ROWS, st.sampled_from(("auto", "kalshibook", "absolute")))
def test_any_comma_separated_table(
    folder: Path, table: tuple[tuple[str, ...], list[Any]], name: str
) -> None:
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([table[0], *table[1]])
    attempt(path, format=name)


@SEARCH
@given(ROWS, st.sampled_from(("auto", "kalshibook", "absolute")), st.booleans())
def test_any_parquet_table(
    folder: Path, table: tuple[tuple[str, ...], list[Any]], name: str, as_text: bool
) -> None:
    names, rows = table
    columns = {}
    for name_, cells in zip(names, zip(*rows, strict=True), strict=True):
        try:
            columns[name_] = pa.array([str(c) for c in cells] if as_text else cells)
        except (pa.ArrowException, OverflowError):  # cells of several types
            columns[name_] = pa.array([None if c is None else str(c) for c in cells])
    path = folder / "table.parquet"
    pq.write_table(pa.table(columns), path)
    attempt(path, format=name)


@SEARCH
@given(
    st.lists(st.tuples(SCALARS, SCALARS, st.one_of(SCALARS, FRAMES.map(json.dumps))), min_size=1)
)
def test_any_database(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    path = folder / "frames.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE messages (ts, market, raw)")
    cells = [[str(c) if isinstance(c, int) else c for c in row] for row in rows]
    connection.executemany("INSERT INTO messages VALUES (?, ?, ?)", cells)
    connection.commit()
    connection.close()
    attempt(path)


@SEARCH
@given(
    st.sampled_from((b"", b"PAR1", b"SQLite format 3\0", b"\xff\xfe", b"[", b"a,b\n", b"{")),
    st.binary(max_size=120),
    st.sampled_from(PACKINGS),
    st.integers(0, 30),
    st.sampled_from(("auto", *FORMATS.split(", "))),
)
def test_any_bytes(
    folder: Path,
    start: bytes,
    rest: bytes,
    pack: Callable[[bytes], bytes],
    cut: int,
    name: str,
) -> None:
    data = pack(start + rest)
    path = folder / "bytes"
    path.write_bytes(data[: max(1, len(data) - cut)])
    attempt(path, format=name, envelope="data" if name == "envelope" else None)
