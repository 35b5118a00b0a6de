"""Environments on stored sessions, and the order in which their markets come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_train.environments.sessions import (
        CurriculumEnvironmentFactory,
        SB3TrainingConfig,
        SessionBasedEnvironment,
        create_env_config,
        create_training_config,
    )

__all__ = [
    "CurriculumEnvironmentFactory",
    "SB3TrainingConfig",
    "SessionBasedEnvironment",
    "create_env_config",
    "create_training_config",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from kalshi_train.environments import sessions

        return getattr(sessions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
