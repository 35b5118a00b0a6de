"""Markets in folds by event or by day, so that each is held out once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from kalshi_sim.config import SimConfig
from kalshi_sim.tape import Tape
from kalshi_sim.units import MS_PER_SECOND
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.measure import Episode, event_of, measure
from kalshi_train.evaluation.policies import Policy

By = Literal["event", "day"]


def folds_of(tape: Tape, held_out: int, by: By = "event") -> list[list[int]]:
    """The views that each fold holds out.

    Args:
        tape: the markets.
        held_out: events that a fold holds out, in the order of their names.
        by: event, or day (UTC) of the events' first row; then a fold holds out a day.

    Returns:
        Indices of views, fold by fold; every view is in one.

    Raises:
        SystemExit: there is one fold alone, so nothing would be left to train on.
    """
    events = sorted({event_of(v) for v in tape.views})
    if by == "day":
        first = {
            e: min(int(tape.ts_ms[v.start]) for v in tape.views if event_of(v) == e) for e in events
        }
        days = {e: datetime.fromtimestamp(t / MS_PER_SECOND, UTC).date() for e, t in first.items()}
        groups = [[e for e in events if days[e] == day] for day in sorted(set(days.values()))]
    else:
        groups = [events[i : i + held_out] for i in range(0, len(events), held_out)]
    if len(groups) < 2:
        raise SystemExit(f"the markets are of one {by} alone; nothing is left to train on")
    return [views_of(tape, group) for group in groups]


def views_of(tape: Tape, events: Sequence[str]) -> list[int]:
    """Indices of the views of some events."""
    return [i for i, v in enumerate(tape.views) if event_of(v) in events]


def episodes_of(policy: Policy, tape: Tape, config: SimConfig) -> list[Episode]:
    """Every market of a tape played once by a policy, with its figures."""
    rules = policy.config(config)
    use = functools.partial(measure, tape, rules.cash_start)
    return play_all(tape, rules, replace(policy, settings={}), use)
