"""The asynchronous loader: any store, several sessions at once, progress, first failure ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kalshi_sim.errors import ConfigError, SessionNotFoundError
from kalshi_sim.session import Session, SessionInfo
from kalshi_sim.store import open_store
from kalshi_train.data.loader import SessionDataLoader
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import Database
from tests.store.test_parquet_store import session


class CountingStore:
    """Loads slowly and remembers how many loads ran at once."""

    def __init__(self) -> None:
        self.running = self.most = self.started = 0
        self._lock = threading.Lock()

    def load(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        with self._lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.03)
        with self._lock:
            self.running -= 1
        if session_id < 0:
            raise SessionNotFoundError(f"no session {session_id}")
        return session(session_id)

    def exists(self, session_id: int) -> bool:
        return session_id >= 0

    def list_sessions(self) -> list[SessionInfo]:
        return []

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        raise NotImplementedError

    def next_session_id(self) -> int:
        return 1

    def fingerprint(self, session_id: int) -> str:
        return str(session_id)


def test_loads_from_a_folder_and_from_a_database(database: Database, tmp_path: Path) -> None:
    create_schema(database.url)
    recorded = write_session(database.url, random_recording(0, "C"), "C")
    mine = session(77)
    for url in (database.url, tmp_path):
        open_store(url).save(mine)
        loader = SessionDataLoader(url)

        async def both(loader: SessionDataLoader = loader) -> tuple[list[SessionInfo], Session]:
            return await loader.get_available_sessions(), await loader.load_session(77)

        listed, loaded = asyncio.run(both())
        assert loaded.events.equals(mine.events)
        assert 77 in [info.session_id for info in listed]
    old = asyncio.run(SessionDataLoader(database.url).load_session(recorded))
    assert old.source == "kalshiflow C"
    some = asyncio.run(SessionDataLoader(tmp_path).load_session(77, ["KXB-2"]))
    assert [m.ticker for m in some.markets] == ["KXB-2"]


def test_several_at_once_bounded_in_order_and_with_progress() -> None:
    store = CountingStore()
    seen: list[tuple[int, int]] = []
    loader = SessionDataLoader(store, concurrency=3)
    wanted = [5, 3, 9, 1, 3, 7, 2]
    loaded = asyncio.run(
        loader.load_sessions(wanted, progress=lambda done, total, _: seen.append((done, total)))
    )
    assert [s.session_id for s in loaded] == wanted
    assert store.most == 3
    assert store.started == 6
    assert seen == [(i, 6) for i in range(1, 7)]


def test_draws_a_bar_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(SessionDataLoader(CountingStore()).load_sessions([1, 2], progress=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err


def test_the_first_failure_ends_the_rest() -> None:
    store = CountingStore()
    loader = SessionDataLoader(store, concurrency=1)
    with pytest.raises(SessionNotFoundError, match="no session -1"):
        asyncio.run(loader.load_sessions([-1, *range(20)]))
    assert store.started < 20


def test_concurrency_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="concurrency=0: must be a whole number from 1"):
        SessionDataLoader(CountingStore(), concurrency=0)
