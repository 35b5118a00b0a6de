"""The observation and action spaces every environment shares; registers the environments."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from kalshi_sim.features import FEATURES
from kalshi_sim.kernels.layout import N_ACTIONS
from kalshi_sim.own import OwnFeatures
from kalshi_sim.registration import register_envs


def observation_space(own: OwnFeatures | None = None) -> gym.spaces.Box:
    """The 52 features, then features of one's own; float32, each within its bounds."""
    count = 0 if own is None else len(own)
    low = np.array([f.low for f in FEATURES] + [own.low if own else 0.0] * count, np.float32)
    high = np.array([f.high for f in FEATURES] + [own.high if own else 0.0] * count, np.float32)
    return gym.spaces.Box(low, high, dtype=np.float32)


def action_space() -> gym.spaces.Discrete:
    """HOLD, BUY_YES_LIMIT, SELL_YES_LIMIT, BUY_NO_LIMIT, SELL_NO_LIMIT."""
    return gym.spaces.Discrete(N_ACTIONS)


register_envs()  # for checkouts that are not installed, where gymnasium finds no entry point
