"""An agent decides: the order or cancel of its action, and when it arrives.

The rules are docs/contract.md#4-one-step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.entry import (
    cancel_sides,
    decide_order,
    enter_order,
    entry_size,
)
from kalshi_sim.kernels.jit import (
    inlined_jit,
)
from kalshi_sim.kernels.layout import (
    A_INVALID,
    A_PENDING,
    A_PENDING_ARRIVAL,
    A_PENDING_PRICE,
    A_ROW,
    A_VIEW,
    C_INTERVAL,
    C_LATENCY,
    CANCELS,
    HOLD,
    I_KIND,
    I_SIDE,
    NOTHING,
    ROW_TS,
    V_CHANGES,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.trading import (
    in_pause,
    view_at,
)

Int64Array = npt.NDArray[np.int64]

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
