"""Policies as what they were made of, so that they can be made once more on another machine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from kalshi_sim.errors import ConfigError
from kalshi_sim.text import printable
from kalshi_train.evaluation.policies import (
    BASELINES,
    Policy,
    policy_from_function,
    policy_from_model,
)
from kalshi_train.models import load_model


@dataclass(frozen=True)
class PolicySource:
    """A built-in policy, or the file of a saved model or of a function."""

    name: str
    """As figures name it; of a built-in policy its own."""
    path: Path | None = None
    """Where the file lay; None of a built-in policy."""
    content: bytes = field(default=b"", repr=False)
    """Of the file."""
    function: str | None = None
    """Of a Python file; None of a saved model."""
    trust: bool = False
    """Run the code that the model's file holds."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the simulation that go before those of the evaluation."""

    def policy(self) -> Policy:
        """Make it.

        Returns:
            The policy.

        Raises:
            ConfigError: the file cannot be run or loaded here.
        """
        if self.path is None:
            return BASELINES[self.name]
        if self.function is not None:
            act = function_of(self.content, self.path, self.function)
            made = policy_from_function(self.name, act)
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / self.path.name
                file.write_bytes(self.content)
                made = policy_from_model(load_model(file, trust=self.trust), self.name)
        return replace(made, settings=self.settings)


def function_of(content: bytes, path: Path, name: str) -> Callable[..., Any]:
    """A function of a Python file, which is run.

    Args:
        content: of the file.
        path: where it lies, or lay: it finds the files beside it, if they are there.
        name: of the function.

    Returns:
        The function.

    Raises:
        ConfigError: the file fails, or has no such function.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.resolve().parent))  # so that it finds the files beside it
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except Exception as error:  # a file of the user's own can raise anything
        text = printable(str(error))
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {text}") from error
    finally:
        sys.path.pop(0)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function {name}; it maps observations to actions")
    return function
