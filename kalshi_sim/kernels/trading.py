"""What holds in a market at a row, and its pauses.

The rules are docs/contract.md#3-rows-views-tapes and docs/contract.md#4-one-step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.entry import cancel_order
from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.layout import (
    A_ENTERED,
    A_ROW,
    ROW_TS,
    V_CHANGES,
    V_LATER,
    V_PAUSES,
    V_PAUSES_END,
    TapeArrays,
)
from kalshi_sim.kernels.rows import row_state

Int64Array = npt.NDArray[np.int64]


@inlined_jit
def view_at(tape: TapeArrays, view: int, row: int) -> int:
    """The place in `tape.views` of a view in the state that holds at a row.

    Args:
        view: number of the view.
    """
    if tape.views[view, V_CHANGES] == 1:
        state = row_state(tape, row)
        if state > 0:
            return int(tape.views[view, V_LATER] + state - 1)
    return view


@hot_jit
def in_pause(tape: TapeArrays, view: Int64Array, ts_ms: int) -> bool:
    """Whether a time lies in one of the view's pauses.

    Args:
        ts_ms: in ms since 1970 UTC.
    """
    for k in range(view[V_PAUSES], view[V_PAUSES_END]):
        if tape.pauses[k, 0] <= ts_ms < tape.pauses[k, 1]:
            return True
    return False


@hot_jit
def cancel_after_pause(tape: TapeArrays, view: Int64Array, agent: Int64Array) -> None:
    """Where a pause ended since the row before, cancel the orders that rested then."""
    row = agent[A_ROW]
    before, now = tape.i64[row - 1, ROW_TS], tape.i64[row, ROW_TS]
    for k in range(view[V_PAUSES], view[V_PAUSES_END]):
        end = tape.pauses[k, 1]
        if before < end <= now:
            for side in range(2):
                if agent[A_ENTERED + side] < end:
                    cancel_order(agent, side)
