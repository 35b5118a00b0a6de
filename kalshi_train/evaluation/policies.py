"""What is evaluated: built-in baselines, models of Stable-Baselines3, and plain functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.own import OwnFeatures
from kalshi_sim.spaces import check_actions_of, history_of_space, table_of_space
from kalshi_sim.tape import MarketSessionView
from kalshi_train.evaluation import kernels
from kalshi_train.evaluation.contrib import Begin, Choose, chooser_of
from kalshi_train.learner.normalization import Normalizer
from kalshi_train.models import load_model

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

Act = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
"""Maps observations float32 [n, history * 52] to actions [n]."""

MAX_WIDTH: Final = 4096
"""Widest layer of a network that is played compiled."""


@dataclass(frozen=True, eq=False)
class Policy:
    """Something that chooses actions, and how the simulator is set up for it."""

    name: str
    description: str
    act: Act | None = None
    """A function of the observations."""
    begin: Begin | None = None
    """Makes what chooses the actions of episodes, for models with masks or a memory."""
    shape: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    """`kernels.Decider.shape`."""
    weights: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the simulation that make the policy what it is."""
    model: BaseAlgorithm | None = None
    features: OwnFeatures | None = None
    """Features of one's own that it sees after the 52."""
    history: int | None = None
    """Rows that its observations show; None: as many as the configuration says."""

    @property
    def is_compiled(self) -> bool:
        """Whether the policy is played without asking Python."""
        return self.act is None and self.begin is None

    def chooser(self, views: Sequence[MarketSessionView]) -> Choose:
        """What chooses the actions of episodes that start together; of no compiled policy.

        Args:
            views: what each of them plays.
        """
        if self.begin is not None:
            return self.begin(views)
        act = self.act
        assert act is not None, "a compiled policy is not asked"
        return lambda episodes, observations, masks: act(observations)

    def config(self, config: SimConfig) -> SimConfig:
        """`config` with the settings this policy needs, its history among them.

        Raises:
            ConfigError: it is a model of another action table.
        """
        used = replace(config, **self.settings)
        if self.history is not None:
            used = replace(used, history=self.history)
        if self.model is not None:
            check_actions_of(self.name, self.model.action_space, used)
        return used

    def decider(self, view: MarketSessionView, seed: int, n_actions: int) -> kernels.Decider:
        """What the compiled episode asks for actions on a market.

        Args:
            view: the market.
            seed: of random actions.
            n_actions: how many rows the action table has.
        """
        widths = self.shape[kernels.SHAPE_WIDTHS :]
        return kernels.Decider(
            shape=self.shape,
            weights=self.weights,
            scratch=np.zeros((2, int(max(widths, default=1))), np.float32),
            script=_random_actions(view, seed, n_actions)
            if self.shape[kernels.SHAPE_KIND] == kernels.RANDOM
            else np.zeros(0, np.int8),
            valid=np.ones(n_actions, np.bool_),
        )


def _random_actions(view: MarketSessionView, seed: int, n_actions: int) -> npt.NDArray[np.int8]:
    """Actions [rows] of the random baseline: of the market alone, whatever else is evaluated."""
    text = f"{seed}\n{view.session_id}\n{view.market_ticker}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.Philox(key=key))
    return rng.integers(0, n_actions, size=len(view), dtype=np.int8)


def _baseline(name: str, description: str, kind: int, **settings: Any) -> Policy:
    """A built-in policy; one that names actions brings the table that they are of."""
    return Policy(name, description, shape=np.array([kind], np.int64), settings=settings, history=1)


