"""What is searched: a range or choices for each setting, from a file or by algorithm."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin, get_type_hints

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed
from kalshi_train.config import TrainConfig
from kalshi_train.learner.config import LearnerConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_KINDS: Final = (TrainConfig, SimConfig, TapeOptions, LearnerConfig)
_FIXED: Final = frozenset(
    {
        *("store", "session", "sessions", "cache", "resume_from", "model_save_path"),
        *("eval_fraction", "eval_sessions", "eval_from", "eval_until", "eval_fill_model"),
        *("final_fraction", "final_sessions", "split_seed", "seed", "fee_schedule"),
        *("max_spread", "min_episode_length", "record_fills", "end_of_data"),
        *("log_interval", "log_level", "log_file", "progress", "tensorboard", "save_freq"),
        *("sim", "tape", "learner"),
    }
)
"""Settings that say what trials are compared on, or where a run lies."""
_RATES: Final = {"low": 1e-5, "high": 3e-3, "log": True}
_ON_POLICY: Final[dict[str, Any]] = {
    "learning_rate": _RATES,
    "gamma": {"low": 0.95, "high": 0.9999},
    "gae_lambda": {"low": 0.8, "high": 1.0},
    "ent_coef": {"low": 1e-5, "high": 0.1, "log": True},
    "net_arch": {"choices": [[64, 64], [128, 128], [256, 256]]},
}
_CLIPPED: Final[dict[str, Any]] = {
    **_ON_POLICY,
    "clip_range": {"low": 0.1, "high": 0.4},
    "n_epochs": {"low": 2, "high": 12},
}
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "ppo": _CLIPPED,
    "maskable-ppo": _CLIPPED,
    "recurrent-ppo": _CLIPPED,
    "a2c": _ON_POLICY,
    "dqn": {
        "learning_rate": _RATES,
        "gamma": {"low": 0.95, "high": 0.9999},
        "exploration_fraction": {"low": 0.05, "high": 0.5},
        "exploration_final_eps": {"low": 0.01, "high": 0.2},
        "net_arch": {"choices": [[64, 64], [128, 128], [256, 256]]},
    },
}
"""What is searched where no file says it, by algorithm."""


@dataclass(frozen=True)
class Dimension:
    """One setting: a range, or choices."""

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()
    """Each as JSON: a choice can be a list."""
    whole: bool = False
    """Whether the setting is a whole number."""

    def distribution(self) -> BaseDistribution:
        """The same as Optuna has it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.choices:
            return CategoricalDistribution(self.choices)
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def setting(self, value: Any) -> Any:
        """The value of the setting that Optuna's value means."""
        if not self.choices:
            return value
        chosen = json.loads(value)
        return tuple(chosen) if isinstance(chosen, list) else chosen

    def to_json(self) -> dict[str, Any]:
        """As a file has it."""
        if self.choices:
            return {"choices": [json.loads(choice) for choice in self.choices]}
        found: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            found["log"] = True
        if self.step is not None:
            found["step"] = self.step
        return found


@dataclass(frozen=True)
class SearchSpace:
    """Settings by their flat names, each with a range or choices."""

    dimensions: tuple[Dimension, ...]

    @staticmethod
    def of(config: TrainConfig, file: Path | None = None) -> SearchSpace:
        """The space of a file, or what is usually searched of the algorithm.

        Args:
            config: the settings of all trials.
            file: JSON: for each setting {"low": …, "high": …} with "log" or "step" where wanted,
                or {"choices": […]}.

        Returns:
            The space; every end of it is a setting that can be.

        Raises:
            ConfigError: the file cannot be read, or an entry is wrong; the message names it.
        """
        if file is None:
            where = f"the search space of {config.learner.algorithm}"
            return SearchSpace.from_json(DEFAULTS[config.learner.algorithm], config, where)
        return SearchSpace.from_json(read_sealed(file, "search space"), config, str(file))

    @staticmethod
    def from_json(values: Mapping[str, Any], config: TrainConfig, where: str) -> SearchSpace:
        """The space in `values`.

        Args:
            values: as a file has them.
            config: the settings of all trials.
            where: the file, for messages.

        Returns:
            The space.

        Raises:
            ConfigError: an entry is wrong; the message names it.
        """
        if not values:
            raise ConfigError(f"{where}: it names no setting; nothing would be searched")
        found = tuple(_dimension(name, entry, where) for name, entry in values.items())
        for dimension in found:
            ends: tuple[Any, ...] = dimension.choices or (dimension.low, dimension.high)
            for end in ends:
                value = int(end) if dimension.whole else end
                try:
                    config.changed(**{dimension.name: dimension.setting(value)})
                except ConfigError as error:
                    raise ConfigError(f"{where}: {error}") from error
        return SearchSpace(found)

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from, by setting."""
        return {d.name: d.distribution() for d in self.dimensions}

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that Optuna's values of a trial mean.

        Args:
            params: of a trial.

        Returns:
            Values by flat name, for `TrainConfig.changed`.
        """
        return {d.name: d.setting(params[d.name]) for d in self.dimensions}

    def to_json(self) -> dict[str, Any]:
        """As a file has it."""
        return {d.name: d.to_json() for d in self.dimensions}


