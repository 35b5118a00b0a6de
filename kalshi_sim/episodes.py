"""Episodes that ended, and their statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.tape import Tape
from kalshi_sim.units import money_per_cent

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Finished(NamedTuple):
    """Episodes that ended in a step, taken before their environments restarted.

    k finished environments, in index order. Money in tape units, equity and drawdown doubled.
    """

    envs: Int64Array
    """[k]"""
    core: Int64Array
    """[k, N_CORE] the agents as they ended, columns `layout.A_*`."""
    observations: Float32Array
    """[k, 52] the last observations."""
    truncated: BoolArray
    """[k] truncated and not terminated."""
    returns: Float64Array | None = None
    """[k] sums of the rewards where the reward is one's own; else the core has them exactly."""


def episode_statistics(tape: Tape, core: list[int]) -> dict[str, Any]:
    """What an agent came to, as `info["market"]` gives it.

    Args:
        tape: what it traded on.
        core: its row of `layout.Agents.core`.

    Returns:
        The statistics by name; money in cents.
    """
    cent = money_per_cent(tape.payout)
    view = tape.views[core[layout.A_VIEW]]
    return {
        "session_id": view.session_id,
        "market_ticker": view.market_ticker,
        "equity_cents": core[layout.A_EQUITY2] / (2 * cent),
        "realized_pnl_cents": core[layout.A_REALIZED] / cent,
        "fees_cents": core[layout.A_FEES] / cent,
        "fills": core[layout.A_FILLS],
        "contracts_traded": core[layout.A_CONTRACTS],
        "position": core[layout.A_POSITION],
        "invalid_actions": core[layout.A_INVALID],
        "max_drawdown_cents": core[layout.A_DRAWDOWN2] / (2 * cent),
        "view": core[layout.A_VIEW],
    }
