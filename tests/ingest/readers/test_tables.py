"""Tables of other recorders: signed changes, absolute sizes, and tables that hold no book."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_sim import build_tape
from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind, Session
from tests.support.wire import MARKET, T0, rows

Columns = dict[str, list[Any]]


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp((T0 + ms) / 1000, UTC)


def parquet(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def comma_separated(path: Path, columns: Columns) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


WRITERS = {"parquet": parquet, "csv": comma_separated}
DELTAS: Columns = {
    "market_ticker": [MARKET] * 3,
    "ts": [moment(1), moment(5), moment(9)],
    "seq": [2, 3, 9],
    "sid": [4, 4, 4],
    "price_cents": [40, 41, 55],
    "delta_amount": [-10, 25, 7],
    "side": ["yes", "yes", "no"],
    "received_at": [moment(2), moment(6), moment(11)],
}
SNAPSHOTS: Columns = {
    "market_ticker": [MARKET, MARKET],
    "captured_at": [moment(0), moment(10)],
    "seq": [1, 8],
    "yes_levels": ["[[40, 100]]", "[[39, 5]]"],
    "no_levels": ['{"55": 80}', "[]"],
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_kalshibook_files_are_joined_by_time_of_receipt(
    tmp_path: Path, suffix: str, reverse: bool
) -> None:
    paths = [
        WRITERS[suffix](tmp_path / f"deltas.{suffix}", DELTAS),
        WRITERS[suffix](tmp_path / f"snapshots.{suffix}", SNAPSHOTS),
    ]
    session = import_captures(paths[::-1] if reverse else paths, session_id=1)
    kinds = session.events.kind.tolist()
    s, v, d = EventKind.SNAPSHOT, EventKind.LEVEL, EventKind.DELTA
    assert kinds == [s, v, v, d, d, s, v, d]
    assert rows(session.events, v) == [(0, 4000, 10_000), (1, 5500, 8_000), (0, 3900, 500)]
    assert rows(session.events, d) == [(0, 4000, -1_000), (0, 4100, 2_500), (1, 5500, 700)]
    assert (session.events.ts_ms[session.events.kind == d] - T0).tolist() == [1, 5, 9]
    assert session.source == "capture"


@pytest.mark.parametrize("suffix", WRITERS)
def test_kalshibook_files_are_read(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"deltas.{suffix}", DELTAS)
    session = import_captures([path], session_id=1)
    expected = [(0, 4000, -1_000), (0, 4100, 2_500), (1, 5500, 700)]
    assert rows(session.events, EventKind.DELTA) == expected
    assert (session.events.ts_ms - T0).tolist() == [1, 5, 9]
    path = WRITERS[suffix](tmp_path / f"snapshots.{suffix}", SNAPSHOTS)
    session = import_captures([path], session_id=1)
    levels = [(0, 4000, 10_000), (1, 5500, 8_000), (0, 3900, 500)]
    assert rows(session.events, EventKind.LEVEL) == levels
    assert (session.events.ts_ms - T0).tolist() == [0, 0, 0, 10, 10]
    assert session.source == "capture"


def test_numbers_of_every_type_are_exact(tmp_path: Path) -> None:
    columns = DELTAS | {
        "delta_amount": [Decimal("-10.25"), Decimal("25.00"), Decimal("7.00")],
        "price_cents": [40.0, 41.0, 55.0],
        "ts": [(T0 + ms) * 1000 for ms in (1, 5, 9)],
        "received_at": [None] * 3,
    }
    paths = [
        parquet(tmp_path / "d.parquet", columns),
        parquet(tmp_path / "s.parquet", SNAPSHOTS | {"captured_at": [moment(0), moment(20)]}),
    ]
    session = import_captures(paths[:1], session_id=1, missing_snapshot="smallest")
    assert rows(session.events, EventKind.DELTA)[0] == (0, 4000, -1_025)
    assert (session.events.ts_ms[-3:] - T0).tolist() == [1, 5, 9]


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "d.parquet", DELTAS | {"side": ["yes", "up", "no"]})
    with pytest.raises(DataError, match=r"d\.parquet, row 2: unknown side 'up'"):
        import_captures([path], session_id=1)
    path = parquet(tmp_path / "s.parquet", SNAPSHOTS | {"yes_levels": ["[[40, 1]]", "[[40"]})
    with pytest.raises(DataError, match=r"s\.parquet, row 2: "):
        import_captures([path], session_id=1)


ABSOLUTE: Columns = {
    "ticker": [MARKET] * 7,
    "ts_ms": [T0, T0, T0, T0 + 5, T0 + 6, T0 + 7, T0 + 8],
    "kind": ["snapshot"] * 3 + ["update"] * 4,
    "side": ["yes", "yes", "no", "yes", "no", "yes", "yes"],
    "price": [40, 39, 55, 40, 54, 41, 40],
    "size": ["100.00", "20.50", "80.00", "75.25", "10.00", "5.00", "0"],
}
CHANGES = [(0, 4000, -2_475), (1, 5400, 1_000), (0, 4100, 500), (0, 4000, -7_525)]


def check_absolute(session: Session) -> None:
    assert rows(session.events, EventKind.LEVEL) == [
        (0, 4000, 10_000),
        (0, 3900, 2_050),
        (1, 5500, 8_000),
    ]
    assert rows(session.events, EventKind.DELTA) == CHANGES
    assert (session.events.ts_ms - T0).tolist() == [0, 0, 0, 0, 5, 6, 7, 8]
    assert session.quality.total.clamped_deltas == 0


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 8_192])
def test_absolute_sizes_become_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, block: int
) -> None:
    monkeypatch.setattr("kalshi_sim.ingest.readers.tables._ROWS", block)
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", ABSOLUTE)
    check_absolute(import_captures([path], session_id=1))


@pytest.mark.parametrize(
    "changed",
    [
        {"price_cents": ABSOLUTE["price"]},
        {"price_dollars": ["0.40", "0.39", "0.55", "0.40", "0.54", "0.41", "0.40"]},
        {"price": [0.40, 0.39, 0.55, 0.40, 0.54, 0.41, 0.40]},
        {
            "price": [40, 39, 45, 40, 46, 41, 40],
            "side": ["bid"] * 2 + ["ask", "bid", "ask"] + ["bid"] * 2,
        },
        {"side": [side.upper() for side in ABSOLUTE["side"]], "price": ABSOLUTE["price"]},
    ],
)
def test_every_way_of_telling_a_level_is_read(tmp_path: Path, changed: Columns) -> None:
    columns = {k: v for k, v in ABSOLUTE.items() if k != "price"} | changed
    check_absolute(import_captures([parquet(tmp_path / "a.parquet", columns)], session_id=1))


def test_a_snapshot_at_the_end_of_the_file_counts(tmp_path: Path) -> None:
    columns = {k: [*v, *v[:3]] for k, v in ABSOLUTE.items()}
    columns["ts_ms"][-3:] = [T0 + 99] * 3
    session = import_captures([parquet(tmp_path / "a.parquet", columns)], session_id=1)
    assert session.quality.total.snapshots == 2
    assert session.quality.total.levels == 6


def test_absolute_sizes_without_a_snapshot_need_the_option(tmp_path: Path) -> None:
    columns = {k: v[3:] for k, v in ABSOLUTE.items() if k != "kind"}
    path = comma_separated(tmp_path / "a.csv", columns)
    session = import_captures([path], session_id=1)
    assert session.quality.total.rows == 0
    assert any("--missing-snapshot smallest" in note for note in session.quality.notes)
    session = import_captures([path], session_id=1, missing_snapshot="smallest")
    tape = build_tape([session], min_episode_length=3)
    assert tape.px[:, :, 0].tolist()[-1] == [41, 54]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": ["1"] * 6 + ["-1"]}, "row 7: size -1 is negative"),
        (
            {"price": [40] * 6 + [0.4]},
            r"row 7: price 0.4 .* \(whole cents, as the first row\)",
        ),
        ({"side": ["yes"] * 6 + ["buy"]}, "row 7: unknown side 'buy'"),
        ({"ts_ms": [T0] * 6 + [None]}, "row 7: the time is missing"),
        ({"ticker": [MARKET] * 6 + [None]}, "row 7: the market is missing"),
        ({"size": ["1"] * 6 + [None]}, "row 7: the size is missing"),
    ],
)
def test_a_wrong_cell_is_named_by_row(tmp_path: Path, changed: Columns, said: str) -> None:
    path = parquet(tmp_path / "a.parquet", ABSOLUTE | changed)
    with pytest.raises(DataError, match=said):
        import_captures([path], session_id=1)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ts": [1], "open": [1], "high": [2], "low": [1], "close": [2]}, "candles"),
        ({"trade_id": ["x"], "ticker": [MARKET], "count": [3], "yes_price": [40]}, "trades alone"),
        (
            {"ticker": [MARKET], "taker_side": ["yes"], "price": [4], "size": [1], "side": ["yes"]},
            "trades alone",
        ),
        (
            {"colour": ["red"], "shape": ["round"]},
            "a table of colour, shape, which no reader knows",
        ),
    ],
)
def test_tables_without_a_book_are_refused_by_name(
    tmp_path: Path, suffix: str, columns: Columns, said: str
) -> None:
    path = WRITERS[suffix](tmp_path / f"t.{suffix}", columns)
    with pytest.raises(DataError, match=said):
        import_captures([path], session_id=1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"end_period_ts": T0 // 1000, "price": {"open": 1, "close": 2}}, "candles"),
        ({"trade_id": "x", "ticker": MARKET, "count": 3, "yes_price": 40}, "trades alone"),
    ],
)
def test_lines_without_a_book_are_refused_by_name(
    tmp_path: Path, line: dict[str, Any], said: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=said):
        import_captures([path], session_id=1)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "d.parquet", DELTAS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"d\.parquet cannot be read as Parquet"):
        import_captures([path], session_id=1)


def test_a_large_table_is_the_same_as_its_deltas(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    price = rng.integers(30, 50, n).tolist()
    size = rng.integers(0, 500, n).tolist()
    columns: Columns = {
        "ticker": [MARKET] * (n + 1),
        "ts_ms": [T0, *(T0 + np.arange(n)).tolist()],
        "kind": ["snapshot", *["update"] * n],
        "side": ["yes"] * (n + 1),
        "price": [20, *price],
        "size": [1, *size],
    }
    session = import_captures([parquet(tmp_path / "a.parquet", columns)], session_id=1)
    held: dict[int, int] = {}
    expected = []
    for p, s in zip(price, size, strict=True):
        expected.append((0, p * 100, (s - held.get(p, 0)) * 100))
        held[p] = s
    assert rows(session.events, EventKind.DELTA) == expected
