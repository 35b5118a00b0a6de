"""Training and evaluation of agents on recorded Kalshi order books.

Names are imported when first used, so that `import kalshi_train` and `--help` are quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_sim.gym_env import MarketAgnosticKalshiEnv
    from kalshi_sim.tape import MarketSessionView
    from kalshi_train.config import TrainConfig
    from kalshi_train.data.loader import SessionDataLoader
    from kalshi_train.environments.curriculum import SimpleSessionCurriculum
    from kalshi_train.environments.factory import CurriculumEnvironmentFactory
    from kalshi_train.environments.sessions import SessionBasedEnvironment
    from kalshi_train.environments.settings import (
        SB3TrainingConfig,
        create_env_config,
        create_training_config,
    )
    from kalshi_train.evaluation import Evaluation, evaluate
    from kalshi_train.learner.algorithms import FastA2C, FastPPO
    from kalshi_train.learner.config import LearnerConfig
    from kalshi_train.training.result import TrainResult
    from kalshi_train.training.run import train

_HOME = {
    "CurriculumEnvironmentFactory": "kalshi_train.environments.factory",
    "Evaluation": "kalshi_train.evaluation",
    "FastA2C": "kalshi_train.learner.algorithms",
    "FastPPO": "kalshi_train.learner.algorithms",
    "LearnerConfig": "kalshi_train.learner.config",
    "MarketAgnosticKalshiEnv": "kalshi_sim.gym_env",
    "MarketSessionView": "kalshi_sim.tape",
    "SB3TrainingConfig": "kalshi_train.environments.settings",
    "SessionBasedEnvironment": "kalshi_train.environments.sessions",
    "SessionDataLoader": "kalshi_train.data.loader",
    "SimpleSessionCurriculum": "kalshi_train.environments.curriculum",
    "TrainConfig": "kalshi_train.config",
    "TrainResult": "kalshi_train.training.result",
    "create_env_config": "kalshi_train.environments.settings",
    "create_training_config": "kalshi_train.environments.settings",
    "evaluate": "kalshi_train.evaluation",
    "train": "kalshi_train.training.run",
}

__all__ = [
    "CurriculumEnvironmentFactory",
    "Evaluation",
    "FastA2C",
    "FastPPO",
    "LearnerConfig",
    "MarketAgnosticKalshiEnv",
    "MarketSessionView",
    "SB3TrainingConfig",
    "SessionBasedEnvironment",
    "SessionDataLoader",
    "SimpleSessionCurriculum",
    "TrainConfig",
    "TrainResult",
    "create_env_config",
    "create_training_config",
    "evaluate",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kalshi_sim.extras import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
