"""Models whose actions are drawn, as training draws them, and how sure they were of them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.tape import MarketSessionView
from kalshi_train.evaluation.policies import Policy
from kalshi_train.learner.normalization import Normalizer

Float64Array = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Probabilities = Callable[[Int64Array, Float32Array, BoolArray], Float64Array]
"""Maps numbers of episodes [k], their observations float32 [k, history * 52] and action masks bool
[k, n] to probabilities float64 [k, n]."""


class Drawn:
    """A policy whose actions are drawn, the same ones for the same seed and market.

    What it saw on the way is kept: how sure the model was, and which actions were valid.
    """

    def __init__(self, policy: Policy, seed: int) -> None:
        """Draw nothing yet.

        Args:
            policy: of a model that `can_be_drawn`.
            seed: of the draws.
        """
        self.policy = replace(policy, act=None, begin=self._begin)
        self.valid: dict[tuple[int, str], BoolArray] = {}
        """By session and market: bool [rows], whether the action drawn there was valid."""
        self.rows = 0
        """At which an action was drawn."""
        self.entropy = 0.0
        """Sum over these rows, in nats."""
        self.masked = 0.0
        """Sum over these rows of the share of actions that were invalid."""
        self._model, self._seed = policy.model, seed

    def _begin(self, views: Sequence[MarketSessionView]) -> Callable[..., Int64Array]:
        probabilities = _probabilities(self._model, len(views))
        dice = [_uniform(view, self._seed) for view in views]
        kept = [np.zeros(len(view), np.bool_) for view in views]
        self.valid |= {(v.session_id, v.market_ticker): k for v, k in zip(views, kept, strict=True)}
        steps = np.zeros(len(views), np.int64)

        def choose(episodes: Int64Array, seen: Float32Array, masks: BoolArray) -> Int64Array:
            shares = probabilities(episodes, seen, masks)
            summed = np.cumsum(shares, axis=1)
            at = steps[episodes]
            drawn = np.array([dice[e][t] for e, t in zip(episodes, at, strict=True)])
            actions: Int64Array = (summed <= (drawn * summed[:, -1])[:, None]).sum(axis=1)
            valid = masks[np.arange(len(episodes)), actions]
            for e, t, ok in zip(episodes.tolist(), at.tolist(), valid.tolist(), strict=True):
                kept[e][t] = ok
            steps[episodes] += 1
            self.rows += len(episodes)
            logs = np.log(np.where(shares > 0, shares, 1.0))
            self.entropy -= float((shares * logs).sum())
            self.masked += float((~masks).mean(axis=1).sum())
            return actions

        return choose


def can_be_drawn(policy: Policy) -> bool:
    """Whether a policy is a model that gives probabilities of its actions."""
    from stable_baselines3.common.policies import ActorCriticPolicy

    return policy.model is not None and isinstance(policy.model.policy, ActorCriticPolicy)


def _uniform(view: MarketSessionView, seed: int) -> Float64Array:
    """Numbers in [0, 1) [rows]: of the market alone, whatever else is played."""
    text = f"drawn actions\n{seed}\n{view.session_id}\n{view.market_ticker}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(len(view))


def _probabilities(model: Any, n: int) -> Probabilities:
    """What gives the probabilities of a model's actions in n episodes that start together."""
    import torch

    policy, normalizer = model.policy, Normalizer.of_model(model)
    policy.set_training_mode(False)
    distributions = _distributions(model, n)

    def probabilities(episodes: Int64Array, seen: Float32Array, masks: BoolArray) -> Float64Array:
        scaled = seen if normalizer is None else normalizer(seen)
        with torch.no_grad():
            shares = distributions(episodes, torch.as_tensor(scaled, device=model.device), masks)
        given: Float64Array = shares.cpu().numpy().astype(np.float64)
        return given

    return probabilities


def _distributions(model: Any, n: int) -> Callable[[Int64Array, Any, BoolArray], Any]:
    policy = model.policy
    if getattr(model, "mask", False) is True:
        from kalshi_train.learner.masking import masked_distribution

        return lambda episodes, seen, masks: masked_distribution(policy, seen, masks).probs
    contrib = sys.modules.get("sb3_contrib")
    if contrib is not None and isinstance(model, contrib.MaskablePPO):
        return lambda episodes, seen, masks: (
            policy.get_distribution(seen, action_masks=masks).distribution.probs
        )
    if contrib is not None and isinstance(model, contrib.RecurrentPPO):
        return _remembering(model, n)
    return lambda episodes, seen, masks: policy.get_distribution(seen).distribution.probs


def _remembering(model: Any, n: int) -> Callable[[Int64Array, Any, BoolArray], Any]:
    import torch

    layers, _, width = model.policy.lstm_hidden_state_shape
    memory = [torch.zeros(layers, n, width, device=model.device) for _ in range(2)]

    def distribution(episodes: Int64Array, seen: Any, masks: BoolArray) -> Any:
        index = torch.as_tensor(episodes, device=model.device)
        given, after = model.policy.get_distribution(
            seen,
            lstm_states=(memory[0][:, index], memory[1][:, index]),
            episode_starts=torch.zeros(len(episodes), device=model.device),
        )
        for kept, new in zip(memory, after, strict=True):
            kept[:, index] = new
        return given.distribution.probs

    return distribution
