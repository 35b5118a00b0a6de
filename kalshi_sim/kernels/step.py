"""One step of one environment (docs/contract.md#4-one-step), its start and its mask.

Every environment is stepped on its own, so the result of one does not depend on the others, on
their number, or on how they are shared among threads. Nothing here knows how a batch is walked
through: that is `kernels.batch` on a processor, `kalshi_sim.cuda` on a graphics card.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.acting import (
    NO_CANCEL,
    act,
)
from kalshi_sim.kernels.entry import (
    cancel_order,
    cancel_sides,
    decide_order,
)
from kalshi_sim.kernels.footprint import (
    trim_consumed,
)
from kalshi_sim.kernels.jit import (
    inlined_jit,
)
from kalshi_sim.kernels.layout import (
    A_CASH,
    A_CONSUMED,
    A_EQUITY2,
    A_N_RECORDS,
    A_PEAK2,
    A_PENDING,
    A_POSITION,
    A_ROW,
    A_SIZE,
    A_START,
    A_STEPS,
    A_VIEW,
    C_CASH_START,
    C_MAX_STEPS,
    C_PAYOUT,
    C_TRUNCATE_END,
    F_REWARD,
    HOLD,
    I_KIND,
    N_CORE,
    NO_SETTLEMENT,
    NOTHING,
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
    settle_position,
)
from kalshi_sim.kernels.observing import (
    observe_after,
    observe_first,
    value_agent,
)
from kalshi_sim.kernels.resting import (
    apply_book,
    apply_flow,
    keep_ahead,
)
from kalshi_sim.kernels.trading import (
    cancel_after_pause,
    view_at,
)

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


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
def step_agent(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    i: int,
    action: int,
    buffers: Buffers,
) -> None:
    """Step one environment by one row; if its episode ends it is left as it ended.

    Args:
        i: which environment.
    """
    ints = settings.ints
    agent = agents.core[i]
    consumed = agents.consumed[i]
    records = agents.records[i]
    agent[A_N_RECORDS] = 0
    equity2 = agent[A_EQUITY2]
    cancelled = act(tape, settings, agent, consumed, records, action)
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
    observe_after(tape, settings, agent, buffers.before[i], buffers.obs[i])


@inlined_jit
def start_agent(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    i: int,
    view: int,
    offset: int,
    obs: Float32Array,
) -> None:
    """Start a new episode of one environment.

    Args:
        i: which environment.
        view: number of the view to play.
        offset: rows after the view's first to start at.
    """
    cash = settings.ints[C_CASH_START]
    agent = agents.core[i]
    for column in range(N_CORE):
        agent[column] = 0
    agent[A_VIEW] = view
    agent[A_START] = tape.views[view, V_START]
    agent[A_ROW] = agent[A_START] + offset
    agent[A_CASH] = cash
    agent[A_EQUITY2] = 2 * cash
    agent[A_PEAK2] = 2 * cash
    observe_first(tape, settings, agent, obs)


@inlined_jit
def mask_agent(
    tape: TapeArrays, settings: Settings, agents: Agents, i: int, masks: BoolArray
) -> None:
    """Which actions of one environment are valid now; HOLD always is.

    Args:
        i: which environment.
        masks: bool [actions], overwritten.
    """
    agent = agents.core[i]
    row = agent[A_ROW]
    view = tape.views[view_at(tape, agent[A_VIEW], row)]
    for action in range(len(settings.actions)):
        intent = settings.actions[action]
        masks[action] = intent[I_KIND] == NOTHING or (
            agent[A_PENDING] == HOLD
            and decide_order(tape, view, agent, settings.ints, row, intent)[1] > 0
        )
