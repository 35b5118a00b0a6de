"""The order in which markets come, and what the agent achieved on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.validated import check_value
from kalshi_train.data.prepare import mean_spread_cents
from kalshi_train.learner.shares import own_views

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_sim.vec_env import KalshiVecEnv

Order = Literal["sequential", "shuffled", "easiest", "need"]

# Weight of the newest episode in the running profit that `need` goes by.
_RECENT: Final = 0.3
# How much more often the view with the largest weight comes than the one with the smallest.
_NEED_RATIO: Final = 8.0


@dataclass(frozen=True)
class MarketTrainingResult:
    """What the agent achieved on one market over all its finished episodes; money in cents."""

    session_id: int
    market_ticker: str
    episodes: int
    timesteps: int
    total_reward: float
    profit: float
    """Change of equity after fees, summed over the episodes."""
    fees: float
    fills: int
    contracts: int
    wins: int
    """Episodes that ended with more than they began with."""
    recent_profit: float
    """Running mean of an episode's profit, newer ones counting more."""

    @property
    def win_rate(self) -> float:
        """Share of the episodes that ended in profit; 0 without an episode."""
        return self.wins / self.episodes if self.episodes else 0.0

    @property
    def mean_profit(self) -> float:
        """Mean profit of an episode in cents; 0 without an episode."""
        return self.profit / self.episodes if self.episodes else 0.0


@dataclass(frozen=True)
class SessionTrainingResults:
    """The results of one session's markets together; money in cents."""

    session_id: int
    market_results: tuple[MarketTrainingResult, ...]

    def get_summary(self) -> dict[str, Any]:
        """Counts, means and extremes over the session's markets."""
        return _summary(self.market_results) | {"session_id": self.session_id}


