"""The interval over events: by hand, and at its level where there are few of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from kalshi_train.evaluation.intervals import (
    ENOUGH_EVENTS,
    Interval,
    bootstrap_means,
    mean_interval,
    standard_error,
    student_quantile,
)


def test_bootstrap_of_two_events_has_the_distribution_counted_by_hand() -> None:
    """Draws of two events of one market each: 1 1, 1 3, 3 1, 3 3, all as probable."""
    means, errors = bootstrap_means(np.array([1.0, 3.0]), ["a", "b"], resamples=40_000)
    values, counts = np.unique(means, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert np.unique(errors).tolist() == [0.0, 1.0]  # of 1 and 3: deviation sqrt(2), over sqrt(2)
    # four standard deviations of a share of 40 000 draws
    assert np.abs(counts / 40_000 - [0.25, 0.5, 0.25]).max() < 4 * 0.5 / math.sqrt(40_000)


def test_bootstrap_draws_whole_events() -> None:
    """Event a has markets of 0 and 0, b one of 3: sums over counts 0/4, 3/3, 6/2."""
    means, _ = bootstrap_means(np.array([0.0, 3.0, 0.0]), ["a", "b", "a"], resamples=1_000)
    assert np.unique(means).tolist() == [0.0, 1.0, 3.0]


def test_interval_of_many_independent_events_is_the_normal_one() -> None:
    values = np.random.default_rng(5).normal(2.0, 3.0, 500)
    found = mean_interval(values, [str(i) for i in range(500)], resamples=20_000)
    half = 1.96 * values.std() / math.sqrt(500)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.04 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.04 * half)
    assert found.excludes_zero


def test_markets_of_one_event_are_no_independent_samples() -> None:
    """50 events of 10 equal markets: as wide as 50 samples, not as narrow as 500."""
    events = np.random.default_rng(6).normal(0.0, 1.0, 50)
    found = mean_interval(np.repeat(events, 10), np.repeat(np.arange(50), 10).astype(str).tolist())
    alone = mean_interval(events, [str(i) for i in range(50)])
    assert found.low is not None
    assert found.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_an_event_drawn_over_and_over_has_no_spread_to_scale_by() -> None:
    """Its resamples have an error of rounding alone, by which an end lay at 10^8 errors."""
    rng = np.random.default_rng(7)
    for _ in range(200):
        events = rng.permutation(np.array([0, 1, 2, *rng.integers(0, 3, 3)])).astype(str).tolist()
        profits = rng.normal(0, 500, 6).round()
        found = mean_interval(profits, events, resamples=500)
        assert found.low is not None
        assert found.high is not None
        assert found.high - found.low < 1_000 * standard_error(profits, events)


def test_one_event_has_no_interval() -> None:
    found = mean_interval(np.array([1.0, 2.0]), ["a", "a"])
    assert (found.mean, found.low, found.high) == (1.5, None, None)
    assert not found.excludes_zero


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-2.0, 0.0), (-1.0, 1.0), (None, None)])
def test_an_interval_that_touches_zero_does_not_exclude_it(
    low: float | None, high: float | None
) -> None:
    assert not Interval(1.0, low, high, 20).excludes_zero


def test_a_verdict_takes_five_events() -> None:
    assert Interval(1.0, 0.5, 2.0, ENOUGH_EVENTS).excludes_zero
    assert not Interval(1.0, 0.5, 2.0, ENOUGH_EVENTS - 1).excludes_zero
    surely = mean_interval(np.array([10.0, 10.1, 9.9, 10.0]), list("abcd"))
    assert surely.low is not None
    assert surely.low > 9
    assert not surely.excludes_zero


def test_events_that_all_gave_the_same_say_nothing_of_the_next() -> None:
    """Ten wins at 90 cents each: the loss of 90 that comes one time in ten is not among them."""
    found = mean_interval(np.full(10, 10.0), [str(i) for i in range(10)])
    assert (found.low, found.high, found.excludes_zero) == (None, None, False)
    still = mean_interval(np.zeros(10), [str(i) for i in range(10)])
    assert (still.low, still.high, still.excludes_zero) == (0.0, 0.0, False)


def test_quantiles_of_student_are_those_of_the_printed_tables() -> None:
    for df, wanted in ((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042)):
        assert student_quantile(0.95, df) == pytest.approx(wanted, abs=5e-4)
    assert student_quantile(0.99, 5) == pytest.approx(4.032, abs=5e-4)
    assert student_quantile(0.9, 10) == pytest.approx(1.812, abs=5e-4)
    assert student_quantile(0.95, 1000) == pytest.approx(1.962, abs=5e-4)
    assert student_quantile(0.95, 5000) == pytest.approx(1.960, abs=5e-4)


def test_the_interval_is_never_narrower_than_that_of_student() -> None:
    """Two events of 1 and 3: mean 2, standard error 1, and 12.706 of them on each side."""
    found = mean_interval(np.array([1.0, 3.0]), ["a", "b"])
    assert found.low == pytest.approx(2 - 12.706, abs=1e-3)
    assert found.high == pytest.approx(2 + 12.706, abs=1e-3)


def test_the_standard_error_is_that_of_a_ratio() -> None:
    """Events of 4 over 2 markets and 0 over 1: mean 4/3, rests 4 - 8/3 and 0 - 4/3."""
    error = standard_error(np.array([2.0, 2.0, 0.0]), ["a", "a", "b"])
    assert error == pytest.approx(math.sqrt(2 * 2 * (4 / 3) ** 2) / 3)
    assert math.isnan(standard_error(np.array([2.0, 2.0]), ["a", "a"]))


Draw = Callable[[np.random.Generator, int], np.ndarray]
WORTHLESS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "large gains": lambda rng, n: rng.exponential(size=n) - 1,
    "large losses": lambda rng, n: 1 - rng.exponential(size=n),
}


@pytest.mark.parametrize("events", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("kind", list(WORTHLESS))
def test_profits_without_worth_are_seldom_found_clear(kind: str, events: int) -> None:
    """At 95 %: in 7 % of cases at most. A percentile bootstrap of two events fails in half."""
    rng, trials = np.random.default_rng(11), 600
    names = [str(i) for i in range(events)]
    found = [
        mean_interval(WORTHLESS[kind](rng, events), names, resamples=300) for _ in range(trials)
    ]
    assert sum(f.excludes_zero for f in found) <= 0.07 * trials
    outside = sum(f.low is not None and f.high is not None and f.low * f.high > 0 for f in found)
    assert outside <= (0.07 if kind == "normal" else 0.11) * trials
    if events >= ENOUGH_EVENTS:  # and it is not so wide that nothing is ever found
        assert outside >= 0.02 * trials


def test_the_same_seed_gives_the_same_interval() -> None:
    values, groups = np.array([1.0, -2.0, 5.0]), ["a", "b", "c"]
    assert mean_interval(values, groups, seed=3) == mean_interval(values, groups, seed=3)
