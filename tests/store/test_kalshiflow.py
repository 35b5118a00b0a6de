"""The recorder's three eras: rebuilt books equal the truth that was written."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kalshi_sim.errors import DataError, SessionNotFoundError
from kalshi_sim.session import EventKind, Session
from kalshi_sim.store import open_store
from kalshi_sim.store.kalshiflow.era_events import connections
from kalshi_sim.store.kalshiflow.eras import Ladders, era_of
from kalshi_sim.store.postgres.store import PostgresStore
from support.kalshiflow_writer import (
    START_MS,
    Book,
    Message,
    Recording,
    create_schema,
    random_recording,
    rows_of,
    write_rows,
    write_session,
)
from support.postgres import Database, execute, query

SIDES = ("yes", "no")


@pytest.fixture
def recorder(database: Database) -> Database:
    create_schema(database.url)
    return database


def books(session: Session, market: str) -> Iterator[tuple[int, int, Book, set[tuple[str, int]]]]:
    """(ts_ms, seq, book, levels of unknown size) after each frame of a market, by plain dicts."""
    events = session.market_events(market)
    book: Book = {"yes": {}, "no": {}}
    unknown: set[tuple[str, int]] = set()
    frame = None
    seen: tuple[int, int] | None = None
    for i in range(len(events)):
        if frame is not None and events.frame[i] != frame and seen is not None:
            yield *seen, {s: dict(b) for s, b in book.items()}, set(unknown)
        frame, seen = events.frame[i], (int(events.ts_ms[i]), int(events.seq[i]))
        side, price = SIDES[events.side[i]], int(events.price[i])
        assert price % 100 == 0
        assert events.size[i] % 100 == 0
        price, size = price // 100, int(events.size[i]) // 100
        kind = events.kind[i]
        if kind == EventKind.SNAPSHOT:
            book, unknown = {"yes": {}, "no": {}}, set()
        elif kind == EventKind.LEVEL:
            book[side][price] = size
        elif kind == EventKind.DELTA:
            left = book[side].get(price, 0) + size
            assert left >= 0
            book[side][price] = left
            if not left:
                del book[side][price]
        else:
            assert kind == EventKind.DROP_LEVEL
            book[side].pop(price, None)
            unknown.add((side, price))
    if seen is not None:
        yield *seen, {s: dict(b) for s, b in book.items()}, set(unknown)


@pytest.mark.parametrize("era", ["A", "B", "C"])
@pytest.mark.parametrize("seed", range(4))
def test_rebuilt_books_equal_the_truth(recorder: Database, era: str, seed: int) -> None:
    recording = random_recording(seed, era)
    session_id = write_session(recorder.url, recording, era)
    session = PostgresStore(recorder.url).load(session_id)
    assert session.source == f"kalshiflow {era}"
    assert not session.trades_recorded
    assert [m.ticker for m in session.markets] == recording.markets
    both_sides_of_50 = set()
    for market in recording.markets:
        rebuilt = {(ts, seq): (book, unknown) for ts, seq, book, unknown in books(session, market)}
        skipped = 0
        for message, truth in recording.books(market):
            both_sides_of_50 |= {p > 50 for side in SIDES for p in truth[side]}
            if (message.ts_ms, message.seq) not in rebuilt:
                assert era == "B"
                assert message.price > 50
                skipped += 1
                continue
            book, unknown = rebuilt[message.ts_ms, message.seq]
            assert era == "B" or not unknown
            assert all(price > 50 for _, price in unknown)
            for side, price in unknown:
                assert price not in book[side]
                truth[side].pop(price, None)
            assert book == truth
        quality = session.quality.markets[market]
        sent = [m for m in recording.messages if m.market == market]
        assert quality.deltas == sum(m.book is None for m in sent)
        drops = int((session.market_events(market).kind == EventKind.DROP_LEVEL).sum())
        assert quality.untrusted_levels == drops
        assert (skipped > 0) <= (drops > 0)
        assert quality.snapshots == sum(m.book is not None for m in sent)
    assert both_sides_of_50 == {True, False}


def test_counts_are_of_rows_and_one_list_names_every_era(recorder: Database) -> None:
    ids = {
        write_session(recorder.url, random_recording(i, era, resnapshots=i), era): era
        for i, era in enumerate("ABC")
    }
    execute(recorder.admin_url, "UPDATE rl_orderbook_sessions SET deltas_count = 7")
    listed = PostgresStore(recorder.url).list_sessions()
    assert {info.session_id: info.source[-1] for info in listed} == ids
    for info in listed:
        assert info.location == "rl_orderbook_*"
        for name in ("snapshots", "deltas"):
            sql = f"SELECT count(*) FROM rl_orderbook_{name} WHERE session_id = {info.session_id}"
            assert [(getattr(info, name),)] == query(recorder.url, sql)
        session = PostgresStore(recorder.url).load(info.session_id)
        assert replace(session.info, location=info.location, deltas=info.deltas) == info
        assert session.quality.total.deltas == info.deltas
        assert any(f"era {info.source[-1]}" in note for note in session.quality.notes)


@pytest.mark.parametrize("era", ["A", "B", "C"])
def test_loading_some_markets_equals_selecting_them(recorder: Database, era: str) -> None:
    recording = random_recording(5, era, n_markets=5)
    session_id = write_session(recorder.url, recording, era)
    store = PostgresStore(recorder.url)
    whole = store.load(session_id)
    for chosen in ([recording.markets[3]], recording.markets[:1:-1]):
        some, expected = store.load(session_id, chosen), whole.select(chosen)
        assert some.markets == expected.markets
        assert some.events.equals(expected.events)
        assert some.first_book_ms == expected.first_book_ms
        assert some.last_message_ms == expected.last_message_ms
        assert some.started_ms == expected.started_ms
        assert some.source == expected.source
        assert some.quality.markets == expected.quality.markets


def test_unknown_market_or_session_is_named(recorder: Database) -> None:
    session_id = write_session(recorder.url, random_recording(0, "A"), "A")
    store = PostgresStore(recorder.url)
    with pytest.raises(SessionNotFoundError, match="no row of market 'KXNO'"):
        store.load(session_id, ["KXNO"])
    with pytest.raises(SessionNotFoundError, match="no session 999"):
        store.load(999)


def test_a_market_name_cannot_inject_sql(recorder: Database) -> None:
    session_id = write_session(recorder.url, random_recording(0, "A"), "A")
    store = PostgresStore(recorder.url)
    for name in ("x') OR true --", "\\'; DROP TABLE rl_orderbook_deltas; --", "nul\0"):
        with pytest.raises(SessionNotFoundError):
            store.load(session_id, [name])
    assert query(recorder.url, "SELECT count(*) > 0 FROM rl_orderbook_deltas") == [(True,)]


def test_several_changes_in_one_millisecond_are_all_kept_in_order(recorder: Database) -> None:
    snapshot = ("M", 1000, 1, '{"40": 10}', '{"60": 5}', '{"30": 7}', "{}")
    changes = [(2, 3), (3, -3), (4, 3), (5, 8)]
    deltas = [
        ("M", 1000, seq, "yes", "add" if d > 0 else "remove", 40, max(0, -d), max(0, d))
        for seq, d in changes
    ]
    session_id = write_rows(recorder.url, ["M"], [snapshot], deltas[::-1], START_MS["A"])
    session = PostgresStore(recorder.url).load(session_id)
    events = session.market_events("M")
    assert events.size[events.kind == EventKind.DELTA].tolist() == [d * 100 for _, d in changes]
    assert events.price[events.kind == EventKind.LEVEL].tolist() == [4000, 6000, 3000]
    assert session.quality.markets["M"].rows == 1


def test_era_b_levels_come_back_with_the_next_snapshot(recorder: Database) -> None:
    low, high = {"40": 10}, {"70": 20}
    empty: dict[str, int] = {}
    ladders = [json.dumps(x) for x in (low, high, {"25": 5}, empty)]
    snapshots = [("M", 1000, 1, *ladders), ("M", 5000, 9, *ladders)]
    deltas = [
        ("M", 2000, 2, "yes", "add", 70, 0, 6),
        ("M", 3000, 3, "yes", "update", 70, 6, 2),
        ("M", 4000, 4, "yes", "update", 40, 10, 12),
        ("M", 6000, 10, "yes", "update", 40, 10, 1),
    ]
    session_id = write_rows(recorder.url, ["M"], snapshots, deltas, START_MS["B"])
    session = PostgresStore(recorder.url).load(session_id)
    assert session.source == "kalshiflow B"
    kinds = session.events.kind.tolist()
    d, drop = int(EventKind.DELTA), int(EventKind.DROP_LEVEL)
    assert kinds == [0, 1, 1, 1, drop, d, 0, 1, 1, 1, d]
    assert session.quality.markets["M"].untrusted_levels == 1
    assert session.quality.markets["M"].deltas == 4
    assert any("1 levels lost their size" in note for note in session.quality.notes)


def ladders(yes: dict[int, int], no: dict[int, int], era: str) -> Ladders:
    snapshots, _ = rows_of(Recording([Message("M", 0, 1, book={"yes": yes, "no": no})]), era)
    columns = [{int(p): s for p, s in json.loads(text).items()} for text in snapshots[0][3:]]
    return Ladders(*columns)


@pytest.mark.parametrize(
    ("yes", "no"), [({40: 1}, {30: 2}), ({40: 1}, {}), ({}, {70: 2}), ({80: 1}, {5: 1, 15: 3})]
)
def test_one_snapshot_with_a_level_tells_era_c(yes: dict[int, int], no: dict[int, int]) -> None:
    late = START_MS["C"]
    assert era_of([ladders(yes, no, "C")], True, START_MS["A"]) == "C"
    assert era_of([ladders({}, {}, "C"), ladders(yes, no, "C")], False, START_MS["A"]) == "C"
    assert era_of([ladders(yes, no, "A")], False, late) == "A"
    assert era_of([ladders(yes, no, "B")], True, late) == "B"


def test_without_a_level_the_date_decides() -> None:
    nothing = [ladders({}, {}, "C")]
    assert era_of(nothing, True, START_MS["C"]) == "C"
    assert era_of(nothing, True, START_MS["B"]) == "B"
    assert era_of(nothing, False, START_MS["B"]) == "A"
    assert era_of([], False, START_MS["A"]) == "A"


def test_a_new_connection_is_told_from_late_rows() -> None:
    def of(*rows: tuple[int, int, bool]) -> list[int]:
        columns = [np.array(c) for c in zip(*rows, strict=True)]
        ts_ms, seq, snapshot = columns
        found: list[int] = connections(ts_ms, seq, snapshot.astype(bool)).tolist()
        return found

    late = of((0, 1, True), (1000, 7, False), (1001, 6, False), (1002, 8, False))
    assert late == [0, 0, 0, 0]
    snapshot = of((0, 1, True), (1000, 7, False), (1500, 2, True), (1501, 4, False))
    assert snapshot == [0, 0, 1, 1]
    lost = of((0, 1, True), (1000, 7, False), (60_000, 2, False), (60_001, 9, False))
    assert lost == [0, 0, 1, 1]


@pytest.mark.parametrize("era", ["A", "C"])
@pytest.mark.parametrize("seed", range(3))
def test_connections_follow_each_other_in_time(recorder: Database, era: str, seed: int) -> None:
    """Every connection numbers from 1 again and begins with a snapshot of each market."""
    parts = [random_recording(seed * 3 + i, era, n_messages=120) for i in range(3)]
    joined = Recording(
        [
            replace(m, seq=3 * m.seq + i, ts_ms=m.ts_ms + i * 200_000)
            for i, part in enumerate(parts)
            for m in part.messages
        ]
    )
    snapshots, deltas = rows_of(joined, era)
    random.Random(seed).shuffle(snapshots)
    random.Random(seed).shuffle(deltas)
    start = START_MS[era]
    session_id = write_rows(recorder.url, joined.markets, snapshots, deltas, start)
    session = PostgresStore(recorder.url).load(session_id)
    for market in joined.markets:
        rebuilt = [(ts, seq, book) for ts, seq, book, _ in books(session, market)]
        truth = [(m.ts_ms, m.seq, book) for m, book in joined.books(market)]
        assert rebuilt == truth
        assert (np.diff(session.market_events(market).frame) >= 0).all()
    assert session.quality.total.gaps == 0
    assert session.quality.total.raised_times == 0
    assert any("connected anew 6 times" in note for note in session.quality.notes)


def test_a_connection_without_its_snapshot_leaves_no_book(recorder: Database) -> None:
    ladder = ('{"40": 10}', "{}", '{"30": 7}', "{}")
    change = ("yes", "add", 40, 0, 5)
    deltas = [("M", 2000, 50, *change), ("M", 90_000, 3, *change), ("M", 99_000, 70, *change)]
    snapshots = [("M", 1000, 1, *ladder), ("M", 95_000, 60, *ladder)]
    session_id = write_rows(recorder.url, ["M"], snapshots, deltas, START_MS["A"])
    session = PostgresStore(recorder.url).load(session_id)
    assert session.events.kind.tolist() == [0, 1, 1, 2, EventKind.GAP, 2, 0, 1, 1, 2]
    assert session.events.ts_ms.tolist() == [1000] * 3 + [2000, 90_000, 90_000] + [95_000] * 3 + [
        99_000
    ]
    quality = session.quality.markets["M"]
    assert (quality.gaps, quality.dropped_in_gap, quality.rows) == (1, 1, 4)
    assert any("connected anew" in note for note in session.quality.notes)


def test_era_c_follows_the_recorded_sizes_where_rows_are_missing(recorder: Database) -> None:
    snapshot = ("M", 1000, 1, '{"40": 10}', '{"70": 7}', '{"30": 7}', '{"60": 10}')
    deltas = [
        ("M", 2000, 2, "yes", "update", 40, 10, 15),
        ("M", 3000, 9, "yes", "update", 40, 25, 20),  # 15 -> 25 is missing
        ("M", 4000, 10, "no", "remove", 30, 7, 0),
    ]
    session_id = write_rows(recorder.url, ["M"], [snapshot], deltas, START_MS["C"])
    session = PostgresStore(recorder.url).load(session_id)
    events = session.market_events("M")
    assert events.size[events.kind == EventKind.DELTA].tolist() == [500, 500, -700]
    assert any("1 deltas name an old size" in note for note in session.quality.notes)


def test_absent_sizes_are_read_by_the_action_and_huge_ones_kept(recorder: Database) -> None:
    snapshot = ("M", 1000, 1, '{"40": 10}', "{}", '{"30": 7}', "{}")
    deltas = [
        ("M", 2000, 2, "yes", "add", 41, None, 5),
        ("M", 3000, 3, "yes", "remove", 41, 5, None),
        ("M", 4000, 4, "no", "add", 29, 0, 3_000_000_000),
        ("X", 5000, 5, "no", "add", 29, None, 1),
    ]
    session_id = write_rows(recorder.url, ["M"], [snapshot], deltas, START_MS["A"])
    session = PostgresStore(recorder.url).load(session_id)
    events = session.market_events("M")
    sizes = events.size[events.kind == EventKind.DELTA].tolist()
    assert sizes == [500, -500, 300_000_000_000]
    assert [m.ticker for m in session.markets] == ["M", "X"]
    assert session.quality.markets["X"].dropped_before_snapshot == 1


@pytest.mark.parametrize("as_view", [False, True])
def test_rows_far_from_the_rest_are_read_like_the_rest(recorder: Database, as_view: bool) -> None:
    start = START_MS["A"]
    month = 30 * 86_400_000
    times = [start, start + 1, start + month, start + month + 1, start + 2 * month]
    numbers = [2, 3, 4, 2**31, 2**33]
    sizes = [2**31 - 1, 2**31, 1, 2, 3]
    snapshot = ("M", start, 1, '{"40": 10}', "{}", '{"30": 7}', "{}")
    rows = [
        ("M", ts_ms, seq, "no", "add", 20 + i, 0, size)
        for i, (ts_ms, seq, size) in enumerate(zip(times, numbers, sizes, strict=True))
    ]
    session_id = write_rows(recorder.url, ["M"], [snapshot], rows, start)
    if as_view:
        table, moved = "rl_orderbook_deltas", "rl_orderbook_deltas_moved"
        execute(recorder.url, f"ALTER TABLE {table} RENAME TO {moved}")
        execute(recorder.url, f"CREATE VIEW {table} AS SELECT * FROM {moved}")
    events = PostgresStore(recorder.url).load(session_id).events
    events = events[np.flatnonzero(events.kind == EventKind.DELTA)]
    assert events.size.tolist() == [size * 100 for size in sizes]
    assert (events.ts_ms.tolist(), events.seq.tolist()) == (times, numbers)


BAD_DELTAS: list[tuple[Any, str]] = [
    (("M", 2000, 2, "yes", "add", 0, 0, 5), "price 0 is not 1 to 99"),
    (("M", 2000, 2, "yes", "add", 100, 0, 5), "price 100 is not 1 to 99"),
    (("M", 2000, 2, "YES", "add", 40, 0, 5), "side 'YES' is neither"),
    (("M", 2000, 2, "no", "merge", 40, 0, 5), "action 'merge' is none of"),
    (("M", 2000, 2, "no", "update", 40, None, 5), "old_size None cannot be"),
    (("M", 2000, 2, "no", "update", 40, 4, -5), "new_size -5 cannot be"),
    (("M", -1, 2, "no", "update", 40, 4, 5), "timestamp_ms -1 cannot be"),
    (("M", 2**60, 2, "no", "update", 40, 4, 5), f"timestamp_ms {2**60} cannot be"),
    (("M", 2000, -2, "no", "update", 40, 4, 5), "sequence_number -2 cannot be"),
    # What meets other bits of the packed integers, or the ends of theirs.
    (("M", 2000, 2, "yes", "add", 2**16 + 40, 0, 5), f"price {2**16 + 40} is not 1 to 99"),
    (("M", 2000, 2, "yes", "add", -40, 0, 5), "price -40 is not 1 to 99"),
    (("M", 2000, 2, "yes", "add", -(2**31), 0, 5), f"price -{2**31} is not 1 to 99"),
    (("M", 2000, 2, "no", "update", 40, -(2**63), 5), f"old_size -{2**63} cannot be"),
    (("M", 2000, 2, "no", "update", 40, 4, 2**63 - 1), f"new_size {2**63 - 1} cannot be"),
    (("M", -(2**63), 2, "no", "update", 40, 4, 5), f"timestamp_ms -{2**63} cannot be"),
    (("M", 2000, 2**63 - 1, "no", "update", 40, 4, 5), f"sequence_number {2**63 - 1} cannot be"),
    (("M", 2000, -(2**63), "no", "update", 40, 4, 5), f"sequence_number -{2**63} cannot be"),
]
BAD_LADDERS = [
    ('["40", 10]', "JSON is not an object"),
    ('{"40": "10"}', "JSON is not an object"),
    ('{"40": 1.5}', "JSON is not an object"),
    ('{"x": 1}', "price 'x' is not"),
    ('{"100": 1}', "price '100' is not"),
    ('{"40": -1}', "size -1 at price 40"),
]


@pytest.mark.parametrize(("row", "why"), BAD_DELTAS)
def test_a_delta_that_cannot_be_right_is_named_or_skipped(
    recorder: Database, row: Any, why: str
) -> None:
    snapshot = ("M", 1000, 1, '{"40": 10}', "{}", '{"30": 7}', "{}")
    good = ("M", 3000, 3, "yes", "add", 40, 0, 5)
    session_id = write_rows(recorder.url, ["M"], [snapshot], [row, good], START_MS["A"])
    with pytest.raises(DataError, match=rf"rl_orderbook_deltas id 1, market M: {why}.*--skip-bad"):
        PostgresStore(recorder.url).load(session_id)
    store = open_store(recorder.url, skip_bad_rows=True)
    session = store.load(session_id)
    assert session.quality.markets["M"].bad_rows == 1
    assert session.quality.markets["M"].deltas == 1
    assert any("skipped 1 row" in note for note in session.quality.notes)
    (info,) = store.list_sessions()
    assert (info.started_at, info.ended_at) == (session.info.started_at, session.info.ended_at)
    some = store.load(session_id, ["M"])
    assert (some.started_ms, some.last_message_ms) == (session.started_ms, session.last_message_ms)


@pytest.mark.parametrize(("ladder", "why"), BAD_LADDERS)
def test_a_snapshot_of_another_shape_is_named_or_skipped(
    recorder: Database, ladder: str, why: str
) -> None:
    good = ("M", 2000, 2, '{"40": 10}', "{}", '{"30": 7}', "{}")
    bad = ("M", 1000, 1, ladder, "{}", '{"30": 7}', "{}")
    session_id = write_rows(recorder.url, ["M"], [bad, good], [], START_MS["A"])
    store = PostgresStore(recorder.url)
    with pytest.raises(DataError, match=f"rl_orderbook_snapshots id 1, market M: {why}"):
        store.load(session_id)
    session = store.load(session_id, skip_bad_rows=True)
    assert session.quality.markets["M"].bad_rows == 1
    assert session.quality.markets["M"].snapshots == 1


def test_rows_of_one_number_keep_the_order_of_their_ids(recorder: Database) -> None:
    execute(
        recorder.url,
        "ALTER TABLE rl_orderbook_deltas DROP CONSTRAINT "
        "rl_orderbook_deltas_session_id_market_ticker_sequence_numbe_key",
    )
    snapshot = ("M", 1000, 1, '{"40": 10}', "{}", '{"30": 7}', "{}")
    deltas = [("M", 2000, 2, "yes", "add", 40, 0, d) for d in (1, 2, 3)]
    session_id = write_rows(recorder.url, ["M"], [snapshot], deltas, START_MS["A"])
    # A rewritten row moves to the table's end but keeps its id.
    execute(recorder.url, "UPDATE rl_orderbook_deltas SET created_at = now() WHERE id = 1")
    events = PostgresStore(recorder.url).load(session_id).events
    assert events.size[events.kind == EventKind.DELTA].tolist() == [100, 200, 300]


def test_a_session_without_rows_loads_empty(recorder: Database) -> None:
    session_id = write_rows(recorder.url, ["M", "N"], [], [], START_MS["C"])
    store = PostgresStore(recorder.url)
    session = store.load(session_id)
    assert not session.markets
    assert any("2 subscribed markets have no row: M, N" in n for n in session.quality.notes)
    (info,) = store.list_sessions()
    assert (info.markets, info.snapshots, info.deltas) == (0, 0, 0)
