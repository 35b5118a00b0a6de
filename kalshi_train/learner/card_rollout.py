"""Where a rollout is kept that never leaves the card: torch tensors, allocated once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer


class CardRolloutBuffer(RolloutBuffer):
    """Tensors under the names of stable-baselines3's arrays; their first axes are steps and envs.

    observations float32 [n_steps, n_envs, features], actions int64 and rewards, values,
    log_probs, episode_starts, advantages, returns float32 [n_steps, n_envs], and masks bool
    [n_steps, n_envs, actions] where they are kept.
    """

    masks: th.Tensor | None = None

    def reset(self) -> None:
        """Begin a new rollout in the same memory."""
        if not hasattr(self, "_made"):
            self._made = True
            shape = (self.buffer_size, self.n_envs)

            def room(*more: int, dtype: th.dtype = th.float32) -> Any:
                return th.zeros((*shape, *more), dtype=dtype, device=self.device)

            self.observations = room(int(np.prod(self.obs_shape)))
            self.actions = room(dtype=th.int64)
            for name in (
                *("rewards", "values", "log_probs"),
                *("episode_starts", "advantages", "returns"),
            ):
                setattr(self, name, room())
        self.pos = 0
        self.full = False

    def keep_masks(self) -> None:
        """Make room for which actions were valid."""
        n_actions = int(self.action_space.n)  # type: ignore[attr-defined]  # it is discrete
        shape = (self.buffer_size, self.n_envs, n_actions)
        self.masks = th.ones(shape, dtype=th.bool, device=self.device)

    def flat(self, name: str) -> th.Tensor:
        """The tensor `name` with its first two axes as one, over the same memory.

        Returns:
            [n_steps * n_envs] or [n_steps * n_envs, columns].
        """
        tensor: th.Tensor = getattr(self, name)
        return tensor.flatten(0, 1)

    def order(self) -> th.Tensor:
        """The rows in a random order, from the generator of torch's device.

        Returns:
            int64 [n_steps * n_envs] on the card.
        """
        return th.randperm(self.buffer_size * self.n_envs, device=self.device)

    def action_counts(self, n_actions: int) -> npt.NDArray[np.int64]:
        """How often each action was taken; waits for the card.

        Args:
            n_actions: rows of the action table.

        Returns:
            int64 [n_actions].
        """
        counts = th.zeros(n_actions, dtype=th.int64, device=self.device)
        flat = self.flat("actions")
        counts.scatter_add_(0, flat, th.ones_like(flat))  # whole numbers: in any order the same
        return counts.cpu().numpy()

    def compute_returns_and_advantage(self, last_values: th.Tensor, dones: Any) -> None:
        """Fill advantages and returns, in the order of stock arithmetic.

        Args:
            last_values: float32 [n_envs] values after the last step.
            dones: float32 [n_envs] 1 where an episode ended with it.
        """
        gamma, decay = self.gamma, self.gamma * self.gae_lambda
        rewards: Any = self.rewards
        values: Any = self.values
        starts: Any = self.episode_starts
        after, ended = last_values, dones
        advantage: Any = 0.0
        for step in reversed(range(self.buffer_size)):
            goes_on = 1.0 - ended
            delta = rewards[step] + gamma * after * goes_on - values[step]
            advantage = delta + decay * goes_on * advantage
            self.advantages[step] = advantage
            after, ended = values[step], starts[step]
        th.add(self.advantages, values, out=self.returns)  # type: ignore[call-overload]  # tensors

    def get(self, batch_size: int | None = None) -> Iterator[Any]:  # type: ignore[override]  # rows
        """The rows of minibatches in random order.

        Args:
            batch_size: rows of each; all if None.

        Yields:
            int64 [batch_size] on the card.
        """
        order = self.order()
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            yield order[start : start + size]


def rollout_bytes(n_steps: int, n_envs: int, features: int, masked: int) -> int:
    """Memory of a rollout.

    Args:
        n_steps: steps of each environment.
        n_envs: environments.
        features: columns of an observation.
        masked: actions whose masks are kept, 0 if none are.

    Returns:
        Bytes.
    """
    real, word = np.float32().itemsize, np.int64().itemsize
    return n_steps * n_envs * (real * (features + 6) + word + masked)
