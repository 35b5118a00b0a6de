"""`tune`: search settings, then train with the best and evaluate where nothing was chosen."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from optuna.study import Study
from optuna.trial import TrialState

from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import write_sealed
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import TrainingData, prepare
from kalshi_train.evaluation.tries import COUNTED
from kalshi_train.tune.driver import Driver, Progress
from kalshi_train.tune.final import finish, summary_of
from kalshi_train.tune.options import TuneOptions
from kalshi_train.tune.result import TuneResult, importance_of, selection_of, summaries
from kalshi_train.tune.space import SearchSpace
from kalshi_train.tune.storage import open_study, taking_turns

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.result import Evaluation

FINAL_FRACTION: Final = 0.2
"""Share of the events kept from all trials, if nothing else is asked for."""
_PLACES: Final = ("model_save_path", "resume_from", "log_file", "log_level", "progress", "cache")
"""Settings that change nothing of what a trial comes to."""
logger = logging.getLogger(__name__)


def tune(
    config: TrainConfig,
    options: TuneOptions,
    *,
    command: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Run the trials of a study that are still to be run, and evaluate its best settings.

    The events are split three ways: trials train on the first part and are compared on the second;
    the third is seen once, by the best settings trained on the first two.

    Args:
        config: what all trials share: data, algorithm, steps, what is held out and kept.
        options: how settings are searched.
        command: the words of the command line that asked for it.
        progress: called with (finished trials, trials in all) after each.

    Returns:
        Trials, the best, what the search itself explains, and the final evaluation.

    Raises:
        KalshiSimError: a setting or the data cannot be right, or the study was begun otherwise.
        Interrupted: Ctrl-C or SIGTERM; running trials begin anew when the study is taken up.
    """
    config = shared_config(config, options)
    space = SearchSpace.of(config, options.space)
    data = prepare(config)
    heldout = _check_parts(data, options)
    markets = tuple(v.market_ticker for v in heldout.views)
    with open_study(options, _settings(config, space, options, data)) as study:
        report = progress or (lambda done, total: None)
        Driver(study, space, config, options, markets, report).run()
        trials = summaries(study, space, options.study)
        selection = selection_of(trials, heldout)
        evaluation = None
        if selection is not None:
            write_sealed(options.study / COUNTED, {"tries": selection.tries})
            if options.final and not _running(study):
                settings = next(t.settings for t in trials if t.number == selection.best)
                evaluation = _finish_once(
                    study, config, options, data, settings, selection.tries, command
                )
        looks = _looks(study)
        return TuneResult(
            folder=options.study,
            data=data.describe(),
            space=space,
            trials=trials,
            importance=importance_of(study),
            selection=selection,
            final=looks[-1]["found"] if looks else None,
            evaluation=evaluation,
        )


def shared_config(config: TrainConfig, options: TuneOptions) -> TrainConfig:
    """What all trials share, of what was asked for.

    Args:
        config: as asked for.
        options: of the study.

    Returns:
        The same, with the bound, the three parts and the threads of a trial settled.

    Raises:
        ConfigError: a run is to be resumed.
    """
    if config.resume_from is not None:
        raise ConfigError("a study starts its trials anew; leave out --resume-from")
    kept = bool(config.final_sessions) or config.final_fraction > 0
    return config.changed(
        model_save_path=options.study / TrainConfig().model_save_path.name,
        split_seed=config.seed if config.split_seed is None else config.split_seed,
        eval_fill_model=options.bound,
        final_fraction=config.final_fraction if kept else FINAL_FRACTION,
        # One thread, so that a trial is the same whatever runs beside it.
        num_threads=config.num_threads or 1,
        progress=False,
        tensorboard=False,
    )


def _check_parts(data: TrainingData, options: TuneOptions) -> Tape:
    """The markets trials are compared on."""
    if data.heldout is None:
        raise ConfigError(
            "nothing is held out to compare trials on; name sessions with 3 events or more, or "
            "say what is held out (--eval-fraction, --eval-sessions)"
        )
    if options.final and data.final is None:
        raise ConfigError(
            "no event is left for the final evaluation; name sessions with 3 events or more, or "
            "leave it out (--no-final)"
        )
    return data.heldout


def _settings(
    config: TrainConfig, space: SearchSpace, options: TuneOptions, data: TrainingData
) -> dict[str, Any]:
    """All that the trials of a study share, as JSON has it."""
    shared = {k: v for k, v in config.to_json().items() if k not in _PLACES and k != "store"}
    shared |= {
        "space": space.to_json(),
        "trial_seeds": options.trial_seeds,
        "sampler": options.sampler,
        "sampler_seed": options.sampler_seed,
        "pruner": options.pruner,
        "markets": {
            part: _digest(tape)
            for part, tape in (
                ("train", data.train),
                ("heldout", data.heldout),
                ("final", data.final),
            )
        },
    }
    values: dict[str, Any] = json.loads(json.dumps(shared))
    return values


def _digest(tape: Tape | None) -> str:
    names = [] if tape is None else [f"{v.session_id}/{v.market_ticker}" for v in tape.views]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _running(study: Study) -> bool:
    """Whether another process still runs trials: it ends the study."""
    states = (TrialState.RUNNING, TrialState.WAITING)
    return bool(study.get_trials(deepcopy=False, states=states))


def _looks(study: Study) -> list[dict[str, Any]]:
    """The final evaluations so far, in order."""
    found: list[dict[str, Any]] = study.user_attrs.get("final", [])
    return found


def _finish_once(
    study: Study,
    config: TrainConfig,
    options: TuneOptions,
    data: TrainingData,
    settings: dict[str, Any],
    tries: int,
    command: Sequence[str] | None,
) -> Evaluation | None:
    """The final evaluation, unless it was made of these settings already."""
    assert data.final is not None
    shown = json.loads(json.dumps(settings))
    with taking_turns(options.study, "final"):
        looks = _looks(study)
        if looks and looks[-1]["settings"] == shown:
            return None
        markets = tuple(v.market_ticker for v in data.final.views)
        evaluation = finish(config, options, settings, markets, tries, command)
        found = summary_of(evaluation, len(looks) + 1)
        study.set_user_attr("final", [*looks, {"settings": shown, "found": found}])
    return evaluation
