"""Threads that step beside the caller: asleep, awake, failing and left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from kalshi_sim.kernels.layout import N_ACTIONS
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.workers import Workers

pytestmark = pytest.mark.kernel

N_ENVS = 7


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=3, deltas=600, seed=4)])


def step_threads() -> int:
    return sum(t.name.startswith("kalshi-sim-step") for t in threading.enumerate())


def soon(wanted: int) -> bool:
    """Whether so many threads are left within a while."""
    for _ in range(200):
        if step_threads() == wanted:
            return True
        time.sleep(0.01)
    return False


def run(tape: Tape, n_threads: int, pauses: bool) -> list[Any]:
    sim = BatchSimulator(tape, N_ENVS, SimConfig(random_start=True), seed=3, n_threads=n_threads)
    sim.reset()
    rng = np.random.default_rng(0)
    seen: list[Any] = []
    for i in range(60):
        obs, rewards, done, _ = sim.step(rng.integers(0, N_ACTIONS, N_ENVS))
        seen += [obs.tobytes(), rewards.tobytes(), done.tobytes()]
        if pauses and i % 3 == 0:
            time.sleep(0.002)  # long enough for a thread to fall asleep
    sim.close()
    return seen


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_threads_asleep_or_awake_give_the_same(tape: Tape, n_threads: int, pauses: bool) -> None:
    assert run(tape, n_threads, pauses) == run(tape, 1, False)


def test_threads_end_with_close_and_with_their_owner(tape: Tape) -> None:
    gc.collect()
    before = step_threads()
    closed = BatchSimulator(tape, N_ENVS, n_threads=3)
    assert step_threads() == before  # nothing was stepped yet
    closed.close()
    closed = BatchSimulator(tape, N_ENVS, n_threads=3)
    closed.reset()
    closed.step(np.zeros(N_ENVS, np.int64))
    assert step_threads() == before + 2
    closed.close()
    assert step_threads() == before
    closed.close()
    with pytest.raises(RuntimeError, match="after close"):
        closed.step(np.zeros(N_ENVS, np.int64))
    dropped = BatchSimulator(tape, N_ENVS, n_threads=2)
    dropped.reset()
    dropped.step(np.zeros(N_ENVS, np.int64))
    del dropped
    gc.collect()
    assert soon(before)


def test_what_goes_wrong_in_a_thread_reaches_the_caller(tape: Tape) -> None:
    sim = BatchSimulator(tape, N_ENVS, n_threads=1)
    wrong = (tape.arrays, sim.settings, sim.agents, None)
    workers = Workers(wrong, sim._buffers, [(0, N_ENVS)])
    workers.post(0)
    with pytest.raises(Exception, match=r"."):
        workers.wait()
    workers.close()


def test_a_step_left_unwaited_does_not_block_the_next(tape: Tape) -> None:
    sim = BatchSimulator(tape, N_ENVS, n_threads=2)
    sim.reset()
    assert sim._workers is not None
    for turn in (0, 1, 0):
        sim._workers.post(turn)
    sim._workers.wait()
    sim.close()


_FORKED = """
import os, sys
import numpy as np
from kalshi_sim import BatchSimulator, build_tape
from kalshi_sim.synthetic.session import generate_session

tape = build_tape([generate_session(1, markets=2, deltas=400, seed=4)])
sim = BatchSimulator(tape, 4, n_threads=2)
sim.reset()
sim.step(np.zeros(4, np.int64))
child = os.fork()
if child == 0:
    try:
        sim.step(np.zeros(4, np.int64))
    except RuntimeError as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_says_that_it_has_no_threads() -> None:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKED], timeout=120, check=False)
    assert run.returncode == 7
