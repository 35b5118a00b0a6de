"""Tapes of several sessions, made one at a time: equal to those made of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import build_tape, open_store
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import NoViewsError
from kalshi_sim.session import Session
from kalshi_sim.store import SessionStore
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import load_tape
from support.object_store import SECRET, ObjectServer
from tests.test_tape_cache import assert_equal

pytestmark = pytest.mark.kernel


def fine(session: Session) -> Session:
    """The same with prices a hundredth of a cent lower, so that money is counted in these."""
    events = session.events
    price = np.where(events.price > 100, events.price - 1, events.price)
    return replace(session, events=replace(events, price=price))


@pytest.fixture
def sessions() -> list[Session]:
    """Three, of which the second has no market with rows enough."""
    return [generate_session(i, markets=4, minutes=m, seed=i) for i, m in ((1, 8), (2, 1), (3, 6))]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionStore:
    """Empty, and with an empty cache."""
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "cache"))
    return open_store(tmp_path / "sessions")


@pytest.mark.parametrize("finer", [None, 0, 2])
def test_one_session_at_a_time_gives_the_tape_of_all(
    store: SessionStore, sessions: list[Session], finer: int | None
) -> None:
    if finer is not None:
        sessions[finer] = fine(sessions[finer])
    for session in sessions:
        store.save(session)
    options = TapeOptions(min_episode_length=9)
    asked: list[list[int]] = []

    def load(store: SessionStore, ids: Sequence[int]) -> list[Session]:
        asked.append(list(ids))
        return [store.load(i) for i in ids]

    done: list[tuple[int, int]] = []
    made = load_tape(store, [1, 2, 3], options, load=load, progress=lambda *part: done.append(part))
    assert made.saved_in is not None
    assert max(map(len, asked)) == 1
    assert done[-1] == (3000, 3000)
    built = build_tape(sessions, options)
    assert built.payout == (100 if finer is None else 10_000)
    assert {v.session_id for v in built.views} == {1, 3}
    assert_equal(made, built)


def test_tapes_of_single_sessions_are_taken_from_the_cache(
    store: SessionStore, sessions: list[Session]
) -> None:
    for session in sessions:
        store.save(session)
    load_tape(store, 3)
    asked: list[int] = []

    def load(store: SessionStore, ids: Sequence[int]) -> list[Session]:
        asked.extend(ids)
        return [store.load(i) for i in ids]

    assert_equal(load_tape(store, [1, 3], load=load), build_tape([sessions[0], sessions[2]]))
    assert asked == [1]


def test_sessions_without_a_view_are_one_error(
    store: SessionStore, sessions: list[Session]
) -> None:
    for session in sessions:
        store.save(session)
    with pytest.raises(NoViewsError, match=r"^no market of session 1, 2 has at least 9999 rows"):
        load_tape(store, [1, 2], min_episode_length=9999)


def test_a_cache_is_filled_from_a_shared_place(
    store: SessionStore,
    sessions: list[Session],
    object_server: ObjectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket = object_server.make_bucket()
    monkeypatch.setenv("KALSHI_SIM_SHARED_TAPES", object_server.address(f"{bucket}/tapes"))
    store.save(sessions[0])
    store.save(sessions[2])
    made = [load_tape(store, 1), load_tape(store, [1, 3])]
    # Another machine: its cache is empty, and it loads nothing.
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "other"))

    def nothing(store: SessionStore, ids: Sequence[int]) -> list[Session]:
        pytest.fail("loaded, not fetched")

    for ids, tape in (([1], made[0]), ([1, 3], made[1])):
        found = load_tape(store, ids, load=nothing)
        assert found.saved_in is not None
        assert found.saved_in.parent == tmp_path / "other"
        assert_equal(found, tape)
    # Damaged on its way or there: found by its checksums, and made anew.
    assert made[0].saved_in is not None
    key = made[0].saved_in.name
    (rows,) = [k for k in object_server.keys(bucket) if k.endswith(f"{key}/rows.npy")]
    object_server.put(f"{bucket}/{rows}", b"other bytes")
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "third"))
    assert_equal(load_tape(store, 1), made[0])
    assert "is damaged and built anew" in caplog.text
    # A place that cannot be reached is a warning without its key.
    monkeypatch.setenv("KALSHI_SIM_SHARED_TAPES", object_server.address("absent/tapes"))
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "fourth"))
    assert_equal(load_tape(store, 1), made[0])
    assert "was not shared" in caplog.text
    assert SECRET not in caplog.text
