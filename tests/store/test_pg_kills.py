"""Fifty kills at random moments: a session is stored whole or not at all, and none is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalshi_sim.errors import SessionNotFoundError, StoreError
from kalshi_sim.store.postgres.store import PostgresStore
from support.postgres import (
    Database,
    Server,
    execute,
    make_database,
    make_server,
    query,
    wait_until,
)
from tests.store.test_postgres_store import assert_same
from tests.support.saver import numbered

OURS = "application_name = 'kalshi-sim' AND datname = current_database()"
PROCESS_KILLS, CONNECTION_KILLS, SERVER_KILLS = 20, 20, 10


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may kill."""
    yield from make_server()


def check_whole_or_absent(store: PostgresStore, numbers: list[int]) -> int:
    """How many of the sessions are there; each of them must be whole."""
    listed = {info.session_id for info in store.list_sessions()}
    for number in numbers:
        if number in listed:
            assert_same(store.load(number), numbered(number))
        else:
            with pytest.raises(SessionNotFoundError):
                store.load(number)
    return len(listed & set(numbers))


def no_stray_events(database: Database) -> None:
    stray = query(
        database.url,
        "SELECT count(*) FROM kalshi_sim_events e WHERE NOT EXISTS "
        "(SELECT FROM kalshi_sim_sessions s WHERE s.session_id = e.session_id)",
    )
    assert stray == [(0,)]


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_killing_the_saving_process(database: Database) -> None:
    rng = random.Random(1)
    store = PostgresStore(database.url)
    usual = seconds_of(lambda: store.save(numbered(1)))
    saver = subprocess.Popen(
        [sys.executable, "-m", "tests.support.saver", database.url],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert saver.stdin is not None
    assert saver.stdout is not None
    numbers = [1]
    try:
        assert saver.stdout.readline() == "ready\n"
        for number in range(2, 2 + PROCESS_KILLS):
            saver.stdin.write(f"{number}\n")
            saver.stdin.flush()
            child = int(saver.stdout.readline())
            time.sleep(rng.uniform(0, 1.3 * usual))
            os.kill(child, signal.SIGKILL)
            saver.stdin.write("killed\n")
            saver.stdin.flush()
            numbers.append(number)
    finally:
        saver.stdin.close()
        saver.wait(30)
        saver.stdout.close()
    # The server notices that a client is gone when it next speaks to it.
    gone = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}"
    wait_until(lambda: query(database.admin_url, gone) == [(0,)])
    assert check_whole_or_absent(store, numbers) >= 1
    no_stray_events(database)


@contextmanager
def terminating(database: Database, rng: random.Random, longest: float) -> Iterator[None]:
    """Ends our connections once, at a random moment from now."""

    def strike() -> None:
        time.sleep(rng.uniform(0, longest))
        execute(
            database.admin_url,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}",
        )

    killer = threading.Thread(target=strike)
    killer.start()
    try:
        yield
    finally:
        killer.join(30)


def test_cutting_the_connection(database: Database) -> None:
    rng = random.Random(2)
    store = PostgresStore(database.url)
    saving = seconds_of(lambda: store.save(numbered(1)))
    loading = seconds_of(lambda: store.load(1))
    for i in range(CONNECTION_KILLS // 2):
        with terminating(database, rng, saving):
            store.save(numbered(2 + i))
        with terminating(database, rng, loading):
            assert_same(store.load(2 + i), numbered(2 + i))
    numbers = list(range(1, 2 + CONNECTION_KILLS // 2))
    assert check_whole_or_absent(store, numbers) == len(numbers)
    no_stray_events(database)


def test_killing_the_server(own_server: Server) -> None:
    rng = random.Random(3)
    database = next(make_database(own_server))
    store = PostgresStore(database.url)
    saving = seconds_of(lambda: store.save(numbered(1)))
    kept, numbers = {1}, [1]

    def save(number: int) -> bool:
        try:
            store.save(numbered(number))
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for number in range(2, 2 + SERVER_KILLS):
            numbers.append(number)
            saved = pool.submit(save, number)
            loaded = pool.submit(store.load, 1)
            time.sleep(rng.uniform(0, saving))
            own_server.stop("immediate")
            own_server.start()
            if saved.result():
                kept.add(number)
            assert_same(loaded.result(), numbered(1))
    check_whole_or_absent(store, numbers)
    assert kept <= {info.session_id for info in store.list_sessions()}
    no_stray_events(database)
