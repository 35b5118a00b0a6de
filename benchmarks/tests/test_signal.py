"""Forecasts and folds: what is planted is found, with the interval that a plain sum gives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.folds import episodes_of, folds_of, views_of
from benchmarks.forecasts import (
    HORIZONS_S,
    Samples,
    forecast,
    network,
    ridge,
    sample,
    seen_features,
)
from benchmarks.maker_on_recordings import compared
from benchmarks.signal import Arguments, fit_of, maker, measure, on_forecasts, taker
from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES, HOLD, SELL_YES
from kalshi_sim.kernels.observation import BID_WORKING, POSITION
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.evaluation import BASELINES
from kalshi_train.evaluation.measure import event_of


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(5, markets=6, minutes=10, seed=4, deltas=900)])


def planted(n: int = 3_000, share: float = 0.5, seed: int = 0) -> Samples:
    """Moves of which one feature explains a share."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 40))
    noise = rng.normal(size=(n, len(HORIZONS_S)))
    moves = math.sqrt(share) * x[:, [7]] + math.sqrt(1 - share) * noise
    moves[::50, 2] = np.nan
    return Samples(x, moves, np.array([f"E{i % 6}" for i in range(n)]))


def test_a_sample_is_a_row_a_second_and_its_later_mids(tape: Tape) -> None:
    samples = sample(tape)
    at = 0
    for view in tape.views:
        seen = set()
        for row in range(view.start, view.stop):
            second = int(tape.ts_ms[row]) // 1000
            if second in seen:
                continue
            seen.add(second)
            np.testing.assert_array_equal(samples.features[at], tape.features[row])
            assert samples.events[at] == event_of(view)
            for k, horizon in enumerate(HORIZONS_S):
                until = int(tape.ts_ms[row]) + 1000 * horizon
                if until > tape.ts_ms[view.stop - 1]:
                    assert np.isnan(samples.moves[at, k])
                    continue
                later = max(r for r in range(row, view.stop) if tape.ts_ms[r] <= until)
                moved = (int(tape.mark2[later]) - int(tape.mark2[row])) / 2
                assert samples.moves[at, k] == moved
            at += 1
    assert at == len(samples.features) > 100
    third = sample(tape, 3).features
    kept = np.concatenate([np.arange(v.start, v.stop, 3) for v in tape.views])
    np.testing.assert_array_equal(third, tape.features[kept])


def test_observations_hold_the_features_in_their_order(tape: Tape) -> None:
    seen = BatchSimulator(tape, 1, SimConfig()).reset()
    np.testing.assert_array_equal(seen_features(seen)[0], tape.features[tape.views[0].start])


def test_what_is_planted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.forecasts.UPDATES", 500)
    torch.set_num_threads(1)
    train, test = planted(), planted(seed=1)
    linear, net = ridge(train, 1), network(train, 0)
    assert linear.weights[7] == pytest.approx(math.sqrt(0.5), abs=0.05)
    for said in (linear(test.features), forecast(net, test.features)[:, 1]):
        fit = fit_of("kind", 1, test.moves[:, 1], said, test.events)
        assert fit.r2 == pytest.approx(0.5, abs=0.08)
        assert fit.low < fit.r2 < fit.high
        assert (fit.events_above_zero, fit.events) == (6, 6)
    few = ridge(train, 1, ("top_imbalance", "yes_bid"))
    assert np.flatnonzero(few.weights).tolist() == [0, 7]
    assert few.weights[7] == pytest.approx(math.sqrt(0.5), abs=0.05)
    noise = planted(share=0.0)
    nothing = fit_of("kind", 1, noise.moves[:, 1], linear(noise.features), noise.events)
    assert nothing.r2 < 0


