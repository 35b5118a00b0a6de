"""Everything that goes wrong with a database: a clear message, and nothing half-done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import asyncpg
import numpy as np
import pytest

from kalshi_sim.errors import StoreError
from kalshi_sim.store.postgres.connection import Target
from kalshi_sim.store.postgres.copy import WORTH_TWO
from kalshi_sim.store.postgres.store import PostgresStore
from kalshi_sim.store.urls import UNSHOWN, without_password
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import (
    PASSWORD,
    QUOTED_PASSWORD,
    Database,
    Server,
    execute,
    free_port,
    make_database,
    make_server,
    query,
    wait_until,
)
from tests.store.test_parquet_store import session
from tests.store.test_postgres_store import assert_same
from tests.support.transaction_pooler import pooler

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kalshi-sim' "
    "AND datname = current_database() AND wait_event_type = 'Lock'"
)
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
    "application_name = 'kalshi-sim' AND datname = current_database()"
)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may kill."""
    yield from make_server()


@pytest.fixture
def recorded(database: Database) -> Database:
    create_schema(database.url)
    write_session(database.url, random_recording(0, "A"), "A")
    return database


def failure(store: PostgresStore, action: Callable[[PostgresStore], Any]) -> str:
    """The message of the `StoreError` that the action ends in; it never shows the password."""
    with pytest.raises(StoreError) as caught:
        action(store)
    text = str(caught.value)
    for secret in (PASSWORD, QUOTED_PASSWORD, "wrong-secret"):
        assert secret not in text
    assert "Traceback" not in text
    return text


def load_first(store: PostgresStore) -> Any:
    return store.load(1)


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    """Nobody else can read the table: a load stops in its middle."""
    begun, done = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(database.admin_url)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            begun.set()
            while not done.is_set() and not connection.is_closed():
                await asyncio.sleep(0.01)
            if connection.is_closed():
                return
        await connection.close()

    def run() -> None:
        # A test may kill the server meanwhile.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            asyncio.run(hold())

    holder = threading.Thread(target=run)
    holder.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        done.set()
        holder.join(10)


def waiting(database: Database) -> bool:
    return query(database.admin_url, WAITING) != [(0,)]


def test_server_absent() -> None:
    store = PostgresStore(f"postgresql://me:{QUOTED_PASSWORD}@127.0.0.1:{free_port()}/db")
    text = failure(store, load_first)
    assert "no server answers there; check host and port" in text
    assert "(tried 4 times)" in text
    assert "postgresql://me@127.0.0.1:" in text


def test_host_unknown() -> None:
    text = failure(PostgresStore(f"postgresql://me:{QUOTED_PASSWORD}@no.invalid/db"), load_first)
    assert "postgresql://me@no.invalid/db" in text
    assert "no host of that name" in text


def test_wrong_password(recorded: Database) -> None:
    url = recorded.server.url(recorded.name, password="wrong-secret")
    text = failure(PostgresStore(url), load_first)
    assert "password authentication failed" in text
    assert "check user and password in the URL" in text
    assert "tried" not in text