def _dimension(name: str, entry: Any, where: str) -> Dimension:
    hint = _hint(name, where)
    usage = f'{where}: {name} needs {{"low": …, "high": …}} or {{"choices": […]}}'
    if not isinstance(entry, Mapping):
        raise ConfigError(usage)
    unknown = sorted(set(entry) - {"low", "high", "log", "step", "choices"})
    if unknown:
        raise ConfigError(f"{usage}; it has {', '.join(unknown)}")
    if "choices" in entry:
        choices = entry["choices"]
        if len(entry) > 1 or not isinstance(choices, list) or not choices:
            raise ConfigError(usage)
        texts = tuple(json.dumps(choice) for choice in choices)
        if any(choices.count(choice) > 1 for choice in choices):  # 1 and 1.0 are one
            raise ConfigError(f"{where}: {name} has a choice twice")
        return Dimension(name, choices=texts)
    low, high, step = entry.get("low"), entry.get("high"), entry.get("step")
    if hint not in (int, float):
        raise ConfigError(f"{where}: {name} is no number; give its choices")
    numbers: list[Any] = [low, high] + ([] if step is None else [step])
    if not all(_is_number(n) for n in numbers):
        raise ConfigError(usage)
    assert low is not None
    assert high is not None
    if hint is int and any(n != int(n) for n in numbers):
        raise ConfigError(f"{where}: {name} is a whole number; so must its range be")
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f'{where}: "log" of {name} is true or false')
    if low >= high or (log and low <= 0):
        raise ConfigError(
            f"{where}: {name} from {low} to {high} is no range"
            + ("; with log it begins above 0" if log else "")
        )
    if step is not None:
        _check_step(low, high, step, log, f"{where}: {name}")
    return Dimension(name, low, high, log, step, whole=hint is int)


def _check_step(low: float, high: float, step: float, log: bool, what: str) -> None:
    if log or step <= 0 or step > high - low:
        raise ConfigError(f"{what} takes a step above 0 that its range has room for, none with log")
    # Exact, as decimals: 0.3 is three steps of 0.1.
    rest = (Fraction(str(high)) - Fraction(str(low))) % Fraction(str(step))
    if rest:
        fits = float(Fraction(str(high)) - rest)
        raise ConfigError(
            f"{what} from {low} to {high} is no whole number of steps of {step}; "
            f"let it end at {fits:.12g}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _hint(name: str, where: str) -> Any:
    """The type of a setting that may be searched, without None.

    Raises:
        ConfigError: there is no such setting, or it says what trials are compared on.
    """
    kind = next((k for k in _KINDS if name in {f.name for f in fields(k)}), None)
    if kind is None:
        raise ConfigError(f"{where}: unknown setting {name}")
    if name in _FIXED:
        raise ConfigError(
            f"{where}: {name} is the same for all trials, which are compared on the same markets"
        )
    hint = get_type_hints(kind, include_extras=True)[name]
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    inner = [h for h in get_args(hint) if h is not type(None)]
    return inner[0] if type(None) in get_args(hint) and len(inner) == 1 else hint
