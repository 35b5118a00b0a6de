"""What a study came to: its trials, the best of them, and what the search itself explains."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.luck import Moments, Overfitting, overfitting
from kalshi_train.evaluation.verdicts import Verdict, by_event, judge
from kalshi_train.tune.driver import trial_folder
from kalshi_train.tune.space import SearchSpace

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.result import Evaluation

_WORDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TrialSummary:
    """One trial; money in cents."""

    number: int
    state: str
    value: float | None
    """Held-out profit of an event after fees, mean over the runs."""
    by_seed: tuple[float, ...]
    settings: dict[str, Any]
    evaluations: dict[int, float]
    """The value after each evaluation, by step."""
    profits: tuple[float, ...]
    """Of each held-out market; empty of a trial that did not complete."""
    seconds: float | None
    message: str
    folder: Path

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs, None of fewer than two."""
        return statistics.stdev(self.by_seed) if len(self.by_seed) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Its figures, as JSON has them."""
        return {
            "number": self.number,
            "state": self.state,
            "value_cents": self.value,
            "by_seed_cents": list(self.by_seed),
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in _items(self)},
            "evaluations": len(self.evaluations),
            "seconds": self.seconds,
            "message": self.message,
            "folder": str(self.folder),
        }


def _items(trial: TrialSummary) -> list[tuple[str, Any]]:
    return list(trial.settings.items())


@dataclass(frozen=True)
class Selection:
    """What the best trial's profit is worth, given how many were compared on the same markets."""

    best: int
    """Number of the trial."""
    tries: int
    """Held-out evaluations of all trials: each is a model that could have been chosen."""
    verdict: Verdict
    """On the profit of a market."""
    sharpe: float | None
    """By event; None with fewer than three events or without trades."""
    overfitting: Overfitting | None
    """Of choosing among the trials that completed."""

    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        found = self.verdict
        text = (
            f"trial {self.best} is the best of {numbered(self.tries, 'try', 'tries')}: "
            f"{dollars(found.interval.mean, signed=True)} a market ({found.interval_text})"
        )
        if self.sharpe is not None:
            text += f"; Sharpe ratio by event {self.sharpe:+.2f}"
        if found.deflated is not None:
            text += f", deflated {found.deflated:.2f}"
        side = "more than so many tries explain" if found.above else "a loss"
        text += f": {found.doubt or side}"
        if self.overfitting is not None:
            text += f"; probability of backtest overfitting {self.overfitting.probability:.2f}"
        return text


@dataclass(frozen=True)
class TuneResult:
    """What a study came to."""

    folder: Path
    data: dict[str, Any]
    """What trials train on, are compared on, and what is kept from them."""
    space: SearchSpace
    trials: tuple[TrialSummary, ...]
    """By number."""
    importance: dict[str, float]
    """Share of each setting in what trials differ by, the largest first; empty where too few
    trials completed."""
    selection: Selection | None
    """None where no trial completed."""
    final: dict[str, Any] | None
    """The best settings on the events that no trial saw; None if that is still to be done."""
    evaluation: Evaluation | None
    """The same whole, if it was made by this call."""

    @property
    def best(self) -> TrialSummary | None:
        """The trial with the best value, None if none completed."""
        if self.selection is None:
            return None
        return next(t for t in self.trials if t.number == self.selection.best)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        states = [t.state for t in self.trials]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        chosen = self.selection
        return {
            "study": str(self.folder),
            "data": self.data,
            "space": self.space.to_json(),
            "counts": self.counts,
            "trials": [t.to_json() for t in self.trials],
            "importance": self.importance,
            "best": None if self.best is None else self.best.to_json(),
            "selection": None
            if chosen is None
            else {
                "tries": chosen.tries,
                "profit_per_market_cents": chosen.verdict.interval.mean,
                "low_cents": chosen.verdict.interval.low,
                "high_cents": chosen.verdict.interval.high,
                "sharpe": chosen.sharpe,
                "deflated": chosen.verdict.deflated,
                "overfitting": None
                if chosen.overfitting is None
                else chosen.overfitting.probability,
                "sentence": chosen.sentence(),
            },
            "final": self.final,
        }

    def __repr__(self) -> str:
        best = self.best
        found = "" if best is None else f"; best {dollars(best.value, signed=True)} an event"
        return f"TuneResult({numbered(len(self.trials), 'trial')} in {self.folder}{found})"


def summaries(study: Study, space: SearchSpace, folder: Path) -> tuple[TrialSummary, ...]:
    """The trials of a study, by number.

    Args:
        study: open.
        space: what is searched.
        folder: of the study.

    Returns:
        What each came to so far.
    """
    return tuple(_summary(t, space, folder) for t in study.get_trials(deepcopy=False))


def _summary(trial: FrozenTrial, space: SearchSpace, folder: Path) -> TrialSummary:
    attributes = trial.user_attrs
    known = set(trial.params) >= {d.name for d in space.dimensions}
    steps = trial.intermediate_values
    value = trial.value if trial.state == TrialState.COMPLETE else None
    if value is None and steps:
        value = steps[max(steps)]
    return TrialSummary(
        number=trial.number,
        state=_WORDS[trial.state],
        value=value,
        by_seed=tuple(attributes.get("by_seed", ())),
        settings=space.settings(trial.params) if known else {},
        evaluations=dict(sorted(steps.items())),
        profits=tuple(attributes.get("profits", ())),
        seconds=attributes.get("seconds"),
        message=str(attributes.get("message", "")),
        folder=trial_folder(folder, trial.number),
    )


def importance_of(study: Study) -> dict[str, float]:
    """How much of the differences between trials each setting explains (PED-ANOVA).

    Args:
        study: open.

    Returns:
        Shares by setting, the largest first; empty where too few trials completed, or all are
        alike.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({t.value for t in done}) < 2:
        return {}
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def selection_of(trials: Sequence[TrialSummary], heldout: Tape) -> Selection | None:
    """What the best trial is worth.

    Args:
        trials: of a study.
        heldout: the markets they were compared on.

    Returns:
        None where no trial completed.
    """
    done = [t for t in trials if t.state == "complete" and t.value is not None and t.profits]
    if not done:
        return None
    best = max(done, key=lambda t: float(t.value or 0.0))  # the first of equal ones
    tries = sum(len(t.evaluations) for t in trials)
    groups = [v.event or v.market_ticker for v in heldout.views]
    values = np.array([t.profits for t in done], np.float64)
    mine = np.array(best.profits, np.float64)
    moments = Moments.of(by_event(mine, groups))
    return Selection(
        best=best.number,
        tries=tries,
        verdict=judge(mine, groups, tries=tries, chosen=True),
        sharpe=None if moments is None else moments.sharpe,
        overfitting=overfitting(by_event(values, groups)),
    )


def final_sentence(found: dict[str, Any]) -> str:
    """What the final evaluation found, in one sentence.

    Args:
        found: as `TuneResult.final` has it.
    """
    looks = int(found["looks"])
    seen = "seen by no trial" if looks == 1 else f"looked at {looks} times"
    bounds = ", ".join(
        f"{name} {dollars(value, signed=True)}"
        for name, value in found["by_fill_model_cents"].items()
    )
    return (
        f"its settings trained anew, on {numbered(found['markets'], 'market')} of "
        f"{numbered(found['events'], 'event')} {seen}: "
        f"{dollars(found['profit_per_market_cents'], signed=True)} a market after fees "
        f"({found['verdict']}; by fill model: {bounds})"
    )
