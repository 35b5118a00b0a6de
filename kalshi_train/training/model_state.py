"""What a model remembers between rollouts besides its weights: memory and normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from kalshi_train.learner.normalization import Normalizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stable_baselines3.common.base_class import BaseAlgorithm


def model_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Arrays by name, nested, that `restore_model_state` puts back.

    Args:
        model: between two rollouts.
    """
    state: dict[str, Any] = {"n_calls": getattr(model, "_n_calls", 0)}
    normalizer = Normalizer.of_model(model)
    if normalizer is not None:
        state["normalization"] = normalizer.arrays()
        state["last_original_obs"] = model._last_original_obs
    memory: Any = getattr(model, "_last_lstm_states", None)
    if memory is not None:
        state["memory"] = {
            network: {str(i): part.cpu().numpy() for i, part in enumerate(parts)}
            for network, parts in (("pi", memory.pi), ("vf", memory.vf))
        }
    return state


def restore_model_state(
    model: BaseAlgorithm, state: Mapping[str, Any], *, same_episodes: bool
) -> None:
    """Put back what `model_state` gave.

    Args:
        model: just made; changed.
        state: of the checkpoint.
        same_episodes: the environments go on with the same episodes, so memories do too.
    """
    if hasattr(model, "_n_calls"):
        model._n_calls = int(state["n_calls"])
    env = model.get_vec_normalize_env()
    if env is not None:
        Normalizer.from_arrays(state["normalization"]).put_into(env)
    if not same_episodes:
        return
    if env is not None:
        model._last_original_obs = state["last_original_obs"]
    if "memory" in state:
        from sb3_contrib.common.recurrent.type_aliases import RNNStates

        pi, vf = (
            tuple(torch.as_tensor(state["memory"][n][i], device=model.device) for i in ("0", "1"))
            for n in ("pi", "vf")
        )
        model._last_lstm_states = RNNStates(pi, vf)  # type: ignore[attr-defined]  # RecurrentPPO
