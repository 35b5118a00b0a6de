"""`evaluate`: policies over the markets of a tape, under the fill models that bound the truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape import Tape
from kalshi_train.evaluation.compare import Comparison, compare
from kalshi_train.evaluation.evidence import caveats as session_caveats
from kalshi_train.evaluation.measure import summarise
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES, EvaluationOptions
from kalshi_train.evaluation.plays import Group, Look, Plays, PlaysHere
from kalshi_train.evaluation.policies import BASELINES, Policy, policies_of
from kalshi_train.evaluation.policies import baselines as named_baselines
from kalshi_train.evaluation.provenance import Provenance
from kalshi_train.evaluation.result import Evaluation, Run, fill_models_of
from kalshi_train.evaluation.stress import StressResult, conditions

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def evaluate(
    model: Any,
    tape: Tape,
    config: SimConfig | None = None,
    *,
    baselines: Sequence[str] = (),
    stress: bool = False,
    stochastic: int = 0,
    permutations: int = 0,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    caveats: Sequence[str] = (),
    provenance: Provenance | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
    plays: Plays | None = None,
) -> Evaluation:
    """Play every market of a tape once, from its first row, with every policy and fill model.

    Args:
        model: a Stable-Baselines3 model, the path of a saved one, a function of observations
            float32 [n, 52] that gives actions [n], a `Policy`, the name of a baseline, a sequence
            or mapping by name of these, or None.
        tape: the markets.
        config: settings of the simulation; episodes are whole whatever it says.
        baselines: names of built-in policies to evaluate too; "all" for all.
        stress: also evaluate the models (the baselines, if there is no model) under latency,
            without fees and with larger orders.
        stochastic: also draw the actions of the models, with so many seeds, for the diagnoses.
        permutations: also play the models so often with the market features of other events.
        seed: of the random baseline, the bootstrap, drawn actions and permutations.
        confidence: of the intervals.
        resamples: of the bootstrap over events.
        caveats: why results on these sessions are no evidence, besides what `provenance` shows.
        provenance: what is known of the sessions and models; if omitted, what the tape shows.
        progress: called with (done, total) after each run.
        device: cuda plays baselines and small networks on a graphics card, all markets and fill
            models of a policy at a time; auto does if there is one (docs/cuda.md).
        plays: where policies are played, if not in this process; `device` is its affair then.

    Returns:
        Runs, figures, intervals and comparisons.

    Raises:
        ConfigError: a model does not fit, a setting is wrong, there is nothing to evaluate, or
            there is no card, or one with too little memory.
    """
    config = config or SimConfig()
    EvaluationOptions(
        stress=stress,
        stochastic=stochastic,
        permutations=permutations,
        seed=seed,
        confidence=confidence,
        resamples=resamples,
        device=device,
    )
    policies = policies_of(model)
    names = [baselines] if isinstance(baselines, str) else baselines
    models = tuple(p.name for p in policies if p is not BASELINES.get(p.name))
    policies += [p for p in named_baselines(names) if p.name not in {q.name for q in policies}]
    if not policies:
        raise ConfigError("nothing to evaluate; name a model or baselines")
    settings: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
    provenance = provenance or Provenance.of_tape(tape, models, seed)
    tested = [p for p in policies if p.name in models] or policies
    fill_models = fill_models_of(config)
    worlds = {p.name: list(conditions(p.config(config))) if stress else [] for p in tested}
    # The table's first row is the evaluation itself.
    more = sum(max(0, len(conditions_of) - 1) for conditions_of in worlds.values())
    looked_into = [p for p in policies if p.name in models]
    total = len(fill_models) * (len(policies) + more) + permutations * len(looked_into)
    done = itertools.count(1)

    def one_more() -> None:
        if progress is not None:
            progress(next(done), total)

    plays = plays or PlaysHere(tape, device)
    groups = [
        Group(p, tuple(p.config(replace(config, fill_model=name)) for name in fill_models))
        for p in policies
    ]
    groups += [
        Group(
            policy,
            tuple(
                replace(world.config, fill_model=name)
                for world in worlds[policy.name][1:]
                for name in fill_models
            ),
        )
        for policy in tested
    ]
    played = plays.episodes(groups, seed, one_more)
    every = [
        Run(group.policy, one, tuple(e), summarise(tape, e, one.cash_start, **settings))
        for group in groups
        for one, e in zip(group.rules, played, strict=False)
    ]
    runs = tuple(every[: len(policies) * len(fill_models)])
    others = iter(every[len(runs) :])
    stressed = []
    for policy in tested:
        pairs = list(itertools.product(worlds[policy.name], fill_models))
        for world, fill_model in pairs:
            if world is worlds[policy.name][0]:
                found = next(r for r in runs if r.policy is policy and r.fill_model == fill_model)
            else:
                found = next(others)
            stressed.append(_stress_result(found, world.name, world.size))
    chosen = {r.policy.name: r for r in runs if r.fill_model == config.fill_model}
    looks = [
        Look(
            policy,
            chosen[policy.name].total,
            sum(e.figures.steps for e in chosen[policy.name].episodes),
        )
        for policy in looked_into
    ]
    diagnoses = plays.diagnoses(looks, config, stochastic, settings)
    nulls = plays.nulls(looks if permutations else (), config, permutations, seed, one_more)
    return Evaluation(
        tape=tape,
        config=config,
        seed=seed,
        confidence=confidence,
        resamples=resamples,
        policies=tuple(policies),
        models=models,
        runs=runs,
        comparisons=tuple(_comparisons(policies, provenance, runs, fill_models, settings)),
        stress=tuple(stressed),
        diagnoses=tuple(diagnoses),
        nulls=tuple(nulls),
        provenance=provenance,
        caveats=tuple(dict.fromkeys((*caveats, *session_caveats(provenance.sessions)))),
    )


def _stress_result(run: Run, condition: str, size: int) -> StressResult:
    total = run.total
    return StressResult(
        policy=run.policy.name,
        condition=condition,
        latency_ms=run.config.latency_ms,
        fees=run.config.fees,
        size=size,
        fill_model=run.fill_model,
        profit_cents=total.profit_cents,
        profit_per_market_cents=total.profit_per_market_cents,
        profit_per_market_low_cents=total.profit_per_market_low_cents,
        profit_per_market_high_cents=total.profit_per_market_high_cents,
        return_on_capital=total.return_on_capital,
        fees_cents=total.fees_cents,
        fills=total.fills,
        contracts=total.contracts,
    )


def _comparisons(
    policies: Sequence[Policy],
    provenance: Provenance,
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
            tries=origin.tries,
            chosen=origin.chosen_among is not None,
            **settings,
        )
        for first, second in itertools.combinations(names, 2)
        if (origin := provenance.model(first)) is not None
        for fill_model in fill_models
    ]
