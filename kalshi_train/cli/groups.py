"""The options of `kalshi-train` in groups, each with one default, made from the settings.

Types, ranges and what is said of an option stand where the setting is; here is only which group it
belongs to. A text's last "(default: ...)" takes the place of a default that is None.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
from collections.abc import Callable
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import tyro

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_train.config import TrainConfig
from kalshi_train.defaults import ALGORITHM_DEFAULTS
from kalshi_train.learner.config import LearnerConfig

_KINDS: Final = (TrainConfig, SimConfig, TapeOptions, LearnerConfig)
_PARTS: Final = ("sim", "tape", "learner")
_DATA: Final = ("store", "session", "sessions", "max_spread", "cache")
_EVALUATION: Final = (
    "eval_fraction",
    "eval_sessions",
    "eval_from",
    "eval_until",
    "eval_fill_model",
    "final_fraction",
    "final_sessions",
    "split_seed",
    "eval_freq",
)
_OUTPUT: Final = (
    "model_save_path",
    "save_freq",
    "tensorboard",
    "progress",
    "log_interval",
    "log_level",
    "log_file",
)
_ALIASES: Final = {"history": ["--frame-stack"]}
"""Other words for an option."""
_METAVARS: Final[dict[Any, str]] = {
    int | None: "N",
    float | None: "X",
    str | None: "TEXT",
    Path | None: "PATH",
}
_DEFAULT: Final = re.compile(r"\s*\((default: .*?)\)(?=[.;]?$|[.;]? )", re.DOTALL)


def grouped(base: TrainConfig) -> dict[str, Any]:
    """Settings by group, objects of dataclasses whose fields are options; defaults are `base`'s.

    Returns:
        An object for each of data, simulation, learner, evaluation and output.
    """
    values = base.flat()
    return {
        name: _group(name, tuple(n for n in names if n in values))(
            **{n: values[n] for n in names if n in values}
        )
        for name, names in _groups().items()
    }


def settings_of(groups: dict[str, Any]) -> dict[str, Any]:
    """The values of such objects side by side, by name."""
    return {f.name: getattr(g, f.name) for g in groups.values() for f in fields(g)}


def _groups() -> dict[str, tuple[str, ...]]:
    taken = {*_DATA, *_EVALUATION, *_OUTPUT, *_PARTS}
    own = tuple(f.name for f in fields(TrainConfig) if f.name not in taken)
    learner = tuple(f.name for f in fields(LearnerConfig))
    return {
        "data": (*_DATA, *(f.name for f in fields(TapeOptions))),
        "simulation": tuple(f.name for f in fields(SimConfig)),
        "learner": ("algorithm", *own, *(n for n in learner if n != "algorithm")),
        "evaluation": _EVALUATION,
        "output": _OUTPUT,
    }


@functools.cache
def _group(name: str, names: tuple[str, ...]) -> type[Any]:
    return make_dataclass(name.capitalize(), [_option(n) for n in names], frozen=True, kw_only=True)


def _option(name: str) -> tuple[str, Any, Any]:
    """A setting as a field with its help; what it does if it is None stands for its default."""
    kind = next(k for k in _KINDS if name in {f.name for f in fields(k)})
    text = _docs(kind).get(name, "")
    stated = _DEFAULT.search(text)
    hints = _learner_default(name) or (stated[1] if stated else None)
    if stated:
        text = text.replace(stated[0], "", 1)

    def hint(default: str, stated: str | None = hints) -> str:
        if default != "None":
            return f"(default: {default})"
        return f"({' '.join(stated.split())})" if stated else "(default: none)"

    shown: Callable[[str], str] = hint
    option = tyro.conf.arg(help=" ".join(text.split()), help_behavior_hint=shown)
    if name in _ALIASES:
        option = tyro.conf.arg(
            help=" ".join(text.split()), help_behavior_hint=shown, aliases=_ALIASES[name]
        )
    hinted = get_type_hints(kind, include_extras=True)[name]
    metavar = _METAVARS.get(get_type_hints(kind)[name])
    if metavar is not None:
        option = tyro.conf.arg(
            help=" ".join(text.split()), help_behavior_hint=shown, metavar=metavar
        )
    return name, Annotated[hinted, option], field()


def _learner_default(name: str) -> str | None:
    """What each algorithm takes if nothing is given, None of other settings."""
    environments = TrainConfig().n_envs
    found = {a: d(environments, None).get(name) for a, d in ALGORITHM_DEFAULTS.items()}
    known = {a: value for a, value in found.items() if value is not None}
    if not known:
        return None
    if len(set(known.values())) == 1 and len(known) == len(found):
        return f"default: {next(iter(known.values())):g}"
    alike: dict[str, list[str]] = {}
    for algorithm, value in known.items():
        alike.setdefault(f"{value:g}", []).append(algorithm)
    by_number = f" at {environments} environments" if name in ("n_steps", "batch_size") else ""
    texts = [f"{', '.join(algorithms)} {value}" for value, algorithms in alike.items()]
    return f"default: {'; '.join(texts)}{by_number}"


@functools.cache
def _docs(kind: type[Any]) -> dict[str, str]:
    """The text below each field of a dataclass."""
    (body,) = (
        node.body for node in ast.parse(inspect.getsource(kind)).body if hasattr(node, "body")
    )
    found = {}
    for node, after in itertools.pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[node.target.id] = str(after.value.value)
    return found