BASELINES: Final[dict[str, Policy]] = {
    p.name: p
    for p in (
        _baseline("hold", "never trades", kernels.ALWAYS_HOLD),
        _baseline("random", "one of the table's actions, all as probable", kernels.RANDOM),
        _baseline("always-buy", "buys YES whenever it can", kernels.ALWAYS_BUY, actions="five"),
        _baseline(
            "join-both-sides",
            "quotes at the best price of both sides, five orders' worth of inventory at most",
            kernels.JOIN_BOTH,
            actions="five",
            pricing="join",
            time_in_force="gtc",
        ),
        _baseline(
            "join-and-cancel",
            "join-both-sides that cancels where the book leans three to one against its order",
            kernels.JOIN_AND_CANCEL,
            actions="maker",
            time_in_force="gtc",
        ),
        _baseline(
            "skew-inventory",
            "quotes around a price that its inventory moves off the mid (Avellaneda and Stoikov)",
            kernels.SKEW_INVENTORY,
            actions="maker",
            time_in_force="gtc",
        ),
        _baseline(
            "skew-forecast",
            "skew-inventory that follows the microprice and the order flow of 10 s too",
            kernels.SKEW_FORECAST,
            actions="maker",
            time_in_force="gtc",
        ),
        _baseline(
            "momentum",
            "one order's worth on the side the mid moved to by 2 cents in 60 s",
            kernels.MOMENTUM,
            actions="five",
        ),
        _baseline(
            "imbalance",
            "one order's worth on the side with three times the depth within 5 cents",
            kernels.IMBALANCE,
            actions="five",
        ),
    )
}
"""Built-in policies by name, in the order they are shown."""


def baselines(names: Sequence[str]) -> list[Policy]:
    """Built-in policies by name; "all" stands for all, "none" for none.

    Raises:
        ConfigError: there is no such baseline.
    """
    chosen: dict[str, Policy] = {}
    for name in names:
        if name == "all":
            chosen |= BASELINES
        elif name in BASELINES:
            chosen[name] = BASELINES[name]
        elif name != "none":
            raise ConfigError(
                f"baselines={name}: no such baseline; allowed are all, none, {', '.join(BASELINES)}"
            )
    return list(chosen.values())


def policy_from_function(name: str, act: Act, features: OwnFeatures | None = None) -> Policy:
    """A policy of a user's own function.

    Args:
        name: shown in tables.
        act: gives actions [n] for observations float32 [n, history * (52 + own features)].
        features: own features that it sees, as `KalshiVecEnv` takes them.
    """
    return Policy(name, "a function of the observation", act=act, features=features)


def policy_from_model(
    model: BaseAlgorithm, name: str, features: OwnFeatures | None = None
) -> Policy:
    """A policy that takes a model's most probable actions.

    Small actor networks of `MlpPolicy` are played compiled; everything else is asked in batches.
    sb3-contrib's MaskablePPO is given the action masks, RecurrentPPO its memory of the episode. A
    model that was trained in `VecNormalize` sees observations scaled as its training has left off,
    one with `history` (or in SB3's `VecFrameStack`, which is the same) as many rows as there.

    Args:
        model: of stable-baselines3 or sb3-contrib.
        name: shown in tables.
        features: own features it was trained with, as `KalshiVecEnv` took them.

    Returns:
        The policy; it holds the model, and does not copy it.

    Raises:
        ConfigError: the model sees or does something else than this simulation offers.
    """
    observation = getattr(model.observation_space, "shape", None)
    width = N_FEATURES + (0 if features is None else len(features))
    history = history_of_space(model.observation_space, features)
    if history is None or table_of_space(model.action_space) is None:
        actions = getattr(model.action_space, "n", None)
        raise ConfigError(
            f"{name}: the model sees observations of shape {observation} and chooses from "
            f"{actions} actions; the simulation has ({width},), times the history, and those of an "
            "action table. With "
            "features of your own give policy_from_model(model, name, features=own)"
        )
    text = f"{type(model).__name__}, most probable action"
    policy = Policy(name, text, model=model, features=features, history=history)
    normalizer = Normalizer.of_model(model)
    begin = chooser_of(model)
    masked = getattr(model, "mask", False) is True  # by us, which is played compiled too
    plain = features is None and normalizer is None and (begin is None or masked)
    network = _compiled_network(model) if plain else None
    if network is not None:
        shape, weights = network
        return replace(policy, shape=shape, weights=weights)
    if begin is not None:
        return replace(
            policy, begin=begin if normalizer is None else _scaled_begin(begin, normalizer)
        )
    act = deterministic(model)
    return replace(policy, act=act if normalizer is None else _scaled(act, normalizer))


