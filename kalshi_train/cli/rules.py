"""Settings of the simulation as flags of commands that play whole episodes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import tyro

from kalshi_sim.config import MarketOrder, SimConfig

SIM_FIELDS: Final = tuple(f.name for f in fields(SimConfig))
WHOLE_EPISODES: Final = (
    "random_start",
    "market_order",
    "record_fills",
    "max_episode_steps",
    "reward_scale",
)
"""Settings that make no difference where whole episodes are played."""


@dataclass(frozen=True, kw_only=True)
class Rules(SimConfig):
    """Settings of the simulation; `WHOLE_EPISODES` are fixed."""

    random_start: tyro.conf.Suppress[bool] = False
    market_order: tyro.conf.Suppress[MarketOrder] = "sequential"
    record_fills: tyro.conf.Suppress[bool] = False
    max_episode_steps: tyro.conf.Suppress[int | None] = None
    reward_scale: tyro.conf.Suppress[float] = 1.0


def sim_of(rules: SimConfig) -> SimConfig:
    """The settings alone, of flags or of any other kind of them.

    Args:
        rules: they, with what a command adds.
    """
    return SimConfig(**{name: getattr(rules, name) for name in SIM_FIELDS})
