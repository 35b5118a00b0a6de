"""Registers `kalshi_sim/Kalshi-v0` with gymnasium; imports nothing heavy.

gymnasium calls `register_envs` itself (entry point `gymnasium.envs`) when it is imported.
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
