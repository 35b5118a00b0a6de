"""Tapes on disk: equal to what is built, never stale, safe with several processes, pruned."""

from __future__ import annotations

import os
import pickle
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from kalshi_sim import Tape, open_store, tape_cache
from kalshi_sim.errors import ConfigError
from kalshi_sim.session import Session
from kalshi_sim.store import SessionStore
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import cache_folder, limit_bytes, load_tape, prune
from kalshi_sim.tape_files import open_tape

pytestmark = pytest.mark.kernel

ARRAYS = ("ts_ms", "px", "qty", "mark2", "features", "flow_offsets", "flow", "states", "rows")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionStore:
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "cache"))
    store = open_store(tmp_path / "sessions")
    store.save(generate_session(1, markets=6, minutes=10, seed=1))
    store.save(generate_session(2, markets=6, minutes=10, seed=2))
    return store


def cached() -> list[Path]:
    return sorted(cache_folder().iterdir()) if cache_folder().exists() else []


def assert_equal(a: Tape, b: Tape) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.views, a.skipped, a.payout, a.depth) == (b.views, b.skipped, b.payout, b.depth)


def test_the_second_load_maps_the_first_ones_tape(store: SessionStore) -> None:
    built = load_tape(store, [1, 2], use_cache=False)
    assert cached() == []
    first = load_tape(store, [1, 2])
    second = load_tape(store, [1, 2], load=lambda *_: pytest.fail("loaded, not mapped"))
    assert len(cached()) == 1
    assert_equal(built, first)
    assert_equal(built, second)
    assert not second.px.flags.writeable
    assert type(second.px) is np.ndarray


def test_other_content_and_options_have_other_tapes(store: SessionStore) -> None:
    load_tape(store, [1])
    load_tape(store, [2])
    load_tape(store, [1], depth=5)
    load_tape(store, [1], row_interval_ms=100)
    load_tape(store, [1], min_episode_length=11)
    assert len(cached()) == 5
    store.save(generate_session(1, markets=6, minutes=10, seed=3), overwrite=True)
    changed = load_tape(store, [1])
    assert len(cached()) == 6
    assert_equal(changed, load_tape(store, [1], use_cache=False))


def test_a_damaged_tape_is_built_anew(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    good = load_tape(store, [1])
    (folder,) = cached()
    expected = good.px.copy()
    del good
    (folder / "rows.npy").write_bytes(b"nothing")
    again = load_tape(store, [1])
    np.testing.assert_array_equal(again.px, expected)
    assert "built anew" in caplog.text
    assert len(cached()) == 1


def test_many_processes_at_once_leave_one_tape(store: SessionStore, tmp_path: Path) -> None:
    code = (
        "import sys; from kalshi_sim import open_store; "
        "from kalshi_sim.tape_cache import load_tape; "
        "print(int(load_tape(open_store(sys.argv[1]), [1, 2]).px.sum()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sessions")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    sums = {process.communicate()[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    assert len(sums) == 1
    assert [p.name.startswith(".") for p in cached()] == [False]


def test_of_several_that_want_the_same_tape_one_replays(store: SessionStore) -> None:
    loaded = []

    def load(source: SessionStore, session_ids: Sequence[int]) -> list[Session]:
        loaded.append(session_ids)
        time.sleep(0.1)  # the others come meanwhile
        return [source.load(i) for i in session_ids]

    with ThreadPoolExecutor(3) as pool:
        tapes = list(pool.map(lambda _: load_tape(store, [1], load=load), range(3)))
    assert loaded == [[1]]
    assert {tape.saved_in for tape in tapes} == set(cached())  # and no lock is left


def test_pruning_deletes_what_was_used_longest_ago(store: SessionStore) -> None:
    import os

    for depth in (3, 4, 5):
        load_tape(store, [1], depth=depth)
    folders = cached()
    for age, folder in enumerate(folders):
        os.utime(folder, (1_000 - age, 1_000 - age))
    sizes = {f: sum(p.stat().st_size for p in f.iterdir()) for f in folders}
    mapped = load_tape(store, [2])
    most = sum(sizes.values()) - 1
    deleted = prune(cache_folder(), most, keep=None)
    assert deleted[0] == folders[-1]
    assert mapped.px.sum() > 0


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_SIM_CACHE_BYTES", "123")
    assert limit_bytes() == 123
    monkeypatch.setenv("KALSHI_SIM_CACHE_BYTES", "much")
    with pytest.raises(ConfigError, match="KALSHI_SIM_CACHE_BYTES"):
        limit_bytes()


def test_an_unwritable_cache_is_no_hindrance(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "file" / "tapes"))
    assert len(load_tape(store, [1])) > 0


def test_any_flipped_byte_is_found_before_it_is_used(store: SessionStore) -> None:
    rng = random.Random(0)
    good = load_tape(store, [1], use_cache=False)
    load_tape(store, [1])
    (folder,) = cached()
    files = {f: f.read_bytes() for f in sorted(folder.iterdir())}
    for file, content in files.items():
        for at in (0, 1, 7, 64, len(content) - 1, *rng.choices(range(len(content)), k=8)):
            damaged = bytearray(content)
            damaged[at] ^= 1 << rng.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises((ValueError, msgspec.MsgspecError)):
                open_tape(folder)
            file.write_bytes(content)
    assert_equal(open_tape(folder), good)


def test_a_tape_that_cannot_be_opened_just_now_stays(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_tape(store, [1])
    (folder,) = cached()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))  # no number is free below it
    try:
        assert tape_cache._open_cached(folder) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "just now" in caplog.text
    assert folder.is_dir()
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert tape_cache._open_cached(folder) is not None


def test_left_overs_of_killed_builds_are_pruned(store: SessionStore) -> None:
    load_tape(store, [1])
    left = cache_folder() / ".0123.abcdefgh.tmp"
    left.mkdir()
    (left / "rows.npy").write_bytes(bytes(10**6))
    assert prune(cache_folder(), 10**12) == []
    assert not left.exists()
    assert len(cached()) == 1


def test_a_mapped_tape_is_pickled_as_where_it_lies(store: SessionStore) -> None:
    tape = load_tape(store, [1])
    part = tape.select([2, 0])
    for made in (tape, part):
        pickled = pickle.dumps(made)
        assert len(pickled) < 10_000
        assert_equal(pickle.loads(pickled), made)
    changed = tape.with_arrays(mark2=tape.mark2 * 0)
    assert_equal(pickle.loads(pickle.dumps(changed)), changed)
