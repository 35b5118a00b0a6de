"""`PinnedSimulator`: a card's batch whose results a caller on the host reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.arrays import Given, given_bytes, given_over
from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.episodes import Finished
from kalshi_sim.exclusive import one_at_a_time
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import Tape


class PinnedSimulator(CudaSimulator):
    """`CudaSimulator` that gives numpy arrays, as `BatchSimulator` does.

    What a step gives lies in one block, which one copy brings into memory that the card reaches by
    itself; more is fetched only where an episode ended. The arrays alternate between two buffers.
    """

    def __init__(
        self, tape: Tape, n_envs: int, config: SimConfig | None = None, seed: int = 0
    ) -> None:
        """As `CudaSimulator`.

        Args:
            tape: what to trade on; copied to the card.
            n_envs: environments in the batch.
            config: settings; the defaults if omitted.
            seed: decides everything random.

        Raises:
            ConfigError: as of `CudaSimulator`.
        """
        super().__init__(tape, n_envs, config, seed)
        width = self.config.history * N_FEATURES
        pinned, size = self._cuda.pinned_array, given_bytes(n_envs, width)
        self._rooms = [given_over(pinned(size, np.uint8), n_envs, width) for _ in range(2)]
        self._actions = pinned(n_envs, np.int64)
        self._turn = 0

    def _copied(self) -> Given:
        """What the last step or reset gave: one copy, which waits for the kernels before it."""
        self._turn ^= 1
        room = self._rooms[self._turn]
        self._given[self._current].block.copy_to_host(room.block)
        return room

    def reset(self) -> npt.NDArray[np.float32]:
        """Start a new episode in every environment.

        Returns:
            float32 [n_envs, history * 52] observations; overwritten by the step after the next.
        """
        super().reset()
        observations: npt.NDArray[np.float32] = self._copied().obs
        return observations

    def reset_one(
        self, env: int, view: int | None = None, restart: bool = False
    ) -> npt.NDArray[np.float32]:
        """As `BatchSimulator.reset_one`.

        Args:
            env: which environment.
            view: the view to play from its first row; if omitted, the next one.
            restart: restart the order of views.

        Returns:
            float32 [history * 52] its observation.
        """
        super().reset_one(env, view, restart)
        self._turn ^= 1  # into the array that the latest step or reset gave
        observation: npt.NDArray[np.float32] = self._copied().obs[env]
        return observation

    @one_at_a_time
    def step(
        self, actions: npt.ArrayLike, restart: bool = True
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Finished | None]:
        """As `BatchSimulator.step`.

        Args:
            actions: [n_envs] integers, rows of the action table.
            restart: start finished environments on their next view.

        Returns:
            Observations float32 [n_envs, history * 52], rewards float32 [n_envs], done flags int8
            [n_envs] and what finished.
        """
        self._ask(actions, restart)
        room = self._copied()
        finished = self._fetch_ended(restart) if room.done.any() else None
        return room.obs, room.rewards, room.done, finished
