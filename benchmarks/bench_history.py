"""What a memory costs: `--history 4` and `recurrent-ppo` beside plain PPO.

    python -m benchmarks.bench_history

The kinds take turns on the same tape; what is compared is the processor time of one thread, which
other work on the machine moves least. `VecFrameStack` is what `--history` takes the place of.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from benchmarks import sessions
from benchmarks.figures import Figure, figure, in_turn, main, ratios
from kalshi_sim import KalshiVecEnv, SimConfig, Tape
from kalshi_sim.extras import import_module
from kalshi_train.learner.algorithms import FastPPO

GROUP: Final = "Memory of an agent"
HISTORY: Final = 4
ENVS: Final = 1024
CALLS: Final = 300
LEARNERS: Final = 64
STEPS: Final = 64
ROUNDS: Final = 5


def _stepped(tape: Tape) -> list[Figure]:
    """A step of the batch: with one row, with four, and with four by the wrapper."""
    one = KalshiVecEnv(tape, ENVS, SimConfig(random_start=True), n_threads=1)
    four = KalshiVecEnv(tape, ENVS, SimConfig(random_start=True, history=HISTORY), n_threads=1)
    wrapped = VecFrameStack(
        KalshiVecEnv(tape, ENVS, SimConfig(random_start=True), n_threads=1), HISTORY
    )
    drawn = np.random.default_rng(0).integers(0, 5, (16, ENVS))

    def steps(env: VecEnv) -> None:
        for k in range(CALLS):
            env.step(drawn[k & 15])

    for env in (one, four, wrapped):
        env.reset()
    plain, native, outside = in_turn(
        [functools.partial(steps, env) for env in (one, four, wrapped)], ROUNDS, time.process_time
    )
    rate = [ENVS * CALLS / s for s in native]
    named = f"history {HISTORY}, {ENVS} environments, one thread"
    return [
        figure(GROUP, f"{named}: steps of the batch", "steps/s", rate),
        figure(GROUP, f"{named}: time ÷ that of one row", "×", ratios(native, plain)),
        figure(GROUP, f"{named}: time ÷ that of `VecFrameStack`", "×", ratios(native, outside)),
    ]


def _trained(tape: Tape) -> list[Figure]:
    """A step of training: PPO with one row and with four, and sb3-contrib's recurrent PPO."""
    rules = SimConfig(random_start=True, reward_scale=0.001)
    settings: dict[str, Any] = {"n_steps": STEPS, "batch_size": 512, "n_epochs": 4, "seed": 0}
    recurrent = import_module("sb3_contrib").RecurrentPPO
    kinds: dict[str, Any] = {
        "PPO": (FastPPO, "MlpPolicy", 1),
        f"PPO, history {HISTORY}": (FastPPO, "MlpPolicy", HISTORY),
        "recurrent-ppo (LSTM of 64)": (recurrent, "MlpLstmPolicy", 1),
    }
    works = []
    for kind, policy, history in kinds.values():
        env = KalshiVecEnv(tape, LEARNERS, replace(rules, history=history), n_threads=1)
        more = {"policy_kwargs": {"lstm_hidden_size": 64}} if kind is recurrent else {}
        model = kind(policy, env, device="cpu", **settings, **more)
        works.append(functools.partial(model.learn, LEARNERS * STEPS))
    times = in_turn(works, ROUNDS, time.process_time)
    named = f"{LEARNERS} environments x {STEPS} steps, batch 512, 4 epochs, one thread"
    figures = []
    for name, taken in zip(kinds, times, strict=True):
        rate = [LEARNERS * STEPS / s for s in taken]
        figures.append(figure(GROUP, f"{name}, {named}: training", "steps/s", rate))
        if taken is not times[0]:
            slower = ratios(taken, times[0])
            figures.append(figure(GROUP, f"{name}, {named}: time ÷ that of PPO", "×", slower))
    return figures


def measure(full: bool) -> list[Figure]:
    torch.set_num_threads(1)
    tape = sessions.tape(sessions.main_name())
    return [*_stepped(tape), *_trained(tape)]


if __name__ == "__main__":
    main(measure, __doc__)
