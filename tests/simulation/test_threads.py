"""Threads that step a batch: equal bits, however many there are and whoever else uses them."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape, threads
from kalshi_sim.actions import FIVE
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.threads import NumbaThreads, ThreadChoice, default_threads, usable_cpus

pytestmark = pytest.mark.kernel

N_ENVS = 7


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=3, deltas=600, seed=4)])


def run(tape: Tape, n_threads: int | None, n_envs: int = N_ENVS, pauses: bool = False) -> list[Any]:
    sim = BatchSimulator(tape, n_envs, SimConfig(random_start=True), seed=3, n_threads=n_threads)
    sim.reset()
    rng = np.random.default_rng(0)
    seen: list[Any] = []
    for i in range(60):
        obs, rewards, done, _ = sim.step(rng.integers(0, len(FIVE), n_envs))
        seen += [obs.tobytes(), rewards.tobytes(), done.tobytes()]
        if pauses and i % 3 == 0:
            time.sleep(0.002)  # long enough for a thread to fall asleep
    sim.close()
    return seen


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(
    tape: Tape, n_threads: int, pauses: bool
) -> None:
    assert run(tape, n_threads, pauses=pauses) == run(tape, 1)


def test_a_measured_number_of_threads_gives_the_same_bits(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    n_envs = 3 * threads.ENVS_PER_THREAD
    assert default_threads(n_envs) == 3
    assert run(tape, None, n_envs) == run(tape, 1, n_envs)


def test_batches_in_several_threads_do_not_disturb_each_other(tape: Tape) -> None:
    expected = run(tape, 1)
    with ThreadPoolExecutor(4) as pool:
        for seen in pool.map(lambda _: run(tape, 2), range(8)):
            assert seen == expected


def test_close_ends_a_batch_and_leaves_others(tape: Tape) -> None:
    kept = BatchSimulator(tape, N_ENVS, n_threads=2)
    kept.reset()
    closed = BatchSimulator(tape, N_ENVS, n_threads=2)
    closed.reset()
    closed.close()
    closed.close()
    with pytest.raises(RuntimeError, match="after close"):
        closed.step(np.zeros(N_ENVS, np.int64))
    kept.step(np.zeros(N_ENVS, np.int64))


def test_a_batch_that_is_dropped_leaves_nothing_behind(tape: Tape) -> None:
    run(tape, 2)
    gc.collect()
    before = threading.active_count()
    for _ in range(5):
        run(tape, 2)
    gc.collect()
    assert threading.active_count() == before


_FORKED = """
import os, sys
import numpy as np
from kalshi_sim import BatchSimulator, build_tape
from kalshi_sim.synthetic.session import generate_session

tape = build_tape([generate_session(1, markets=2, deltas=400, seed=4)])

def rewards(n_threads, sim=None):
    sim = sim or BatchSimulator(tape, 4, n_threads=n_threads)
    sim.reset()
    return b"".join(sim.step(np.full(4, 1 + i % 4))[1].tobytes() for i in range(20))

one = rewards(1)
sim = BatchSimulator(tape, 4, n_threads=2)
assert rewards(2, sim) == one
child = os.fork()
if child == 0:
    ok = rewards(2) == one and len(sim.step(np.zeros(4, np.int64))[1]) == 4
    os._exit(7 if ok else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_steps_alone() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKED], timeout=120, check=False)
    assert done.returncode == 7


def spawned_bits(queue: Any) -> None:
    tape = build_tape([generate_session(1, markets=3, deltas=600, seed=4)])
    queue.put(run(tape, 2) == run(tape, 1))


def test_a_spawned_process_has_threads_of_its_own(tape: Tape) -> None:
    run(tape, 2)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=spawned_bits, args=(queue,))
    process.start()
    assert queue.get(timeout=120)
    process.join(30)
    assert process.exitcode == 0


def test_the_threads_serve_one_caller_at_a_time() -> None:
    with NumbaThreads(2) as shares:
        assert shares == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_shares, 2).result() == 1
    assert _shares(2) == 2
    assert _shares(1) == 1


def _shares(wanted: int) -> int:
    with NumbaThreads(wanted) as shares:
        return shares


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_callers_own_number_of_threads_is_given_back() -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with contextlib.suppress(KeyError), NumbaThreads(2):
            assert numba.get_num_threads() == min(2, before)
            raise KeyError
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


def test_the_default_follows_the_affinity_of_the_process() -> None:
    code = (
        "import os\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from kalshi_sim.threads import default_threads, usable_cpus\n"
        "print(usable_cpus(), default_threads(100_000))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ("max 100000", None, 8),
        ("150000 100000", None, 2),
        ("50000 100000", None, 1),
        ("nonsense", None, 8),
        (None, "300000", 3),
        (None, "-1", 8),
        (None, None, 8),
    ],
)
def test_the_default_follows_the_quota_of_the_container(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new: str | None,
    old: str | None,
    expected: int,
) -> None:
    files = (tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us")
    for path, text in zip(files, (new, old), strict=True):
        if text is not None:
            path.write_text(text + "\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(threads, "_CGROUPS", files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cpus() == expected


def test_small_batches_are_not_shared_out() -> None:
    assert default_threads(2 * threads.ENVS_PER_THREAD - 1) == 1


class Clock:
    """A clock that the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def steps(self, choice: ThreadChoice, count: int, cost: dict[int, float]) -> list[int]:
        """The threads of `count` steps that take cost[threads] seconds."""
        seen = []
        for _ in range(count):
            with choice.measured() as n_threads:
                self.now += cost[n_threads]
            seen.append(n_threads)
        return seen


def test_the_quickest_number_of_threads_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, choice = Clock(monkeypatch), ThreadChoice(6)
    trial = clock.steps(choice, 28, {1: 0.04, 2: 0.021, 4: 0.02, 6: 0.012})
    assert trial == [1] * 7 + [2] * 7 + [4] * 7 + [6] * 7
    assert choice.current == 6
    assert set(clock.steps(choice, 50, {6: 0.012})) == {6}


def test_more_threads_must_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, choice = Clock(monkeypatch), ThreadChoice(2)
    clock.steps(choice, 14, {1: 0.01, 2: 0.0095})
    assert choice.current == 1


def test_a_number_of_threads_that_cannot_win_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, choice = Clock(monkeypatch), ThreadChoice(2)
    trial = clock.steps(choice, 500, {1: 0.002, 2: 0.015})
    assert choice.current == 1
    assert trial.count(2) == 1 + 4  # one wakes the threads; four last longer than 0.9 of 0.06 s


def test_the_choice_is_made_anew_when_the_machine_gets_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, choice = Clock(monkeypatch), ThreadChoice(2)
    clock.steps(choice, 14, {1: 0.01, 2: 0.006})
    assert choice.current == 2
    later = clock.steps(choice, 800, {1: 0.01, 2: 0.04})
    assert choice.current == 1
    assert later[:6] == [2] * 6, "until it is seen"
    assert later[6] == 1
    assert later.count(2) < 30


def test_the_choice_is_made_anew_when_the_machine_gets_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, choice = Clock(monkeypatch), ThreadChoice(2)
    clock.steps(choice, 100, {1: 0.01, 2: 0.04})
    assert choice.current == 1
    clock.steps(choice, 1600, {1: 0.01, 2: 0.006})
    assert choice.current == 2
