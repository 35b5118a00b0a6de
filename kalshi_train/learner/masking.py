"""Invalid actions have probability zero: what PPO and A2C of this package share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from kalshi_train.learner import losses


def masked_distribution(policy: Any, seen: Any, masks: losses.Mask) -> Any:
    """The distribution of valid actions that a policy gives for observations.

    Args:
        policy: an actor-critic of discrete actions.
        seen: float32 [n, features] observations.
        masks: bool [n, actions] (or [actions]) which actions are valid.

    Returns:
        A torch `Categorical` over [n, actions].
    """
    logits = policy.get_distribution(seen).distribution.logits
    valid = th.as_tensor(np.asarray(masks, bool), device=logits.device).view(logits.shape)
    return th.distributions.Categorical(logits=th.where(valid, logits, float(losses.INVALID)))


class Masking(OnPolicyAlgorithm):
    """An on-policy algorithm that can leave out actions that are invalid."""

    mask = False
    """Whether invalid actions have probability zero."""

    def __init__(self, *args: Any, mask: bool = False, **kwargs: Any) -> None:
        """As the stock class.

        Args:
            mask: give invalid actions probability zero; the environment says which are valid by
                `action_masks()`.

        Raises:
            ConfigError: masks are asked for where stock code would run, which has none.
        """
        self.mask = mask
        super().__init__(*args, **kwargs)

    def _make_rollout_buffer(self, kind: Any) -> None:
        """Keep rollouts in a buffer of class `kind`, and their masks if there are any."""
        buffer: Any = kind(
            self.n_steps,
            self.observation_space,
            self.action_space,
            device=self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
        )
        if self.mask:
            buffer.keep_masks()
        self.rollout_buffer = buffer

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: losses.Mask | None = None,
    ) -> tuple[Any, Any]:
        """The actions for observations, as the stock method gives them.

        Args:
            observation: float32 [n, features], or [features].
            state: unused, there is no memory.
            episode_start: likewise.
            deterministic: the most probable actions, not drawn ones.
            action_masks: bool [n, actions] (or [actions]) which actions are valid; looked at
                only by a model with `mask=True`.

        Returns:
            Actions int64 [n] (or one), and None.
        """
        if not self.mask or action_masks is None:
            return super().predict(observation, state, episode_start, deterministic)
        self.policy.set_training_mode(False)
        seen, vectorized = self.policy.obs_to_tensor(observation)
        with th.no_grad():
            distribution = masked_distribution(self.policy, seen, action_masks)
            chosen = distribution.probs.argmax(1) if deterministic else distribution.sample()
        actions = chosen.cpu().numpy()
        return (actions if vectorized else actions[0]), None
