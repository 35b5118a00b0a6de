"""`evaluate`: policies over the markets of a tape, under the fill models that bound the truth."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.config import FillModel, SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape import Tape
from kalshi_train.evaluation.compare import Comparison, compare
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.measure import Episode, measure, summarise
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES, EvaluationOptions
from kalshi_train.evaluation.policies import (
    BASELINES,
    Policy,
    baselines,
    policy_from_function,
    policy_from_model,
)
from kalshi_train.evaluation.stress import StressResult, conditions
from kalshi_train.models import load_model

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import pyarrow as pa

BOUNDS: Final[tuple[FillModel, FillModel]] = ("through", "touch")
"""The pessimistic and the optimistic fill model: the truth lies between."""

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, eq=False)
class Run:
    """One policy under one fill model."""

    policy: Policy
    config: SimConfig
    """As played: the policy's own settings included."""
    episodes: tuple[Episode, ...]
    """By view of the tape."""
    total: dict[str, Any]
    """The figures of all markets together, money in cents."""

    @property
    def fill_model(self) -> FillModel:
        """How resting orders were filled."""
        return self.config.fill_model


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found; tables by name in `frames`, charts in `figures()`."""

    tape: Tape
    config: SimConfig
    seed: int
    confidence: float
    resamples: int
    policies: tuple[Policy, ...]
    models: tuple[str, ...]
    """Names of the policies that are no baselines."""
    runs: tuple[Run, ...]
    """By policy, then fill model."""
    comparisons: tuple[Comparison, ...]
    stress: tuple[StressResult, ...]

    @property
    def fill_models(self) -> tuple[FillModel, ...]:
        """Pessimistic, chosen, optimistic."""
        return fill_models_of(self.config)

    def run(self, policy: str, fill_model: str | None = None) -> Run:
        """The run of a policy by name, under the chosen fill model unless another is named.

        Raises:
            KeyError: there is none.
        """
        wanted = fill_model or self.config.fill_model
        for run in self.runs:
            if run.policy.name == policy and run.fill_model == wanted:
                return run
        raise KeyError(f"no run of {policy} under {wanted}")

    @functools.cached_property
    def frames(self) -> dict[str, pa.Table]:
        """Tables by name: totals, episodes, fills, equity, comparisons, stress (money in cents).

        Arrow tables: `.to_pandas()` and `polars.from_arrow` make data frames of them.
        """
        from kalshi_train.evaluation.tables import make_frames

        return make_frames(self)

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON has them; equal evaluations give equal bytes."""
        from kalshi_train.evaluation.tables import to_json

        return to_json(self)

    def write_parquet(self, folder: Path) -> list[Path]:
        """Write every frame into `folder` as Parquet, named after it; returns the paths."""
        from kalshi_train.evaluation.tables import write_parquet

        return write_parquet(self, folder)

    def figures(self) -> dict[str, go.Figure]:
        """Charts by name, as Plotly figures."""
        from kalshi_train.report.figures import make_figures

        return make_figures(self)

    def write_report(self, path: Path, replay_rows: int | None = None) -> None:
        """Write the report, one HTML file that opens offline.

        Args:
            path: where it goes.
            replay_rows: rows of episodes that can be replayed, all together; the default keeps
                the page below about 40 MB.
        """
        from kalshi_train.report import write_report

        write_report(self, path, replay_rows)


def fill_models_of(config: SimConfig) -> tuple[FillModel, ...]:
    """The chosen fill model between the bounds; two if it is one of them."""
    pessimistic, optimistic = BOUNDS
    return tuple(dict.fromkeys((pessimistic, config.fill_model, optimistic)))


