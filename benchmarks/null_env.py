"""A vectorised environment that does nothing, to measure what the trainer alone costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

N_FEATURES = 52
N_ACTIONS = 5


class NullVecEnv(VecEnv):
    """No step costs anything, none ends an episode; observations are noise fixed by `seed`.

    Observations [n_envs, 52] float32 alternate between two arrays, as do rewards and dones: an
    algorithm that keeps the array of an earlier step finds another step's numbers in it.
    """

    def __init__(self, n_envs: int, seed: int = 0) -> None:
        space = spaces.Box(-np.inf, np.inf, (N_FEATURES,), np.float32)
        super().__init__(n_envs, space, spaces.Discrete(N_ACTIONS))
        rng = np.random.default_rng(seed)
        shape = (2, n_envs, N_FEATURES)
        self._obs: npt.NDArray[np.float32] = rng.standard_normal(shape, dtype=np.float32)
        self._source = rng.standard_normal((2, n_envs), dtype=np.float32)
        self._rewards = np.empty((2, n_envs), np.float32)
        self._dones = np.zeros((2, n_envs), bool)
        self._infos: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        self._turn = 0

    def reset(self) -> npt.NDArray[np.float32]:
        observations: npt.NDArray[np.float32] = self._obs[self._turn]
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        pass

    def step_wait(self) -> Any:
        self._turn = turn = 1 - self._turn
        # The algorithm may change rewards in place.
        self._rewards[turn] = self._source[turn]
        return self._obs[turn], self._rewards[turn], self._dones[turn], self._infos

    def close(self) -> None:
        pass

    def _count(self, indices: Any) -> int:
        return len(list(self._get_indices(indices)))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        raise AttributeError(f"the environment that does nothing has no method {method_name}")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self._count(indices)

    def seed(self, seed: int | None = None) -> Sequence[None]:
        return [None] * self.num_envs
