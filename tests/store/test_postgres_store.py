"""The project's own tables in PostgreSQL: lossless, whole or not at all, beside the recorder's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError, SessionNotFoundError, StoreError
from kalshi_sim.session import Events, Session
from kalshi_sim.store import SessionStore, fingerprints, open_store
from kalshi_sim.store.postgres.copy import Decoder, encode
from kalshi_sim.store.postgres.store import PostgresStore
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import Database, execute, query
from tests.store.test_parquet_store import session
from tests.support.modes import examples

COLUMNS = (("a", "i2"), ("b", "i4"), ("c", "i8"))


def assert_same(loaded: Session, expected: Session) -> None:
    assert loaded.events.equals(expected.events)
    assert np.array_equal(loaded.market_offsets, expected.market_offsets)
    for f in fields(Session):
        if f.name not in ("events", "market_offsets"):
            assert getattr(loaded, f.name) == getattr(expected, f.name), f.name


def test_round_trip_is_lossless(database: Database) -> None:
    store = open_store(database.url)
    assert isinstance(store, PostgresStore)
    assert isinstance(store, SessionStore)
    assert store.list_sessions() == []
    assert store.next_session_id() == 1
    mine = session(9, (5, 0, 70_001))
    info = store.save(mine)
    assert_same(store.load(9), mine)
    assert store.list_sessions() == [info]
    assert replace(info, location="") == mine.info
    assert store.next_session_id() == 10
    store.save(session(20261127))  # a day of a recording
    assert store.next_session_id() == 10


def test_exists_tells_both_kinds_of_sessions(database: Database) -> None:
    store = PostgresStore(database.url)
    assert not store.exists(9)
    store.save(session(9, (5,)))
    assert store.exists(9)
    assert not store.exists(10)
    create_schema(database.url)
    recorded = write_session(database.url, random_recording(0, "C"), "C")
    assert store.exists(recorded)


def test_some_markets_in_any_order_and_twice(database: Database) -> None:
    store = PostgresStore(database.url)
    mine = session(9, (5, 0, 7, 11))
    store.save(mine)
    for chosen in (["KXB-2"], ["KXB-3", "KXA-1"], ["KXB-1"], [], ["KXB-2", "KXB-2"]):
        assert_same(store.load(9, chosen), mine.select(chosen))
    with pytest.raises(SessionNotFoundError, match="session 9 has no market 'KXNO'"):
        store.load(9, ["KXNO"])


def test_counts_match_sql(database: Database) -> None:
    store = PostgresStore(database.url)
    for i in range(3):
        store.save(session(i + 1, (5 + i, 0, 7), seed=i))
    for info in store.list_sessions():
        counted = query(
            database.url,
            "SELECT count(*) FILTER (WHERE kind = 0), count(*) FILTER (WHERE kind = 2), "
            "count(*) FILTER (WHERE kind = 3), count(DISTINCT market) FROM kalshi_sim_events "
            f"WHERE session_id = {info.session_id}",
        )
        assert counted == [(info.snapshots, info.deltas, info.trades, info.markets - 1)]


def test_an_id_is_not_overwritten_unless_asked(database: Database) -> None:
    store = PostgresStore(database.url)
    first, second = session(9, seed=1), session(9, (2, 1), seed=2)
    store.save(first)
    named = store.fingerprint(9)
    with pytest.raises(StoreError, match="session 9 is already stored"):
        store.save(second)
    assert_same(store.load(9), first)
    assert store.fingerprint(9) == named
    store.save(second, overwrite=True)
    assert_same(store.load(9), second)
    assert store.fingerprint(9) != named


def test_two_savers_of_one_id_leave_one_whole_session(database: Database) -> None:
    store = PostgresStore(database.url)
    rivals = [session(9, (3_000 + i,), seed=i) for i in range(4)]

    def save(rival: Session) -> str:
        try:
            store.save(rival)
        except StoreError as error:
            return str(error)
        return "saved"

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(save, rivals))
    assert told[0] == "saved"
    assert all(text.startswith("session 9 is already stored") for text in told[1:])
    loaded = store.load(9)
    assert any(loaded.events.equals(rival.events) for rival in rivals)


def test_values_that_cannot_be_right_are_not_saved(database: Database) -> None:
    bad = session(9)
    bad.events.side[3] = 2
    with pytest.raises(DataError, match="session 9, market KXA-1, event 3: side 2"):
        PostgresStore(database.url).save(bad)
    assert query(database.url, "SELECT to_regclass('kalshi_sim_sessions')") == [(None,)]


def test_rows_removed_by_hand_are_noticed(database: Database) -> None:
    store = PostgresStore(database.url)
    store.save(session(9))
    execute(database.url, "DELETE FROM kalshi_sim_events WHERE position = 3")
    with pytest.raises(StoreError, match="12 events were saved, 11 are there"):
        store.load(9)


def test_rows_in_another_order_on_disk_load_in_theirs(database: Database) -> None:
    store = PostgresStore(database.url)
    mine = session(9)
    store.save(mine)
    execute(database.url, "UPDATE kalshi_sim_events SET flags = flags WHERE position % 3 = 0")
    assert_same(store.load(9), mine)


def test_metadata_of_a_newer_version_is_refused(database: Database) -> None:
    store = PostgresStore(database.url)
    store.save(session(9))
    execute(
        database.url,
        "UPDATE kalshi_sim_sessions SET metadata = metadata || '{\"version\": 1000}'",
    )
    with pytest.raises(StoreError, match="session 9: metadata has version 1000"):
        store.load(9)


def test_one_id_space_with_the_recorder(database: Database) -> None:
    create_schema(database.url)
    store = PostgresStore(database.url)
    old = write_session(database.url, random_recording(0, "A"), "A", session_id=9)
    assert store.next_session_id() == 10
    for overwrite in (False, True):
        with pytest.raises(StoreError, match="session 9 belongs to the kalshiflow recorder"):
            store.save(session(9), overwrite=overwrite)
    store.save(session(12))
    assert [(i.session_id, i.source, i.location) for i in store.list_sessions()] == [
        (9, "kalshiflow A", "rl_orderbook_*"),
        (12, "synthetic", "kalshi_sim_events"),
    ]
    assert store.next_session_id() == 13
    assert store.load(old).source == "kalshiflow A"
    # The recorder goes on above what was saved.
    assert write_session(database.url, random_recording(1, "A"), "A") == 13
    assert store.next_session_id() == 14
    store.save(session(20261127))  # a day: no number to go on from
    assert store.next_session_id() == 14
    assert write_session(database.url, random_recording(2, "A"), "A") == 14


def test_an_id_held_by_both_is_told_and_never_guessed(database: Database) -> None:
    create_schema(database.url)
    store = PostgresStore(database.url)
    store.save(session(9))
    write_session(database.url, random_recording(0, "A"), "A", session_id=9)
    with pytest.raises(StoreError, match="UPDATE kalshi_sim_sessions SET session_id = NEW"):
        store.load(9)
    assert [info.session_id for info in store.list_sessions()] == [9, 9]
    for table in ("kalshi_sim_sessions", "kalshi_sim_events"):
        execute(database.url, f"UPDATE {table} SET session_id = 10 WHERE session_id = 9")
    assert store.load(9).source == "kalshiflow A"


def test_many_fingerprints_are_those_of_each(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(database.url)
    create_schema(database.url)
    recorded = write_session(database.url, random_recording(0, "C"), "C")
    for number in (31, 32, 33):
        store.save(session(number, (5, 7), seed=number))
    numbers = [33, recorded, 31, 32, 31]
    monkeypatch.setattr("kalshi_sim.store.postgres.store._FINGERPRINTS", 2)
    assert fingerprints(store, numbers) == [store.fingerprint(n) for n in numbers]
    with pytest.raises(SessionNotFoundError, match="no session 7;"):
        fingerprints(store, [31, 32, 33, 7, 8])


def test_fingerprint_changes_with_the_recorded_rows(database: Database) -> None:
    create_schema(database.url)
    store = PostgresStore(database.url)
    number = write_session(database.url, random_recording(0, "C"), "C")
    seen = {store.fingerprint(number)}
    assert store.fingerprint(number) in seen
    for statement in (
        "UPDATE rl_orderbook_deltas SET new_size = new_size + 1 WHERE id = 5",
        "UPDATE rl_orderbook_deltas SET price = price + 1 WHERE id = 5",
        "UPDATE rl_orderbook_deltas SET side = CASE side WHEN 'no' THEN 'yes' ELSE 'no' END",
        "UPDATE rl_orderbook_snapshots SET no_bids = yes_bids WHERE id = 1",
        "DELETE FROM rl_orderbook_deltas WHERE id = 5",
    ):
        execute(database.url, statement)
        found = store.fingerprint(number)
        assert found not in seen
        seen.add(found)
    with pytest.raises(SessionNotFoundError):
        store.fingerprint(999)
    assert PostgresStore(database.url, skip_bad_rows=True).fingerprint(number) not in seen


def test_works_inside_a_running_event_loop(database: Database) -> None:
    store = PostgresStore(database.url)

    async def notebook() -> tuple[Session, Session]:
        store.save(session(9))
        return store.load(9), await store.async_load(9)

    first, second = asyncio.run(notebook())
    assert_same(first, second)


def test_a_session_goes_between_stores_unchanged(database: Database, tmp_path: Path) -> None:
    folder, tables = open_store(tmp_path), open_store(database.url)
    mine = session(9)
    folder.save(mine)
    tables.save(folder.load(9))
    back = tables.load(9)
    folder.save(back, overwrite=True)
    assert_same(folder.load(9), mine)


@settings(max_examples=examples(30))
@given(st.data())
def test_binary_copy_decodes_what_it_encodes(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 50))
    arrays: dict[str, Any] = {}
    for name, kind in COLUMNS:
        limits = np.iinfo(np.dtype(kind))
        values = st.integers(int(limits.min), int(limits.max))
        arrays[name] = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), kind)

    async def chunks() -> bytes:
        return b"".join([chunk async for chunk in encode(arrays, COLUMNS)])

    whole = asyncio.run(chunks())
    decoder = Decoder(COLUMNS)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        decoder.feed(whole[start:stop])
    pieces = decoder.finish()
    for (name, _), column in zip(COLUMNS, zip(*pieces, strict=True), strict=True):
        decoded = np.concatenate(column)
        assert np.array_equal(decoded, arrays[name])
        assert decoded.dtype == arrays[name].dtype


@pytest.mark.parametrize("cut", [1, 2, 3, 30])
def test_a_copy_cut_short_is_noticed(cut: int) -> None:
    arrays = {name: np.arange(3).astype(kind) for name, kind in COLUMNS}

    async def chunks() -> bytes:
        return b"".join([chunk async for chunk in encode(arrays, COLUMNS)])

    decoder = Decoder(COLUMNS)
    decoder.feed(asyncio.run(chunks())[:-cut])
    with pytest.raises(StoreError, match="another shape"):
        decoder.finish()


def test_an_empty_session_is_a_session(database: Database) -> None:
    store = PostgresStore(database.url)
    empty = replace(
        session(9, (0,)), events=Events.concatenate([]), market_offsets=np.zeros(2, np.int64)
    )
    store.save(empty)
    assert_same(store.load(9), empty)
