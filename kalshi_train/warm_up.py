"""Compiles ahead what training runs, so that the first run on a machine starts at once.

    python -m kalshi_train.warm_up [simulation] [learner]

Each word compiles a part: `simulation` the step and the held-out evaluation, on a market of a few
rows, `learner` the networks, losses and optimisers. Without any word all are compiled. The parts
share nothing, so two processes do them in half the time. What is compiled already is only loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt

from kalshi_sim.cli.shell import run_command
from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.kernels.layout import N_FLOW
from kalshi_sim.kernels.observation import N_TAPE_FEATURES
from kalshi_sim.spaces import action_space, observation_space
from kalshi_sim.tape import Tape
from kalshi_sim.units import PAYOUT_CENT
from kalshi_sim.views import MarketSessionView

Float32Array = npt.NDArray[np.float32]

PARTS: Final = ("simulation", "learner")
ROWS: Final = 12
ENVS: Final = 128
"""Enough for two threads."""


def small_tape() -> Tape:
    """A market whose book does not change, of `ROWS` rows a second apart."""
    px = np.zeros((ROWS, 2, 1), np.int64)
    px[:, 0], px[:, 1] = PAYOUT_CENT // 2 - 1, PAYOUT_CENT // 2 - 1
    return Tape(
        PAYOUT_CENT,
        ts_ms=np.arange(ROWS, dtype=np.int64) * 1_000,
        px=px,
        qty=np.where(px > 0, 1_000, 0).astype(np.int64),
        mark2=np.full(ROWS, PAYOUT_CENT, np.int64),
        features=np.zeros((ROWS, N_TAPE_FEATURES), np.float32),
        flow_offsets=np.zeros(ROWS + 1, np.int64),
        flow=np.zeros((0, N_FLOW), np.int64),
        views=(MarketSessionView(0, "WARM-UP", 0, ROWS),),
    )


def compile_simulation(tape: Tape) -> None:
    """Reset and step a batch, with one thread and with two.

    Args:
        tape: any.
    """
    from kalshi_sim.simulator import BatchSimulator

    for n_threads in (1, 2):
        simulator = BatchSimulator(tape, ENVS, n_threads=n_threads)
        simulator.reset()
        simulator.step(np.ones(ENVS, np.int64))
        simulator.action_masks()


def compile_evaluation(tape: Tape) -> None:
    """Play a market from its first row to its last.

    Args:
        tape: any.
    """
    from kalshi_train.evaluation.heldout import play_heldout
    from kalshi_train.evaluation.policies import BASELINES

    play_heldout(tape, SimConfig(), BASELINES["hold"], n_threads=1)


def compile_learner() -> None:
    """Collect a rollout of an environment that does nothing, and learn from it."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    from kalshi_train.learner.algorithms import FastA2C, FastPPO

    env = DummyVecEnv([_Still] * ENVS)
    seed, device, n_steps = 0, "cpu", 4
    ppo = FastPPO(
        "MlpPolicy", env, n_steps=n_steps, batch_size=ENVS, n_epochs=1, seed=seed, device=device
    )
    for model in (ppo, FastA2C("MlpPolicy", env, n_steps=n_steps, seed=seed, device=device)):
        model.learn(n_steps * ENVS)


class _Still(gymnasium.Env[Any, Any]):
    """Nothing happens in it."""

    def __init__(self) -> None:
        self.observation_space = observation_space()
        self.action_space = action_space()
        self._observation = np.zeros(len(FEATURES), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        return self._observation, {}

    def step(self, action: int) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        return self._observation, 0.0, False, False, {}


def main(argv: Sequence[str] | None = None) -> int:
    """Compile the parts that `argv` names; returns the exit code (2: no such part)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command("kalshi_train.warm_up", lambda: _compile(arguments), arguments=arguments)


def _compile(parts: Sequence[str]) -> int:
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"{part}: no such part; there are {', '.join(PARTS)}")
    chosen = parts or PARTS
    if "simulation" in chosen:
        tape = small_tape()
        compile_simulation(tape)
        compile_evaluation(tape)
    if "learner" in chosen:
        compile_learner()
    return 0


if __name__ == "__main__":
    sys.exit(main())
