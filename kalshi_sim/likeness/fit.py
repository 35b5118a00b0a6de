"""A profile from a recording: what can be is measured, the rest is found by generating.

Each parameter that cannot be measured has a figure that it moves. A short session is generated, its
figures are measured, every parameter is changed by the share by which its figure was missed, and so
on for a number of rounds. The round that came closest is kept. No chance is involved but the
session's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.likeness.figures import FIGURES, LEVELS, Measured, compare
from kalshi_sim.likeness.measure import (
    Float64Array,
    MarketFlow,
    bucket_of,
    flows_of,
    measure,
    measure_flows,
    time_figures,
)
from kalshi_sim.session import Int64Array, Session
from kalshi_sim.synthetic.profile import QUANTILES, Profile
from kalshi_sim.synthetic.profile_flow import BUCKETS
from kalshi_sim.synthetic.profile_market import draw_market
from kalshi_sim.synthetic.session import USUAL_SEED, generate_session, market_stream
from kalshi_sim.units import MS_PER_MINUTE, SIZE_SCALE

ROUNDS: Final = 6
LEAST_ROWS: Final = 1_000
"""Of a recording; fewer say nothing of bursts, and little of sizes by distance."""
WHOLE_ROWS: Final = 200_000
"""Rows of the session that a profile makes by itself, at most, unless it were too short."""
LEAST_MARKETS: Final = 24
LEAST_MINUTES: Final = 10.0
NUDGE: Final = 0.35
"""By which logarithm a parameter is moved to see what it does."""
LARGEST: Final = 0.7
"""Logarithm by which a parameter changes in one step, at most."""
TRIES: Final = 5
"""Steps with the same slopes."""
FARTHEST: Final = 2.0
"""A figure missed by a larger logarithm counts as missed by this one."""
FAR: Final = 0.12
MOST_WEIGHT: Final = 10.0
CLOSE: Final = 0.13
"""A profile whose worst figure is off by no more is close enough."""
TIME_ROUNDS: Final = 30
SMALL: Final = 1e-4
STARTS: Final = 21
"""Quantiles of the mid from which fair values start."""


class Lever(NamedTuple):
    """A parameter that is found by generating, and its range."""

    field: str
    """Of `Profile`."""
    place: int | None = None
    """Of an entry of a table; None: a number, or all of a table."""
    least: float = 1e-4
    most: float = 1.0


LEVERS: Final = (
    Lever("more", least=1e-3, most=0.9),
    *(Lever("levels", i, 1.0, 1e9) for i in range(len(BUCKETS))),
    *(Lever("places", i, 1e-6, 1.0) for i in range(len(BUCKETS))),
    Lever("sizes", least=1.0, most=1e9),
    Lever("news"),
    Lever("step", least=1e-3, most=20.0),
    Lever("tail", least=0.05, most=2.0),
    Lever("drop", least=1e-5, most=0.3),
    Lever("refill", least=1e-3, most=0.5),
    Lever("join", least=1e-3, most=0.9),
    Lever("settle", least=1e-3),
)
TIME_LEVERS: Final = (
    (Lever("lull", least=0.02, most=50.0), "rows_per_minute", -1.0),
    (Lever("slow", least=1e-3, most=0.7), "burst_60s", 0.5),
    (Lever("fast", least=1e-3, most=0.29), "burst_1s", 0.7),
)
"""Parameters of when something happens, the figure that each moves, and how strongly."""
GAP_FIGURES: Final = ("gap_p50_ms", "gap_p90_ms")
TAKER_LEVERS: Final = (
    Lever("taker", least=1e-4, most=0.2),
    Lever("takers", least=1.0, most=1e9),
    Lever("taker_tail", least=0.1, most=10.0),
    Lever("sweep"),
    Lever("tilt", least=1e-3, most=2.0),
    Lever("informed", least=1e-3),
)
"""Of recordings with trades only."""
FINE_LEVERS: Final = (Lever("fine", least=1.0, most=20.0),)
"""Of markets whose prices are finer than a cent in places."""


Report = Callable[[int, int, float], None]
"""Called with (rounds done, rounds, how far the worst figure is off, as a share)."""


def fit(session: Session, name: str, rounds: int = ROUNDS, report: Report | None = None) -> Profile:
    """The profile whose sessions are like a recording.

    Args:
        session: the recording, or some of its markets.
        name: of the profile.
        rounds: how often to linearise and correct.
        report: called after each round with (rounds done, rounds, worst difference).

    Raises:
        NoViewsError: no market of the recording has rows enough.
        DataError: all of them together have too few.
    """
    flows, cent = flows_of(session)
    rows = sum(len(flow.ts_ms) for flow in flows)
    if rows < LEAST_ROWS:
        raise DataError(
            f"session {session.session_id} has {rows:,} rows in {len(flows)} of its markets, too "
            f"few to be measured: {LEAST_ROWS:,} are needed"
        )
    target = measure_flows(flows, cent, trades=session.trades_recorded)
    profile = first_guess(session, flows, cent, target, name)
    levers = LEVERS + (TAKER_LEVERS if session.trades_recorded else ())
    levers += FINE_LEVERS if profile.sub_penny else ()
    profile = fit_times(profile, target)
    search = _Search(profile, levers, target)
    notify = report or (lambda done, of, worst: None)
    x = search.position(profile)
    measured = search.measured(x)
    damping = 0.1
    for number in range(rounds):
        missed = search.off(measured)
        slopes = np.stack([search.slope(x, missed, i) for i in range(len(x))], axis=1)
        for _ in range(TRIES):
            tried = search.clipped(x + _step(slopes, missed, damping))
            found = search.measured(tried)
            better = _badness(search.off(found)) < _badness(missed)
            if better:
                x, measured = tried, found
                missed = search.off(measured)
                damping = max(0.03, damping / 2.0)
            else:
                damping *= 3.0
        notify(number + 1, rounds, search.least)
        if search.least <= CLOSE:
            break
        damping = min(damping, 1.0)
    return search.profile(search.best)


def _badness(missed: Float64Array) -> float:
    """What is to become small: what is far off counts for more than its share."""
    return float((missed**2 * (1.0 + (missed / FAR) ** 2)).sum())


def _step(slopes: Float64Array, missed: Float64Array, damping: float) -> Float64Array:
    """Logarithms by which to change the parameters (Levenberg's step): float64 [levers]."""
    weight = np.minimum(1.0 + (missed / FAR) ** 2, MOST_WEIGHT)
    square = slopes.T @ (weight[:, None] * slopes) + damping * np.eye(slopes.shape[1])
    wanted = -slopes.T @ (weight * missed)
    step: Float64Array = np.clip(np.linalg.solve(square, wanted), -LARGEST, LARGEST)
    return step


class _Search:
    """Logarithms of the parameters, and by which logarithms their figures are missed."""

    def __init__(self, first: Profile, levers: tuple[Lever, ...], target: Measured) -> None:
        self._first = first
        self._levers = levers
        self.target = target
        timed = {figure for _, figure, _ in TIME_LEVERS} | set(GAP_FIGURES)
        settled = [k for k in FIGURES if target.settled(k) and target.values[k]]
        self._keys = [k for k in settled if k not in timed]
        self.best = self.position(first)
        self.least = np.inf

    def position(self, profile: Profile) -> Float64Array:
        """The parameters of a profile: float64 [levers]."""
        return np.log([_value(profile, lever) for lever in self._levers])

    def clipped(self, x: Float64Array) -> Float64Array:
        """Within the ranges of the parameters."""
        low, high = (np.log([f(lever) for lever in self._levers]) for f in (_least, _most))
        inside: Float64Array = np.clip(x, low, high)
        return inside

    def profile(self, x: Float64Array) -> Profile:
        """The profile at a position."""
        return with_levers(self._first, self._levers, np.exp(x))

    def measured(self, x: Float64Array) -> Measured:
        """The figures of the session that the profile there makes by itself."""
        measured = measure(generate_session(1, profile=self.profile(x)))
        worst = distance(self.target, measured)
        if worst < self.least:
            self.best, self.least = x, worst
        return measured

    def off(self, measured: Measured) -> Float64Array:
        """Logarithms by which figures are missed: float64 [figures]."""
        wanted, got = (self._logs(m.values) for m in (self.target, measured))
        off: Float64Array = np.clip(got - wanted, -FARTHEST, FARTHEST)
        return off

    def _logs(self, values: Mapping[str, float | None]) -> Float64Array:
        """Logarithms of the figures, enlarged where a quarter is a small part of what may be."""
        found = np.array([values[k] or 0.0 for k in self._keys])
        scale = np.array([3.0 if k == "traded_at_best" else 1.0 for k in self._keys])
        logs: Float64Array = scale * np.log(np.maximum(found, SMALL))
        return logs

    def slope(self, x: Float64Array, missed: Float64Array, i: int) -> Float64Array:
        """How the figures change with one parameter: float64 [figures]."""
        away = x.copy()
        away[i] += NUDGE
        if self.clipped(away)[i] < away[i]:
            away[i] -= 2.0 * NUDGE
        change: Float64Array = (self.off(self.measured(away)) - missed) / (away[i] - x[i])
        return change


def _least(lever: Lever) -> float:
    return lever.least


def _most(lever: Lever) -> float:
    return lever.most


def distance(target: Measured, measured: Measured) -> float:
    """The largest difference of a figure that the recording determines.

    Args:
        target: of the recording.
        measured: of a generated session.
    """
    found = [c.difference for c in compare(target, measured)]
    return max((abs(d) for d in found if d is not None), default=0.0)


def fit_times(profile: Profile, target: Measured) -> Profile:
    """The profile with gaps and bursts as recorded, which depend on nothing that trades.

    Args:
        profile: with the measured gaps.
        target: figures of the recording.
    """
    best, least = profile, np.inf
    for _ in range(TIME_ROUNDS):
        times = [_times_of(profile, i) for i in range(profile.markets)]
        got = time_figures(times)
        changed: dict[str, Any] = {}
        gaps = [abs((got[k] or 0.0) / (target.values[k] or 1.0) - 1.0) for k in GAP_FIGURES]
        worst = max(gaps)
        for lever, key, power in TIME_LEVERS:
            wanted, now = target.values[key], got[key]
            if wanted and now and target.settled(key):
                worst = max(worst, abs(now / wanted - 1.0))
                factor = float(np.clip((wanted / now) ** power, 0.5, 2.0))
                value = getattr(profile, lever.field) * factor
                changed[lever.field] = float(np.clip(value, lever.least, lever.most))
        if worst < least:
            best, least = profile, worst
        profile = replace(profile, **changed)
    return best


def _times_of(profile: Profile, market: int) -> Int64Array:
    """When something happens in a market of the session that a profile makes by itself."""
    stop_ms = int(profile.minutes * MS_PER_MINUTE)
    return draw_market(market_stream(USUAL_SEED, 1, market, 0), profile, market, 0, stop_ms).times


def first_guess(
    session: Session, flows: list[MarketFlow], cent: int, target: Measured, name: str
) -> Profile:
    """What can be measured, with usual values for the rest.

    Args:
        session: the recording.
        flows: of its markets.
        cent: tape money in a cent.
        target: its figures.
        name: of the profile.
    """
    gaps = np.concatenate([np.diff(f.ts_ms) for f in flows])
    marks = np.concatenate([f.mark2 for f in flows]) / (2 * cent)
    size = np.concatenate([f.size for f in flows])
    distances = np.concatenate([f.distance for f in flows])
    traded = np.concatenate([f.traded for f in flows])
    added = size > 0
    bucket = bucket_of(distances)
    sizes = [
        _quantiles(size[added & (bucket == i) & (distances >= 0)]) for i in range(len(BUCKETS))
    ]
    sizes.append(_quantiles(size[added & (distances < 0)]))
    removed = np.array([target.values[f"removed_{i}"] or 0.0 for i in range(len(BUCKETS))])
    means = np.array([max(1.0, float(np.mean(row))) for row in sizes[: len(BUCKETS)]])
    shown = [target.values[f"size_{k}"] or 1.0 for k in LEVELS]
    length = float(np.mean([f.ts_ms[-1] - f.ts_ms[0] for f in flows])) / MS_PER_MINUTE
    markets = max(LEAST_MARKETS, len(flows))
    a_minute = target.values["rows_per_minute"] or 1.0
    return Profile(
        name=name,
        recording=session.name or f"session {session.session_id}",
        markets=markets,
        minutes=round(min(length, max(LEAST_MINUTES, WHOLE_ROWS / markets / a_minute)), 1),
        sub_penny=any(m.sub_penny for m in session.markets),
        fractional=bool((session.events.size % SIZE_SCALE != 0).any()),
        gaps=tuple(np.maximum(1.0, np.quantile(gaps, QUANTILES)).tolist()),
        lull=1.0,
        slow=0.2,
        fast=0.05,
        starts=_starts(marks),
        news=min(1.0, 0.4 * (target.values["moves"] or 0.0)),
        step=0.8,
        tail=0.5,
        informed=0.3,
        more=0.2,
        taker=min(0.2, 0.7 * (target.values["trades_per_row"] or 0.03)),
        sweep=0.05,
        tilt=0.5,
        drop=0.2 * (target.values["moves"] or 0.0),
        refill=0.1,
        join=0.2,
        settle=0.3,
        places=_normed(np.maximum(removed, 1e-4) / means),
        levels=(*shown, *(2.0 * means[len(shown) :]).tolist()),
        sizes=tuple(sizes),
        takers=_quantiles(traded[traded > 0]),
        trades_recorded=session.trades_recorded,
        figures=dict(target.values),
        errors=dict(target.errors),
    )


def _normed(weights: Float64Array) -> tuple[float, ...]:
    return tuple((weights / weights.sum()).tolist())


def _quantiles(sizes: Int64Array) -> tuple[float, ...]:
    """Contracts at `QUANTILES`; of a few contracts if there are no sizes."""
    if not len(sizes):
        return (10.0,) * len(QUANTILES)
    return tuple(np.maximum(1.0, np.quantile(sizes / SIZE_SCALE, QUANTILES)).tolist())


def _starts(marks: Float64Array) -> tuple[float, ...]:
    """Quantiles of the mids, a cent away from the ends."""
    cents = np.quantile(marks, np.linspace(0.02, 0.98, STARTS))
    return tuple(np.clip(cents, 1.0, 99.0).tolist())


def _value(profile: Profile, lever: Lever) -> float:
    value: Any = getattr(profile, lever.field)
    if lever.place is not None:
        return float(value[lever.place])
    return float(value) if isinstance(value, float) else float(np.mean(value))


def with_levers(profile: Profile, levers: tuple[Lever, ...], values: Float64Array) -> Profile:
    """A profile with other parameters.

    Args:
        profile: the other parameters' values.
        levers: which to change.
        values: float64 [levers]; of a whole table its mean.
    """
    changed: dict[str, Any] = {}
    for lever, value in zip(levers, values.tolist(), strict=True):
        now: Any = changed.get(lever.field, getattr(profile, lever.field))
        if lever.place is not None:
            now = (*now[: lever.place], value, *now[lever.place + 1 :])
        elif isinstance(now, float):
            now = value
        else:
            scaled = np.maximum(1.0, np.array(now) * (value / float(np.mean(now))))
            now = _tuples(scaled)
        changed[lever.field] = now
    return replace(profile, **changed)


def _tuples(table: Float64Array) -> tuple[Any, ...]:
    """An array as tuples."""
    return tuple(row if isinstance(row, float) else tuple(row) for row in table.tolist())
