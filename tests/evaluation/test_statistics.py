"""Statistics against numbers computed by hand and cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_train.evaluation.statistics import (
    changes_by_period,
    max_drawdown,
    sharpe,
    time_weighted_mean,
)


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
