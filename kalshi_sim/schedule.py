"""Which view an environment gets next, and where it starts: the only randomness there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
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

    KEYS: Final = ("cursor", "order", "round", "weights", "rng")

    def __init__(self, tape: Tape, config: SimConfig, n_envs: int, seed: int) -> None:
        self._config = config
        self._n_envs = n_envs
        self._lengths = np.array([len(v) for v in tape.views], np.int64)
        # At least two rows are left, whatever the tape's shortest episode is said to be.
        shortest = max(2, tape.min_episode_length)
        self._starts = np.maximum(self._lengths - shortest + 1, 1)
        self._order = np.arange(len(tape.views), dtype=np.int64)
        self._weights = np.full(len(tape.views), 1.0)
        self._cursor = 0
        self._round = self._order
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start the random numbers anew.

        Raises:
            ConfigError: the seed is no whole number from 0 to 2**63 - 1.
        """
        self._rng = np.random.Generator(np.random.Philox(gate.check_seed(seed)))

    def set_order(self, order: npt.ArrayLike) -> None:
        """Hand out only these views, in this order (or by weight); from the next one on.

        Raises:
            ConfigError: empty, or not indices of views.
        """
        chosen = gate.check_indices("the order of views", order, len(self._lengths))
        self._order = chosen
        self._round = chosen
        self._cursor = 0

    def set_weights(self, weights: npt.ArrayLike) -> None:
        """Draw views by these weights [n_views] (market_order="weighted").

        Raises:
            ConfigError: another length, negative or not finite, or all zero.
        """
        self._weights = self._checked_weights(weights)

    def _checked_weights(self, weights: npt.ArrayLike) -> npt.NDArray[np.float64]:
        try:
            given = np.array(weights, np.float64)
        except (TypeError, ValueError):
            raise ConfigError("view weights must be numbers, one a view") from None
        if given.shape != self._lengths.shape:
            raise ConfigError(f"{len(self._lengths)} view weights expected, got {given.shape}")
        if not np.isfinite(given).all() or given.min() < 0 or not 0 < given.sum() < np.inf:
            raise ConfigError("view weights must be finite, not negative, and not all zero")
        return given

    def rewind(self) -> None:
        """Begin the order of views anew."""
        self._cursor = 0
        self._round = self._order

    def restart(self) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for a reset of all environments, int64 [n_envs] each."""
        self.rewind()
        return self.next_views(self._n_envs)

    def next_views(self, count: int) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for `count` environments, int64 [count] each.

        Raises:
            ConfigError: all views of the order have weight 0.
        """
        if self._config.market_order == "weighted":
            weights = self._weights[self._order]
            cumulative = np.cumsum(weights)
            if not cumulative[-1] > 0:
                raise ConfigError("all views of the order have weight 0; give one of them some")
            drawn = self._rng.random(count) * cumulative[-1]
            # a draw that rounds up to the total belongs to the last view with weight
            last = np.flatnonzero(weights)[-1]
            places = np.minimum(np.searchsorted(cumulative, drawn, side="right"), last)
            views = self._order[places]
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
        """Go on from `get_state`.

        Raises:
            ConfigError: it is the state of another tape, or damaged; nothing was changed.
        """
        n = len(self._lengths)
        order = gate.check_indices("the saved order of views", state["order"], n)
        turn = gate.check_indices("the saved round of views", state["round"], n)
        cursor = gate.check_int("the saved cursor", state["cursor"], 0, len(turn) - 1)
        weights = self._checked_weights(state["weights"])
        rng = np.random.Philox()
        try:
            rng.state = state["rng"]
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ConfigError(f"the saved random numbers cannot be read: {error}") from error
        self._cursor, self._order, self._round, self._weights = cursor, order, turn, weights
        self._rng = np.random.Generator(rng)
