"""Where a rollout is kept: torch tensors and numpy arrays over the same memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from kalshi_train.learner import updates


class SharedRolloutBuffer(RolloutBuffer):
    """A rollout buffer allocated once, for flat float32 observations and discrete actions.

    The arrays have the names and shapes of stable-baselines3's: observations [n_steps, n_envs,
    *shape], actions [n_steps, n_envs, 1], the others [n_steps, n_envs]. Unlike there they keep
    these shapes while minibatches are drawn. `flat_observations` [n_steps * n_envs, features] is
    a tensor over the same memory. `masks` [n_steps, n_envs, actions] says which actions were
    valid, where a model asks for it with `keep_masks`.
    """

    masks: npt.NDArray[np.bool_] | None = None

    def keep_masks(self) -> None:
        """Make room for which actions were valid."""
        n_actions = int(self.action_space.n)  # type: ignore[attr-defined]  # it is discrete
        self.masks = np.ones((self.buffer_size, self.n_envs, n_actions), np.bool_)

    def reset(self) -> None:
        """Begin a new rollout in the same memory."""
        if not hasattr(self, "flat_observations"):
            super().reset()
            size = self.buffer_size * self.n_envs
            self.flat_observations = th.from_numpy(self.observations).view(size, -1)
            # Row of this buffer for every row of the stock one, which lists env after env.
            rows = np.arange(size).reshape(self.buffer_size, self.n_envs)
            self._stock_rows = np.ascontiguousarray(rows.T).reshape(-1)
        self.pos = 0
        self.full = False
        self.generator_ready = False

    @property
    def flat_masks(self) -> npt.NDArray[np.bool_] | None:
        """`masks` as [n_steps * n_envs, actions], over the same memory."""
        return None if self.masks is None else self.masks.reshape(-1, self.masks.shape[2])

    def flat(self, name: str) -> npt.NDArray[np.float32]:
        """The array `name` as [n_steps * n_envs], over the same memory.

        Returns:
            float32 [n_steps * n_envs], over the same memory.
        """
        array: npt.NDArray[np.float32] = getattr(self, name)
        return array.reshape(-1)

    def compute_returns_and_advantage(
        self, last_values: th.Tensor, dones: npt.NDArray[np.bool_]
    ) -> None:
        """Fill advantages and returns.

        Args:
            last_values: float32 [n_envs] values after the last step.
            dones: bool [n_envs] whether an episode ended with it.
        """
        updates.advantages_and_returns(
            self.rewards,
            self.values,
            self.episode_starts,
            last_values.detach().numpy().reshape(-1),
            np.asarray(dones, dtype=bool),
            float(self.gamma),
            float(self.gae_lambda),
            self.advantages,
            self.returns,
        )

    def order(self) -> npt.NDArray[np.int64]:
        """The rows in a random order: for equal state of numpy's generator, the stock one.

        Returns:
            int64 [n_steps * n_envs] row numbers.
        """
        assert self.full, "the rollout is not complete"
        return np.random.permutation(self._stock_rows)  # noqa: NPY002 (where SB3 draws)

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples]:  # type: ignore[override]  # narrower
        """Minibatches in random order, as stable-baselines3's buffer gives them."""
        order = self.order()
        size = batch_size or order.size
        for start in range(0, order.size, size):
            rows = order[start : start + size]
            yield RolloutBufferSamples(
                self.flat_observations[rows].view(rows.size, *self.obs_shape),
                th.from_numpy(self.actions.reshape(-1, 1)[rows].astype(np.float32)),
                *(
                    th.from_numpy(self.flat(name)[rows])
                    for name in ("values", "log_probs", "advantages", "returns")
                ),
            )
