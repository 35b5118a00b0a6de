"""What `FastPPO` and `FastA2C` share: set-up, threads and the collection of rollouts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels.jit import say_if_compiling
from kalshi_train.learner import losses
from kalshi_train.learner.group import ALONE, Group
from kalshi_train.learner.masking import Masking
from kalshi_train.learner.network import ActorCritic
from kalshi_train.learner.network import unsupported as unsupported_policy
from kalshi_train.learner.optimiser import FlatOptimiser
from kalshi_train.learner.rollout import SharedRolloutBuffer
from kalshi_train.learner.supported import unsupported
from kalshi_train.learner.turns import turn

LOG = logging.getLogger("kalshi_train.learner.algorithms")

Self = TypeVar("Self", bound="FastOnPolicy")


class FastOnPolicy(Masking):
    """What `FastPPO` and `FastA2C` share: set-up, threads and the collection of rollouts."""

    _network: ActorCritic | None = None
    _optimiser: FlatOptimiser | None = None
    group: Group = ALONE
    """The learners that train this model together."""
    by_onednn: list[tuple[int, int]] | None = None
    """Shapes of the weights that oneDNN multiplies, as was quicker where the model was made."""

    @property
    def is_fast(self) -> bool:
        """Whether the fast path is in use, not stock code."""
        return self._network is not None

    def _setup_model(self) -> None:
        with turn(self, seeding=True):
            super()._setup_model()
        self._network = self._optimiser = None
        reason = unsupported(self) or unsupported_policy(self.policy)
        if reason is not None and self.mask:
            raise ConfigError(f"mask=True needs MlpPolicy on float32 on the CPU: {reason}")
        if reason is not None:
            LOG.warning("%s runs stock code: %s.", type(self).__name__, reason)
            return
        say_if_compiling("sample", "the learner", Path(__file__).parent)
        self._network = ActorCritic(self.policy, self.by_onednn)
        self.by_onednn = self._network.by_onednn
        self._optimiser = FlatOptimiser(self._network, self.policy.optimizer)
        self._make_rollout_buffer(SharedRolloutBuffer)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_network", "_optimiser", "group"]

    def join(self, group: Group) -> None:
        """Train the model together with other learners, all from the parameters of the first.

        Args:
            group: the learners; each of them joins.

        Raises:
            ConfigError: stock code would run, which adds no gradients up.
            LostLearnerError: one of them is gone.
        """
        network = self._network
        if network is None:
            raise ConfigError("several learners need MlpPolicy on float32 on the CPU")
        network.adopt()
        group.copy_first_(network.flat)
        self.group = network.group = group

    def learn(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Train as the stock method does; torch's number of threads is as before afterwards.

        Models that learn in several threads of a process take turns.

        Returns:
            The model itself.
        """
        with turn(self):
            if self._network is None:
                return super().learn(*args, **kwargs)
            with self._network.threads():
                return super().learn(*args, **kwargs)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the rollout buffer as the stock method does; False if the callback stopped it.

        Args:
            env: what to step.
            callback: called after each step.
            rollout_buffer: what is filled.
            n_rollout_steps: steps of each environment.

        Returns:
            False if the callback stopped the training.
        """
        network = self._network
        if network is None or not isinstance(rollout_buffer, SharedRolloutBuffer):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        assert self._last_obs is not None, "No previous observation was provided"
        self.policy.set_training_mode(False)
        network.adopt()
        n_steps = 0
        rollout_buffer.reset()
        callback.on_rollout_start()
        observations = rollout_buffer.flat_observations.view(n_rollout_steps, env.num_envs, -1)
        with th.no_grad():
            while n_steps < n_rollout_steps:
                # The environment may reuse the array of the observation before last.
                rollout_buffer.observations[n_steps] = self._last_obs
                rollout_buffer.episode_starts[n_steps] = self._last_episode_starts
                actions = rollout_buffer.actions[n_steps, :, 0]
                row_values = rollout_buffer.values[n_steps]
                row_log_probs = rollout_buffer.log_probs[n_steps]
                obs_tensor = observations[n_steps]
                masks = None
                if rollout_buffer.masks is not None:
                    masks = rollout_buffer.masks[n_steps]
                    masks[:] = env.action_masks()  # type: ignore[attr-defined]  # of ours
                network.act(obs_tensor, actions, row_values, row_log_probs, masks)
                # Under the names and in the shapes that callbacks find in stock code.
                values, log_probs = th.from_numpy(row_values)[:, None], th.from_numpy(row_log_probs)
                clipped_actions = actions

                new_obs, rewards, dones, infos = env.step(clipped_actions)
                self.num_timesteps += env.num_envs * self.group.size
                callback.update_locals(locals())
                if not callback.on_step():
                    return False
                finished = np.flatnonzero(dones)
                if finished.size:
                    self._finish(network, finished, rewards, infos)
                rollout_buffer.rewards[n_steps] = rewards
                n_steps += 1
                rollout_buffer.pos = n_steps
                self._last_obs = new_obs  # type: ignore[assignment]  # no dict
                self._last_episode_starts = dones

            rollout_buffer.full = n_steps == rollout_buffer.buffer_size
            last = th.from_numpy(np.ascontiguousarray(new_obs)).view(env.num_envs, -1)
            rollout_buffer.compute_returns_and_advantage(network.values(last), dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _finish(
        self,
        network: ActorCritic,
        finished: losses.I64,
        rewards: losses.F32,
        infos: list[dict[str, Any]],
    ) -> None:
        """Note the episodes that ended, and add their value to rewards of those cut short."""
        ended = [infos[i] for i in finished]
        self._update_info_buffer(ended, np.ones(len(ended), dtype=bool))
        cut = [
            i
            for i, info in zip(finished, ended, strict=True)
            if info.get("TimeLimit.truncated", False)
            and info.get("terminal_observation") is not None
        ]
        if cut:
            terminal = np.stack([infos[i]["terminal_observation"] for i in cut])
            flat = th.from_numpy(terminal.astype(np.float32, copy=False)).view(len(cut), -1)
            rewards[cut] += np.float32(self.gamma) * network.values(flat).numpy()

    def begin_update(self) -> tuple[ActorCritic, FlatOptimiser, SharedRolloutBuffer] | None:
        """What the fast update works on, brought up to date; None where stock code must run.

        Returns:
            Network, optimiser and buffer, or None.
        """
        network, optimiser, buffer = self._network, self._optimiser, self.rollout_buffer
        if network is None or optimiser is None or not isinstance(buffer, SharedRolloutBuffer):
            return None
        self.policy.set_training_mode(True)
        network.adopt()
        optimiser.adopt()
        self._update_learning_rate(self.policy.optimizer)
        return network, optimiser, buffer
