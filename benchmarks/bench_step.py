"""Stepping: `KalshiVecEnv.step` by size of the batch, threads and rows of the tape.

    python -m benchmarks.bench_step [--full]
    pytest benchmarks/bench_step.py --benchmark-enable --benchmark-only

Environments start at random rows (`random_start`), so that each needs memory of its own, as in
training. Beside every step stands, in turn in the same run, a plain copy of the observations.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import sessions
from benchmarks.figures import Figure, figure, in_turn, main, ratios
from kalshi_sim import KalshiVecEnv, SimConfig, Tape
from kalshi_sim.actions import FIVE
from kalshi_sim.tape_files import open_tape, save_tape

GROUP = "Stepping"
SCALING = "Stepping, by environments"
TAPES = "Stepping, by rows of the tape"
ENVS = 4096
THREADS = 2
FULL_ENVS = [4**k for k in range(9)]
QUICK_ENVS = [1, 64, 1024, 4096, 65_536]
TAPE_ROWS = [10_000, 100_000, 1_000_000, 5_000_000]
ROW_BYTES = 800
"""More than a row of a tape and its flow take, twice: while a tape is being made."""
WARM_UP = 100
ROUNDS = 7
ENV_STEPS = 400_000
"""Environment-steps timed at once, if these are not fewer than 20 steps of the batch."""
CONFIG = SimConfig(random_start=True)


class Stepper:
    """An environment and the actions it is stepped with."""

    def __init__(self, tape: Tape, n_envs: int, n_threads: int | None, hold: bool = False) -> None:
        self.env = KalshiVecEnv(tape, n_envs, CONFIG, seed=0, n_threads=n_threads)
        rng = np.random.default_rng(0)
        high = 1 if hold else len(FIVE)
        self.actions = [rng.integers(0, high, n_envs) for _ in range(16)]
        self.steps = min(20_000, max(20, ENV_STEPS // n_envs))
        self.env.reset()
        self.step(WARM_UP)

    def step(self, steps: int | None = None) -> None:
        """Steps of the whole batch."""
        step, actions = self.env.step, self.actions
        for i in range(self.steps if steps is None else steps):
            step(actions[i & 15])

    def copy(self) -> None:
        """As many plain copies of the observations."""
        obs = self.env.simulator.observations
        for _ in range(self.steps):
            obs.copy()

    @property
    def env_steps(self) -> int:
        return self.steps * self.env.num_envs


def _rates(stepper: Stepper, times: list[float]) -> list[float]:
    return [stepper.env_steps / t for t in times]


def _against_copy(name: str, tape: Tape, hold: bool) -> list[Figure]:
    stepper = Stepper(tape, ENVS, THREADS, hold)
    stepped, copied = in_turn([stepper.step, stepper.copy], ROUNDS)
    stepper.env.close()
    what = f"{name} tape, {ENVS} environments, {THREADS} threads, {'hold' if hold else 'random'}"
    return [
        figure(GROUP, what, "env-steps/s", _rates(stepper, stepped), at_least=8e6, headline=True),
        figure(
            GROUP,
            f"{what}: time ÷ that of copying the observations",
            "×",
            ratios(stepped, copied),
            at_most=12,
            headline=True,
        ),
    ]


def _one_env(tape: Tape) -> Figure:
    stepper = Stepper(tape, 1, 1)
    (times,) = in_turn([stepper.step], ROUNDS)
    micros = [t / stepper.steps * 1e6 for t in times]
    return figure(
        GROUP, "one environment, Python included", "µs/step", micros, at_most=10, headline=True
    )


def _mapped(name: str) -> Figure:
    """The cached tape, mapped into memory, against the same one just built."""
    tape = sessions.tape(name)
    with tempfile.TemporaryDirectory() as folder:
        save_tape(tape, Path(folder) / "tape")
        both = [Stepper(t, ENVS, THREADS) for t in (open_tape(Path(folder) / "tape"), tape)]
        mapped, built = in_turn([s.step for s in both], ROUNDS)
        for stepper in both:
            stepper.env.close()
    what = f"{name} tape mapped from the cache: time ÷ that of one in memory"
    return figure(GROUP, what, "×", ratios(mapped, built))


def _by_envs(name: str, full: bool) -> list[Figure]:
    tape = sessions.tape(name)
    out = []
    holds = [False, True] if full else [False]
    for n_envs, hold in product(FULL_ENVS if full else QUICK_ENVS, holds):
        threads = [n for n in (1, THREADS) if n <= n_envs]
        steppers = [Stepper(tape, n_envs, n, hold) for n in threads]
        rounds = in_turn([*(s.step for s in steppers), steppers[0].copy], ROUNDS)
        for n, stepper, times in zip(threads, steppers, rounds, strict=False):
            what = f"{name}, n_envs {n_envs}, {n} thread{'s'[: n - 1]}"
            what += ", hold" if hold else ""
            out.append(figure(SCALING, what, "env-steps/s", _rates(stepper, times)))
            out.append(figure(SCALING, f"{what}: ÷ copy", "×", ratios(times, rounds[-1])))
            stepper.env.close()
    return out


def _tape_rows() -> list[int]:
    """The sizes that fit into this machine's free memory, together."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [n for n in TAPE_ROWS if sum(m for m in TAPE_ROWS if m <= n) * ROW_BYTES < free]


def _by_rows(name: str) -> list[Figure]:
    tape = sessions.tape(name)
    sizes = _tape_rows()
    steppers = [Stepper(sessions.resized(tape, rows), ENVS, 1) for rows in sizes]
    rounds = in_turn([s.step for s in steppers], ROUNDS)
    out = []
    for rows, stepper, times in zip(sizes, steppers, rounds, strict=True):
        nanos = [t / stepper.env_steps * 1e9 for t in times]
        out.append(figure(TAPES, f"{name}, {rows} rows, 1 thread", "ns/env-step", nanos))
    spread = [max(times) / min(times) for times in zip(*rounds, strict=True)]
    what = f"tapes of {sizes[0]} to {sizes[-1]} rows: slowest step ÷ fastest"
    out.append(figure(GROUP, what, "×", spread, at_most=2, headline=True))
    return out


def measure(full: bool) -> list[Figure]:
    names = list(dict.fromkeys([sessions.main_name(), "generated"]))
    out = [
        f
        for name, hold in product(names, (False, True))
        for f in _against_copy(name, sessions.tape(name), hold)
    ]
    out.append(_one_env(sessions.tape(names[0])))
    out.append(_mapped(names[0]))
    for name in names if full else names[:1]:
        out += _by_envs(name, full)
    return out + _by_rows(names[0])


@pytest.mark.parametrize("n_envs", [1, 1024, ENVS])
@pytest.mark.parametrize("hold", [True, False], ids=["hold", "random"])
def test_step(benchmark: Any, n_envs: int, hold: bool) -> None:
    stepper = Stepper(sessions.tape(sessions.main_name()), n_envs, min(n_envs, THREADS), hold)
    one_step: Callable[[], None] = lambda: stepper.step(1)  # noqa: E731 - typed
    benchmark.extra_info["env_steps"] = n_envs
    benchmark.pedantic(one_step, rounds=200, iterations=max(1, 1000 // n_envs), warmup_rounds=5)
    stepper.env.close()


if __name__ == "__main__":
    main(measure, __doc__)
