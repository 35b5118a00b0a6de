"""Event logs, envelopes that the user describes, and databases of frames give the frames."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.formats import FORMATS
from kalshi_sim.ingest.readers import CANDLES, READERS, TRADES
from tests.support.wire import MARKET, T0, book, delta, imported, received, trade, write

LINES = [book(), delta(2, 10), trade(1, 11), delta(3, 20)]
RECEIVED = [received(line, 10 * i) for i, line in enumerate(LINES)]


@pytest.mark.parametrize("time", ["recv_ts_ms", "ts", "timestamp", "recorded_at"])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_event_log_is_opened(tmp_path: Path, time: str, indent: int | None) -> None:
    plain = imported(tmp_path, *RECEIVED)
    log: list[dict[str, Any]] = [
        {
            "event_type": "ws",
            time: T0 + 10 * i,
            "payload_json": json.dumps(line, indent=indent),
        }
        for i, line in enumerate(LINES)
    ]
    log.insert(1, {"event_type": "connected", time: T0, "payload_json": None})
    log.insert(1, {"event_type": "heartbeat", time: T0, "payload_json": "pong"})
    session = imported(tmp_path, *log)
    assert session.events.equals(plain.events)
    assert session.quality.other_frames == {"connected": 1, "heartbeat": 1}


@pytest.mark.parametrize(
    ("envelope", "wrap"),
    [
        ("data", lambda f, ms: {"data": f, "at": ms}),
        ("data=recv:at", lambda f, ms: {"data": f, "at": ms / 1000}),
        ("data=recv:at", lambda f, ms: {"data": json.dumps(f), "at": ms * 10**6}),
        ("a.b=recv:c.d", lambda f, ms: {"a": {"b": f}, "c": {"d": ms * 1000}}),
        (".=recv:ts_recv", lambda f, ms: {**f, "ts_recv": ms}),
        ("raw=recv:ts_recv", lambda f, ms: {"raw": json.dumps(f), "ts_recv": str(ms)}),
    ],
)
def test_an_envelope_as_described_is_opened(tmp_path: Path, envelope: str, wrap: Any) -> None:
    told = "recv" in envelope
    plain = imported(tmp_path, *(RECEIVED if told else LINES))
    lines = [wrap(line, T0 + 10 * i) for i, line in enumerate(LINES)]
    session = imported(tmp_path, *lines, envelope=envelope)
    assert session.events.equals(plain.events)


def test_lines_outside_of_the_envelope_are_read_too(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [{"data": {"type": "ok"}}, {"info": "closed"}]
    lines: list[dict[str, Any]] = [{"data": LINES[0]}, *LINES[1:], *others]
    session = imported(tmp_path, *lines, envelope="data")
    assert session.events.equals(imported(tmp_path, *LINES).events)
    assert session.quality.other_frames == {"ok": 1, "untyped": 1}


@pytest.mark.parametrize("text", ["", "data=", "data=at", "=recv:at", "data=recv:", "data=sent:at"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="write FIELD or FIELD=recv:FIELD"):
        imported(tmp_path, *LINES, envelope=text)


def test_a_line_without_its_receive_time_is_named(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"data": LINES[0], "at": T0}, {"data": LINES[1]}]
    with pytest.raises(DataError, match="line 2: the receive time 'at' is missing"):
        imported(tmp_path, *lines, envelope="data=recv:at")


def test_formats_are_chosen_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "capture.jsonl", *LINES)
    plain = import_captures([path], session_id=1)
    assert import_captures([path], session_id=1, format="wire").events.equals(plain.events)
    with pytest.raises(ConfigError, match="no such format; known are auto, segments, sqlite,"):
        import_captures([path], session_id=1, format="nonsense")
    with pytest.raises(ConfigError, match="another format than --format polls"):
        import_captures([path], session_id=1, format="polls", envelope="data")


def database(
    path: Path, columns: str, rows: list[tuple[Any, ...]], table: str = "messages"
) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {table} ({columns})")
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    connection.close()
    return path


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_database_of_frames_is_read(tmp_path: Path, as_bytes: bool) -> None:
    plain = imported(tmp_path, *RECEIVED)
    texts = [json.dumps(line) for line in LINES]
    rows = [
        (i, T0 + 10 * i, MARKET, text.encode() if as_bytes else text)
        for i, text in enumerate(texts)
    ]
    path = database(
        tmp_path / "a?b#.db", "id INTEGER PRIMARY KEY, ts, market_ticker TEXT, raw_json", rows
    )
    assert import_captures([path], session_id=1).events.equals(plain.events)


def test_a_database_of_books_is_a_session_of_polls(tmp_path: Path) -> None:
    books = [json.dumps({"yes": [[40, 5 + i]], "no": [[50, 7]]}) for i in range(3)]
    rows = [(T0 + i, MARKET, text) for i, text in enumerate(books)]
    path = database(tmp_path / "books.sqlite", "ts INTEGER, ticker TEXT, payload TEXT", rows)
    session = import_captures([path], session_id=1)
    assert session.source == "polls"
    assert session.events.ts_ms.tolist() == [T0] * 3 + [T0 + 1] * 3 + [T0 + 2] * 3


def test_a_row_without_a_frame_is_named(tmp_path: Path) -> None:
    rows = [(MARKET, json.dumps(LINES[0])), (MARKET, None), (MARKET, "[]")]
    path = database(tmp_path / "some.db", "market TEXT, raw TEXT", rows)
    with pytest.raises(DataError, match=r"some\.db, row 2: no JSON"):
        import_captures([path], session_id=1)
    assert import_captures([path], session_id=1, max_bad_lines=2).quality.bad_lines == 2


def test_a_database_without_one_table_of_frames_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "other.db", "name TEXT", [("x",)])
    with pytest.raises(DataError, match="no table holds frames"):
        import_captures([path], session_id=1)
    for table in ("a", "b"):
        database(path, "market TEXT, raw TEXT", [(MARKET, "{}")], table)
    with pytest.raises(DataError, match=r"several tables hold frames \(a, b\)"):
        import_captures([path], session_id=1)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read as SQLite"):
        import_captures([path], session_id=1)


def test_the_command_names_every_format_that_is_read() -> None:
    names = [reader.name for reader in READERS if reader not in (CANDLES, TRADES)]
    assert sorted(FORMATS.split(", ")) == sorted(names)
