"""The features of the agent's own cash, position and orders, computed at every step."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import inlined_jit
from kalshi_sim.kernels.layout import (
    A_AHEAD,
    A_CASH,
    A_COST,
    A_FEES,
    A_FREE,
    A_PEAK2,
    A_POSITION,
    A_PRICE,
    A_REALIZED,
    A_ROW,
    A_SIZE,
    C_CASH_START,
    C_CENT,
    C_LARGEST_ORDER,
    C_ORDER_SIZE,
    C_PAYOUT,
    TapeArrays,
)
from kalshi_sim.kernels.ledger import mid_value2
from kalshi_sim.kernels.observation import (
    ASK_WORKING,
    BID_DISTANCE,
    BID_QUEUE,
    BID_WORKING,
    CASH_RATIO,
    DRAWDOWN,
    ENTRY_PRICE,
    POSITION,
    REALIZED_PNL,
    UNREALIZED_PNL,
)
from kalshi_sim.kernels.rounded import log1p32, tanh32
from kalshi_sim.kernels.rows import best_bid, row_mark2

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

LOG_POSITION = 1.0 / math.log1p(units.POSITION_SCALE_ORDERS)
LOG_QUEUE = 1.0 / math.log1p(1e6)
DISTANCE_CENTS = 5.0


@inlined_jit
def portfolio_features(
    tape: TapeArrays, ints: Int64Array, agent: Int64Array, out: Float32Array
) -> None:
    """The portfolio features of an agent at its row.

    Args:
        out: float32 [52], the portfolio features' columns are written.
    """
    row = agent[A_ROW]
    cash_start = float(ints[C_CASH_START])
    position = agent[A_POSITION]
    mid_value = mid_value2(position, row_mark2(tape, row), ints[C_PAYOUT]) / 2.0
    out[CASH_RATIO] = min(1.0, agent[A_FREE] / cash_start)
    if position == 0:
        out[POSITION] = 0.0
        out[ENTRY_PRICE] = 0.0
        out[UNREALIZED_PNL] = 0.0
    else:
        held = abs(position)
        size = min(1.0, log1p32(held / ints[C_ORDER_SIZE], LOG_POSITION))
        out[POSITION] = size if position > 0 else -size
        out[ENTRY_PRICE] = agent[A_COST] / held / ints[C_PAYOUT]
        out[UNREALIZED_PNL] = tanh32(5.0 * (mid_value - agent[A_COST]) / cash_start)
    earned = agent[A_REALIZED] - agent[A_FEES]
    out[REALIZED_PNL] = tanh32(3.0 * earned / cash_start) if earned != 0 else 0.0
    drawdown = agent[A_PEAK2] / 2.0 - agent[A_CASH] - mid_value
    out[DRAWDOWN] = min(1.0, drawdown / cash_start)
    for side in range(2):
        size = agent[A_SIZE + side]
        shift = side * (ASK_WORKING - BID_WORKING)
        if size == 0:
            out[BID_WORKING + shift] = 0.0
            out[BID_DISTANCE + shift] = 0.0
            out[BID_QUEUE + shift] = 0.0
            continue
        distance = (best_bid(tape, row, side) - agent[A_PRICE + side]) / ints[C_CENT]
        out[BID_WORKING + shift] = min(1.0, size / ints[C_LARGEST_ORDER])
        out[BID_DISTANCE + shift] = tanh32(distance / DISTANCE_CENTS) if distance != 0 else 0.0
        ahead = agent[A_AHEAD + side]
        out[BID_QUEUE + shift] = min(1.0, log1p32(ahead, LOG_QUEUE)) if ahead > 0 else 0.0
