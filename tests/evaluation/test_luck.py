"""The deflated Sharpe ratio against the example of its paper; overfitting where it is known."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from kalshi_train.evaluation.luck import (
    Moments,
    deflated_sharpe,
    expected_best_sharpe,
    overfitting,
    probabilistic_sharpe,
)
from kalshi_train.evaluation.tries import EVALUATIONS, tries_of

DAYS = 250


def test_the_example_of_bailey_and_lopez_de_prado() -> None:
    """A strategy found by 100 tries: 5 years of days, 2.5 a year, skewness -3, kurtosis 10.

    Its Sharpe ratio, deflated, is 0.9004, and would be 0.9505 with 46 tries; if its returns were
    normal, it would be 0.9505 with 88 tries (The Deflated Sharpe Ratio, section "An example").
    """
    variance = 0.5 / DAYS
    moments = Moments(sharpe=2.5 / math.sqrt(DAYS), n=1250, skewness=-3.0, kurtosis=10.0)
    assert expected_best_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(moments, 100, variance) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(moments, 46, variance) == pytest.approx(0.9505, abs=5e-5)
    normal = Moments(sharpe=moments.sharpe, n=1250, skewness=0.0, kurtosis=3.0)
    assert deflated_sharpe(normal, 88, variance) == pytest.approx(0.9505, abs=5e-5)


def test_the_best_of_many_worthless_tries_is_what_is_expected() -> None:
    rng = np.random.default_rng(0)
    best = rng.standard_normal((20_000, 50)).max(axis=1)
    assert expected_best_sharpe(50, 1.0) == pytest.approx(best.mean(), rel=0.02)
    assert expected_best_sharpe(1, 1.0) == 0.0


def test_worthless_tries_are_seldom_found_good() -> None:
    """Of 40 tries without worth the best one passes 95 % in about one case of twenty."""
    rng = np.random.default_rng(1)
    undeflated = passed = 0
    for _ in range(400):
        profits = rng.standard_normal((40, 60))
        moments = [m for m in map(Moments.of, profits) if m is not None]
        best = max(moments, key=lambda m: m.sharpe)
        undeflated += probabilistic_sharpe(best) > 0.95
        passed += deflated_sharpe(best, 40) > 0.95
    assert undeflated > 300
    assert passed < 60


def test_moments() -> None:
    moments = Moments.of(np.array([1.0, 1.0, 1.0, 5.0]))
    assert moments is not None
    assert moments.sharpe == pytest.approx(2 / 2)
    assert moments.skewness == pytest.approx(2 / math.sqrt(3))
    assert moments.kurtosis == pytest.approx(7 / 3)
    assert Moments.of(np.ones(5)) is None
    assert Moments.of(np.array([1.0, 2.0])) is None


def test_overfitting_counted_by_hand() -> None:
    """Four events, three tries: in each of six halves the best one's rank in the other half."""
    profits = np.array([[9.0, 0.0, 1.0, 0.0], [0.0, 9.0, 0.0, 1.0], [1.0, 1.0, 2.0, 2.0]])
    worse = 0
    for half in itertools.combinations(range(4), 2):
        other = [k for k in range(4) if k not in half]
        chosen = int(profits[:, list(half)].sum(axis=1).argmax())
        out = profits[:, other].sum(axis=1)
        rank = 1 + int((out < out[chosen]).sum())
        worse += rank == 1
    found = overfitting(profits)
    assert found is not None
    assert found.probability == worse / 6
    assert (found.tries, found.events, found.splits) == (3, 4, 6)


def test_overfitting_where_there_is_skill_and_where_there_is_none() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((12, 80))
    skilled = noise.copy()
    skilled[3] += 2
    good = overfitting(skilled)
    assert good is not None
    assert good.probability == 0
    chance = [overfitting(rng.standard_normal((12, 80))) for _ in range(60)]
    mean = np.mean([c.probability for c in chance if c is not None])
    assert abs(mean - 0.5) < 0.1
    still = overfitting(np.zeros((4, 20)))
    assert still is not None
    assert overfitting(noise[:1]) is None
    assert overfitting(noise[:, :3]) is None


def a_run(folder: Path, profits: np.ndarray, tickers: list[str]) -> Path:
    """A run that left these held-out evaluations, [evaluations, markets]."""
    (folder / "eval_logs").mkdir(parents=True)
    np.savez(
        folder / EVALUATIONS,
        timesteps=1000 * np.arange(1, len(profits) + 1),
        profit_cents=profits,
        tickers=np.array(tickers),
        events=np.array([ticker.split("-")[0] for ticker in tickers]),
    )
    return folder


def test_runs_in_a_folder_count_themselves(tmp_path: Path) -> None:
    """Two markets an event; a skilled checkpoint among noise, and noise alone."""
    rng = np.random.default_rng(3)
    tickers = [f"E{k // 2}-{k % 2}" for k in range(60)]
    noise = [rng.standard_normal((5, 60)) * 100 for _ in range(4)]
    runs = [a_run(tmp_path / f"n{k}", noise[k], tickers) for k in range(4)]
    a_run(tmp_path / "other", rng.standard_normal((3, 8)), [f"X{k}-0" for k in range(8)])
    (tmp_path / "unfinished").mkdir()
    found = tries_of([*runs, tmp_path / "other", tmp_path / "unfinished"])
    assert found is not None
    assert (found.runs, found.tries, found.markets, found.events) == (4, 20, 60, 30)
    means = np.concatenate(noise).mean(axis=1)
    assert found.best_profit_cents == means.max()
    assert found.best == runs[int(means.argmax()) // 5]
    assert found.best_steps == 1000 * (int(means.argmax()) % 5 + 1)
    assert found.deflated is not None
    assert found.deflated < 0.95
    assert "best of 20 tries (4 runs with their checkpoints)" in found.sentence()
    assert "30 events" in found.sentence()
    assert "no more than so many tries explain" in found.sentence()
    skilled = noise[0].copy()
    skilled[2] += 100
    better = tries_of([*runs, a_run(tmp_path / "skilled", skilled, tickers)])
    assert better is not None
    assert (better.best.name, better.best_steps, better.tries) == ("skilled", 3000, 25)
    assert better.deflated is not None
    assert better.deflated > 0.99
    assert better.overfitting is not None
    assert better.overfitting.probability < 0.05
    assert ": more than so many tries explain" in better.sentence()
    assert tries_of([tmp_path / "unfinished"]) is None
    still = tries_of([a_run(tmp_path / "still", np.zeros((1, 60)), tickers)])
    assert still is not None
    assert still.sentence().endswith("too few events or trades to judge it")
