"""Recordings in the kalshiflow tables: their readers find the books; others' rows stay."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.session import EventKind, Events, Session
from kalshi_sim.store import open_store
from kalshi_sim.store.kalshiflow.tables import KalshiflowTables
from kalshi_sim.store.kalshiflow.written import left_out
from kalshi_sim.synthetic.session import generate_session
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import Database, execute, query

SESSION = generate_session(3, markets=3, minutes=3, seed=5, deltas=2000)
Book = tuple[tuple[int, int, int], ...]


def books(events: Events) -> list[tuple[int, Book]]:
    """(time, whole book) after each frame of a market, where the book is known."""
    levels: dict[tuple[int, int], int] | None = None
    out: list[tuple[int, Book]] = []
    for i, kind in enumerate(events.kind.tolist()):
        place = (int(events.side[i]), int(events.price[i]))
        if kind == EventKind.GAP:
            levels = None
        elif kind == EventKind.SNAPSHOT:
            levels = {}
        if levels is None or kind == EventKind.TRADE:
            continue
        if kind == EventKind.LEVEL:
            levels[place] = int(events.size[i])
        elif kind == EventKind.DELTA:
            levels[place] = max(0, levels.get(place, 0) + int(events.size[i]))
        following = events.kind[i + 1] if i + 1 < len(events) else None
        if following != EventKind.LEVEL:
            book = tuple(sorted((*p, size) for p, size in levels.items() if size))
            out.append((int(events.ts_ms[i]), book))
    return out


def test_the_books_come_back_and_what_has_no_room_is_said(database: Database) -> None:
    info = KalshiflowTables(database.url).save(SESSION)
    trades = int((SESSION.events.kind == EventKind.TRADE).sum())
    assert info.note == f"the kalshiflow tables have no room for {trades} trades: left out"
    store = open_store(database.url)
    (listed,) = store.list_sessions()
    assert (listed.session_id, listed.source, listed.markets) == (3, "kalshiflow C", 3)
    found = store.load(3)
    for market in SESSION.markets:
        expected = books(SESSION.market_events(market.ticker))
        assert books(found.market_events(market.ticker)) == expected
        assert len(expected) > 20
    (row,) = query(database.url, "SELECT * FROM rl_orderbook_sessions")
    assert row[4] == "closed"
    shots = query(
        database.url,
        "SELECT yes_bids, no_bids, yes_spread, no_spread, yes_mid_price, total_volume "
        "FROM rl_orderbook_snapshots",
    )
    for yes, no, yes_spread, no_spread, mid, total in shots:
        bids = [{int(p): s for p, s in json.loads(text).items()} for text in (yes, no)]
        assert total == sum(sum(side.values()) for side in bids)
        if all(bids):
            ask = 100 - max(bids[1])
            assert yes_spread == no_spread == ask - max(bids[0])
            assert mid == (ask + max(bids[0])) / 2


def with_gap(session: Session) -> Session:
    """The first market loses its book in the middle, and has no snapshot after it."""
    n = int(session.market_offsets[1])
    kind = session.events.kind.copy()
    kind[n // 2] = EventKind.GAP
    kind[n // 2 + 1 : n][kind[n // 2 + 1 : n] != EventKind.TRADE] = EventKind.DELTA
    return replace(session, events=replace(session.events, kind=kind))


def test_changes_of_an_unknown_book_are_left_out(database: Database) -> None:
    session = with_gap(SESSION)
    KalshiflowTables(database.url).save(session)
    found = open_store(database.url).load(3)
    ticker = session.markets[0].ticker
    expected = books(session.market_events(ticker))
    assert books(found.market_events(ticker)) == expected
    assert len(expected) < len(books(SESSION.market_events(ticker)))


@pytest.mark.parametrize(("column", "more"), [("price", 10), ("size", 50)])
def test_a_market_that_does_not_fit_is_left_out_and_named(
    database: Database, column: str, more: int
) -> None:
    fine = generate_session(3, markets=1, minutes=1, seed=6)
    getattr(fine.events, column)[np.flatnonzero(fine.events.kind == EventKind.LEVEL)[0]] += more
    name = replace(fine.markets[0], ticker="KXFINE-26-A")
    both = replace(
        SESSION,
        markets=(*SESSION.markets, name),
        events=Events.concatenate([SESSION.events, fine.events]),
        market_offsets=np.append(SESSION.market_offsets, len(SESSION.events) + len(fine.events)),
    )
    said = left_out(both)
    assert said is not None
    assert "1 market with prices finer than a cent" in said
    assert "(KXFINE-26-A)" in said
    KalshiflowTables(database.url).save(both)
    assert len(open_store(database.url).load(3).markets) == 3


def test_it_replaces_its_own_and_never_what_the_recorder_wrote(database: Database) -> None:
    create_schema(database.url)
    theirs = write_session(database.url, random_recording(1, "C"), "C")
    tables = KalshiflowTables(database.url)
    with pytest.raises(StoreError, match="belongs to the kalshiflow recorder"):
        tables.save(replace(SESSION, session_id=theirs), overwrite=True)
    number = tables.next_session_id()
    assert number == theirs + 1
    ours = replace(SESSION, session_id=number)
    tables.save(ours)
    assert tables.exists(number)
    with pytest.raises(StoreError, match="choose another number"):
        tables.save(ours)
    tables.save(ours.select([SESSION.markets[0].ticker]), overwrite=True)
    listed = open_store(database.url).list_sessions()
    assert [(i.session_id, i.markets) for i in listed] == [(theirs, 3), (number, 1)]
    assert write_session(database.url, random_recording(2, "C"), "C") == number + 1


def test_older_tables_with_fewer_columns_are_written_too(database: Database) -> None:
    create_schema(database.url)
    execute(
        database.url,
        "ALTER TABLE rl_orderbook_snapshots DROP COLUMN yes_spread, DROP COLUMN total_volume",
        "ALTER TABLE rl_orderbook_sessions DROP COLUMN snapshots_count, DROP COLUMN ended_at",
    )
    KalshiflowTables(database.url).save(SESSION)
    assert len(open_store(database.url).load(3).markets) == 3
    execute(database.url, "ALTER TABLE rl_orderbook_sessions DROP COLUMN connection_metadata")
    with pytest.raises(StoreError, match="no column connection_metadata"):
        KalshiflowTables(database.url).save(SESSION, overwrite=True)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a URL like postgresql"):
        KalshiflowTables("sessions")