def evaluate(
    model: Any,
    tape: Tape,
    config: SimConfig | None = None,
    *,
    baselines: Sequence[str] = (),
    stress: bool = False,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluation:
    """Play every market of a tape once, from its first row, with every policy and fill model.

    Args:
        model: a Stable-Baselines3 model, the path of a saved one, a function of observations
            float32 [n, 52] that gives actions [n], a `Policy`, the name of a baseline, a sequence
            or mapping by name of these, or None.
        tape: the markets.
        config: settings of the simulation; episodes are whole whatever it says.
        baselines: names of built-in policies to evaluate too; "all" for all.
        stress: also evaluate the models (or, without one, the baselines) under latency, without
            fees and with larger orders.
        seed: of the random baseline and the bootstrap.
        confidence: of the intervals.
        resamples: of the bootstrap over events.
        progress: called with (done, total) after each run.

    Raises:
        ConfigError: a model does not fit, a setting is wrong, or there is nothing to evaluate.
    """
    config = config or SimConfig()
    options = EvaluationOptions(
        stress=stress, seed=seed, confidence=confidence, resamples=resamples
    )
    policies = _policies(model)
    models = tuple(p.name for p in policies if p is not BASELINES.get(p.name))
    policies += [p for p in _baselines(baselines) if p.name not in {q.name for q in policies}]
    if not policies:
        raise ConfigError("nothing to evaluate; name a model or baselines")
    settings: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
    tested = [p for p in policies if p.name in models] or policies
    worlds = list(conditions(config)) if options.stress else []
    fill_models = fill_models_of(config)
    # The table's first row is the evaluation itself.
    total = len(fill_models) * (len(policies) + len(tested) * max(0, len(worlds) - 1))
    done = itertools.count(1)

    def run_one(policy: Policy, world: SimConfig) -> Run:
        run = _run(policy, tape, world, settings)
        if progress is not None:
            progress(next(done), total)
        return run

    runs = tuple(
        run_one(policy, replace(config, fill_model=fill_model))
        for policy in policies
        for fill_model in fill_models
    )
    stressed = []
    for policy, world, fill_model in itertools.product(tested, worlds, fill_models):
        if world.config == config:
            found = next(r for r in runs if r.policy is policy and r.fill_model == fill_model)
        else:
            found = run_one(policy, replace(world.config, fill_model=fill_model))
        stressed.append(_stress_result(found, world.name, world.size))
    return Evaluation(
        tape=tape,
        config=config,
        seed=seed,
        confidence=confidence,
        resamples=resamples,
        policies=tuple(policies),
        models=models,
        runs=runs,
        comparisons=tuple(_comparisons(policies, models, runs, fill_models, settings)),
        stress=tuple(stressed),
    )


def _run(policy: Policy, tape: Tape, config: SimConfig, settings: Mapping[str, Any]) -> Run:
    use = functools.partial(measure, tape, config.cash_start)
    episodes = play_all(tape, config, policy, use, seed=settings["seed"])
    total = summarise(tape, episodes, config.cash_start, **settings)
    return Run(policy, policy.config(config), tuple(episodes), total)


def _stress_result(run: Run, condition: str, size: int) -> StressResult:
    names = (
        "profit_cents",
        "profit_per_market_cents",
        "profit_per_market_low_cents",
        "profit_per_market_high_cents",
        "return_on_capital",
        "fees_cents",
        "fills",
        "contracts",
    )
    return StressResult(
        policy=run.policy.name,
        condition=condition,
        latency_ms=run.config.latency_ms,
        fees=run.config.fees,
        size=size,
        fill_model=run.fill_model,
        **{name: run.total[name] for name in names},
    )


def _comparisons(
    policies: Sequence[Policy],
    models: Sequence[str],
    runs: Sequence[Run],
    fill_models: Sequence[str],
    settings: Mapping[str, Any],
) -> list[Comparison]:
    """Every model with the models and baselines after it, under each fill model."""
    by_name = {(r.policy.name, r.fill_model): r.episodes for r in runs}
    names = [p.name for p in policies]
    return [
        compare(
            first,
            second,
            fill_model,
            by_name[first, fill_model],  # type: ignore[index]  # not None here
            by_name[second, fill_model],  # type: ignore[index]  # not None here
            **settings,
        )
        for first, second in itertools.combinations(names, 2)
        if first in models
        for fill_model in fill_models
    ]


def _baselines(names: Sequence[str]) -> list[Policy]:
    return baselines([names] if isinstance(names, str) else names)


def _policies(model: Any) -> list[Policy]:
    """What was given, as policies with names of their own."""
    if model is None:
        return []
    if isinstance(model, Mapping):
        return [_policy(value, str(name)) for name, value in model.items()]
    if isinstance(model, (list, tuple)):
        given = [_policy(value, None) for value in model]
    else:
        given = [_policy(model, None)]
    names = [p.name for p in given]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"two policies are named {name}; give a mapping of names to models instead"
            )
    return given


def _policy(value: Any, name: str | None) -> Policy:
    if isinstance(value, Policy):
        return value if name is None else replace(value, name=name)
    if isinstance(value, str) and value in BASELINES:
        return BASELINES[value]
    if isinstance(value, (str, Path)):
        return policy_from_model(load_model(Path(value)), name or Path(value).stem)
    if hasattr(value, "policy") and hasattr(value, "observation_space"):
        return policy_from_model(value, name or type(value).__name__)
    if callable(value):
        return policy_from_function(name or str(getattr(value, "__name__", "function")), value)
    raise ConfigError(
        f"cannot evaluate {value!r}; give a model, the path of one, a function, or a baseline: "
        + ", ".join(BASELINES)
    )
