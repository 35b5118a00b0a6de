"""`CudaSchedule`: a view schedule whose state is on the card, with the face of `ViewSchedule`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda import philox, turns
from kalshi_sim.errors import ConfigError
from kalshi_sim.schedule import ViewSchedule
from kalshi_sim.tape import Tape

_MODES: Final = {
    "sequential": turns.SEQUENTIAL,
    "shuffle": turns.SHUFFLE,
    "weighted": turns.WEIGHTED,
}


class CudaSchedule:
    """Hands out views on the card; what changes the order is done here and copied there."""

    KEYS = ViewSchedule.KEYS

    def __init__(self, tape: Tape, config: SimConfig, n_envs: int, seed: int, cuda: Any) -> None:
        """Begin a schedule over all views of a tape.

        Args:
            tape: its views and their lengths.
            config: `market_order` and `random_start` decide.
            n_envs: number of environments.
            seed: of the random numbers.
            cuda: the module `numba.cuda`.
        """
        self._host = ViewSchedule(tape, config, n_envs, seed)
        self._config, self._n_envs = config, n_envs
        views = len(tape.views)
        self.arrays: Any = turns.Turns(
            ints=cuda.to_device(np.zeros(turns.N_TURN, np.int64)),
            order=cuda.to_device(np.zeros(views, np.int64)),
            rounds=cuda.to_device(np.zeros(n_envs + 2 * views, np.int64)),
            cumulative=cuda.to_device(np.zeros(views, np.float64)),
            starts=cuda.to_device(self._host.start_counts),
            taken=cuda.to_device(np.zeros(n_envs, np.int64)),
            rng=cuda.to_device(np.zeros(philox.N_RNG, np.uint64)),
            drawn=cuda.to_device(np.zeros(philox.N_RNG, np.uint64)),
        )
        self._room = views
        self._push()

    def _push(self) -> None:
        """Copy the host's schedule to the card."""
        state = self._host.get_state()
        order, taken = state["order"], state.get("taken_views")
        n = len(order)
        if n > self._room:
            raise ConfigError(
                f"an order of {n} views on a tape of {self._room}: a card's schedule takes at most "
                "as many as the tape has"
            )
        ints = np.zeros(turns.N_TURN, np.int64)
        mode = _MODES[self._config.market_order]
        ints[turns.T_MODE] = mode if taken is None else turns.DIVIDED
        ints[turns.T_RANDOM_START] = int(self._config.random_start)
        ints[turns.T_VIEWS] = n
        ints[turns.T_CURSOR] = state["cursor"]
        weights = state["weights"][order]
        ints[turns.T_LAST] = np.flatnonzero(weights)[-1] if weights.any() else 0
        arrays = self.arrays
        padded = np.zeros(self._room, np.int64)
        padded[:n] = order
        rounds = np.zeros(self._n_envs + 2 * self._room, np.int64)
        rounds[:n] = state["round"]
        cumulative = np.zeros(self._room, np.float64)
        cumulative[:n] = np.cumsum(weights)
        arrays.ints.copy_to_device(ints)
        arrays.order.copy_to_device(padded)
        arrays.rounds.copy_to_device(rounds)
        arrays.cumulative.copy_to_device(cumulative)
        arrays.rng.copy_to_device(philox.pack(state["rng"]))
        if taken is not None:
            arrays.taken.copy_to_device(taken)
        self.check_weights()

    def check_weights(self) -> None:
        """Be sure that a view can be drawn.

        Raises:
            ConfigError: all views of the order have weight 0.
        """
        if self._config.market_order == "weighted":
            state = self._host.get_state()
            if not state["weights"][state["order"]].any():
                raise ConfigError("all views of the order have weight 0; give one of them some")

    def _pull(self) -> None:
        """Bring the host's schedule to where the card's is."""
        state = self._host.get_state()
        ints = self.arrays.ints.copy_to_host()
        n = int(ints[turns.T_VIEWS])
        at = int(ints[turns.T_SLOT]) * n
        state["cursor"] = int(ints[turns.T_CURSOR])
        state["round"] = self.arrays.rounds.copy_to_host()[at : at + n]
        state["rng"] = philox.unpack(self.arrays.rng.copy_to_host())
        if "taken_views" in state:
            state["taken_views"] = self.arrays.taken.copy_to_host()
        self._host.set_state(state)

    def seed(self, seed: int) -> None:
        """Restart the random numbers."""
        self._pull()
        self._host.seed(seed)
        self._push()

    def set_order(self, order: npt.ArrayLike, *, divided: bool = False) -> None:
        """As `ViewSchedule.set_order`.

        Args:
            order: indices of views.
            divided: each environment plays views of its own.

        Raises:
            ConfigError: empty, or not indices of views; or divided but not sequential.
        """
        self._pull()
        self._host.set_order(order, divided=divided)
        self._push()

    def set_weights(self, weights: npt.ArrayLike) -> None:
        """Draw views by these weights [n_views] (market_order="weighted").

        Raises:
            ConfigError: another length, negative or not finite, or all zero.
        """
        self._pull()
        self._host.set_weights(weights)
        self._push()

    def rewind(self) -> None:
        """Restart the order of views."""
        self._pull()
        self._host.rewind()
        self._push()

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs to go on exactly here, on a card or a processor."""
        self._pull()
        return self._host.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: it is the state of another tape, or damaged; nothing was changed.
        """
        self._host.set_state(state)
        self._push()
