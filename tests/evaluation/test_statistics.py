"""Statistics against numbers computed by hand and cases with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kalshi_train.evaluation.statistics import (
    bootstrap_means,
    changes_by_period,
    max_drawdown,
    mean_interval,
    sharpe,
    time_weighted_mean,
)


def test_bootstrap_of_two_events_has_the_distribution_counted_by_hand() -> None:
    """Draws of two events of one market each: 1 1, 1 3, 3 1, 3 3, all as probable."""
    means = bootstrap_means(np.array([1.0, 3.0]), ["a", "b"], resamples=40_000)
    values, counts = np.unique(means, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    # four standard deviations of a share of 40 000 draws
    assert np.abs(counts / 40_000 - [0.25, 0.5, 0.25]).max() < 4 * 0.5 / math.sqrt(40_000)


def test_bootstrap_draws_whole_events() -> None:
    """Event a has markets of 0 and 0, b one of 3: sums over counts 0/4, 3/3, 6/2."""
    means = bootstrap_means(np.array([0.0, 3.0, 0.0]), ["a", "b", "a"], resamples=1_000)
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


def test_one_event_has_no_interval() -> None:
    found = mean_interval(np.array([1.0, 2.0]), ["a", "a"])
    assert (found.mean, found.low, found.high) == (1.5, None, None)
    assert not found.excludes_zero


def test_an_interval_that_touches_zero_does_not_exclude_it() -> None:
    found = mean_interval(np.array([0.0, 0.0, 3.0]), ["a", "b", "c"])
    assert found.low == 0.0
    assert not found.excludes_zero


def test_the_same_seed_gives_the_same_interval() -> None:
    values, groups = np.array([1.0, -2.0, 5.0]), ["a", "b", "c"]
    assert mean_interval(values, groups, seed=3) == mean_interval(values, groups, seed=3)


def test_sharpe() -> None:
    """Mean 2, deviations -1, 0, 1: standard deviation 1."""
    assert sharpe(np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)
    assert sharpe(np.array([1.0])) is None
    assert sharpe(np.array([4.0, 4.0])) is None


def test_max_drawdown() -> None:
    assert max_drawdown(np.array([100, 90, 120, 70, 130, 101])) == 50
    assert max_drawdown(np.array([1, 2, 3])) == 0


def test_time_weighted_mean() -> None:
    """4 for 1 s, then 1 for 3 s; the last value holds for no time."""
    ts = np.array([0, 1_000, 4_000])
    assert time_weighted_mean(np.array([4, 1, 99]), ts) == 1.75


def test_changes_by_period() -> None:
    """At 0, 60 and 120 s the last values are 5, 8 and 8; the half minute after is left out."""
    ts = np.array([0, 30_000, 59_000, 130_000, 150_000])
    values = np.array([5.0, 6.0, 8.0, 1.0, 2.0])
    assert changes_by_period(values, ts, 60_000).tolist() == [3.0, 0.0]
