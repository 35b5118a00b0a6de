"""Every real recording: captures -> Parquet -> PostgreSQL -> Parquet, nothing changes."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import open_store
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.quality_report import QualityReport
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from support.postgres import Database, query
from tests.store.test_postgres_store import assert_same
from tests.support.recorded import SESSIONS, Recorded
from tests.support.wire import MARKET, T0, delta, write


def assert_same_tape(one: Tape, other: Tape) -> None:
    for f in fields(Tape):
        first, second = getattr(one, f.name), getattr(other, f.name)
        if f.name == "arrays":
            pairs = zip(first, second, strict=True)
            assert all(a.tobytes() == b.tobytes() for a, b in pairs)
        elif isinstance(first, np.ndarray):
            assert first.dtype == second.dtype
            assert first.tobytes() == second.tobytes(), f.name
        else:
            assert first == second, f.name


def check(imported: Session, database: Database, folder: Path, *, broken: bool = False) -> None:
    tables, files = open_store(database.url), open_store(folder)
    tables.save(imported)
    from_tables = tables.load(imported.session_id)
    assert_same(from_tables, imported)
    files.save(from_tables)
    again = files.load(imported.session_id)
    assert_same(again, imported)
    if not broken:
        assert_same_tape(build_tape([from_tables]), build_tape([imported]))
    (info,) = tables.list_sessions()
    counted = query(
        database.url,
        "SELECT count(*) FILTER (WHERE kind = 0), count(*) FILTER (WHERE kind = 2), "
        "count(*) FILTER (WHERE kind = 3) FROM kalshi_sim_events",
    )
    assert counted == [(info.snapshots, info.deltas, info.trades)]
    total = from_tables.quality.total
    assert counted == [(total.snapshots, total.deltas, total.trades)]


@pytest.mark.parametrize("name", SESSIONS)
def test_recording_goes_through_both_stores(
    recorded: Recorded, name: str, database: Database, tmp_path: Path
) -> None:
    check(recorded.session(name), database, tmp_path)


def test_broken_recordings_go_through_both_stores(
    recordings: Path, database: Database, tmp_path: Path
) -> None:
    captures = sorted((recordings / "broken").glob("*.gz"))
    assert captures
    check(
        import_captures(captures, session_id=1, max_bad_lines=100), database, tmp_path, broken=True
    )


def test_one_market_from_either_store_gives_the_same_tape(
    recorded: Recorded, database: Database
) -> None:
    btc = recorded.session("btc")
    tables, files = open_store(database.url), recorded.store("btc")
    tables.save(btc)
    for market in btc.markets:
        one, other = (store.load(btc.session_id, [market.ticker]) for store in (tables, files))
        assert_same_tape(build_tape([one]), build_tape([other]))


def test_marks_of_rebuilt_books_and_of_polls_go_through_both_stores(
    database: Database, tmp_path: Path
) -> None:
    lines = [delta(i, i, size="-1.00") for i in range(3)]
    rebuilt = import_captures(
        [write(tmp_path / "deltas.jsonl", *lines)], session_id=1, missing_snapshot="smallest"
    )
    polls = import_captures(
        [
            write(
                tmp_path / "polls.jsonl",
                {"ts_ms": T0, "ticker": MARKET, "orderbook": {"yes": [[40, 1]]}},
            )
        ],
        session_id=2,
    )
    assert (rebuilt.source, polls.source) == ("capture, rebuilt start", "polls")
    assert rebuilt.quality.total.rebuilt_books == 1
    tables, files = open_store(database.url), open_store(tmp_path / "sessions")
    for session in (rebuilt, polls):
        tables.save(session)
        files.save(tables.load(session.session_id))
        for store in (tables, files):
            assert_same(store.load(session.session_id), session)
            (info,) = [i for i in store.list_sessions() if i.session_id == session.session_id]
            assert info.source == session.source


def test_both_stores_list_generated_markets_as_such_whatever_the_source_says(
    database: Database, tmp_path: Path
) -> None:
    made = replace(generate_session(4, markets=1, minutes=1, seed=2), source="capture")
    other = replace(made.markets[0], ticker="KXT-26JAN01-A")
    real = replace(made, session_id=5, markets=(other,), quality=QualityReport())
    for store in (open_store(database.url), open_store(tmp_path)):
        store.save(made)
        store.save(real)
        assert [info.generated for info in store.list_sessions()] == [True, False]
