"""One step of many environments (docs/contract.md#4-one-step), their observations and restarts.

Every environment is stepped on its own, so the result of one does not depend on the others, on
their number, or on how they are shared among threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import prange

from kalshi_sim.kernels.entry import (
    cancel_order,
    cancel_sides,
    decide_order,
    enter_order,
    entry_size,
)
from kalshi_sim.kernels.footprint import trim_consumed
from kalshi_sim.kernels.jit import entry_jit, hot_jit, inlined_jit, parallel_jit
from kalshi_sim.kernels.layout import (
    A_CASH,
    A_CONSUMED,
    A_DRAWDOWN2,
    A_EQUITY2,
    A_INVALID,
    A_N_RECORDS,
    A_PEAK2,
    A_PENDING,
    A_PENDING_ARRIVAL,
    A_PENDING_PRICE,
    A_POSITION,
    A_RETURN2,
    A_ROW,
    A_SIZE,
    A_START,
    A_STEPS,
    A_VIEW,
    C_CASH_START,
    C_INTERVAL,
    C_LATENCY,
    C_MAX_STEPS,
    C_PAYOUT,
    C_TRUNCATE_END,
    C_VALUATION,
    CANCELS,
    F_REWARD,
    HOLD,
    I_KIND,
    I_SIDE,
    MAX_CONSUMED,
    MID,
    NO_SETTLEMENT,
    NOTHING,
    ROW_FLOW,
    ROW_TS,
    TERMINATED,
    TRUNCATED,
    V_CHANGES,
    V_PAUSED,
    V_SETTLEMENT,
    V_START,
    V_STOP,
    Agents,
    Buffers,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.ledger import (
    liquidation_value2,
    mid_value2,
    settle_position,
    update_free_cash,
)
from kalshi_sim.kernels.observation import (
    N_FEATURES,
    N_PORTFOLIO,
    PORTFOLIO_AT,
)
from kalshi_sim.kernels.portfolio import portfolio_features
from kalshi_sim.kernels.prefetch import prefetch
from kalshi_sim.kernels.resting import apply_book, apply_flow, keep_ahead
from kalshi_sim.kernels.rows import BYTES, LINE_BYTES, best_bid, row_mark2
from kalshi_sim.kernels.trading import cancel_after_pause, in_pause, view_at

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

HOT_LINE = 2 * LINE_BYTES
"""Where the line of a row stands that nearly every step reads."""
BLOCK = 8
"""Numbers that are copied at once."""
ROWS_AHEAD = 12
"""Environments ahead whose rows are asked for (flat optimum, 6 to 24)."""
FLOW_AHEAD = 6
NO_CANCEL = -1
"""No cancel waits for the next row."""


@inlined_jit
def last_arrival(ts: int, interval: int, latency: int) -> int:
    """The latest millisecond at which an order decided at a row can arrive."""
    return (ts // interval + 1) * interval - 1 + latency


@inlined_jit
def cancel_on_arrival(
    tape: TapeArrays, ints: Int64Array, agent: Int64Array, sides: int, arrival: int
) -> int:
    """A cancel arrives before the next row, and acts at once unless within that row's interval.

    What fills in the interval in which it arrives may have come before it.

    Args:
        sides: a side, or BOTH_SIDES.
        arrival: when it arrives, ms UTC.

    Returns:
        NO_CANCEL if the orders are gone; `sides` if they are to go after the next row.
    """
    interval = ints[C_INTERVAL]
    if tape.i64[agent[A_ROW] + 1, ROW_TS] // interval == arrival // interval:
        return sides
    cancel_sides(agent, sides)
    return NO_CANCEL


@inlined_jit
def act(
    tape: TapeArrays,
    settings: Settings,
    agent: Int64Array,
    consumed: Int64Array,
    records: Int64Array,
    action: int,
) -> int:
    """Decide the action at the agent's row; enter the order that meets this row, if any.

    Returns:
        The side whose order a cancel takes back after the next row, BOTH_SIDES, or NO_CANCEL.
    """
    ints = settings.ints
    row = agent[A_ROW]
    view = tape.views[view_at(tape, agent[A_VIEW], row)]
    pending = agent[A_PENDING]
    if pending == HOLD:
        if action == HOLD:
            return NO_CANCEL
        intent = settings.actions[action]
        kind = intent[I_KIND]
        if kind == NOTHING:
            return NO_CANCEL
        price, size = decide_order(tape, view, agent, ints, row, intent)
        if size == 0:
            agent[A_INVALID] += 1
            return NO_CANCEL
        now = tape.i64[row, ROW_TS]
        arrival = last_arrival(now, ints[C_INTERVAL], ints[C_LATENCY])
        if tape.i64[row + 1, ROW_TS] <= arrival:
            agent[A_PENDING] = action
            agent[A_PENDING_PRICE] = price
            agent[A_PENDING_ARRIVAL] = arrival
            return NO_CANCEL
        if kind == CANCELS:
            return cancel_on_arrival(tape, ints, agent, intent[I_SIDE], arrival)
        if view[V_CHANGES] == 1 and in_pause(tape, view, arrival):
            agent[A_INVALID] += 1
            return NO_CANCEL
    else:
        if settings.actions[action, I_KIND] != NOTHING:
            agent[A_INVALID] += 1
        arrival = agent[A_PENDING_ARRIVAL]
        if tape.i64[row + 1, ROW_TS] <= arrival:
            return NO_CANCEL
        agent[A_PENDING] = HOLD
        intent = settings.actions[pending]
        if intent[I_KIND] == CANCELS:
            return cancel_on_arrival(tape, ints, agent, intent[I_SIDE], arrival)
        price = agent[A_PENDING_PRICE]
        size = entry_size(agent, ints, view, intent, price)
        if size == 0 or in_pause(tape, view, arrival):
            agent[A_INVALID] += 1
            return NO_CANCEL
    side = intent[I_SIDE]
    enter_order(tape, view, agent, consumed, records, ints, row, side, price, size, arrival)
    return NO_CANCEL


@inlined_jit
def work_orders(
    tape: TapeArrays,
    settings: Settings,
    agent: Int64Array,
    consumed: Int64Array,
    records: Int64Array,
) -> None:
    """The flow into the agent's row, then its book, act on the resting orders.

    The order that closes the position goes first, so that its fill pays for the other's. While
    the market is paused nothing fills.
    """
    row = agent[A_ROW]
    view = tape.views[view_at(tape, agent[A_VIEW], row)]
    if view[V_CHANGES] == 1:
        cancel_after_pause(tape, view, agent)
        if view[V_PAUSED] == 1:
            for side in range(2):
                trim_consumed(tape, agent, consumed, row, side)
                keep_ahead(tape, agent, row, side)
            return
    if agent[A_SIZE] + agent[A_SIZE + 1] > 0:
        first = 1 if agent[A_POSITION] > 0 else 0
        apply_flow(tape, view, agent, records, settings, row, first)
        apply_flow(tape, view, agent, records, settings, row, 1 - first)
    for side in range(2):
        if agent[A_CONSUMED + side] > 0:
            trim_consumed(tape, agent, consumed, row, side)
    if agent[A_SIZE] + agent[A_SIZE + 1] > 0:
        first = 1 if agent[A_POSITION] > 0 else 0
        apply_book(tape, view, agent, consumed, records, settings.ints, row, first)
        apply_book(tape, view, agent, consumed, records, settings.ints, row, 1 - first)


@inlined_jit
def end_of_view(agent: Int64Array, view: Int64Array, payout: int) -> None:
    """At a view's last row orders are dropped, and the position is settled if it can be."""
    cancel_order(agent, 0)
    cancel_order(agent, 1)
    agent[A_PENDING] = HOLD
    if view[V_SETTLEMENT] != NO_SETTLEMENT:
        settle_position(agent, view[V_SETTLEMENT], payout)


