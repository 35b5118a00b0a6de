"""Large mapped tapes: what stays in memory is bounded, and nothing that is read changes by it."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape, mapped
from kalshi_sim.config import TapeOptions
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_build import replay_sessions
from kalshi_sim.tape_files import open_tape, save_header
from kalshi_sim.tape_join import JoinedTape
from kalshi_train.evaluation import evaluate

pytestmark = pytest.mark.kernel

MIB = 2**20
MOST = 4 * MIB
SLACK = 8 * MIB
"""What is read on the way: a system may map more than was asked for, up to 2 MiB at a time."""
COPIES = 96
ENVS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tape of the same session again and again, many times larger than may stay mapped."""
    folder = tmp_path_factory.mktemp("mapped") / "tape"
    folder.mkdir()
    session = generate_session(1, markets=4, minutes=120, seed=4)
    options = TapeOptions()
    made = replay_sessions([session], options)
    with JoinedTape(folder, options.depth) as joined:
        for _ in range(COPIES):
            joined.add(made)
    described = {
        "payout": made.payout,
        "depth": options.depth,
        "row_interval_ms": options.row_interval_ms,
        "min_episode_length": options.min_episode_length,
        "views": tuple(joined.views),
        "skipped": (),
    }
    save_header(folder, described)
    assert size_of(folder) > 2 * (MOST + SLACK)
    return folder


@pytest.fixture
def whole(folder: Path) -> Tape:
    """All of it may stay mapped."""
    tape = open_tape(folder)
    assert tape.mapped is None
    return tape


@pytest.fixture
def large(folder: Path, whole: Tape, monkeypatch: pytest.MonkeyPatch) -> Tape:
    """The same, of which little may."""
    del whole
    monkeypatch.setattr(mapped, "MOST_BYTES", MOST)
    tape = open_tape(folder)
    assert tape.mapped is not None
    return tape


def size_of(folder: Path) -> int:
    """Bytes of a tape's arrays."""
    return sum(f.stat().st_size for f in folder.glob("*.npy"))


def resident(tape: Tape) -> int:
    """Bytes of its rows and flow that this process has mapped just now."""
    spans = [(a.ctypes.data, a.ctypes.data + a.nbytes) for a in (tape.rows, tape.flow)]
    total, within = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            begin, end = (int(part, 16) for part in name.split("-"))
            within = any(begin <= low and high <= end for low, high in spans)
        elif name == "Rss:" and within:
            total += 1024 * int(rest[0])
    return total


def played(tape: Tape, watch: Callable[[], None] = lambda: None) -> bytes:
    """What a batch sees in whole episodes of all views."""
    config = SimConfig(market_order="shuffle", random_start=True)
    env = KalshiVecEnv(tape, ENVS, config, seed=3, n_threads=1)
    first = env.reset()
    assert isinstance(first, np.ndarray)
    seen = hashlib.sha256(first.tobytes())
    rng = np.random.default_rng(1)
    ended = 0
    while ended < 2 * len(tape.views):
        obs, rewards, dones, _ = env.step(rng.integers(0, 5, ENVS))
        assert isinstance(obs, np.ndarray)
        seen.update(obs.tobytes() + rewards.tobytes())
        before, ended = ended, ended + int(dones.sum())
        if ended // ENVS > before // ENVS:
            watch()
    return seen.digest()


def test_what_stays_mapped_is_bounded_and_changes_nothing(whole: Tape, large: Tape) -> None:
    assert resident(large) < MOST + SLACK  # every byte was compared with its checksum
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, resident(large))

    assert played(large, watch) == played(whole)
    assert most < MOST + SLACK
    assert resident(whole) > 2 * (MOST + SLACK)


def evaluated(tape: Tape) -> dict[str, Any]:
    """Figures of one baseline on all views."""
    found = evaluate("join-both-sides", tape, resamples=100)
    return {**found.to_json(), "provenance": None}


def test_evaluation_is_bounded_too(whole: Tape, large: Tape) -> None:
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.01):
            most = max(most, resident(large))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        found = evaluated(large)
    finally:
        over.set()
        watching.join()
    assert 0 < most < MOST + SLACK
    assert found == evaluated(whole)


def test_a_selection_and_a_copy_elsewhere_are_bounded_as_well(large: Tape) -> None:
    half = large.select(range(0, len(large.views), 2))
    assert half.mapped is large.mapped
    again = pickle.loads(pickle.dumps(half))
    assert again.mapped is not None
    assert played(half) == played(again)
    assert max(resident(large), resident(again)) < MOST + SLACK


def _played_there(tape: Tape, answers: multiprocessing.SimpleQueue[tuple[bytes, int]]) -> None:
    answers.put((played(tape.select([0, 1])), resident(tape)))


def test_a_forked_process_counts_for_itself(large: Tape) -> None:
    assert large.mapped is not None
    before = resident(large)
    answers: multiprocessing.SimpleQueue[tuple[bytes, int]] = multiprocessing.SimpleQueue()
    fork = multiprocessing.get_context("fork")
    with large.mapped._lock:  # as another thread holds it just then
        child = fork.Process(target=_played_there, args=(large, answers))
        child.start()
    seen, there = answers.get()
    child.join()
    assert seen == played(large.select([0, 1]))
    assert there < MOST + SLACK
    assert before < MOST + SLACK


def test_tapes_in_memory_are_left_alone() -> None:
    tape = build_tape([generate_session(1, markets=2, minutes=10, seed=1)])
    assert tape.mapped is None
    tape.will_read([0])
    np.testing.assert_array_equal(
        tape.spans_ms(), [(tape.ts_ms[v.start], tape.ts_ms[v.stop - 1]) for v in tape.views]
    )
    np.testing.assert_array_equal(tape.marks2(slice(1, 5)), tape.mark2[1:5])
