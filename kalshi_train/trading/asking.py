"""Asking a policy for the actions of several markets in one call."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.tape import MarketSessionView
from kalshi_train.evaluation import kernels
from kalshi_train.evaluation.policies import Policy

_SCRIPT_ROWS: Final = 2**16
"""Random actions that are drawn for a market; after them they come again."""


class Asking:
    """A policy and what it remembers of each market."""

    def __init__(self, policy: Policy, tickers: list[str], n_actions: int, seed: int) -> None:
        """Begin with an empty memory.

        Args:
            policy: what is asked.
            tickers: of all markets there will be.
            n_actions: rows of the action table.
            seed: of random actions.
        """
        self._policy = policy
        self._n_actions = n_actions
        views = [MarketSessionView(0, ticker, 0, _SCRIPT_ROWS) for ticker in tickers]
        self._choose = None if policy.is_compiled else policy.chooser(views)
        self._deciders = []
        if policy.is_compiled:
            self._deciders = [policy.decider(view, seed, n_actions) for view in views]

    def actions(
        self,
        markets: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        observations: npt.NDArray[np.float32],
        masks: npt.NDArray[np.bool_],
    ) -> list[int]:
        """The actions of some markets, each at most once.

        Args:
            markets: int64 [k] their numbers.
            rows: int64 [k] the row each stands on.
            observations: float32 [k, history * 52].
            masks: bool [k, actions].

        Returns:
            An action each.

        Raises:
            ConfigError: the policy gave something else than actions.
        """
        if self._choose is None:
            asked = zip(markets.tolist(), rows.tolist(), observations, masks, strict=True)
            return [self._decided(*one) for one in asked]
        actions = np.asarray(self._choose(markets, observations, masks))
        whole = np.issubdtype(actions.dtype, np.integer)
        last = self._n_actions - 1
        if (
            actions.shape != (len(markets),)
            or not whole
            or actions.min() < 0
            or actions.max() > last
        ):
            raise ConfigError(
                f"{self._policy.name}: for {len(markets)} observations the policy must give as "
                f"many whole numbers from 0 to {last}; it gave {actions.dtype} of shape "
                f"{actions.shape}"
            )
        return [int(action) for action in actions]

    def _decided(
        self,
        market: int,
        row: int,
        seen: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
    ) -> int:
        decider = self._deciders[market]
        decider.valid[:] = valid
        return int(kernels.decide(decider, seen, row % _SCRIPT_ROWS))
