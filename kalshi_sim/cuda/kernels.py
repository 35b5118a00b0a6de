"""What the card is asked to do: one thread an environment, or one for a group of them.

Environments that finished are numbered by index without atomic operations, so that the result is
the same every time: counts of 64 environments, sums of 64 counts, and one thread over these.

Args of the functions here, unless they say more:
    tape: arrays of the whole tape.
    settings: the simulation's settings.
    agents: all environments; changed.
    buffers: what a step gives back; written.
    turns: the schedule; changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from kalshi_sim.cuda.turns import Turns, begin_turn, hand_out
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import (
    HOLD,
    N_CORE,
    Agents,
    Buffers,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.step import mask_agent, start_agent, step_agent

Int64Array = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_cuda: Any = cuda
GROUP = 64
"""Environments, or counts, that one thread adds up."""
# places in the ints of a log, here of `Log`
L_COUNT, L_LOST, L_BASE, L_WRONG, N_LOG = range(5)


class Log(NamedTuple):
    """Episodes that ended and were not fetched yet."""

    ints: Int64Array
    """[N_LOG] episodes kept, episodes there was no room for, kept before this step, actions that
    were no row of the table"""
    envs: Int64Array
    """[room]"""
    done: Int8Array
    """[room] bits TERMINATED, TRUNCATED"""
    core: Int64Array
    """[room, N_CORE]"""
    obs: Float32Array
    """[room, history * 52] the last observations; one row where they are not kept"""


@hot_jit
def sums_before(counts: Int64Array, begin: int, end: int) -> int:
    """Each count from `begin` to `end` becomes the sum of those before it.

    Args:
        counts: int64 [any]; changed.
        begin, end: of those that are added up.

    Returns:
        The sum of all.
    """
    before = 0
    for k in range(begin, end):
        found = counts[k]
        counts[k] = before
        before += found
    return before


@hot_jit
def take_room(ints: Int64Array, room: int, more: int) -> None:
    """Note in a log that a step gives it `more` entries.

    Args:
        ints: int64 [L_BASE + 1 or more] of the log; L_COUNT, L_LOST and L_BASE are changed.
        room: entries it has room for.
        more: entries.
    """
    left = room - ints[L_COUNT]
    ints[L_BASE] = ints[L_COUNT]
    ints[L_COUNT] += min(more, left)
    ints[L_LOST] += max(0, more - left)


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def step_kernel(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    actions: Int64Array,
    buffers: Buffers,
    log: Log,
) -> None:
    """Step every environment by one row; an action outside the table is noted and holds.

    Args:
        actions: int64 [n_envs] one of each environment.
        log: episodes that ended; changed.
    """
    i = _cuda.grid(1)
    if i < len(actions):
        action = actions[i]
        if action < 0 or action >= len(settings.actions):
            log.ints[L_WRONG] = 1
            action = HOLD
        step_agent(tape, settings, agents, i, action, buffers)


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def count_kernel(done: Int8Array, counts: Int64Array) -> None:
    """How many of each group of environments finished.

    Args:
        done: int8 [n_envs] which finished.
        counts: int64 [groups] one of each 64 environments.
    """
    c = _cuda.grid(1)
    if c < len(counts):
        found = 0
        for i in range(c * GROUP, min((c + 1) * GROUP, len(done))):
            if done[i] != 0:
                found += 1
        counts[c] = found


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def group_kernel(counts: Int64Array, sums: Int64Array) -> None:
    """Of each group of counts the sum; each count becomes the sum of those before it.

    Args:
        counts: int64 [groups] one of each 64 environments.
        sums: int64 [groups of groups] one of each 64 counts.
    """
    g = _cuda.grid(1)
    if g < len(sums):
        sums[g] = sums_before(counts, g * GROUP, min((g + 1) * GROUP, len(counts)))


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def turn_kernel(sums: Int64Array, turns: Turns, log: Log, restart: int) -> None:
    """One thread: numbers the groups, and begins the turn of all that finished.

    Args:
        sums: int64 [groups of groups] one of each 64 counts.
        log: episodes that ended; changed.
        restart: 1 to start finished environments again.
    """
    if _cuda.grid(1) == 0:
        finished = sums_before(sums, 0, len(sums))
        take_room(log.ints, len(log.envs), finished)
        if restart == 1:
            begin_turn(turns, finished)


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def finish_kernel(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    buffers: Buffers,
    terminal: Float32Array,
    counts: Int64Array,
    sums: Int64Array,
    turns: Turns,
    log: Log,
    restart: int,
) -> None:
    """Keep what finished environments came to, and start their next episodes.

    Args:
        terminal: float32 [n_envs, history * 52] last observations; written.
        counts: int64 [groups] one of each 64 environments.
        sums: int64 [groups of groups] one of each 64 counts.
        log: episodes that ended; changed.
        restart: 1 to start finished environments again.
    """
    i = _cuda.grid(1)
    n = len(buffers.done)
    if i >= n or buffers.done[i] == 0:
        return
    c = i // GROUP
    rank = sums[c // GROUP] + counts[c]
    for j in range(c * GROUP, i):
        if buffers.done[j] != 0:
            rank += 1
    width = buffers.obs.shape[1]
    for k in range(width):
        terminal[i, k] = buffers.obs[i, k]
    at = log.ints[L_BASE] + rank
    if at < len(log.envs):
        log.envs[at] = i
        log.done[at] = buffers.done[i]
        for k in range(N_CORE):
            log.core[at, k] = agents.core[i, k]
        if at < len(log.obs):
            for k in range(width):
                log.obs[at, k] = buffers.obs[i, k]
    if restart == 1:
        view, offset = hand_out(turns, rank, i, n)
        start_agent(tape, settings, agents, i, view, offset, buffers.obs[i])


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def begin_kernel(turns: Turns, count: int) -> None:
    """One thread: begins the turn of `count` environments.

    Args:
        count: how many environments.
    """
    if _cuda.grid(1) == 0:
        begin_turn(turns, count)


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def start_kernel(
    tape: TapeArrays, settings: Settings, agents: Agents, buffers: Buffers, turns: Turns
) -> None:
    """Start a new episode in every environment."""
    i = _cuda.grid(1)
    n = len(buffers.done)
    if i < n:
        view, offset = hand_out(turns, i, i, n)
        start_agent(tape, settings, agents, i, view, offset, buffers.obs[i])
        buffers.done[i] = 0
        buffers.rewards[i] = 0.0


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def start_one_kernel(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    buffers: Buffers,
    turns: Turns,
    env: int,
    view: int,
) -> None:
    """One thread: starts one environment, on a view from its first row or (-1) on its next one.

    Args:
        env: which environment.
        view: number of the view.
    """
    if _cuda.grid(1) == 0:
        offset = 0
        if view < 0:
            begin_turn(turns, 1)
            view, offset = hand_out(turns, 0, env, len(buffers.done))
        start_agent(tape, settings, agents, env, view, offset, buffers.obs[env])


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def mask_kernel(tape: TapeArrays, settings: Settings, agents: Agents, masks: BoolArray) -> None:
    """Which actions are valid now, bool [n_envs, actions].

    Args:
        masks: bool [n_envs, actions], overwritten.
    """
    i = _cuda.grid(1)
    if i < len(masks):
        mask_agent(tape, settings, agents, i, masks[i])
