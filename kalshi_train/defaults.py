"""Settings that learn, by algorithm and number of environments: found by experiment.

`docs/training.md` reports what was tried; `benchmarks/learns_edge.py` repeats the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

MINIBATCHES: Final = 8


def _ppo(n_envs: int, n_steps: int | None) -> dict[str, Any]:
    n_steps = n_steps or _rollout_steps(n_envs, 16_384, shortest=32, longest=2048)
    return {
        "learning_rate": 1e-3,
        "n_steps": n_steps,
        "batch_size": _even_batch(n_envs * n_steps),
        "n_epochs": 4,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "ent_coef": 0.003,
        "ent_half_life": 0,
        "vf_coef": 0.5,
        "clip_range": 0.2,
        "max_grad_norm": 0.5,
    }


def _a2c(n_envs: int, n_steps: int | None) -> dict[str, Any]:
    # Advantages are not normalised: the entropy bonus is worth 0.02 / reward_scale = 20 cents,
    # and keeps the agent from giving up trading before it knows when to.
    n_steps = n_steps or _rollout_steps(n_envs, 4096, shortest=16, longest=512)
    few_updates = n_envs * n_steps > 4096
    return {
        "learning_rate": 2e-3 if few_updates else 1e-3,
        "n_steps": n_steps,
        "gamma": 0.99,
        "gae_lambda": 0.98,
        "ent_coef": 0.04 if few_updates else 0.02,
        "ent_half_life": 600_000 if few_updates else 300_000,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
    }


def _recurrent_ppo(n_envs: int, n_steps: int | None) -> dict[str, Any]:
    return {**_ppo(n_envs, n_steps), "lstm_hidden_size": 64}


def _dqn(n_envs: int, n_steps: int | None) -> dict[str, Any]:
    # Between two updates a round of steps, as the other algorithms have their rollouts.
    return {
        "learning_rate": 5e-4,
        "n_steps": n_steps or max(1, 256 // n_envs),
        "batch_size": 256,
        "gamma": 0.99,
        "max_grad_norm": 10.0,
        "buffer_size": 200_000,
        "learning_starts": 10_000,
        "gradient_steps": 4,
        "target_update_interval": 10_000,
        "exploration_fraction": 0.3,
        "exploration_final_eps": 0.02,
    }


CANCELLING: Final[dict[str, dict[str, Any]]] = {
    algorithm: {"learning_rate": 5e-4, "gae_lambda": 0.9, "ent_coef": 0.02}
    for algorithm in ("ppo", "maskable-ppo")
}
"""What differs where the action table has cancels: a second quote is worth little beside what
prices do by chance, and is found only by an agent that goes on trying (`benchmarks/learns_making`).
"""


def _rollout_steps(n_envs: int, rollout: int, *, shortest: int, longest: int) -> int:
    """Steps of each environment, a multiple of 8, for a rollout of about `rollout` transitions."""
    return min(longest, max(shortest, rollout // n_envs // 8 * 8))


def _even_batch(rollout: int) -> int:
    """A batch size that divides the rollout, about `MINIBATCHES` batches if it can."""
    for batches in range(MINIBATCHES, 1, -1):
        if rollout % batches == 0 and rollout // batches >= 2:
            return rollout // batches
    return rollout


Defaults = Callable[[int, int | None], dict[str, Any]]
ALGORITHM_DEFAULTS: Final[dict[str, Defaults]] = {
    "ppo": _ppo,
    "a2c": _a2c,
    "dqn": _dqn,
    "maskable-ppo": _ppo,
    "recurrent-ppo": _recurrent_ppo,
}


def algorithms_with(setting: str) -> tuple[str, ...]:
    """The algorithms that have a setting.

    Returns:
        Their names; none of a setting that does not depend on the algorithm.
    """
    return tuple(a for a, of in ALGORITHM_DEFAULTS.items() if setting in of(1, None))


def foreign_to(algorithm: str) -> tuple[str, ...]:
    """Settings that other algorithms have and this one has not.

    Returns:
        Names of settings.
    """
    known = dict.fromkeys(k for of in ALGORITHM_DEFAULTS.values() for k in of(1, None))
    return tuple(k for k in known if algorithm not in algorithms_with(k))
