"""Evaluation on held-out markets: every view once, from its first row, deterministic policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.vec_env import KalshiVecEnv

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from kalshi_sim.tape import Tape

MAX_ENVS: Final = 256
"""Views played side by side."""

Act = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]
FloatArray = npt.NDArray[np.float64]

_COLUMNS: Final = ("fees_cents", "fills", "contracts_traded", "invalid_actions", "position")


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
    def mean_profit(self) -> float:
        """Mean profit of a market."""
        return float(self.profit.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of `mean_profit`, by event: one event's markets are no two samples."""
        _, index = np.unique(self.events, return_inverse=True)
        by_event = np.bincount(index, weights=self.profit)
        if len(by_event) < 2:
            return math.nan
        return float(by_event.std(ddof=1) * math.sqrt(len(by_event)) / len(self.profit))

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
            "events": len(set(self.events)),
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

    def verdict(self) -> str:
        """One plain sentence: is the profit after fees above zero, and how surely."""
        events = len(set(self.events))
        start = (
            f"held-out profit after fees: {self.mean_profit:+.1f} cents a market "
            f"({len(self.tickers)} markets of {events} events)"
        )
        distance = self.standard_errors_above_zero
        if not math.isfinite(distance):
            return f"{start}; too few events for a standard error"
        if not self.columns["fills"].any():
            return f"{start}: the policy did not trade, 0.0 standard errors from zero, not above it"
        side = "above" if distance > 0 else "below"
        sure = "clearly" if abs(distance) >= 3 else "not clearly"
        few = " (few events: a rough figure)" if events < 10 else ""
        return f"{start}: {abs(distance):.1f} standard errors {side} zero, {sure} so{few}"


class HeldoutEvaluator:
    """Plays all views of a tape, batched, as often as asked."""

    def __init__(self, tape: Tape, config: SimConfig, n_threads: int | None = None):
        """Set up for `tape`; the rules are `config`'s, but every view is played as a whole."""
        self.tape = tape
        self.config = replace(
            config,
            random_start=False,
            max_episode_steps=None,
            market_order="sequential",
            record_fills=False,
        )
        self._n_threads = n_threads
        self._env: KalshiVecEnv | None = None

    def run(self, act: Act) -> HeldoutResult:
        """Play every view once; `act` maps observations [n, 52] to actions [n]."""
        views = self.tape.views
        if self._env is None:
            n_envs = min(len(views), MAX_ENVS)
            self._env = KalshiVecEnv(
                self.tape, n_envs=n_envs, config=self.config, seed=0, n_threads=self._n_threads
            )
            # Long views first: the batch then runs idle least at the end.
            lengths = np.array([len(v) for v in views])
            self._env.set_view_order(np.argsort(-lengths, kind="stable"))
        env = self._env
        env.seed(0)
        obs = env.reset()
        found: dict[int, dict[str, Any]] = {}
        while len(found) < len(views):
            obs, _, dones, infos = env.step(act(np.asarray(obs)))
            for i in np.flatnonzero(dones):
                found.setdefault(int(infos[i]["market"]["view"]), infos[i])
        ordered = [found[i] for i in range(len(views))]
        market = [info["market"] for info in ordered]
        return HeldoutResult(
            tickers=tuple(str(v.market_ticker) for v in views),
            events=tuple(str(v.event) for v in views),
            profit=_column(market, "equity_cents") - self.config.cash_start,
            rewards=_column([info["episode"] for info in ordered], "r"),
            lengths=np.array([info["episode"]["l"] for info in ordered], dtype=np.int64),
            drawdown=_column(market, "max_drawdown_cents"),
            columns={name: _column(market, name) for name in _COLUMNS},
        )


def _column(rows: list[dict[str, Any]], name: str) -> FloatArray:
    return np.array([row[name] for row in rows], dtype=np.float64)


def deterministic(model: BaseAlgorithm) -> Act:
    """The model's most probable actions, without touching any random state."""
    import torch

    policy = model.policy

    def act(obs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        with torch.no_grad():
            actions = policy._predict(torch.as_tensor(obs, device=model.device), deterministic=True)
        return actions.cpu().numpy()

    policy.set_training_mode(False)
    return act
