"""Where a run's environments and network are: on a processor or on a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kalshi_sim.cuda.target import chosen_device
from kalshi_sim.cuda.torch_env import torch_device
from kalshi_sim.errors import ConfigError

if TYPE_CHECKING:
    from kalshi_train.config import TrainConfig
    from kalshi_train.learner.config import LearnerConfig


def stays_on_card(learner: LearnerConfig) -> bool:
    """Whether environments and learning are on the card; else it has the network at most.

    Args:
        learner: with the device that was chosen.
    """
    own = learner.algorithm in ("ppo", "a2c") and not learner.stock_sb3
    return own and learner.device == "cuda"


def with_device(config: TrainConfig) -> TrainConfig:
    """The same with the device that a run here uses in place of auto.

    Args:
        config: of a run.

    Returns:
        The settings, whose device is cpu or cuda.

    Raises:
        ConfigError: it asks for a card, and there is none that can be used.
    """
    learner = config.learner
    if learner.device == "cpu":
        return config
    if config.learners > 1:
        return config.changed(device="cpu")
    if stays_on_card(learner) or stays_on_card(config.changed(device="cuda").learner):
        device = chosen_device(learner.device)
        if device == "cuda" and learner.device == "cuda":
            torch_device(device)
        elif device == "cuda" and not _torch_agrees():
            device = "cpu"
    else:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if learner.device == "cuda" and device == "cpu":
            raise ConfigError(
                f"device cuda: torch {torch.__version__} sees no card, and the network of "
                f"{learner.algorithm} would be there; use device cpu, or install a torch built for "
                "CUDA"
            )
    return config.changed(device=device)


def _torch_agrees() -> bool:
    try:
        torch_device("cuda")
    except ConfigError:
        return False
    return True