class SimpleSessionCurriculum:
    """Order of the views of a tape, and results per market and session.

    - `sequential`: as in the tape, round after round.
    - `shuffled`: a fresh permutation every round.
    - `easiest`: narrow spreads and busy markets first, round after round.
    - `need`: drawn by weight; views where the agent does worst, or has not been, come up to
      8 times as often.

    The simulator itself hands out the views; this sets its order or its weights between rollouts.
    """

    def __init__(self, tape: Tape, order: Order = "sequential", *, cash_start: int = 10_000):
        """Track the views of `tape`; episodes start with `cash_start` cents.

        Args:
            tape: its views are ordered.
            order: one of the four above.
            cash_start: cash at the start of an episode, in cents.

        Raises:
            ConfigError: `order` is none of the four.
        """
        check_value("curriculum", order, Order)
        n = len(tape.views)
        self.order: Order = order
        self.cash_start = cash_start
        self._names = [(int(v.session_id), str(v.market_ticker)) for v in tape.views]
        self._easiest = easiest_first(tape) if order == "easiest" else np.arange(n)
        self._counts = {
            name: np.zeros(n, dtype=np.int64)
            for name in ("episodes", "timesteps", "fills", "contracts", "wins")
        }
        self._sums = {
            name: np.zeros(n) for name in ("total_reward", "profit", "fees", "recent_profit")
        }

    def start(self, env: KalshiVecEnv, rank: int = 0, learners: int = 1) -> None:
        """Set the environment's order of views before its first reset.

        Args:
            env: the environment that trains.
            rank: number of the learner that it belongs to.
            learners: how many learners there are, each with environments of its own.
        """
        divided = learners > 1 and self.order == "sequential"
        if self.order == "easiest" or divided:
            env.set_view_order(own_views(self._easiest, rank, learners))
        elif self.order == "need":
            env.set_view_weights(self.weights())

    def record(self, infos: Sequence[Mapping[str, Any]]) -> None:
        """Add finished episodes: the infos of the rows that finished, and only those.

        Args:
            infos: infos of the environments that finished.
        """
        counts, sums = self._counts, self._sums
        for info in infos:
            episode, market = info["episode"], info["market"]
            view = market["view"]
            profit = market["equity_cents"] - self.cash_start
            first = counts["episodes"][view] == 0
            recent = sums["recent_profit"][view]
            sums["recent_profit"][view] = profit if first else recent + _RECENT * (profit - recent)
            counts["episodes"][view] += 1
            counts["timesteps"][view] += episode["l"]
            counts["fills"][view] += market["fills"]
            counts["contracts"][view] += market["contracts_traded"]
            counts["wins"][view] += profit > 0
            sums["total_reward"][view] += episode["r"]
            sums["profit"][view] += profit
            sums["fees"][view] += market["fees_cents"]

    def update(self, env: KalshiVecEnv) -> None:
        """Between rollouts: pass on the weights, if the order goes by need.

        Args:
            env: the environment that trains.
        """
        if self.order == "need":
            env.set_view_weights(self.weights())

    def weights(self) -> npt.NDArray[np.float64]:
        """Weight of each view by need, from 1 (does best) to 8 (does worst, or never played).

        Returns:
            float64 [n_views], from 1 to 8.
        """
        n = len(self._names)
        played = self._counts["episodes"] > 0
        rank = np.zeros(n)
        order = np.argsort(self._sums["recent_profit"][played], kind="stable")
        need = np.empty(int(played.sum()))
        need[order] = np.linspace(1.0, 0.0, len(order)) if len(order) > 1 else 0.5
        rank[played] = need
        rank[~played] = 1.0
        weights: npt.NDArray[np.float64] = _NEED_RATIO**rank
        return weights

    def market_results(self) -> list[MarketTrainingResult]:
        """One result a view, in the order of the tape.

        Returns:
            One result for each view.
        """
        return [
            MarketTrainingResult(
                session_id=session_id,
                market_ticker=ticker,
                episodes=int(self._counts["episodes"][i]),
                timesteps=int(self._counts["timesteps"][i]),
                total_reward=float(self._sums["total_reward"][i]),
                profit=float(self._sums["profit"][i]),
                fees=float(self._sums["fees"][i]),
                fills=int(self._counts["fills"][i]),
                contracts=int(self._counts["contracts"][i]),
                wins=int(self._counts["wins"][i]),
                recent_profit=float(self._sums["recent_profit"][i]),
            )
            for i, (session_id, ticker) in enumerate(self._names)
        ]

    def session_results(self) -> list[SessionTrainingResults]:
        """The results by session, ascending ids.

        Returns:
            One result for each session.
        """
        results = self.market_results()
        ids = sorted({r.session_id for r in results})
        return [
            SessionTrainingResults(i, tuple(r for r in results if r.session_id == i)) for i in ids
        ]

    def get_session_summary(self, session_id: int) -> dict[str, Any] | None:
        """The summary of one session; None if it is not part of the training.

        Args:
            session_id: which session.

        Returns:
            Figures by name, or None.
        """
        for results in self.session_results():
            if results.session_id == session_id:
                return results.get_summary()
        return None

    def get_overall_summary(self) -> dict[str, Any]:
        """The summary over all sessions.

        Returns:
            Figures by name.
        """
        sessions = self.session_results()
        return _summary(self.market_results()) | {"total_sessions": len(sessions)}

    def to_json(self) -> list[dict[str, Any]]:
        """The market results as JSON has them.

        Returns:
            One object for each market.
        """
        return [asdict(r) | {"win_rate": r.win_rate} for r in self.market_results()]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that `load_state` needs to go on exactly.

        Returns:
            Arrays int64 or float64 [n_views] by name.
        """
        return {k: v.copy() for k, v in (self._counts | self._sums).items()}

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from `state`.

        Args:
            state: what `state` gave: arrays int64 or float64 [n_views] by name.

        Raises:
            ConfigError: it belongs to another number of views.
        """
        for mine in (self._counts, self._sums):
            for name in mine:
                if state[name].shape != mine[name].shape:
                    raise ConfigError(
                        f"the checkpoint's curriculum has {len(state[name])} markets, "
                        f"this run has {len(mine[name])}"
                    )
                mine[name] = state[name].copy()


def easiest_first(tape: Tape) -> npt.NDArray[np.int64]:
    """View indices, narrow spread and many rows first: by the sum of both ranks.

    Returns:
        int64 [views] indices.
    """
    spread = mean_spread_cents(tape)
    rows = np.array([len(v) for v in tape.views])
    by_spread = np.argsort(np.argsort(spread, kind="stable"), kind="stable")
    by_rows = np.argsort(np.argsort(-rows, kind="stable"), kind="stable")
    order: npt.NDArray[np.int64] = np.argsort(by_spread + by_rows, kind="stable").astype(np.int64)
    return order


def _summary(results: Sequence[MarketTrainingResult]) -> dict[str, Any]:
    played = [r for r in results if r.episodes]
    episodes = sum(r.episodes for r in played)
    profit = sum(r.profit for r in played)
    return {
        "total_markets": len(results),
        "markets_played": len(played),
        "total_episodes": episodes,
        "total_timesteps": sum(r.timesteps for r in played),
        "avg_reward": sum(r.total_reward for r in played) / episodes if episodes else 0.0,
        "avg_profit_cents": profit / episodes if episodes else 0.0,
        "best_market_cents": max((r.mean_profit for r in played), default=0.0),
        "worst_market_cents": min((r.mean_profit for r in played), default=0.0),
        "fees_cents": sum(r.fees for r in played),
        "fills": sum(r.fills for r in played),
        "win_rate": sum(r.wins for r in played) / episodes if episodes else 0.0,
    }