def _scaled(act: Act, normalizer: Normalizer) -> Act:
    return lambda observations: act(normalizer(observations))


def _scaled_begin(begin: Begin, normalizer: Normalizer) -> Begin:
    def scaled(views: Sequence[MarketSessionView]) -> Choose:
        choose = begin(views)
        return lambda episodes, seen, masks: choose(episodes, normalizer(seen), masks)

    return scaled


def deterministic(model: BaseAlgorithm) -> Act:
    """The model's most probable actions, without touching any random state."""
    import torch

    policy = model.policy

    def act(obs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        with torch.no_grad():
            actions = policy._predict(torch.as_tensor(obs, device=model.device), deterministic=True)
        return actions.cpu().numpy()

    policy.set_training_mode(False)
    return act


def _compiled_network(
    model: BaseAlgorithm,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """An actor as `Decider.shape` and `weights`; None if it is not a plain network."""
    import torch
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor

    policy = model.policy
    if type(policy) is not ActorCriticPolicy:
        return None
    plain = isinstance(policy.features_extractor, FlattenExtractor)
    if not plain or type(policy.mlp_extractor) is not MlpExtractor:
        return None
    if policy.activation_fn not in (torch.nn.Tanh, torch.nn.ReLU):
        return None
    layers = [m for m in policy.mlp_extractor.policy_net if isinstance(m, torch.nn.Linear)]
    head = policy.action_net
    if not isinstance(head, torch.nn.Linear):
        return None
    layers.append(head)
    parts, widths = [], [layers[0].in_features]
    for layer in layers:
        parts += [layer.weight.detach().cpu().numpy().T.ravel(), layer.bias.detach().cpu().numpy()]
        widths.append(layer.out_features)
    if max(widths) > MAX_WIDTH:
        return None
    relu = int(policy.activation_fn is torch.nn.ReLU)
    kind = kernels.MASKED_NETWORK if getattr(model, "mask", False) is True else kernels.NETWORK
    shape = np.array([kind, len(layers), relu, *widths], np.int64)
    return shape, np.concatenate(parts).astype(np.float32)


def policies_of(model: Any) -> list[Policy]:
    """What a caller wants evaluated, as policies with names of their own.

    Args:
        model: a Stable-Baselines3 model, the path of a saved one, a function of observations
            float32 [n, 52] that gives actions [n], a `Policy`, the name of a baseline, a sequence
            or mapping by name of these, or None.

    Raises:
        ConfigError: it is none of these, or two have the same name.
    """
    if model is None:
        return []
    if isinstance(model, Mapping):
        return [_policy(value, str(name)) for name, value in model.items()]
    if isinstance(model, (list, tuple)):
        given = [_policy(value, None) for value in model]
    else:
        given = [_policy(model, None)]
    names = [p.name for p in given]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"two policies are named {name}; give a mapping of names to models instead"
            )
    return given


def _policy(value: Any, name: str | None) -> Policy:
    if isinstance(value, Policy):
        return value if name is None else replace(value, name=name)
    if isinstance(value, str) and value in BASELINES:
        return BASELINES[value]
    if isinstance(value, (str, Path)):
        return policy_from_model(load_model(Path(value)), name or Path(value).stem)
    if hasattr(value, "policy") and hasattr(value, "observation_space"):
        return policy_from_model(value, name or type(value).__name__)
    if callable(value):
        return policy_from_function(name or str(getattr(value, "__name__", "function")), value)
    raise ConfigError(
        f"cannot evaluate {value!r}; give a model, the path of one, a function, or a baseline: "
        + ", ".join(BASELINES)
    )
