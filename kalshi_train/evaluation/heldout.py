"""Evaluation on held-out markets while training: every view once, whole, by the model's best guess.

The markets are played by `play_all`, as `kalshi-evaluate` plays them; only the figures are fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.kernels import layout
from kalshi_sim.settings import settings_of
from kalshi_sim.tape import Tape
from kalshi_sim.text import dollars, numbered
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.intervals import standard_error
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import Policy
from kalshi_train.evaluation.verdicts import by_event, judge

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

_COUNTS: Final = {
    "fills": layout.A_FILLS,
    "contracts_traded": layout.A_CONTRACTS,
    "invalid_actions": layout.A_INVALID,
    "position": layout.A_POSITION,
}


@dataclass(frozen=True)
class HeldoutResult:
    """Results of one evaluation; arrays of shape [n_views], money in cents."""

    tickers: tuple[str, ...]
    events: tuple[str, ...]
    profit: FloatArray
    """Equity at the end minus cash at the start: after fees."""
    rewards: FloatArray
    lengths: npt.NDArray[np.int64]
    drawdown: FloatArray
    columns: dict[str, FloatArray]
    """fees_cents, fills, contracts_traded, invalid_actions and position at the end."""

    @property
    def _groups(self) -> list[str]:
        """What moves together: the event, or the market itself where none is known."""
        return [e or t for e, t in zip(self.events, self.tickers, strict=True)]

    @property
    def profit_by_event(self) -> FloatArray:
        """Profit of the markets of each event together, float64 [events] cents."""
        return by_event(self.profit, self._groups)

    @property
    def mean_profit(self) -> float:
        """Mean profit of a market."""
        return float(self.profit.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of `mean_profit`, by event: the markets of one event move together."""
        return standard_error(self.profit, self._groups)

    @property
    def standard_errors_above_zero(self) -> float:
        """`mean_profit` in standard errors; 0 without any trade, nan with a single event."""
        error = self.standard_error
        if error == 0:
            return 0.0 if self.mean_profit == 0 else math.copysign(math.inf, self.mean_profit)
        return self.mean_profit / error

    def summary(self) -> dict[str, Any]:
        """The figures as JSON has them (None where there is no number)."""
        values = {
            "markets": len(self.tickers),
            "events": len(set(self._groups)),
            "mean_profit_cents": self.mean_profit,
            "standard_error_cents": self.standard_error,
            "standard_errors_above_zero": self.standard_errors_above_zero,
            "total_profit_cents": float(self.profit.sum()),
            "win_rate": float((self.profit > 0).mean()),
            "mean_reward": float(self.rewards.mean()),
            "mean_drawdown_cents": float(self.drawdown.mean()),
            "steps": int(self.lengths.sum()),
        }
        values |= {f"mean_{k}": float(v.mean()) for k, v in self.columns.items()}
        return {k: v if math.isfinite(v) else None for k, v in values.items()}

    def verdict(self, tries: int = 1) -> str:
        """One plain sentence: is the profit after fees above zero, and how surely.

        Args:
            tries: evaluations of the run so far, this one included.
        """
        found = judge(self.profit, self._groups, tries=tries)
        start = (
            f"held-out profit after fees: {dollars(self.mean_profit, signed=True)} a market "
            f"({found.interval_text}; {numbered(len(self.tickers), 'market')}, {found.basis})"
        )
        if not self.columns["fills"].any():
            return f"{start}: the policy did not trade"
        if found.doubt:
            return f"{start}: {found.doubt}"
        side = "above" if found.above else "below"
        return f"{start}: {side} zero, more than chance explains"


def play_heldout(
    tape: Tape,
    config: SimConfig,
    policy: Policy,
    n_threads: int | None = None,
    *,
    device: str = "cpu",
) -> HeldoutResult:
    """Play every view of a tape once, from its first row.

    Args:
        tape: the held-out markets.
        config: settings of the simulation; episodes are whole whatever it says.
        policy: what chooses the actions.
        n_threads: markets played at the same time; by default as many as there are cores. The
            results do not depend on it.
        device: as of `play_all`.

    Returns:
        Figures of each market, in the tape's order.
    """

    def end_of(played: Played) -> Int64Array:
        return played.core

    given: Any = {"n_threads": n_threads, "record_fills": False, "device": device}
    core = np.stack(play_all(tape, config, policy, end_of, **given))
    cent = money_per_cent(tape.payout)
    reward = float(settings_of(config, tape).floats[layout.F_REWARD])
    columns = {"fees_cents": core[:, layout.A_FEES] / cent}
    columns |= {name: core[:, column].astype(np.float64) for name, column in _COUNTS.items()}
    return HeldoutResult(
        tickers=tuple(v.market_ticker for v in tape.views),
        events=tuple(v.event for v in tape.views),
        profit=core[:, layout.A_EQUITY2] / (2 * cent) - config.cash_start,
        rewards=core[:, layout.A_RETURN2].astype(np.float64) * reward,
        lengths=core[:, layout.A_STEPS].copy(),
        drawdown=core[:, layout.A_DRAWDOWN2] / (2 * cent),
        columns=columns,
    )
