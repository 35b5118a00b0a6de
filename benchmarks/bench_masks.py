"""What action masks cost: beside a step of the batch, and in training with `mask=True`.

    python -m benchmarks.bench_masks

Steps and masks take turns on the same environments; so do models that are equal but for the mask.
What is compared is the processor time of one thread, which other work on the machine moves least.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Final

import numpy as np
import torch

from benchmarks import sessions
from benchmarks.figures import Figure, figure, in_turn, main, ratios
from kalshi_sim import KalshiVecEnv, SimConfig, Tape
from kalshi_train.learner.algorithms import FastPPO

GROUP: Final = "Masks"
TABLES: Final = ("five", "maker")
ENVS: Final = 1024
STEPS: Final = 64
ROUNDS: Final = 7
CALLS: Final = 400
AT_MOST: Final = 0.10


def _beside_a_step(tape: Tape, actions: str) -> Figure:
    """Time of `action_masks` as a share of that of `step`, one thread each."""
    env = KalshiVecEnv(tape, ENVS, SimConfig(random_start=True, actions=actions), n_threads=1)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(env.config.table), (16, ENVS))
    env.reset()

    def step() -> None:
        for k in range(CALLS):
            env.step(drawn[k & 15])

    def masks() -> None:
        for _ in range(CALLS):
            env.action_masks()

    stepped, masked = in_turn([step, masks], ROUNDS, time.process_time)
    name = f"action_masks of `{actions}`, {ENVS} environments, one thread: time ÷ that of a step"
    return figure(GROUP, name, "×", ratios(masked, stepped))


def _in_training(tape: Tape, actions: str) -> Figure:
    """What a step of training with a mask takes more than one without."""
    config = SimConfig(random_start=True, reward_scale=0.001, actions=actions)
    settings: dict[str, Any] = {"n_steps": STEPS, "batch_size": 8192, "n_epochs": 4, "seed": 0}
    models = [
        FastPPO("MlpPolicy", KalshiVecEnv(tape, ENVS, config, n_threads=1), mask=mask, **settings)
        for mask in (True, False)
    ]
    works = [functools.partial(model.learn, ENVS * STEPS) for model in models]
    masked, plain = in_turn(works, ROUNDS, time.process_time)
    more = [ratio - 1 for ratio in ratios(masked, plain)]
    name = f"PPO with `{actions}`, {ENVS} environments: what a step takes more with --mask"
    return figure(GROUP, name, "×", more, at_most=AT_MOST)


def measure(full: bool) -> list[Figure]:
    torch.set_num_threads(1)
    tape = sessions.tape(sessions.main_name())
    made = [_beside_a_step, _in_training]
    return [f(tape, actions) for f in made for actions in TABLES]


if __name__ == "__main__":
    main(measure, __doc__)