@inlined_jit
def value_agent(tape: TapeArrays, ints: Int64Array, agent: Int64Array) -> int:
    """Update equity, peak and drawdown at the agent's row.

    Returns:
        Twice the equity by mid, in money units.
    """
    row = agent[A_ROW]
    position = agent[A_POSITION]
    mid2 = 2 * agent[A_CASH] + mid_value2(position, row_mark2(tape, row), ints[C_PAYOUT])
    equity2 = mid2
    if ints[C_VALUATION] != MID:
        bid, no_bid = best_bid(tape, row, 0), best_bid(tape, row, 1)
        equity2 = 2 * agent[A_CASH] + liquidation_value2(position, bid, no_bid)
    agent[A_RETURN2] += equity2 - agent[A_EQUITY2]
    agent[A_EQUITY2] = equity2
    agent[A_PEAK2] = max(agent[A_PEAK2], mid2)
    agent[A_DRAWDOWN2] = max(agent[A_DRAWDOWN2], agent[A_PEAK2] - mid2)
    return int(mid2)


@inlined_jit
def copy_block(source: Float32Array, start: int, target: Float32Array, at: int) -> None:
    """Copy 8 numbers; all are read before one is written, so that it is one instruction each.

    Args:
        source, target: float32 [at least 8].
        start, at: where to read and to write.
    """
    a, b, c, d = source[start], source[start + 1], source[start + 2], source[start + 3]
    e, f, g, h = source[start + 4], source[start + 5], source[start + 6], source[start + 7]
    target[at], target[at + 1], target[at + 2], target[at + 3] = a, b, c, d
    target[at + 4], target[at + 5], target[at + 6], target[at + 7] = e, f, g, h


