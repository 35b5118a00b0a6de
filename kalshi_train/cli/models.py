"""Models as the command line names them: a zip, a run's folder, or a function of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed
from kalshi_train.config import TrainConfig

if TYPE_CHECKING:
    from kalshi_train.evaluation.policies import Policy
    from kalshi_train.evaluation.sources import PolicySource

_PYTHON: Final = ".py:"
"""Between a file and the name of a function in it."""


@dataclass(frozen=True)
class NamedModel:
    """A model of the command line, and what its file keeps of its training."""

    name: str
    """As figures name it."""
    path: Path
    """The zip, or the Python file."""
    function: str | None = None
    """Of the Python file; None of a saved model."""
    config: TrainConfig | None = None
    """The settings it was trained with, None if they were not kept."""
    run: dict[str, Any] = field(default_factory=dict)
    """Counters and markets of its run, as a checkpoint keeps them."""

    def policy(self, *, trust: bool = False) -> Policy:
        """What chooses the actions.

        Raises:
            ConfigError: it cannot be loaded, or does not fit this simulation.
        """
        from kalshi_train.evaluation.policies import policy_from_function, policy_from_model
        from kalshi_train.evaluation.sources import function_of
        from kalshi_train.models import load_model

        if self.function is not None:
            act = function_of(self.path.read_bytes(), self.path, self.function)
            return policy_from_function(self.name, act)
        return policy_from_model(load_model(self.path, trust=trust), self.name)

    def source(self, settings: Mapping[str, Any], *, trust: bool = False) -> PolicySource:
        """What makes the same policy on another machine.

        Args:
            settings: of the simulation, that go before those of the evaluation.
            trust: run the code that the file holds.

        Returns:
            The content of the file, and what to do with it.
        """
        from kalshi_train.evaluation.sources import PolicySource

        return PolicySource(
            name=self.name,
            path=self.path.absolute(),
            content=self.path.read_bytes(),
            function=self.function,
            trust=trust,
            settings=settings,
        )


def named_models(words: Sequence[Path]) -> list[NamedModel]:
    """The models that stand on a command line, with names of their own.

    Raises:
        ConfigError: there is no such model, its settings cannot be read, or one is named twice.
    """
    found = [_named_model(word) for word in words]
    return [replace(m, name=name) for m, name in zip(found, _names(found), strict=True)]


def _named_model(word: Path) -> NamedModel:
    file, python, function = str(word).rpartition(_PYTHON)
    if python and function.isidentifier():
        path = Path(file + ".py")
        if not path.is_file():
            raise ConfigError(f"there is no file {path}; name a Python file and a function of it")
        return NamedModel(function, path, function)
    from kalshi_train.training.checkpoints import read_checkpoint

    path = model_file(word)
    found = read_checkpoint(path)
    if found.exact:
        config = TrainConfig.from_json(found.config, str(path))
        return NamedModel(path.stem, path, config=config, run=found.run)
    beside = path.parent / "config.json"
    config_beside = TrainConfig.from_file(beside) if beside.is_file() else None
    return NamedModel(path.stem, path, config=config_beside)


def model_file(path: Path) -> Path:
    """The zip that is meant: `path`, or of a run's folder its final model or newest checkpoint.

    Raises:
        ConfigError: there is none.
    """
    if path.is_dir():
        final = _final_model(path)
        if final is not None:
            return final
        from kalshi_train.training.checkpoints import find_checkpoint

        try:
            return find_checkpoint(path).path
        except ConfigError:
            raise ConfigError(
                f"the folder {path} holds no model; name a zip or the folder of a training run"
            ) from None
    for candidate in (path, path.with_name(path.name + ".zip")):
        if candidate.is_file():
            return candidate
    raise ConfigError(
        f"there is no model at {path}; name a zip that a training run has saved, or its folder"
    )


def _final_model(folder: Path) -> Path | None:
    """The model that a run's results or settings name, None if it is not there."""
    for file, setting in (
        ("training_results.json", "final_model_path"),
        ("config.json", "model_save_path"),
    ):
        try:
            name = read_sealed(folder / file, file)[setting]
        except (ConfigError, KeyError):
            continue
        # By its name alone: the folder may have been moved.
        final = folder / Path(str(name)).name
        if final.is_file():
            return final
    return None


def _names(models: Sequence[NamedModel]) -> list[str]:
    """Their names alone, with their folders where names alone are not enough."""
    names = [m.name for m in models]
    if len(set(names)) == len(names):
        return names
    full = [f"{m.path}:{m.function}" if m.function else str(m.path.with_suffix("")) for m in models]
    for name, model in zip(full, models, strict=True):
        if full.count(name) > 1:
            raise ConfigError(f"the model {model.path} is named twice")
    return full
