"""The last step of a study: its best settings, trained anew, on the events that no trial saw."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kalshi_sim.errors import ConfigError
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.measure import events, profits
from kalshi_train.evaluation.provenance import (
    ModelOrigin,
    Provenance,
    now,
    origins_of,
    shown_command,
)
from kalshi_train.evaluation.run import evaluate
from kalshi_train.evaluation.verdicts import judge
from kalshi_train.tune.options import TuneOptions

if TYPE_CHECKING:
    from kalshi_train.evaluation.result import Evaluation

FOLDER: Final = "best"
logger = logging.getLogger(__name__)


def final_config(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of the last training: the best ones, on all events but the final ones.

    Args:
        config: of all trials.
        settings: of the best trial, by flat name.

    Returns:
        The same data as trials trained on and were compared on together; nothing is held out, as
        nothing is chosen any more.
    """
    return config.changed(
        **settings,
        session=None,
        sessions=config.session_ids,
        eval_sessions=(),
        eval_from=None,
        eval_until=None,
        eval_fraction=0.0,
    )


def finish(
    config: TrainConfig,
    options: TuneOptions,
    settings: Mapping[str, Any],
    final: tuple[str, ...],
    tries: int,
    command: Sequence[str] | None = None,
) -> Evaluation:
    """Train with the best settings and evaluate on the final events.

    Args:
        config: of all trials.
        options: of the study.
        settings: of the best trial, by flat name.
        final: the markets that must be the final ones.
        tries: models that were compared in the study.
        command: the words of the command line.

    Returns:
        The evaluation of a model for each seed, under the bound of the study and the others.

    Raises:
        ConfigError: with these settings the final markets are others.
        Interrupted: Ctrl-C or SIGTERM.
    """
    from kalshi_train.training.foundation import sources_of
    from kalshi_train.training.run import train

    config = final_config(config, settings)
    tape = prepare(config).final
    if tape is None or tuple(v.market_ticker for v in tape.views) != final:
        raise ConfigError("the final markets are others than when the study began")
    models: dict[str, Any] = {}
    origins = []
    for seed in range(config.seed, config.seed + options.trial_seeds):
        path = options.study / FOLDER / f"seed-{seed}" / config.model_save_path.name
        logger.info("training the best settings with seed %d", seed)
        result = train(config.changed(seed=seed, model_save_path=path), command=command)
        name = f"seed-{seed}"
        models[name] = path
        origins.append(
            ModelOrigin(
                name=name,
                path=str(path),
                algorithm=config.learner.algorithm,
                trained_on=config.session_ids,
                training_seed=seed,
                training_timesteps=result.num_timesteps,
                markets=len(tape.views),
                markets_seen=0,
                tries=tries,
                settings_of="the best trial",
            )
        )
    provenance = Provenance(
        sessions=origins_of(tape, sources_of(config, None)),
        models=tuple(origins),
        markets=len(tape.views),
        events=len({v.event or v.market_ticker for v in tape.views}),
        seed=config.seed,
        command=None if command is None else shown_command(command),
        made_at=now(),
    )
    return evaluate(models, tape, config.evaluation, provenance=provenance)


def summary_of(evaluation: Evaluation, looks: int) -> dict[str, Any]:
    """What the final evaluation found, the models of all seeds taken together.

    Args:
        evaluation: of `finish`.
        looks: how often a study's best settings were evaluated on these events, this included.

    Returns:
        Figures by name, money in cents.
    """
    runs = [evaluation.run(name) for name in evaluation.models]
    values = np.mean([profits(run.episodes) for run in runs], axis=0)
    groups = events(runs[0].episodes)
    found = judge(values, groups, tries=looks, chosen=looks > 1)
    side = "above zero, more than chance explains" if found.above else "below zero"
    return {
        "profit_per_market_cents": found.interval.mean,
        "low_cents": found.interval.low,
        "high_cents": found.interval.high,
        "deflated": found.deflated,
        "markets": len(values),
        "events": found.interval.events,
        "looks": looks,
        "by_seed_cents": {
            name: run.total.profit_per_market_cents
            for name, run in zip(evaluation.models, runs, strict=True)
        },
        "by_fill_model_cents": {
            fill_model: float(
                np.mean(
                    [
                        evaluation.run(name, fill_model).total.profit_per_market_cents
                        for name in evaluation.models
                    ]
                )
            )
            for fill_model in evaluation.fill_models
        },
        "verdict": f"{found.interval_text}; {found.doubt or side}",
    }
