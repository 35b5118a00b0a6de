"""The Parquet store: lossless, whole or not at all, clear about what it cannot read."""

from __future__ import annotations

import os
import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError, KalshiSimError, SessionNotFoundError, StoreError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.session import Events, MarketInfo, MarketQuality, QualityReport, Session
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.synthetic.session import generate_session
from tests.support.modes import examples

RICH = MarketInfo(
    "KXA-1",
    event_ticker="KXA",
    close_time_ms=5,
    close_updates=((1, 2), (3, 4)),
    settlement_value=3755,
    settlement_known_ms=9,
    sub_penny=True,
    price_ranges=((0, 1000, 10), (1000, 10_000, 100)),
    taker_multiplier=5_000,
    maker_multiplier=0,
    fee_unit=1,
)


def session(number: int = 9, sizes: tuple[int, ...] = (5, 0, 7), seed: int = 0) -> Session:
    """A session with markets of so many events and any values the table can hold."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    wide = {"size", "ts_ms", "seq", "sid", "frame", "traded"}
    columns: dict[str, Any] = {name: rng.integers(0, 2**62, n) for name in wide}
    columns |= {"kind": rng.integers(0, 6, n), "side": rng.integers(0, 2, n)}
    columns |= {"price": rng.integers(1, 10_000, n), "flags": rng.integers(0, 4, n)}
    markets = (RICH, *(MarketInfo(f"KXB-{i}") for i in range(1, len(sizes))))
    return Session(
        session_id=number,
        markets=markets,
        events=Events.from_columns(**columns),
        market_offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        first_book_ms=1_773_862_566_001,
        last_message_ms=1_773_862_999_999,
        trades_recorded=True,
        source="synthetic",
        quality=QualityReport(
            {m.ticker: MarketQuality(frames=i, rows=7) for i, m in enumerate(markets)},
            notes=("a note",),
            other_frames={"ok": 3},
            bad_lines=2,
        ),
        started_ms=1_773_862_566_000,
    )


def same(a: Session, b: Session) -> bool:
    plain = [f.name for f in fields(Session) if f.name not in ("events", "market_offsets")]
    return (
        a.events.equals(b.events)
        and np.array_equal(a.market_offsets, b.market_offsets)
        and all(getattr(a, name) == getattr(b, name) for name in plain)
    )


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path / "deep" / "store")


def test_it_is_a_session_store(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path), ParquetStore)
    assert isinstance(open_store(tmp_path), SessionStore)


def test_what_comes_back_is_what_went_in(store: ParquetStore) -> None:
    saved = session()
    info = store.save(saved)
    assert same(store.load(9), saved)
    assert store.list_sessions() == [info]
    assert info == replace(saved.info, location="session-9.parquet")


def test_exists_opens_no_file(store: ParquetStore) -> None:
    assert not store.exists(9)
    store.save(session())
    (store.folder / "session-10.parquet").write_bytes(b"damaged")
    assert [store.exists(i) for i in (8, 9, 10)] == [False, True, True]


def test_columns_have_their_types_and_can_be_written_to(store: ParquetStore) -> None:
    store.save(session())
    loaded, given_events = store.load(9).events, session().events
    for f in fields(Events):
        column = getattr(loaded, f.name)
        assert column.dtype == getattr(given_events, f.name).dtype
        assert column.flags.c_contiguous
        assert column.flags.writeable


@pytest.mark.parametrize("group_rows", [1, 8, 65_536])
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    data=st.data(),
)
@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_some_markets_are_what_select_gives(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    group_rows: int,
    sizes: list[int],
    seed: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr("kalshi_sim.store.parquet_file._GROUP_ROWS", group_rows)
    store = ParquetStore(tmp_path_factory.mktemp("store"))
    saved = session(3, tuple(sizes), seed)
    store.save(saved)
    assert same(store.load(3), saved)
    tickers = [m.ticker for m in saved.markets]
    chosen = data.draw(st.lists(st.sampled_from(tickers), unique=True))
    assert same(store.load(3, chosen), saved.select(chosen))


def test_loading_one_market_reads_its_row_groups_only(
    store: ParquetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_sim.store.parquet_file._GROUP_ROWS", 1)
    store.save(session(sizes=(50, 60, 70)))
    path = store.folder / "session-9.parquet"
    data = bytearray(path.read_bytes())
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(2).column(4)  # of the last market
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(data)
    assert len(store.load(9, ["KXB-1"]).events) == 60
    with pytest.raises(StoreError, match=r"session-9\.parquet is damaged"):
        store.load(9, ["KXB-2"])


def test_sessions_are_listed_by_number(store: ParquetStore) -> None:
    assert store.list_sessions() == []
    assert store.next_session_id() == 1
    for number in (11, 2, 9):
        store.save(session(number))
    assert [info.session_id for info in store.list_sessions()] == [2, 9, 11]
    assert store.next_session_id() == 12


def test_a_number_that_is_a_date_is_not_counted_on_from(store: ParquetStore) -> None:
    store.save(session(20261127))
    assert store.next_session_id() == 1
    store.save(session(11))
    assert store.next_session_id() == 12


def test_an_unknown_session_or_market_is_named(store: ParquetStore) -> None:
    with pytest.raises(SessionNotFoundError, match="no session 9; it has none"):
        store.load(9)
    store.save(session())
    with pytest.raises(SessionNotFoundError, match="no session 8; it has 9"):
        store.load(8)
    with pytest.raises(SessionNotFoundError, match="no market 'KXZ'"):
        store.load(9, ["KXZ"])


def test_a_taken_number_is_refused_unless_overwritten(store: ParquetStore) -> None:
    store.save(session())
    with pytest.raises(StoreError, match="already has session 9"):
        store.save(session(seed=1))
    assert same(store.load(9), session())
    store.save(session(seed=1), overwrite=True)
    assert same(store.load(9), session(seed=1))


def test_a_race_for_a_number_has_one_winner(
    store: ParquetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def slow_link(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"somebody else was faster")
        link(source, target)

    monkeypatch.setattr("kalshi_sim.store.parquet.os.link", slow_link)
    with pytest.raises(StoreError, match="already has session 9"):
        store.save(session())
    assert (store.folder / "session-9.parquet").read_bytes() == b"somebody else was faster"


def test_a_failed_save_leaves_nothing_and_keeps_what_was(
    store: ParquetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(session())

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kalshi_sim.store.parquet.os.fsync", no_space)
    for number, overwrite in ((9, True), (10, False)):
        with pytest.raises(StoreError, match="No space left"):
            store.save(session(number, seed=1), overwrite=overwrite)
    assert [p.name for p in store.folder.iterdir()] == ["session-9.parquet"]
    assert same(store.load(9), session())


def damage_cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_not_parquet(path: Path) -> None:
    path.write_text("hello")


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_foreign(path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), path)


def with_header(path: Path, change: dict[bytes, bytes]) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **change}), path)


def damage_newer(path: Path) -> None:
    header = pq.read_schema(path).metadata[b"kalshi-sim.session"]
    newer = msgspec.json.decode(header) | {"version": 99}
    with_header(path, {b"kalshi-sim.session": msgspec.json.encode(newer)})


def damage_metadata(path: Path) -> None:
    with_header(path, {b"kalshi-sim.session": b"{"})


def damage_columns(path: Path) -> None:
    table = pq.read_table(path)
    renamed = table.rename_columns(["x", *table.column_names[1:]])
    pq.write_table(renamed.replace_schema_metadata(table.schema.metadata), path)


def damage_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def damage_values(path: Path) -> None:
    table = pq.read_table(path)
    prices = pa.array(np.full(len(table), 10_001))
    pq.write_table(table.set_column(table.column_names.index("price"), "price", prices), path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (damage_cut_short, "is damaged or no Parquet file"),
        (damage_not_parquet, "is damaged or no Parquet file"),
        (damage_empty, "is damaged or no Parquet file"),
        (damage_foreign, "holds no session of kalshi-sim"),
        (damage_newer, "update kalshi-sim"),
        (damage_metadata, "metadata cannot be read"),
        (damage_columns, "columns are not those of a session"),
        (damage_rows, "rows do not fit its markets"),
    ],
)
def test_a_file_that_cannot_be_right_is_named(
    store: ParquetStore, damage: Any, complaint: str
) -> None:
    store.save(session())
    path = store.folder / "session-9.parquet"
    damage(path)
    with pytest.raises(StoreError, match=complaint) as caught:
        store.load(9)
    assert "session-9.parquet" in str(caught.value)


def test_values_that_cannot_be_right_are_named_by_market(store: ParquetStore) -> None:
    store.save(session())
    damage_values(store.folder / "session-9.parquet")
    with pytest.raises(DataError, match="session 9, market KXA-1, event 0: price 10001"):
        store.load(9)


def test_every_damaged_byte_of_the_data_is_noticed(store: ParquetStore) -> None:
    store.save(session(sizes=(40,)))
    path = store.folder / "session-9.parquet"
    whole = path.read_bytes()
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
        ends = [c.data_page_offset + 40 for c in chunks]
    for at in ends:
        data = bytearray(whole)
        data[at] ^= 0x55
        path.write_bytes(data)
        try:
            loaded = store.load(9)
        except StoreError:
            continue
        assert same(loaded, session(sizes=(40,)))


def test_a_damaged_file_is_named_when_listing(store: ParquetStore) -> None:
    store.save(session())
    damage_foreign(store.folder / "session-3.parquet")
    with pytest.raises(StoreError, match=r"session-3\.parquet"):
        store.list_sessions()


def test_a_renamed_file_is_refused(store: ParquetStore) -> None:
    store.save(session())
    os.replace(store.folder / "session-9.parquet", store.folder / "session-8.parquet")
    with pytest.raises(StoreError, match=r"holds session 9; rename it to session-9\.parquet"):
        store.load(8)


def test_other_files_in_the_folder_are_left_alone(store: ParquetStore) -> None:
    store.save(session())
    (store.folder / "session-x.parquet").write_text("mine")
    (store.folder / "readme.txt").write_text("mine")
    assert len(store.list_sessions()) == 1


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, not a store"):
        open_store(tmp_path / "file")


def test_an_empty_session_is_kept(store: ParquetStore) -> None:
    empty = assemble_session(
        1,
        [MarketInfo("KXA-1")],
        np.empty(0, dtype=np.int64),
        Events.concatenate([]),
        trades_recorded=False,
        source="capture",
    )
    store.save(empty)
    assert same(store.load(1), empty)
    assert same(store.load(1, []), empty.select([]))


def test_any_flipped_byte_is_found_or_without_effect(store: ParquetStore) -> None:
    rng = random.Random(0)
    store.save(session())
    path = store.folder / "session-9.parquet"
    content = path.read_bytes()
    good, listed, name = store.load(9), store.list_sessions(), store.fingerprint(9)
    found = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            again = store.load(9)
            assert again.events.equals(good.events)
            assert (again.markets, again.quality) == (good.markets, good.quality)
            assert store.list_sessions() == listed
            assert store.fingerprint(9) == name
        except KalshiSimError:
            found += 1
    assert found > 75


def test_a_footer_that_is_no_text_is_damage(store: ParquetStore) -> None:
    store.save(session())
    path = store.folder / "session-9.parquet"
    path.write_bytes(path.read_bytes().replace(b"kind", b"\xf3ind"))
    for read in (lambda: store.load(9), store.list_sessions, lambda: store.fingerprint(9)):
        with pytest.raises(StoreError, match="damaged"):
            read()


def test_a_file_of_before_there_were_checksums_is_read(tmp_path: Path) -> None:
    session = generate_session(4, markets=2, deltas=200, seed=1)
    store = open_store(tmp_path)
    store.save(session)
    path = tmp_path / "session-4.parquet"
    table = pq.read_table(path)
    kept = {k: v for k, v in table.schema.metadata.items() if k != b"kalshi-sim.checks"}
    assert len(kept) < len(table.schema.metadata)
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    with pq.ParquetWriter(path, groups[0].schema.with_metadata(kept)) as writer:
        for group in groups:
            writer.write_table(group.replace_schema_metadata(kept))
    assert [info.session_id for info in store.list_sessions()] == [4]
    assert store.load(4).events.equals(session.events)
    assert store.fingerprint(4)
