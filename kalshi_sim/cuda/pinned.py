"""`PinnedSimulator`: a card's batch whose results a caller on the host reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.episodes import Finished
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import Tape


class PinnedSimulator(CudaSimulator):
    """`CudaSimulator` that gives numpy arrays, as `BatchSimulator` does.

    What a step gives is copied without waiting into memory that the card reaches by itself, and
    waited for once. The arrays alternate between two buffers.
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
        room = self._cuda.pinned_array
        width = self.config.history * N_FEATURES
        self._rooms: Any = tuple(
            (
                room((n_envs, width), np.float32),
                room(n_envs, np.float32),
                room(n_envs, np.int8),
            )
            for _ in range(2)
        )
        self._turn = 0
        self._stream = self._cuda.stream()

    def _copied(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Observations, rewards and done flags of the last step or reset."""
        self._turn ^= 1
        obs, rewards, done = self._rooms[self._turn]
        # The kernels run on the default stream, which a stream of one's own does not wait for.
        self._cuda.synchronize()
        buffers = self._buffers[self._current]
        buffers.obs.copy_to_host(obs, stream=self._stream)
        buffers.rewards.copy_to_host(rewards, stream=self._stream)
        buffers.done.copy_to_host(done, stream=self._stream)
        self._stream.synchronize()
        return obs, rewards, done

    def reset(self) -> npt.NDArray[np.float32]:
        """Start a new episode in every environment.

        Returns:
            float32 [n_envs, history * 52] observations; overwritten by the step after the next.
        """
        super().reset()
        return self._copied()[0]

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
        observation: npt.NDArray[np.float32] = self._copied()[0][env]
        return observation

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
        finished = super().step(actions, restart)[3]
        return (*self._copied(), finished)
