"""Whole episodes on a card, one thread each: the loop of `kernels.play`, of the same functions.

The loops are two: a processor calls `step_agents`, the simulator's machine code that is there, and
compiles nothing of it again; a card has no such calls, and its loop ends after some rows too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.layout import A_ROW, A_START, Agents, Buffers, TapeArrays
from kalshi_sim.kernels.step import start_agent, step_agent
from kalshi_train.evaluation.kernels import Decider, Track, next_action, note_row, note_step

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Int8Array = npt.NDArray[np.int8]

_cuda: Any = cuda


class Rules(NamedTuple):
    """Several settings of the simulation, under which the same views are played."""

    ints: Int64Array
    """[rules, N_INTS]"""
    floats: Float64Array
    """[rules, N_FLOATS]"""
    actions: Int64Array
    """[rules, actions, N_INTENT]"""


class Episodes(NamedTuple):
    """What each episode plays, and whether it is over."""

    views: Int64Array
    """[episodes] number of the view"""
    rules: Int64Array
    """[episodes] which of the settings"""
    first: Int64Array
    """[episodes + 1] where its rows begin in the arrays of `Tracks`, and those of the next"""
    done: Int8Array
    """[episodes] its done bits, 0 while it goes on"""


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def play_kernel(
    tape: TapeArrays,
    rules: Rules,
    agents: Agents,
    buffers: Buffers,
    episodes: Episodes,
    deciders: Decider,
    tracks: Track,
    begin: int,
    most: int,
) -> None:
    """Play each episode on by some rows; one whose fills have no more room stops sooner.

    Args:
        tape: what is played.
        rules: the settings.
        agents: one an episode; changed.
        buffers: of a step; overwritten.
        episodes: what is played; `done` is written.
        deciders: the policy; `scratch` [episodes, 2, widest layer], `valid` [episodes, actions] and
            `script` [rows] (or [0]) have those of all episodes.
        tracks: `actions`, `equity2` and `position` [rows], `fills` [episodes, room, N_RECORD] and
            `counts` [episodes, 2] of all episodes; written.
        begin: 1 to start the episodes first.
        most: rows.
    """
    i = _cuda.grid(1)
    if i >= len(episodes.done) or episodes.done[i] != 0:
        return
    rule, at, end = episodes.rules[i], episodes.first[i], episodes.first[i + 1]
    settings = layout.Settings(rules.ints[rule], rules.floats[rule], rules.actions[rule])
    track = Track(
        tracks.actions[at:end],
        tracks.equity2[at:end],
        tracks.position[at:end],
        tracks.detail,
        tracks.observations,
        tracks.fills[i],
        tracks.counts[i],
    )
    decider = Decider(
        deciders.shape,
        deciders.weights,
        deciders.scratch[i],
        deciders.script[at : min(end, len(deciders.script))],
        deciders.valid[i],
    )
    agent, records, obs = agents.core[i], agents.records[i], buffers.obs[i]
    track.counts[1] = 0
    if begin == 1:
        start_agent(tape, settings, agents, i, episodes.views[i], 0, obs)
        note_row(track, agent, obs)
    for _ in range(most):
        if track.counts[1] + records.shape[0] > len(track.fills):
            return
        row = agent[A_ROW] - agent[A_START]
        action = next_action(tape, settings, agents, i, decider, obs, row)
        step_agent(tape, settings, agents, i, action, buffers)
        note_step(track, agent, records, obs, row, action)
        if buffers.done[i] != 0:
            episodes.done[i] = buffers.done[i]
            return