def test_no_such_database(postgres_server: Server) -> None:
    text = failure(PostgresStore(postgres_server.url("nowhere")), load_first)
    assert 'database "nowhere" does not exist; check the database' in text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@host:port/db",
        "postgresql://me:wrong-secret/db",
        "postgresql://me:wrong-secret@127.0.0.1:99999999/db",
        "postgresql://me@host/db?password=wrong-secret&sslmode=never",
        "postgresql://me:wrong-secret@[host/db",
    ],
)
def test_a_url_that_cannot_be_right_is_told_without_its_password(url: str) -> None:
    text = failure(PostgresStore(url), load_first)
    assert "it must look like postgresql://user:password@host:5432/database" in text
    assert "wrong-secret" not in repr(PostgresStore(url))
    assert PASSWORD not in repr(PostgresStore(url))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sessions", "sessions"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://me:wrong-secret@h:5432/d", "postgresql://me@h:5432/d"),
        ("postgresql://me:wrong-secret@[::1]:5432/d", "postgresql://me@[::1]:5432/d"),
        ("postgresql://me:wrong-secret@a:1,b:2/d", "postgresql://me@a:1,b:2/d"),
        ("postgresql://me@h/d?password=wrong-secret&x=1", "postgresql://me@h/d"),
        ("postgresql:///d?host=%2Frun", "postgresql:///d?host=%2Frun"),
        ("postgresql://me:wrong-secret/d", UNSHOWN),
        ("postgresql://me:wrong/secret@h/d", UNSHOWN),
        ("postgresql://me:wrong#secret@h/d", UNSHOWN),
        ("postgresql://me:wrong?secret@h/d", UNSHOWN),
        ("postgresql://me:wrong-secret@[h/d", UNSHOWN),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_every_form_of_the_password_is_scrubbed() -> None:
    target = Target(f"postgresql://me:{QUOTED_PASSWORD}@h/d")
    for form in (PASSWORD, QUOTED_PASSWORD, unquote(QUOTED_PASSWORD)):
        assert target.scrub(f"before {form} after") == "before *** after"
    inline = Target("postgresql://me@h/d?password=wrong-secret")
    assert inline.shown == "postgresql://me@h/d"
    assert inline.scrub("wrong-secret") == "***"


def test_missing_tables(database: Database) -> None:
    store = PostgresStore(database.url)
    text = failure(store, load_first)
    assert "neither the kalshiflow tables (rl_orderbook_sessions, ...) nor kalshi_sim_" in text
    create_schema(database.url)
    execute(database.url, "DROP TABLE rl_orderbook_deltas")
    for action in (load_first, PostgresStore.list_sessions, lambda s: s.save(session(1))):
        assert "rl_orderbook_deltas is missing" in failure(store, action)


def test_tables_of_another_shape(recorded: Database) -> None:
    execute(recorded.url, "ALTER TABLE rl_orderbook_deltas RENAME COLUMN price TO cents")
    text = failure(PostgresStore(recorded.url), load_first)
    assert "another shape than the recorder's" in text


