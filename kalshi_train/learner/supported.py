"""Which models the learners of this package can take over from stock code."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor


def unsupported(model: Any) -> str | None:
    """Why the rollouts or the policy of a model are none for a learner here, or None if they are.

    Args:
        model: a PPO or A2C that is set up.
    """
    policy, seen = model.policy, model.observation_space
    if model.rollout_buffer_class is not RolloutBuffer or model.rollout_buffer_kwargs:
        return "a rollout buffer of its own was asked for"
    if not isinstance(seen, spaces.Box) or seen.dtype != np.float32:
        return "observations are not a Box of float32"
    if type(policy) is not ActorCriticPolicy:
        return f"the policy is a {type(policy).__name__}, not an MlpPolicy"
    if policy.use_sde or not isinstance(policy.action_dist, CategoricalDistribution):
        return "the actions are not discrete"
    if not isinstance(policy.features_extractor, FlattenExtractor):
        return f"features come from a {type(policy.features_extractor).__name__}"
    return None
