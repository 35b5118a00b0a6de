"""Saved models: zip files as Stable-Baselines3 writes them, read with clear errors."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kalshi_sim.errors import ConfigError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


@contextmanager
def open_model(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip of a saved model, all of whose members were read and found undamaged.

    Errors of reading it inside the block are told as those of a damaged file.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is no model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
            if bad is not None:
                raise ConfigError(f"{path} is damaged at {bad}; use an earlier checkpoint")
            if "policy.pth" not in archive.namelist():
                raise ConfigError(f"{path} is no model of Stable-Baselines3")
            yield archive
    except OSError as error:
        raise ConfigError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is no whole checkpoint: {error}") from error


def model_data(path: Path) -> dict[str, Any]:
    """The attributes of a saved model, by name.

    Raises:
        ConfigError: they cannot be read.
    """
    from stable_baselines3.common.save_util import load_from_zip_file

    try:
        with path.open("rb") as file:
            data, _, _ = load_from_zip_file(file, device="cpu")
    except Exception as error:  # a pickle of another version can raise anything
        raise ConfigError(f"{path} cannot be read as a model: {error}") from error
    return data or {}


def algorithm_of(data: Mapping[str, Any]) -> str:
    """The algorithm a saved model belongs to, told by its attributes."""
    if "clip_range" in data:
        return "ppo"
    if "n_steps" in data and "normalize_advantage" in data:
        return "a2c"
    return "another algorithm"


def load_model(path: Path) -> BaseAlgorithm:
    """A model saved by Stable-Baselines3 or `kalshi-train`.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is no PPO, A2C or DQN model.
    """
    from stable_baselines3 import A2C, DQN, PPO

    if not path.exists() and path.with_suffix(".zip").exists():
        path = path.with_suffix(".zip")
    with open_model(path):
        pass  # it is whole
    data = model_data(path)
    kinds: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C}
    kind = kinds.get(algorithm_of(data), DQN if "exploration_rate" in data else None)
    if kind is None:
        raise ConfigError(f"{path}: a model of {algorithm_of(data)}; PPO, A2C and DQN can be read")
    try:
        return kind.load(path, device="cpu")
    except Exception as error:  # a pickle of another version can raise anything
        raise ConfigError(f"{path} cannot be read as a model: {error}") from error