def test_r2_and_its_interval_are_ratios_of_sums() -> None:
    actual = np.array([1.0, -2.0, 3.0, np.nan, 1.0])
    said = np.array([0.5, -1.0, 0.0, 9.0, -1.0])
    fit = fit_of("kind", 0, actual, said, np.array(["a", "a", "b", "b", "c"]))
    there, saved = np.array([5.0, 9.0, 1.0]), np.array([5 - 1.25, 0.0, 1 - 4.0])
    r2 = saved.sum() / 15
    error = math.sqrt(3 / 2 * ((saved - r2 * there) ** 2).sum()) / 15
    assert (fit.rows, fit.horizon_s, fit.events_above_zero) == (4, 1, 1)
    assert fit.r2 == pytest.approx(r2)
    assert fit.t == pytest.approx(r2 / error)
    assert fit.high - fit.r2 == pytest.approx(4.302653 * error, rel=1e-6)


def test_every_view_is_held_out_once(tape: Tape) -> None:
    folds = folds_of(tape, 2)
    assert sorted(i for fold in folds for i in fold) == list(range(len(tape.views)))
    events = [{event_of(tape.views[i]) for i in fold} for fold in folds]
    assert not set.intersection(*events)
    with pytest.raises(SystemExit, match="one day alone"):
        folds_of(tape, 2, "day")
    with pytest.raises(SystemExit, match="one event alone"):
        folds_of(tape.select(views_of(tape, [event_of(tape.views[0])])), 1)


def test_traders_do_what_the_forecast_says() -> None:
    seen = np.zeros((4, 52), np.float32)
    seen[3, POSITION] = 0.15
    said = np.array([0.9, -0.9, 0.1, -0.1])

    def ask(episodes: object, rows: object) -> tuple[np.ndarray, np.ndarray]:
        return said, np.full(4, 0.5)

    assert taker(ask)(None, seen, None).tolist() == [BUY_YES, BUY_NO, HOLD, SELL_YES]
    seen[3, BID_WORKING] = 1
    names = ["buy_yes_join", "buy_no_join", "hold", "cancel_yes"]
    found = maker(ask)(None, seen, None).tolist()
    assert [SimConfig(actions="maker").table.names[i] for i in found] == names


def test_each_event_has_the_forecast_made_without_it(tape: Tape) -> None:
    asked: list[float] = []

    def make(ask: object) -> object:
        def choose(episodes: np.ndarray, seen: np.ndarray, masks: object) -> np.ndarray:
            asked.extend(ask(episodes, seen)[1].tolist())  # type: ignore[operator]  # a function
            return np.zeros(len(seen), int)

        return choose

    linear = ridge(sample(tape), 0)
    names = sorted({event_of(v) for v in tape.views})
    sizes = {name: (linear, float(i)) for i, name in enumerate(names)}
    policy = on_forecasts("name", make, sizes, "five")
    views = [tape.views[0], tape.views[-1]]
    policy.chooser(views)(np.array([1, 0]), np.zeros((2, 52), np.float32), np.ones((2, 5), bool))
    assert asked == [sizes[event_of(v)][1] for v in reversed(views)]


def test_all_of_it_on_a_few_markets(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.forecasts.UPDATES", 40)
    fits, traders = measure(tape, Arguments(held_out=1, fill_models=("queue",)))
    kinds = ("ridge", "ridge of 6", "network")
    assert [(f.kind, f.horizon_s) for f in fits] == [(k, h) for k in kinds for h in HORIZONS_S]
    assert [t.policy for t in traders] == [
        "taker on the forecast",
        "maker on the forecast",
        "join-both-sides",
    ]


def test_a_comparison_is_paired(tape: Tape) -> None:
    config = SimConfig()
    first = episodes_of(BASELINES["join-both-sides"], tape, config)
    second = episodes_of(BASELINES["hold"], tape, config)
    found = compared("queue", first, second)
    assert found.difference_cents == pytest.approx(found.agent_cents)
    assert found.baseline_cents == 0
    same = compared("queue", first, first)
    assert (same.difference_cents, same.events_better) == (0, 0)
    assert replace(same, fill_model="x").events == len({event_of(v) for v in tape.views})
