"""Loading a session of 500 markets and 1 000 000 deltas, from either kind of PostgreSQL table.

    pytest benchmarks/bench_loading.py --benchmark-enable --benchmark-only

The comparison with `fetch` alternates within one run, on one server.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest

from kalshi_sim.session import Session
from kalshi_sim.store.kalshiflow.deltas import read_deltas
from kalshi_sim.store.kalshiflow.rows import BadRows
from kalshi_sim.store.postgres.connection import Target, in_transaction, twin
from kalshi_sim.store.postgres.store import PostgresStore
from support.kalshiflow_writer import create_schema
from support.postgres import Database, execute, make_database, make_server

N_MARKETS = 500
N_DELTAS = 1_000_000

_ROUNDS = 5
_SESSION = (
    f"""INSERT INTO rl_orderbook_sessions (market_tickers, started_at, status)
        SELECT array_agg('KXNBAGAME-25DEC01ABCDEF-M' || i), '2025-12-01', 'closed'
        FROM generate_series(0, {N_MARKETS} - 1) i""",
    f"""INSERT INTO rl_orderbook_snapshots (session_id, market_ticker, timestamp_ms,
            sequence_number, yes_bids, yes_asks, no_bids, no_asks)
        SELECT 1, 'KXNBAGAME-25DEC01ABCDEF-M' || i, 1764600000000, i + 1,
            '{{"40": 1000000, "41": 1000000, "42": 1000000}}', '{{"52": 1000000}}',
            '{{"30": 1000000}}', '{{}}' FROM generate_series(0, {N_MARKETS} - 1) i""",
    f"""INSERT INTO rl_orderbook_deltas (session_id, market_ticker, timestamp_ms,
            sequence_number, side, action, price, old_size, new_size)
        SELECT 1, 'KXNBAGAME-25DEC01ABCDEF-M' || (i * 7 % {N_MARKETS}),
            1764600000000 + i, {N_MARKETS} + i, CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'no' END,
            CASE WHEN i % 3 = 0 THEN 'remove' ELSE 'add' END, 20 + i % 22,
            CASE WHEN i % 3 = 0 THEN i % 90 ELSE 0 END, CASE WHEN i % 3 = 0 THEN 0 ELSE i % 90 END
        FROM generate_series(1, {N_DELTAS}) i""",
)
_HEAD = "SELECT market_tickers, started_at FROM rl_orderbook_sessions WHERE session_id = 1"
_FETCH = """SELECT market_ticker, timestamp_ms, sequence_number, side, action, price, old_size,
    new_size FROM rl_orderbook_deltas WHERE session_id = 1
    ORDER BY timestamp_ms, sequence_number"""


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    servers = make_server()
    databases = make_database(next(servers))
    made = next(databases)
    create_schema(made.url)
    execute(made.url, *_SESSION, "ANALYZE")
    yield made
    next(databases, None)
    next(servers, None)


@pytest.fixture(scope="module")
def session(database: Database) -> Session:
    return PostgresStore(database.url).load(1)


def fetch_records(url: str) -> None:
    """What the old loader did: a Record a row."""

    async def body() -> None:
        connection = await asyncpg.connect(url)
        try:
            assert len(await connection.fetch(_FETCH)) == N_DELTAS
        finally:
            await connection.close()

    asyncio.run(body())


def copy_deltas(url: str) -> None:
    """What the loader does: binary COPY into columns, every row judged."""

    target = Target(url)

    async def body(connection: Any) -> None:
        second = partial(twin, target, connection)
        known, started = await connection.fetchrow(_HEAD)
        near_ms = int(started.timestamp() * 1000)
        deltas, tickers = await read_deltas(connection, second, 1, None, known, near_ms, BadRows())
        assert (len(deltas.seq), len(tickers)) == (N_DELTAS, N_MARKETS)

    asyncio.run(in_transaction(target, body, doing="loading deltas"))


def with_collector(function: Callable[[str], None], url: str) -> None:
    """Run with garbage collection, as any user's process does; a million Records are its prey."""
    gc.enable()
    function(url)


def seconds(function: Callable[[str], None], url: str) -> float:
    start = time.perf_counter()
    with_collector(function, url)
    return time.perf_counter() - start


def test_fetch_records(benchmark: Any, database: Database) -> None:
    benchmark.pedantic(
        with_collector, (fetch_records, database.url), rounds=_ROUNDS, warmup_rounds=1
    )


def test_copy_deltas(benchmark: Any, database: Database) -> None:
    arguments = (copy_deltas, database.url)
    benchmark.pedantic(with_collector, arguments, rounds=_ROUNDS, warmup_rounds=1)


def test_copy_beats_fetch(benchmark: Any, database: Database) -> None:
    pairs = []

    def pair() -> None:
        pairs.append((seconds(fetch_records, database.url), seconds(copy_deltas, database.url)))

    benchmark.pedantic(pair, rounds=2 * _ROUNDS - 1, warmup_rounds=1)
    measured = pairs[1:]  # the first warmed up
    ratios = sorted(slow / quick for slow, quick in measured)
    rate = N_DELTAS / statistics.median(quick for _, quick in measured)
    benchmark.extra_info.update(
        times_faster=round(statistics.median(ratios), 1),
        times_faster_least=round(ratios[0], 1),
        times_faster_most=round(ratios[-1], 1),
        rows_per_second=round(rate),
    )


def test_load_recorded_session(benchmark: Any, database: Database) -> None:
    store = PostgresStore(database.url)
    session = benchmark.pedantic(store.load, (1,), rounds=3, warmup_rounds=1)
    assert session.quality.total.deltas == N_DELTAS


def test_save_session(benchmark: Any, database: Database, session: Session) -> None:

    mine = replace(session, session_id=2)
    store = PostgresStore(database.url)
    benchmark.pedantic(lambda: store.save(mine, overwrite=True), rounds=2)


def test_load_saved_session(benchmark: Any, database: Database, session: Session) -> None:
    store = PostgresStore(database.url)
    loaded = benchmark.pedantic(store.load, (2,), rounds=3, warmup_rounds=1)
    assert loaded.events.equals(session.events)
