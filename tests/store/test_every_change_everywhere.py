"""Every change of a market's life, in every kind of recording, through every store and export."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import Session, open_store
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export import export_captures
from kalshi_sim.session import EventKind, FeeUpdate, GridUpdate, Pause
from kalshi_sim.store.kalshiflow.tables import KalshiflowTables
from support.postgres import Database
from tests.ingest.test_export_life import CENT_GRID, CENTS, TENTH_GRID, TENTHS, again
from tests.ingest.test_export_life import assert_same as assert_comes_back
from tests.store.test_kalshiflow_tables import books
from tests.store.test_postgres_store import assert_same
from tests.support.lives import fee_frame, life_frame, ranges
from tests.support.wire import MARKET, T0, book, delta, received, trade, write

OTHER = "KXGAME-26MAR18AB-B"
EVENT = "KXGAME-26MAR18AB"
Lines = list[dict[str, Any]]


def of_several(line: dict[str, Any]) -> dict[str, Any]:
    """The same change of a market that is made of others."""
    return {**line, "type": "multivariate_market_lifecycle"}


LIFE: Lines = [
    life_frame(MARKET, "created", price_ranges=ranges(*CENTS), ts_ms=T0 + 100),
    life_frame(MARKET, "deactivated", ts_ms=T0 + 1_100),
    life_frame(MARKET, "activated", ts_ms=T0 + 1_200),
    of_several(life_frame(OTHER, "deactivated", ts_ms=T0 + 1_300)),
    life_frame(MARKET, "price_level_structure_updated", price_ranges=ranges(*TENTHS), ts_ms=T0 + 9),
    fee_frame("quadratic", 0.5, market_ticker=MARKET, ts_ms=T0 + 1_400),
    fee_frame("quadratic_with_maker_fees", "1.25", event_ticker=EVENT, ts_ms=T0 + 1_500),
    fee_frame(None, None, market_ticker=OTHER, ts_ms=T0 + 1_600),
    life_frame(OTHER, "close_date_updated", close_ts=T0 // 1_000 + 60, ts_ms=T0 + 1_700),
    life_frame(MARKET, "determined", result="yes", ts_ms=T0 + 5_000),
    life_frame(MARKET, "determined", result="no", ts_ms=T0 + 6_000),
    of_several(life_frame(OTHER, "settled", settlement_value="0.3700", ts_ms=T0 + 7_000)),
]
ENDED: Lines = [
    *(book(1), book(2, market=OTHER), delta(3, 1_000, size="-10.00"), trade(1, 1_000)),
    delta(4, 2_000, market=OTHER),
    {"type": "ok", "sid": 1, "seq": 5, "msg": {"market_tickers": [OTHER]}},
    *(delta(6, 2_500, market=OTHER), book(7), delta(8, 3_000)),
    # The 9 is missing.
    *(delta(10, 3_500, market=OTHER), book(11), book(12, market=OTHER), delta(13, 4_000)),
    {"type": "unsubscribed", "sid": 1, "seq": 14},
]
REBUILT: Lines = [
    *(delta(1, 500, size="-10.00"), delta(2, 900, size="-7.00", market=OTHER)),
    *(delta(3, 1_000), delta(4, 2_000, market=OTHER), book(5), delta(6, 3_000)),
]


def life(folder: Path) -> Path:
    return write(folder / "life.jsonl", *LIFE)


def wire(folder: Path) -> Session:
    path = write(folder / "a.jsonl", *ENDED, *LIFE)
    return import_captures([path], session_id=1, whole_subscription=True)


def enveloped(folder: Path) -> Session:
    """Receive times; the frames of life in a file of their own."""
    lines = [received(line, 400 * n) for n, line in enumerate(ENDED)]
    paths = [write(folder / "a.jsonl", *lines), life(folder)]
    return import_captures(paths, session_id=1, whole_subscription=True)


def event_log(folder: Path) -> Session:
    lines: Lines = [
        {"event_type": "ws", "ts": T0 + 400 * n, "payload_json": json.dumps(line)}
        for n, line in enumerate([*ENDED, *LIFE])
    ]
    return import_captures([write(folder / "a.jsonl", *lines)], session_id=1)


def database_of_frames(folder: Path) -> Session:
    path = folder / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE m (ts_ms INTEGER, market_ticker TEXT, raw TEXT)")
        rows = [(T0 + 400 * n, MARKET, json.dumps(x)) for n, x in enumerate([*ENDED, *LIFE])]
        connection.executemany("INSERT INTO m VALUES (?, ?, ?)", rows)
    connection.close()
    return import_captures([path], session_id=1)


def polls(folder: Path) -> Session:
    lines: Lines = [
        {"ts_ms": T0 + 400 * n, "ticker": ticker, "orderbook": {"yes": [[40, 10 + n]], "no": no}}
        for n in range(6)
        for ticker, no in ((MARKET, [[55, 3]]), (OTHER, []))
    ]
    return import_captures([write(folder / "a.jsonl", *lines), life(folder)], session_id=1)


def table(path: Path, header: str, rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header.split(","), *rows])
    return path


def kalshibook(folder: Path) -> Session:
    shots = [
        (m, f"2026-03-18T19:36:{6 + n:02}Z", 1, "[[40, 100]]", "[[55, 80]]")
        for n, m in enumerate((MARKET, OTHER))
    ]
    changes = [
        (m, T0 + 2_000 + n, 2, 1, 40, -25 + n, "yes", T0 + 2_020 + n)
        for n, m in enumerate((MARKET, OTHER))
    ]
    header = "market_ticker,ts,seq,sid,price_cents,delta_amount,side,received_at"
    paths = [
        table(folder / "shots.csv", "market_ticker,captured_at,seq,yes_levels,no_levels", shots),
        table(folder / "changes.csv", header, changes),
    ]
    return import_captures([*paths, life(folder)], session_id=1)


def absolute(folder: Path) -> Session:
    rows = [
        (m, T0 + 500 * n, "snapshot" if n % 4 == 0 else "update", side, price, 100 + n)
        for m in (MARKET, OTHER)
        for n in range(6)
        for side, price in (("yes", 40), ("no", 55))
    ]
    path = table(folder / "a.csv", "ticker,ts_ms,kind,side,price_cents,size", rows)
    return import_captures([path, life(folder)], session_id=1)


def rebuilt(folder: Path) -> Session:
    path = write(folder / "a.jsonl", *REBUILT, *LIFE)
    return import_captures([path], session_id=1, missing_snapshot="smallest")


RECORDINGS: tuple[Callable[[Path], Session], ...] = (
    *(wire, enveloped, event_log, database_of_frames, polls, kalshibook, absolute, rebuilt),
)
OF_SUBSCRIPTIONS = (wire, enveloped, event_log, database_of_frames)
GAPS = {wire: 5, enveloped: 5, event_log: 3, database_of_frames: 3}
"""The books that end; the first two look for missing numbers too."""


@pytest.fixture(params=RECORDINGS, ids=lambda make: make.__name__)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    """A recording, that holds every change."""
    found: Session = request.param(tmp_path)
    first, second = found.markets
    assert first.grid_updates == (GridUpdate(T0 + 9, TENTH_GRID), GridUpdate(T0 + 100, CENT_GRID))
    assert first.pauses == (Pause(T0 + 1_100, T0 + 1_200),)
    assert second.pauses == (Pause(T0 + 1_300),)
    assert first.fee_updates == (
        FeeUpdate(T0 + 1_400, 5_000, None),
        FeeUpdate(T0 + 1_500, 12_500, 12_500),
    )
    assert second.fee_updates[-1] == FeeUpdate(T0 + 1_600, None, None)
    assert second.close_updates == ((T0 + 1_700, (T0 // 1_000 + 60) * 1_000),)
    assert (first.settlement_value, first.settlement_known_ms) == (0, T0 + 6_000)
    assert (second.settlement_value, second.settlement_known_ms) == (3_700, T0 + 7_000)
    assert (found.events.kind == EventKind.GAP).sum() == GAPS.get(request.param, 0)
    return found


def test_into_files_and_a_database(session: Session, database: Database, tmp_path: Path) -> None:
    tables, files = open_store(database.url), open_store(tmp_path / "sessions")
    tables.save(session)
    files.save(tables.load(1))
    for store in (tables, files):
        assert_same(store.load(1), session)
        assert_same(store.load(1, [OTHER]), session.select([OTHER]))


@pytest.mark.parametrize("out", ["one.jsonl", "folder"])
def test_out_as_captures_and_in_again(session: Session, tmp_path: Path, out: str) -> None:
    written = export_captures(session, tmp_path / out)
    assert_comes_back(again(written), session, frames=out != "folder")


def test_the_kalshiflow_tables_hold_the_books(session: Session, database: Database) -> None:
    KalshiflowTables(database.url).save(session)
    found = open_store(database.url).load(1)
    for market in session.markets:
        expected = books(session.market_events(market.ticker))
        assert books(found.market_events(market.ticker)) == expected
