"""What an agent is worth and sees at its row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import (
    inlined_jit,
)
from kalshi_sim.kernels.layout import (
    A_CASH,
    A_DRAWDOWN2,
    A_EQUITY2,
    A_PEAK2,
    A_POSITION,
    A_RETURN2,
    A_ROW,
    A_VIEW,
    C_FRAME,
    C_PAYOUT,
    C_VALUATION,
    MID,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.ledger import (
    liquidation_value2,
    mid_value2,
    update_free_cash,
)
from kalshi_sim.kernels.observation import (
    N_FEATURES,
    N_PORTFOLIO,
    PORTFOLIO_AT,
)
from kalshi_sim.kernels.portfolio import (
    portfolio_features,
)
from kalshi_sim.kernels.rows import (
    best_bid,
    row_mark2,
)

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

BLOCK = 8
"""Numbers that are copied at once."""


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


@inlined_jit
def observe_after(
    tape: TapeArrays,
    settings: Settings,
    agent: Int64Array,
    before: Float32Array,
    obs: Float32Array,
) -> None:
    """The observation of an agent at its row behind those of the rows before.

    Args:
        before: float32 [history * frame] what was seen a row before; may be `obs` itself.
        obs: float32 [history * frame], overwritten.
    """
    frame = settings.ints[C_FRAME]
    at = len(obs) - frame
    for k in range(at):  # in this order it is right in place too
        obs[k] = before[k + frame]
    observe(tape, settings, agent, obs[at:])


@inlined_jit
def observe_first(
    tape: TapeArrays, settings: Settings, agent: Int64Array, obs: Float32Array
) -> None:
    """The observation of an agent at its first row: before it there are zeros.

    Args:
        obs: float32 [history * frame], overwritten.
    """
    at = len(obs) - settings.ints[C_FRAME]
    for k in range(at):
        obs[k] = np.float32(0.0)
    observe(tape, settings, agent, obs[at:])
