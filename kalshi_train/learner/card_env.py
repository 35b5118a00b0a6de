"""A model's environments as its collector on the card sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.cuda.torch_env import TorchVecEnv
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.learner.card_losses import values_of

ROOM = 1 << 20
"""Most finished episodes that a card keeps until they are fetched, if each environment ends at
most one."""


class CardEnv:
    """Steps the batch of a `KalshiVecEnv`, which may be in `VecNormalize`, in torch."""

    def __init__(self, env: VecEnv, n_steps: int, gamma: float) -> None:
        """Nothing is stepped yet.

        Args:
            env: a `KalshiVecEnv`, or `VecNormalize` around one.
            n_steps: steps of a rollout.
            gamma: discount, by which the value of what was cut off counts.

        Raises:
            ConfigError: it is another environment, or in another wrapper.
        """
        self.env = env
        self._normalize = env if isinstance(env, VecNormalize) else None
        inner = env.venv if isinstance(env, VecNormalize) else env
        if not isinstance(inner, KalshiVecEnv) or (
            self._normalize is not None and self._normalize.norm_reward
        ):
            raise ConfigError(
                f"training on a card needs a KalshiVecEnv, alone or in VecNormalize without "
                f"norm_reward; this is a {type(inner).__name__}"
            )
        simulator = inner.simulator
        self.torch_env = TorchVecEnv.over(simulator)
        n, device = env.num_envs, self.torch_env.device
        self._every = n_steps
        if isinstance(simulator, CudaSimulator):
            room = max(n, min(n * n_steps, ROOM))
            simulator.keep_episodes(room, observations=False)
            self._every = room // n
        self._since = 0
        self.starts = th.ones(n, dtype=th.float32, device=device)
        """float32 [n_envs] 1 where an episode began with the current observation."""
        self._gamma = gamma
        self._cuts = can_be_cut(simulator)
        self._moments: tuple[th.Tensor, th.Tensor] | None = None
        self._count = 0.0

    @property
    def is_due(self) -> bool:
        """Whether more episodes than there is room for might end before the next fetch."""
        return self._since >= self._every

    @contextmanager
    def normalizing(self) -> Iterator[None]:
        """The mean and variance of `VecNormalize` are on the card while the block runs."""
        if self._normalize is None:
            yield
            return
        seen: Any = self._normalize.obs_rms
        device = self.torch_env.device
        mean, variance = (th.as_tensor(a, device=device).clone() for a in (seen.mean, seen.var))
        self._moments, self._count = (mean, variance), float(seen.count)
        try:
            yield
        finally:
            mean, variance = self._moments
            seen.mean, seen.var = mean.cpu().numpy(), variance.cpu().numpy()
            seen.count = self._count
            self._moments = None

    def _update(self, seen: th.Tensor) -> None:
        """Add observations to mean and variance, by the formula of `RunningMeanStd`."""
        assert self._moments is not None
        (mean, variance), count, more = self._moments, self._count, len(seen)
        exact = seen.double()
        delta, total = exact.mean(0) - mean, count + more
        squares = variance * count + exact.var(0, correction=0) * more
        squares = squares + delta.square() * count * more / total
        self._moments, self._count = (mean + delta * more / total, squares / total), total

    def _scaled(self, seen: th.Tensor) -> th.Tensor:
        if self._moments is None or self._normalize is None:
            return seen
        (mean, variance), scaling = self._moments, self._normalize
        scaled = (seen.double() - mean) / th.sqrt(variance + scaling.epsilon)
        return scaled.clamp(-scaling.clip_obs, scaling.clip_obs).float()

    def observe(self, out: th.Tensor) -> th.Tensor:
        """What the policy sees now.

        Args:
            out: float32 [n_envs, features], overwritten.

        Returns:
            `out`.
        """
        return out.copy_(self._scaled(self.torch_env.observations))

    def action_masks(self) -> th.Tensor:
        """Which actions are valid now: bool [n_envs, actions]."""
        return self.torch_env.action_masks()

    def step(self, actions: th.Tensor, policy: Any) -> th.Tensor:
        """Step every environment.

        Args:
            actions: int64 [n_envs].
            policy: values what the environments that were cut off would have gone on to.

        Returns:
            float32 [n_envs] rewards, that value included.
        """
        seen, rewards, terminated, truncated = self.torch_env.step(actions)
        if self._moments is not None:
            self._update(seen)
        th.logical_or(terminated, truncated, out=self.starts)
        self._since += 1
        if not self._cuts:
            return rewards
        after = values_of(policy, self._scaled(self.torch_env.terminal))
        return th.where(truncated, rewards + self._gamma * after, rewards)

    def fetch_infos(self, elapsed: float) -> list[dict[str, Any]]:
        """The infos of the episodes that ended since the last call; waits for the card.

        Args:
            elapsed: seconds since the training began, which they note.

        Returns:
            Of each episode `episode` and `market`, as the infos of `KalshiVecEnv` have them, in
            the order in which they ended.
        """
        self._since = 0
        finished, lost = self.torch_env.fetch_finished()
        assert lost == 0, "there was no room for finished episodes"
        if finished is None:
            return []
        return [
            {"episode": {"r": total, "l": steps, "t": elapsed}, "market": market}
            for total, steps, market in self.torch_env.simulator.episodes(finished)
        ]

    def last_observations(self) -> npt.NDArray[np.float32]:
        """What the policy sees next, float32 [n_envs, features], a copy."""
        seen = self.torch_env.observations.cpu().numpy().copy()
        if self._normalize is not None:
            scaled: npt.NDArray[np.float32] = self._normalize.normalize_obs(seen)  # type: ignore[assignment]  # no dict
            return scaled
        return seen

    def last_starts(self) -> npt.NDArray[np.bool_]:
        """Whether episodes began with it, bool [n_envs], a copy."""
        starts: npt.NDArray[np.bool_] = self.starts.cpu().numpy() != 0
        return starts

    def set_starts(self, starts: npt.ArrayLike) -> None:
        """Go on from saved ones.

        Args:
            starts: bool [n_envs].
        """
        self.starts.copy_(th.as_tensor(np.asarray(starts, np.float32)))


def can_be_cut(simulator: Any) -> bool:
    """Whether an episode can end without being over: by its length, or by its market's data.

    Args:
        simulator: of a `KalshiVecEnv`.
    """
    if simulator.config.max_episode_steps is not None:
        return True
    views = simulator.tape.arrays.views[: len(simulator.tape.views)]
    unsettled = bool((views[:, layout.V_SETTLEMENT] == layout.NO_SETTLEMENT).any())
    return unsettled and simulator.config.end_of_data == "truncate"
