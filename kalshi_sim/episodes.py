"""Episodes that ended, and their statistics."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

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
    """[k, history * 52] the last observations."""
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


STATE_COLUMNS: Final = {
    "cash": layout.A_CASH,
    "position": layout.A_POSITION,
    "free_cash": layout.A_FREE,
    "equity2": layout.A_EQUITY2,
    "realized": layout.A_REALIZED,
    "fees_paid": layout.A_FEES,
    "cost": layout.A_COST,
    "view": layout.A_VIEW,
    "invalid_actions": layout.A_INVALID,
    "fills": layout.A_FILLS,
    "contracts_traded": layout.A_CONTRACTS,
    "steps": layout.A_STEPS,
}
"""Columns of `layout.Agents.core` with one number an environment, by the names people know."""
ORDER_COLUMNS: Final = {
    "order_price": layout.A_PRICE,
    "order_size": layout.A_SIZE,
    "order_ahead": layout.A_AHEAD,
}
"""The first of two columns, of the YES side and of the NO side."""


class Statistics:
    """What a batch says of its environments and of episodes that ended."""

    tape: Tape
    settings: layout.Settings

    def host_core(self) -> Int64Array:
        """The agents as kernels keep them.

        Returns:
            int64 [n_envs, N_CORE].

        Raises:
            NotImplementedError: a batch must say where it keeps them.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Int64Array]:
        """The agents by name, copies of shape [n_envs] or [n_envs, 2]; money in tape units.

        Returns:
            Arrays int64 [n_envs], or [n_envs, 2] for both sides, by name.
        """
        core = self.host_core()
        named = {name: core[:, column].copy() for name, column in STATE_COLUMNS.items()}
        named["row"] = core[:, layout.A_ROW] - core[:, layout.A_START]
        for name, column in ORDER_COLUMNS.items():
            named[name] = core[:, column : column + 2].copy()
        return named

    def episode(self, finished: Finished, k: int) -> dict[str, Any]:
        """The k-th finished episode's statistics, as `info["market"]` gives them.

        Args:
            finished: what `step` returned.
            k: index of the episode in it.

        Returns:
            The statistics by name; money in cents.
        """
        return episode_statistics(self.tape, finished.core[k].tolist())

    def episode_return(self, finished: Finished, k: int) -> float:
        """The k-th finished episode's return, summed in integers, in reward units.

        Args:
            finished: what `step` returned.
            k: index of the episode in it.

        Returns:
            Cents times `reward_scale`.
        """
        if finished.returns is not None:
            return float(finished.returns[k])
        factor = float(self.settings.floats[layout.F_REWARD])
        return int(finished.core[k, layout.A_RETURN2]) * factor

    def episodes(self, finished: Finished) -> list[tuple[float, int, dict[str, Any]]]:
        """Return, steps and statistics of each finished episode.

        Args:
            finished: what `step` returned.

        Returns:
            (return, steps, statistics) of each, in the order of `finished.envs`.
        """
        return [
            (self.episode_return(finished, k), core[layout.A_STEPS], self.episode(finished, k))
            for k, core in enumerate(finished.core.tolist())
        ]
