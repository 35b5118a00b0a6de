"""Which view an environment gets next, and where it starts: the only randomness there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape import Tape

Int64Array = npt.NDArray[np.int64]


class ViewSchedule:
    """Hands out views to environments in index order, by `SimConfig.market_order`.

    sequential: round robin by a cursor the batch shares. shuffle: round robin over a fresh
    permutation each round. weighted: drawn by weight. Random numbers come from a counter-based
    generator (Philox) whose state can be saved.
    """

    def __init__(self, tape: Tape, config: SimConfig, n_envs: int, seed: int) -> None:
        self._config = config
        self._n_envs = n_envs
        self._lengths = np.array([len(v) for v in tape.views], np.int64)
        self._starts = self._lengths - tape.min_episode_length + 1
        self._order = np.arange(len(tape.views), dtype=np.int64)
        self._weights = np.full(len(tape.views), 1.0)
        self._cursor = 0
        self._round = self._order
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start the random numbers anew."""
        self._rng = np.random.Generator(np.random.Philox(seed))

    def set_order(self, order: npt.ArrayLike) -> None:
        """Hand out only these views, in this order; from the next one handed out.

        Raises:
            ConfigError: empty, or not indices of views.
        """
        chosen = np.ascontiguousarray(order, np.int64)
        if chosen.ndim != 1 or not len(chosen):
            raise ConfigError("the order of views is empty; give indices of views")
        if chosen.min() < 0 or chosen.max() >= len(self._lengths):
            raise ConfigError(f"the order of views must have indices below {len(self._lengths)}")
        self._order = chosen
        self._round = chosen
        self._cursor = 0

    def set_weights(self, weights: npt.ArrayLike) -> None:
        """Draw views by these weights [n_views] (market_order="weighted").

        Raises:
            ConfigError: another length, negative or not finite, or all zero.
        """
        given = np.ascontiguousarray(weights, np.float64)
        if given.shape != self._lengths.shape:
            raise ConfigError(f"{len(self._lengths)} view weights expected, got {given.shape}")
        if not np.isfinite(given).all() or given.min() < 0 or given.max() <= 0:
            raise ConfigError("view weights must be finite, not negative, and not all zero")
        self._weights = given

    def rewind(self) -> None:
        """Begin the order of views anew."""
        self._cursor = 0
        self._round = self._order

    def restart(self) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for a reset of all environments, int64 [n_envs] each."""
        self.rewind()
        return self.next_views(self._n_envs)

    def next_views(self, count: int) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for `count` environments, int64 [count] each."""
        if self._config.market_order == "weighted":
            cumulative = np.cumsum(self._weights)
            drawn = self._rng.random(count) * cumulative[-1]
            # a draw that rounds up to the total belongs to the last view with weight
            last = np.flatnonzero(self._weights)[-1]
            views = np.minimum(np.searchsorted(cumulative, drawn, side="right"), last)
        else:
            views = self._take_in_turn(count)
        if self._config.random_start:
            offsets = (self._rng.random(count) * self._starts[views]).astype(np.int64)
        else:
            offsets = np.zeros(count, np.int64)
        return views.astype(np.int64), offsets

    def _take_in_turn(self, count: int) -> Int64Array:
        parts = []
        while count > 0:
            if self._cursor == 0 and self._config.market_order == "shuffle":
                self._round = self._rng.permutation(self._order)
            part = self._round[self._cursor : self._cursor + count]
            parts.append(part)
            count -= len(part)
            self._cursor = (self._cursor + len(part)) % len(self._round)
        return np.concatenate(parts)

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs to go on exactly here."""
        return {
            "cursor": self._cursor,
            "order": self._order.copy(),
            "round": self._round.copy(),
            "weights": self._weights.copy(),
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`."""
        self._cursor = int(state["cursor"])
        self._order = np.array(state["order"], np.int64)
        self._round = np.array(state["round"], np.int64)
        self._weights = np.array(state["weights"], np.float64)
        self._rng.bit_generator.state = state["rng"]
