"""A small tape, and two views of it that are paused or on another grid for some rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from tests.support.streams import quiet, session_of, snapshot

MARKET = session_of(snapshot(0, {40: 100, 39: 50}, {55: 100}), *(quiet(1 + i) for i in range(12)))
TAPE = build_tape([MARKET], min_episode_length=3, depth=3)
FIRST = TAPE.views[0].states[0]
CHANGING = dataclasses.replace(
    TAPE.views[0],
    later_states=(
        dataclasses.replace(FIRST, paused=True),
        dataclasses.replace(FIRST, tick_bands=((0, 50, 7), (50, 100, 3)), maker_multiplier=5000),
    ),
)
MANY = dataclasses.replace(
    TAPE, views=(CHANGING, dataclasses.replace(CHANGING, start=4))
).with_arrays(states=(np.arange(len(TAPE)) // 2 % 3).astype(np.int32))
"""Two views, paused and on another grid for some of their rows."""


def simulator(tape: Tape = MANY, n_envs: int = 2, **settings_: Any) -> BatchSimulator:
    """A batch that was reset."""
    made = BatchSimulator(tape, n_envs, SimConfig(**settings_))
    made.reset()
    return made