@inlined_jit
def observe(tape: TapeArrays, settings: Settings, agent: Int64Array, obs: Float32Array) -> None:
    """The observation [52] of an agent at its row."""
    update_free_cash(agent, settings.ints, tape.views[agent[A_VIEW]])
    features = tape.f32[agent[A_ROW]]
    for k in range(0, PORTFOLIO_AT - BLOCK + 1, BLOCK):
        copy_block(features, k, obs, k)
    for k in range(PORTFOLIO_AT // BLOCK * BLOCK, PORTFOLIO_AT):
        obs[k] = features[k]
    portfolio_features(tape, settings.ints, agent, obs)
    for k in range(PORTFOLIO_AT + N_PORTFOLIO, N_FEATURES):
        obs[k] = features[k - N_PORTFOLIO]


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
    ints = settings.ints
    for i in range(begin, end):
        ask_ahead(tape, agents, actions, i, end)
        agent = agents.core[i]
        consumed = agents.consumed[i]
        records = agents.records[i]
        agent[A_N_RECORDS] = 0
        equity2 = agent[A_EQUITY2]
        cancelled = act(tape, settings, agent, consumed, records, actions[i])
        agent[A_ROW] += 1
        agent[A_STEPS] += 1
        work_orders(tape, settings, agent, consumed, records)
        if cancelled != NO_CANCEL:
            cancel_sides(agent, cancelled)
        view = tape.views[agent[A_VIEW]]
        done = 0
        if agent[A_ROW] == view[V_STOP] - 1:
            end_of_view(agent, view, ints[C_PAYOUT])
            unsettled = view[V_SETTLEMENT] == NO_SETTLEMENT
            done = TRUNCATED if unsettled and ints[C_TRUNCATE_END] == 1 else TERMINATED
        elif agent[A_STEPS] == ints[C_MAX_STEPS]:
            done = TRUNCATED
        if value_agent(tape, ints, agent) <= 0:
            done = TERMINATED
        buffers.done[i] = done
        buffers.rewards[i] = (agent[A_EQUITY2] - equity2) * settings.floats[F_REWARD]
        observe(tape, settings, agent, buffers.obs[i])


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
    cash = settings.ints[C_CASH_START]
    for k in range(len(envs)):
        i = envs[k]
        agent = agents.core[i]
        agent[:] = 0
        agent[A_VIEW] = views[k]
        agent[A_START] = tape.views[views[k], V_START]
        agent[A_ROW] = agent[A_START] + offsets[k]
        agent[A_CASH] = cash
        agent[A_EQUITY2] = 2 * cash
        agent[A_PEAK2] = 2 * cash
        observe(tape, settings, agent, buffers.obs[i])


@hot_jit
def mask_actions(tape: TapeArrays, settings: Settings, agents: Agents, masks: BoolArray) -> None:
    """Which actions are valid now; HOLD always is.

    Args:
        masks: bool [n_envs, actions], overwritten.
    """
    ints = settings.ints
    for i in range(len(masks)):
        agent = agents.core[i]
        row = agent[A_ROW]
        view = tape.views[view_at(tape, agent[A_VIEW], row)]
        for action in range(len(settings.actions)):
            intent = settings.actions[action]
            masks[i, action] = intent[I_KIND] == NOTHING or (
                agent[A_PENDING] == HOLD
                and decide_order(tape, view, agent, ints, row, intent)[1] > 0
            )
