"""The model of a run: which class, with which settings, on which form of the environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

from kalshi_sim.cuda.torch_env import torch_device
from kalshi_sim.extras import import_module
from kalshi_train.learner.algorithms import FastA2C, FastPPO
from kalshi_train.learner.card import CardA2C, CardPPO
from kalshi_train.learner.dqn import ResumableDQN
from kalshi_train.training.place import stays_on_card

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from kalshi_sim.vec_env import KalshiVecEnv
    from kalshi_train.config import TrainConfig

_ALGORITHMS: Final[dict[tuple[str, bool], type[BaseAlgorithm]]] = {
    ("ppo", False): FastPPO,
    ("a2c", False): FastA2C,
    ("ppo", True): PPO,
    ("a2c", True): A2C,
    ("dqn", False): ResumableDQN,
}
_ON_CARD: Final[dict[str, type[BaseAlgorithm]]] = {"ppo": CardPPO, "a2c": CardA2C}
_CONTRIB: Final = {"maskable-ppo": "MaskablePPO", "recurrent-ppo": "RecurrentPPO"}
# The settings that SB3's constructors take under the same names.
HYPERPARAMETERS: Final = (
    "n_steps",
    "batch_size",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "ent_coef",
    "vf_coef",
    "clip_range",
    "max_grad_norm",
    "buffer_size",
    "learning_starts",
    "gradient_steps",
    "target_update_interval",
    "exploration_fraction",
    "exploration_final_eps",
)


def make_model(config: TrainConfig, env: KalshiVecEnv) -> BaseAlgorithm:
    """A new model with the settings of a resolved configuration.

    Args:
        config: resolved, so that no setting is open.
        env: what it trains on; it sees it as `config` says.

    Returns:
        The model, whose `env` is `env` or a wrapper of it.

    Raises:
        MissingExtraError: the algorithm is one of sb3-contrib, which is not installed.
    """
    learner = config.learner
    rate = learner.learning_rate
    assert rate is not None
    settings: dict[str, Any] = {k: getattr(learner, k) for k in HYPERPARAMETERS}
    network: dict[str, Any] = {"net_arch": list(learner.net_arch)}
    if learner.algorithm == "a2c":
        # Adam instead of RMSprop, whose first steps are ten times as long: see docs/training.md.
        settings["use_rms_prop"] = False
    if learner.algorithm == "dqn":
        settings["train_freq"] = settings.pop("n_steps")
    if learner.algorithm == "recurrent-ppo":
        network["lstm_hidden_size"] = learner.lstm_hidden_size
    if learner.mask and learner.algorithm != "maskable-ppo":
        settings["mask"] = True
    kind = _kind(learner.algorithm, stock=learner.stock_sb3)
    device: Any = learner.device
    if stays_on_card(learner):
        kind, device = _ON_CARD[learner.algorithm], torch_device("cuda")
        settings["compiled"] = learner.compiled
    model: BaseAlgorithm = kind(
        "MlpLstmPolicy" if learner.algorithm == "recurrent-ppo" else "MlpPolicy",
        VecNormalize(env, norm_reward=False) if learner.normalize else env,
        learning_rate=LinearSchedule(rate, 0.0, 1.0) if learner.lr_schedule == "linear" else rate,
        policy_kwargs=network,
        seed=config.seed,
        device=device,
        **{k: v for k, v in settings.items() if v is not None},
    )
    return model


def _kind(algorithm: str, *, stock: bool) -> type[Any]:
    if algorithm in _CONTRIB:
        kind: type[Any] = getattr(import_module("sb3_contrib"), _CONTRIB[algorithm])
        return kind
    return _ALGORITHMS[algorithm, stock]
