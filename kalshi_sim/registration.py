"""Registers `kalshi_sim/Kalshi-v0` with gymnasium when it is imported; imports nothing heavy.

`import kalshi_sim` sees to it, before or after gymnasium. Where nothing of the package is imported,
in a process that was started with the id alone, `kalshi_sim.registration:kalshi_sim/Kalshi-v0` has
gymnasium import this module first.
"""

from __future__ import annotations

import gymnasium as gym

ENV_ID = "kalshi_sim/Kalshi-v0"


def register_envs() -> None:
    """Make the environment known to `gymnasium.make` and `gymnasium.make_vec`."""
    if ENV_ID not in gym.registry:
        gym.register(
            id=ENV_ID,
            entry_point="kalshi_sim.gym_env:MarketAgnosticKalshiEnv",
            vector_entry_point="kalshi_sim.gym_env:make_vector_env",
        )


register_envs()
