"""The environments of a batch one after the other, as a processor steps them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import prange

from kalshi_sim.kernels.jit import (
    entry_jit,
    hot_jit,
    inlined_jit,
    parallel_jit,
)
from kalshi_sim.kernels.layout import (
    A_CONSUMED,
    A_ROW,
    A_SIZE,
    HOLD,
    MAX_CONSUMED,
    ROW_FLOW,
    Agents,
    Buffers,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.observing import (
    observe,
    value_agent,
)
from kalshi_sim.kernels.prefetch import (
    prefetch,
)
from kalshi_sim.kernels.rows import (
    BYTES,
    LINE_BYTES,
)
from kalshi_sim.kernels.step import (
    mask_agent,
    start_agent,
    step_agent,
)

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

HOT_LINE = 2 * LINE_BYTES
"""Where the line of a row stands that nearly every step reads."""
ROWS_AHEAD = 12
"""Environments ahead whose rows are asked for (flat optimum, 6 to 24)."""
FLOW_AHEAD = 6


@inlined_jit
def ask_ahead(tape: TapeArrays, agents: Agents, actions: Int64Array, i: int, end: int) -> None:
    """Ask for the memory that the environments after i will need.

    Args:
        i: environment being stepped.
        end: one after the last of this share of the batch.
    """
    j = i + ROWS_AHEAD
    if j < end:
        agent = agents.core[j]
        row = agent[A_ROW] + 1
        prefetch(tape.i64, row, 0)
        prefetch(tape.i64, row, LINE_BYTES)
        prefetch(tape.i64, row, HOT_LINE)
        has_consumed = agent[A_CONSUMED] + agent[A_CONSUMED + 1] > 0
        if has_consumed:  # each step looks these levels up in the book
            prefetch(agents.consumed, j, 0)
            prefetch(agents.consumed, j, BYTES * MAX_CONSUMED * 2)
            prefetch(tape.i64, row, HOT_LINE + 2 * LINE_BYTES)
        if has_consumed or actions[j] != HOLD or agent[A_SIZE] + agent[A_SIZE + 1] > 0:
            prefetch(tape.i64, row, HOT_LINE + LINE_BYTES)
            prefetch(tape.i64, row - 1, HOT_LINE)
            prefetch(tape.i64, row - 1, HOT_LINE + LINE_BYTES)
    j = i + FLOW_AHEAD
    if j < end:
        agent = agents.core[j]
        if agent[A_SIZE] + agent[A_SIZE + 1] > 0:
            prefetch(tape.flow, tape.i64[agent[A_ROW] + 1, ROW_FLOW], 0)


@entry_jit
def step_agents(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    actions: Int64Array,
    buffers: Buffers,
    begin: int,
    end: int,
) -> None:
    """Step environments `begin:end` by one row; finished ones are left as they ended.

    Args:
        begin, end: the environments to step.
    """
    for i in range(begin, end):
        ask_ahead(tape, agents, actions, i, end)
        step_agent(tape, settings, agents, i, actions[i], buffers)


@parallel_jit
def step_shares(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    actions: Int64Array,
    buffers: Buffers,
    shares: int,
) -> None:
    """`step_agents` for the whole batch, in shares that are stepped in parallel.

    Args:
        shares: number of shares.
    """
    n = len(actions)
    for share in prange(shares):
        step_agents(
            tape,
            settings,
            agents,
            actions,
            buffers,
            n * share // shares,
            n * (share + 1) // shares,
        )


@hot_jit
def start_agents(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    envs: Int64Array,
    views: Int64Array,
    offsets: Int64Array,
    buffers: Buffers,
) -> None:
    """Start new episodes of some environments.

    Args:
        envs: int64 [k] their indices.
        views: int64 [k] views to play.
        offsets: int64 [k] rows after the view's first to start at.
    """
    for k in range(len(envs)):
        i = envs[k]
        start_agent(tape, settings, agents, i, views[k], offsets[k], buffers.obs[i])


@hot_jit
def mask_actions(tape: TapeArrays, settings: Settings, agents: Agents, masks: BoolArray) -> None:
    """Which actions are valid now; HOLD always is.

    Args:
        masks: bool [n_envs, actions], overwritten.
    """
    for i in range(len(masks)):
        mask_agent(tape, settings, agents, i, masks[i])


@hot_jit
def observe_agent(
    tape: TapeArrays, settings: Settings, agent: Int64Array, obs: Float32Array
) -> None:
    """The observation [52] of one agent, outside a step."""
    observe(tape, settings, agent, obs)


@hot_jit
def value_row(tape: TapeArrays, settings: Settings, agent: Int64Array) -> None:
    """Update equity, peak and drawdown of one agent, outside a step."""
    value_agent(tape, settings.ints, agent)
