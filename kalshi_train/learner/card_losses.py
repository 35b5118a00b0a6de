"""The policy and the losses of PPO and A2C in torch, operation by operation as stock ones.

Nothing here waits for the card. On equal rows in equal order the results are those of
stable-baselines3 bit for bit, on the same device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch as th
from torch.nn import functional

from kalshi_train.learner.losses import INVALID

# Places in the figures of a minibatch.
POLICY, VALUE, ENTROPY, KL, CLIPPED, LOSS, N_FIGURES = range(7)


class Rows(NamedTuple):
    """Rows of a rollout that are learned from together."""

    observations: th.Tensor
    """float32 [n, features]"""
    actions: th.Tensor
    """int64 [n]"""
    log_probs: th.Tensor
    """float32 [n] when they were taken"""
    values: th.Tensor
    """float32 [n] likewise"""
    advantages: th.Tensor
    """float32 [n]"""
    returns: th.Tensor
    """float32 [n]"""
    masks: th.Tensor | None
    """bool [n, actions] which were valid; None: all"""


class Weights(NamedTuple):
    """The settings of a loss."""

    normalize: bool
    """Whether advantages are normalised."""
    ent_coef: Any
    """A number, or a tensor of one; as those below."""
    vf_coef: Any
    clip_range: Any = 0.0
    clip_range_vf: Any = None

    def as_tensors(self, device: th.device) -> Weights:
        """The same with tensors for the numbers, of which compiled code does not depend.

        Args:
            device: where they are put.
        """
        made: dict[str, Any] = {
            name: th.tensor(value, dtype=th.float32, device=device)
            for name, value in self._asdict().items()
            if name != "normalize" and value is not None
        }
        return self._replace(**made)


def logits_and_values(
    policy: Any, observations: th.Tensor, masks: th.Tensor | None
) -> tuple[th.Tensor, th.Tensor]:
    """What actor and critic say of observations.

    Args:
        policy: an `MlpPolicy` of discrete actions.
        observations: float32 [n, features].
        masks: bool [n, actions] which actions are valid; None: all.

    Returns:
        Log-probabilities float32 [n, actions] and values float32 [n].
    """
    actor, critic = policy.mlp_extractor(observations)
    logits = policy.action_net(actor)
    if masks is not None:
        logits = th.where(masks, logits, float(INVALID))
    return logits - logits.logsumexp(-1, keepdim=True), policy.value_net(critic)[:, 0]


def values_of(policy: Any, observations: th.Tensor) -> th.Tensor:
    """The critic's values.

    Args:
        policy: an `MlpPolicy`.
        observations: float32 [n, features].

    Returns:
        float32 [n].
    """
    values: th.Tensor = policy.value_net(policy.mlp_extractor.forward_critic(observations))[:, 0]
    return values


def act(
    policy: Any, observations: th.Tensor, masks: th.Tensor | None
) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """Draw an action for each observation from the generator of torch's device.

    The draw is that of torch's `multinomial`, without its look at the numbers, for which the host
    would wait. An invalid action has probability 0 and is never the largest.

    Args:
        policy: an `MlpPolicy` of discrete actions.
        observations: float32 [n, features].
        masks: bool [n, actions] which actions are valid; None: all.

    Returns:
        Actions int64 [n], the values and the actions' log-probabilities, float32 [n] each.
    """
    logits, values = logits_and_values(policy, observations, masks)
    shares = functional.softmax(logits, dim=-1)
    actions = shares.div(th.empty_like(shares).exponential_()).argmax(dim=-1)
    return actions, values, _chosen(logits, actions)


def _normalized(advantages: th.Tensor) -> th.Tensor:
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _entropy(logits: th.Tensor) -> th.Tensor:
    finite = th.clamp(logits, min=th.finfo(logits.dtype).min)  # before the other: autograd adds up
    return -(finite * functional.softmax(logits, dim=-1)).sum(-1)


def _chosen(logits: th.Tensor, actions: th.Tensor) -> th.Tensor:
    """The log-probabilities of the actions that were taken, float32 [n]."""
    return logits.gather(-1, actions[:, None])[:, 0]


def _together(
    policy_loss: th.Tensor, logits: th.Tensor, values: th.Tensor, rows: Rows, weights: Weights
) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """The loss of all parts, the values' alone, and the entropy."""
    value_loss = functional.mse_loss(rows.returns, values)
    entropy_loss = -th.mean(_entropy(logits))
    loss = policy_loss + weights.ent_coef * entropy_loss + weights.vf_coef * value_loss
    return loss, value_loss, -entropy_loss


def ppo_loss(policy: Any, rows: Rows, weights: Weights) -> tuple[th.Tensor, th.Tensor]:
    """PPO's loss.

    Args:
        policy: an `MlpPolicy` of discrete actions.
        rows: of a minibatch.
        weights: the settings.

    Returns:
        The loss, and what is logged of it, float32 [N_FIGURES].
    """
    logits, values = logits_and_values(policy, rows.observations, rows.masks)
    log_probs = _chosen(logits, rows.actions)
    advantages = rows.advantages
    if weights.normalize and len(advantages) > 1:
        advantages = _normalized(advantages)
    log_ratio = log_probs - rows.log_probs
    ratio = th.exp(log_ratio)
    clip, held = weights.clip_range, weights.clip_range_vf
    free, bounded = advantages * ratio, advantages * th.clamp(ratio, 1 - clip, 1 + clip)
    policy_loss = -th.min(free, bounded).mean()
    if held is not None:
        values = rows.values + th.clamp(values - rows.values, -held, held)
    loss, value_loss, entropy = _together(policy_loss, logits, values, rows, weights)
    with th.no_grad():
        kl = th.mean((ratio - 1) - log_ratio)
        clipped = th.mean((th.abs(ratio - 1) > clip).float())
        figures = th.stack([policy_loss, value_loss, entropy, kl, clipped, loss])
    return loss, figures


def a2c_loss(policy: Any, rows: Rows, weights: Weights) -> tuple[th.Tensor, th.Tensor]:
    """A2C's loss.

    Args:
        policy: an `MlpPolicy` of discrete actions.
        rows: of the rollout.
        weights: the settings.

    Returns:
        The loss, and what is logged of it, float32 [N_FIGURES].
    """
    logits, values = logits_and_values(policy, rows.observations, rows.masks)
    log_probs = _chosen(logits, rows.actions)
    advantages = _normalized(rows.advantages) if weights.normalize else rows.advantages
    policy_loss = -(advantages * log_probs).mean()
    loss, value_loss, entropy = _together(policy_loss, logits, values, rows, weights)
    with th.no_grad():
        none = th.zeros_like(loss)
        figures = th.stack([policy_loss, value_loss, entropy, none, none, loss])
    return loss, figures
