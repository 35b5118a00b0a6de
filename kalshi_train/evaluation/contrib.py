"""Models of sb3-contrib: MaskablePPO sees which actions are valid, RecurrentPPO remembers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.tape import MarketSessionView

Choose = Callable[
    [npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]], npt.NDArray[Any]
]
"""Maps numbers of episodes [k], their observations float32 [k, history * 52] and action masks bool
[k, n] to actions [k]."""
Begin = Callable[[Sequence[MarketSessionView]], Choose]
"""Makes what chooses the actions of episodes that start together, on these views."""


def chooser_of(model: Any) -> Begin | None:
    """Makes what chooses a model's most probable actions in episodes that start together.

    None if the model takes neither masks nor a memory.
    """
    if getattr(model, "mask", False) is True:  # of FastPPO and FastA2C
        return lambda views: _masked_by_us(model)
    contrib = sys.modules.get("sb3_contrib")
    if contrib is None:  # then nobody can have made a model of it
        return None
    if isinstance(model, contrib.MaskablePPO):
        return lambda views: _masked(model)
    if isinstance(model, contrib.RecurrentPPO):
        return lambda views: _remembering(model, len(views))
    return None


def _masked_by_us(model: Any) -> Choose:
    from kalshi_train.learner.masking import masked_distribution

    return _choosing(
        model, lambda seen, masks: masked_distribution(model.policy, seen, masks).probs.argmax(1)
    )


def _masked(model: Any) -> Choose:
    return _choosing(
        model,
        lambda seen, masks: model.policy._predict(seen, deterministic=True, action_masks=masks),
    )


def _choosing(model: Any, most_probable: Callable[[Any, npt.NDArray[np.bool_]], Any]) -> Choose:
    """The most probable valid action, by a function of observations and masks."""
    import torch

    model.policy.set_training_mode(False)

    def choose(
        episodes: npt.NDArray[np.int64],
        observations: npt.NDArray[np.float32],
        masks: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        with torch.no_grad():
            seen = torch.as_tensor(observations, device=model.device)
            chosen = most_probable(seen, masks)
        actions: npt.NDArray[np.int64] = chosen.cpu().numpy()
        return actions

    return choose


def _remembering(model: Any, n: int) -> Choose:
    """With the memory of each of n episodes, empty as they start."""
    import torch

    policy = model.policy
    policy.set_training_mode(False)
    layers, _, width = policy.lstm_hidden_state_shape
    memory = [torch.zeros(layers, n, width, device=model.device) for _ in range(2)]

    def choose(
        episodes: npt.NDArray[np.int64],
        observations: npt.NDArray[np.float32],
        masks: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        index = torch.as_tensor(episodes, device=model.device)
        with torch.no_grad():
            chosen, after = policy._predict(
                torch.as_tensor(observations, device=model.device),
                lstm_states=(memory[0][:, index], memory[1][:, index]),
                episode_starts=torch.zeros(len(episodes), device=model.device),
                deterministic=True,
            )
        for kept, new in zip(memory, after, strict=True):
            kept[:, index] = new
        actions: npt.NDArray[np.int64] = chosen.cpu().numpy()
        return actions

    return choose
