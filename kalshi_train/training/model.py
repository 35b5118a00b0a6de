"""The model of a run: which class, and with which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import LinearSchedule

from kalshi_train.learner.algorithms import FastA2C, FastPPO

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

    from kalshi_sim.vec_env import KalshiVecEnv
    from kalshi_train.config import TrainConfig

_ALGORITHMS: Final[dict[tuple[str, bool], type[OnPolicyAlgorithm]]] = {
    ("ppo", False): FastPPO,
    ("a2c", False): FastA2C,
    ("ppo", True): PPO,
    ("a2c", True): A2C,
}
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
)


def make_model(config: TrainConfig, env: KalshiVecEnv) -> OnPolicyAlgorithm:
    """A new model with the settings of a resolved configuration.

    Args:
        config: resolved, so that no setting is open.
        env: what it trains on.
    """
    learner = config.learner
    rate = learner.learning_rate
    assert rate is not None
    settings = {k: getattr(learner, k) for k in HYPERPARAMETERS}
    if learner.algorithm == "a2c":
        # Adam instead of RMSprop, whose first steps are ten times as long: see docs/training.md.
        settings["use_rms_prop"] = False
    if learner.mask:
        settings["mask"] = True
    return _ALGORITHMS[learner.algorithm, learner.stock_sb3](
        "MlpPolicy",
        env,
        learning_rate=LinearSchedule(rate, 0.0, 1.0) if learner.lr_schedule == "linear" else rate,
        policy_kwargs={"net_arch": list(learner.net_arch)},
        seed=config.seed,
        device=learner.device,
        **{k: v for k, v in settings.items() if v is not None},
    )
