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

    `set_order(..., divided=True)` instead gives every environment views of its own.
    """

    KEYS: Final = ("cursor", "order", "round", "weights", "rng")

    def __init__(self, tape: Tape, config: SimConfig, n_envs: int, seed: int) -> None:
        """Begin a schedule over all views of a tape.

        Args:
            tape: its views and their lengths.
            config: `market_order` and `random_start` decide.
            n_envs: number of environments.
            seed: of the schedule's random generator.
        """
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
        self._taken: Int64Array | None = None
        """Views each environment was given since the order began, if it is divided."""
        self.seed(seed)

    @property
    def start_counts(self) -> Int64Array:
        """int64 [n_views] how many rows an episode of each view can start at."""
        return self._starts

    def seed(self, seed: int) -> None:
        """Restart the random numbers.

        Raises:
            ConfigError: the seed is no whole number from 0 to 2**63 - 1.
        """
        self._rng = np.random.Generator(np.random.Philox(gate.check_seed(seed)))

    def set_order(self, order: npt.ArrayLike, *, divided: bool = False) -> None:
        """Hand out only these views, in this order (or by weight); from the next one on.

        Args:
            order: indices of views.
            divided: each environment plays views of its own in turn: of n environments the i-th
                the views i, i + n, i + 2n, ... of the order, the remainder going to the last
                ones. So divides Stable-Baselines3's `evaluate_policy` the number of episodes.

        Raises:
            ConfigError: empty, or not indices of views; or divided but not sequential.
        """
        chosen = gate.check_indices("the order of views", order, len(self._lengths))
        if divided and self._config.market_order != "sequential":
            raise ConfigError(
                f"views can be divided with market_order='sequential' alone, "
                f"not {self._config.market_order!r}"
            )
        self._taken = np.zeros(self._n_envs, np.int64) if divided else None
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
        """Restart the order of views."""
        self._cursor = 0
        self._round = self._order
        if self._taken is not None:
            self._taken[:] = 0

    def restart(self) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for a reset of all environments, int64 [n_envs] each.

        Returns:
            Views and start rows, int64 [n_envs] each; a start row counts from its view's first row.
        """
        self.rewind()
        return self.next_views(np.arange(self._n_envs, dtype=np.int64))

    def next_views(self, envs: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Views and start rows for these environments [k], int64 [k] each.

        Args:
            envs: int64 [k] indices of the environments that begin an episode.

        Returns:
            Views and start rows, int64 [k] each; a start row counts from its view's first row.

        Raises:
            ConfigError: all views of the order have weight 0.
        """
        count = len(envs)
        if self._taken is not None:
            views = self._take_own(envs, self._taken)
        elif self._config.market_order == "weighted":
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

    def _take_own(self, envs: Int64Array, taken: Int64Array) -> Int64Array:
        whole, rest = divmod(len(self._order), self._n_envs)
        first_with_more = self._n_envs - rest
        shares = whole + (envs >= first_with_more)
        turn = taken[envs] % np.maximum(shares, 1)
        taken[envs] += 1
        places = turn * self._n_envs + envs - np.where(turn == whole, first_with_more, 0)
        if whole == 0:  # fewer views than environments: each keeps the one it was reset to
            places = envs % len(self._order)
        views: Int64Array = self._order[places]
        return views

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs to go on exactly here."""
        divided = {} if self._taken is None else {"taken_views": self._taken.copy()}
        return {
            **divided,
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
        taken = state.get("taken_views")
        if taken is not None:
            most = gate.MAX_SEED
            taken = gate.check_indices("the saved counts of views", taken, most)
            if len(taken) != self._n_envs or self._config.market_order != "sequential":
                raise ConfigError(
                    f"the saved views are divided in turn among {len(taken)} environments, this "
                    f"batch has {self._n_envs} and market_order={self._config.market_order!r}"
                )
        rng = np.random.Philox()
        try:
            rng.state = state["rng"]
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ConfigError(f"the saved random numbers cannot be read: {error}") from error
        self._cursor, self._order, self._round, self._weights = cursor, order, turn, weights
        self._taken = taken
        self._rng = np.random.Generator(rng)