def test_no_permission(recorded: Database) -> None:
    role = f"reader_{recorded.name}"
    execute(recorded.admin_url, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        store = PostgresStore(recorded.server.url(recorded.name, user=role))
        for action in (load_first, PostgresStore.list_sessions):
            text = failure(store, action)
            assert "permission denied for table rl_orderbook_" in text
            assert "loading needs SELECT" in text
        execute(recorded.admin_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        assert store.load(1).source == "kalshiflow A"
        assert "permission denied" in failure(store, lambda s: s.save(session(2)))
        assert store.next_session_id() == 2
    finally:
        execute(recorded.admin_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_reader_role_may_save_where_tables_were_granted(recorded: Database) -> None:
    PostgresStore(recorded.url).save(session(5))
    role = f"writer_{recorded.name}"
    execute(
        recorded.admin_url,
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT INSERT, DELETE ON kalshi_sim_sessions, kalshi_sim_events TO {role}",
    )
    try:
        store = PostgresStore(recorded.server.url(recorded.name, user=role))
        store.save(session(6))
        assert_same(store.load(6), session(6))
    finally:
        execute(recorded.admin_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_connection_cut_once_in_the_middle_is_mended(recorded: Database) -> None:
    store = PostgresStore(recorded.url)
    expected = store.load(1)
    with ThreadPoolExecutor(1) as pool:
        with locked(recorded, "rl_orderbook_deltas"):
            loading = pool.submit(store.load, 1)
            wait_until(lambda: waiting(recorded))
            execute(recorded.admin_url, TERMINATE)
        assert_same(loading.result(), expected)


def test_a_connection_cut_again_and_again_is_told(recorded: Database) -> None:
    store = PostgresStore(recorded.url)
    with ThreadPoolExecutor(1) as pool, locked(recorded, "rl_orderbook_deltas"):
        loading = pool.submit(failure, store, load_first)
        while not loading.done():
            if waiting(recorded):
                execute(recorded.admin_url, TERMINATE)
        text = loading.result()
    assert "loading session 1: the connection was cut" in text
    assert "(tried 4 times)" in text


def test_a_server_that_comes_back_in_the_middle_of_a_load(own_server: Server) -> None:
    database = next(make_database(own_server))
    store = PostgresStore(database.url)
    store.save(session(1))
    with ThreadPoolExecutor(1) as pool:
        with locked(database, "kalshi_sim_events"):
            loading = pool.submit(store.load, 1)
            wait_until(lambda: waiting(database))
            own_server.stop("immediate")
        own_server.start()
        assert_same(loading.result(), session(1))


def test_statement_timeout(recorded: Database) -> None:
    execute(recorded.admin_url, f"ALTER DATABASE {recorded.name} SET statement_timeout = '200ms'")
    with locked(recorded, "rl_orderbook_deltas"):
        text = failure(PostgresStore(recorded.url), load_first)
    assert "canceling statement due to statement timeout; raise statement_timeout" in text
    assert "tried" not in text


def test_a_server_that_takes_no_changes(recorded: Database) -> None:
    url = recorded.admin_url
    execute(url, f"ALTER DATABASE {recorded.name} SET default_transaction_read_only = on")
    text = failure(PostgresStore(recorded.url), lambda s: s.save(session(2)))
    assert "read-only transaction; this server takes no changes" in text


@pytest.mark.parametrize("size", [1, 3])
def test_a_pooler_in_transaction_mode(recorded: Database, size: int) -> None:
    direct = PostgresStore(recorded.admin_url)
    with pooler(recorded, size) as between:
        store = PostgresStore(between.url)
        store.save(session(5, (300, 0, 20)))
        with ThreadPoolExecutor(4) as pool:
            for loaded in pool.map(store.load, [1, 5] * 6):
                assert_same(loaded, direct.load(loaded.session_id))
        assert store.list_sessions() == direct.list_sessions()
        assert store.fingerprint(1) == direct.fingerprint(1)
        assert store.next_session_id() == 6
        assert between.transactions >= 16

        async def prepared() -> list[int]:
            connection = await asyncpg.connect(between.url, statement_cache_size=0)
            count = "SELECT count(*) FROM pg_prepared_statements"
            found = [await connection.fetchval(count) for _ in range(size)]
            await connection.close()
            return found

        if size == 1:
            assert asyncio.run(prepared()) == [0]


@pytest.mark.parametrize("size", [1, 3])
def test_a_large_session_is_read_through_two_connections_if_there_are(
    recorded: Database, size: int
) -> None:
    n = 2 * WORTH_TWO
    execute(
        recorded.url,
        "ALTER SEQUENCE rl_orderbook_deltas_id_seq INCREMENT 3",
        f"""INSERT INTO rl_orderbook_deltas (session_id, market_ticker, timestamp_ms,
            sequence_number, side, action, price, old_size, new_size)
        SELECT 1, 'KXBIG-' || i % 3, 1764600000000 + i, i, 'yes', 'add', 1 + i % 40, 0, i % 99
        FROM generate_series(1, {n}) i""",
    )
    direct = PostgresStore(recorded.admin_url)
    expected = direct.load(1)
    big = expected.market_events("KXBIG-1")
    assert np.array_equal(big.size, np.arange(1, n + 1, 3) % 99 * 100)
    assert np.array_equal(big.seq, np.arange(1, n + 1, 3))
    direct.save(replace(expected, session_id=5))
    with pooler(recorded, size) as between:
        assert_same(PostgresStore(between.url).load(1), expected)
        assert PostgresStore(between.url).load(5).events.equals(expected.events)


def test_the_pooler_refuses_what_pgbouncer_refuses(recorded: Database) -> None:
    async def careless(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            for _ in range(6):
                await connection.fetchval("SELECT 1 + $1::int", 1)
        finally:
            connection.terminate()

    with pooler(recorded) as between, pytest.raises(asyncpg.PostgresError, match="prepared"):
        asyncio.run(careless(between.url))
