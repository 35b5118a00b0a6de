"""Sessions that are already stored: deleted, renamed, named, merged, given results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim import TapeOptions, build_tape, load_tape
from kalshi_sim.cli.commands import main
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.store import SessionStore, open_store
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import Database
from tests.store.test_postgres_store import assert_same
from tests.support.wire import MARKET, delta, received, snapshot, write

OTHER = "KXGAME-26MAR18AB-B"


def recording(folder: Path, market: str = MARKET) -> Path:
    book = ([["0.4000", "10.00"]], [["0.5000", "10.00"]])
    frames = [snapshot(1, *book, market=market)]
    frames += [delta(i, 10 * i, market=market) for i in range(2, 30)]
    return write(folder / f"{market}.jsonl", *frames)


@pytest.fixture(params=["folder", "database"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SessionStore:
    """A store that the commands take, with session 5 of one market and 6 of another."""
    address = str(tmp_path / "sessions")
    if request.param == "database":
        database: Database = request.getfixturevalue("database")
        address = database.url
    monkeypatch.setenv("DATABASE_URL", address)
    place = open_store(address)
    for number, market in ((5, MARKET), (6, OTHER)):
        place.save(import_captures([recording(tmp_path, market)], session_id=number))
    return place


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(capsys, *words, "--json"))


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def numbers(store: SessionStore) -> list[int]:
    return [info.session_id for info in store.list_sessions()]


def test_delete(store: SessionStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "say --yes" in refused(capsys, 2, "delete", "5")
    assert numbers(store) == [5, 6]
    assert as_json(capsys, "delete", "5", "--yes") == {"deleted": 5}
    assert numbers(store) == [6]
    assert "no session 5" in refused(capsys, 2, "delete", "5", "--yes")


def test_rename(store: SessionStore, capsys: pytest.CaptureFixture[str]) -> None:
    before, content = store.load(5), store.fingerprint(6)
    assert "already has session 6" in refused(capsys, 2, "rename", "5", "6")
    assert "say what to change" in refused(capsys, 2, "rename", "5")
    run(capsys, "rename", "5", "9", "--name", "finals", "--note", "wifi fell out")
    assert numbers(store) == [6, 9]
    after = store.load(9)
    assert (after.name, after.note) == ("finals", "wifi fell out")
    assert after.events.equals(before.events)
    shown = run(capsys, "list")
    assert "finals" in shown
    assert "wifi fell out" in shown
    run(capsys, "rename", "9", "--name", "semis")
    assert (store.load(9).name, store.load(9).note) == ("semis", "wifi fell out")
    (listed,) = [s for s in as_json(capsys, "list") if s["session_id"] == 9]
    assert listed["name"] == "semis"
    assert store.fingerprint(6) == content


def test_merge(store: SessionStore, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = as_json(capsys, "merge", "6", "5", "--session", "8")
    assert made == {"session_id": 8, "of": [6, 5], "markets": 2}
    merged, first, second = (store.load(i) for i in (8, 5, 6))
    assert [m.ticker for m in merged.markets] == [MARKET, OTHER]
    for session in (first, second):
        ticker = session.markets[0].ticker
        assert merged.market_events(ticker).equals(session.market_events(ticker))
        assert merged.quality.markets[ticker] == session.quality.markets[ticker]
    assert merged.last_message_ms == max(first.last_message_ms, second.last_message_ms)
    assert MARKET in refused(capsys, 1, "merge", "5", "8")
    assert "two or more" in refused(capsys, 2, "merge", "5")
    together = import_captures(sorted(tmp_path.glob("*.jsonl")), session_id=8)
    assert merged.events.kind.tolist() == together.events.kind.tolist()
    assert merged.info.deltas == together.info.deltas


def test_recordings_of_a_market_one_after_the_other_are_merged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rows are those of an import of both, whose second connection starts anew."""
    monkeypatch.setenv("DATABASE_URL", str(tmp_path / "sessions"))
    store = open_store(str(tmp_path / "sessions"))
    files = []
    for number, (price, start) in {5: ("0.4000", 0), 6: ("0.4300", 90_000)}.items():
        book = ([[price, "10.00"]], [["0.5000", "10.00"]])
        frames = [received(snapshot(1, *book), start)]
        for i in range(2, 30):
            at = start + 1000 * i
            frames.append(received(delta(i, at, price=price), at))
        files.append(write(tmp_path / f"{number}.jsonl", *frames))
        store.save(import_captures([files[-1]], session_id=number))
    assert as_json(capsys, "merge", "6", "5", "--session", "8")["markets"] == 1
    merged, together = store.load(8), import_captures(files, session_id=8)
    (one,), (other,) = (build_tape(s).views for s in (merged, together))
    assert len(one) == len(other) == 58  # two snapshots, 56 deltas
    for name in ("ts_ms", "px", "qty", "mark2", "features"):
        np.testing.assert_array_equal(*(getattr(build_tape(s), name) for s in (merged, together)))
    first, second = (store.load(i).quality.markets[MARKET] for i in (5, 6))
    assert merged.quality.markets[MARKET] == first + second
    # The other way round in time, or at the same time, nothing is made of them.
    assert "recorded at the same time in sessions" in refused(capsys, 1, "merge", "5", "8")
    known = tmp_path / "markets.csv"
    for number, result in ((5, "yes"), (6, "no")):
        known.write_text(f"market_ticker,result\n{MARKET},{result}\n")
        run(capsys, "results", str(known), str(number))
    assert "differ in its result (10000, 0)" in refused(capsys, 1, "merge", "5", "6")


def test_results_are_those_an_import_would_have_had(
    store: SessionStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = tmp_path / "markets.csv"
    known.write_text(f"market_ticker,result\n{MARKET},yes\n")
    options = TapeOptions()
    before = load_tape(store, [5], options)
    assert before.views[0].settlement_value is None
    done = as_json(capsys, "results", str(known))
    assert done == [
        {"session_id": 5, "gained": 1, "without_result": 0},
        {"session_id": 6, "gained": 0, "without_result": 1},
    ]
    after = load_tape(store, [5], options)  # another tape than the cached one
    assert after.views[0].settlement_value == after.payout
    given = import_captures([tmp_path / f"{MARKET}.jsonl"], session_id=5, markets_csv=known)
    assert_same(store.load(5), given)
    assert as_json(capsys, "results", str(known), "5")[0]["gained"] == 0
    known.write_text(f"market_ticker,result\n{MARKET},no\n")
    assert "has the result 10000" in refused(capsys, 1, "results", str(known), "5")
    known.write_text(f"market_ticker,result\n{MARKET},\n")
    assert "no result of any market" in refused(capsys, 1, "results", str(known))
    assert "there is no file" in refused(capsys, 2, "results", "absent.csv")


def test_a_recorder_s_sessions_are_never_changed(
    database: Database,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    create_schema(database.url)
    write_session(database.url, random_recording(1, "C"), "C", session_id=1)
    monkeypatch.setenv("DATABASE_URL", database.url)
    known = tmp_path / "markets.csv"
    known.write_text("market_ticker,result\nX,yes\n")
    for words in (
        ("delete", "1", "--yes"),
        ("rename", "1", "2"),
        ("rename", "1", "--name", "x"),
        ("results", str(known), "1"),
    ):
        assert "belongs to the kalshiflow recorder" in refused(capsys, 1, *words)
    assert as_json(capsys, "results", str(known)) == []
    assert numbers(open_store(database.url)) == [1]
