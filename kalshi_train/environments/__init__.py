"""Environments on stored sessions, and the order in which their markets come."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_train.environments.factory import CurriculumEnvironmentFactory
    from kalshi_train.environments.sessions import SessionBasedEnvironment
    from kalshi_train.environments.settings import (
        SB3TrainingConfig,
        create_env_config,
        create_training_config,
    )

_HOME = {
    "CurriculumEnvironmentFactory": "factory",
    "SB3TrainingConfig": "settings",
    "SessionBasedEnvironment": "sessions",
    "create_env_config": "settings",
    "create_training_config": "settings",
}

__all__ = [
    "CurriculumEnvironmentFactory",
    "SB3TrainingConfig",
    "SessionBasedEnvironment",
    "create_env_config",
    "create_training_config",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
