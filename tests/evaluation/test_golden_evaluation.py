"""Evaluations of hand-written markets: every figure computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kalshi_sim import SimConfig, build_tape
from kalshi_sim.kernels.layout import BUY_YES, HOLD, SELL_YES
from kalshi_train.evaluation import Evaluation, evaluate
from tests.support.streams import NO, YES, delta, quiet, session_of, snapshot


def scripted(actions: Sequence[int]) -> Any:
    """A policy that does what is told, starting anew with each episode."""
    asked = iter([*actions] * 3)  # once for each fill model

    def act(obs: np.ndarray) -> np.ndarray:
        assert len(obs) == 1
        return np.array([next(asked)])

    return act


def taker() -> Evaluation:
    """Buys 10 at 45 (mid 42.5) and sells them at 43 (mid 44) a second later.

    Mids: 42.5 at 0, 43 at 0.5 s, 44 at 1 s, 46.5 from 11 s on, to 60.5 s.
    """
    session = session_of(
        snapshot(0, {40: 100, 39: 50}, {55: 80, 50: 20}),
        delta(500, YES, 41, 10),
        delta(1_000, YES, 43, 10),
        delta(11_000, NO, 55, -80),
        quiet(60_500, 1),
    )
    tape = build_tape([session], min_episode_length=3)
    return evaluate({"taker": scripted([BUY_YES, HOLD, SELL_YES, HOLD])}, tape)


def maker() -> Evaluation:
    """Joins 40 behind 100 contracts, of which 30 trade a second later."""
    session = session_of(
        snapshot(0, {40: 100, 39: 50}, {55: 80}),
        delta(1_000, YES, 40, -30, 30),
        quiet(2_500, 1),
    )
    tape = build_tape([session], min_episode_length=3)
    return evaluate({"maker": scripted([BUY_YES, HOLD])}, tape, SimConfig(pricing="join"))


def test_a_taker_pays_spread_and_fees() -> None:
    """Fees: 17.325 and 0.07*10*0.43*0.57 = 17.157 cents, each rounded up to 18."""
    figures = taker().run("taker").episodes[0].figures
    assert figures.rows == 5
    assert figures.steps == 4
    assert figures.profit_cents == 430 - 450 - 36
    assert figures.return_on_capital == pytest.approx(-0.0056)
    assert figures.fees_cents == 36
    assert (figures.fills, figures.contracts) == (2, 20)
    assert figures.turnover_cents == 450 + 570
    assert figures.maker_share == 0
    # equity: 10 000, 9 532 + 430, 9 532 + 440, 9 944, 9 944
    assert figures.max_drawdown_cents == 56
    assert figures.sharpe is None  # a single whole minute
    assert figures.actions == {
        "hold": 0.5,
        "buy_yes": 0.25,
        "sell_yes": 0.25,
        "buy_no": 0,
        "sell_no": 0,
    }
    assert figures.position_at_end == 0
    assert not figures.settled


def test_mark_outs_of_a_taker() -> None:
    """YES bought at 45: -2.5 at once, 44 after 1 and 10 s, 46.5 after 60 s.

    NO bought at 57: 56 at once and after 1 s, 53.5 after 10 s, unknown after 60 s.
    """
    evaluation = taker()
    figures = evaluation.run("taker").episodes[0].figures
    assert figures.spread_capture_cents == (-2.5 - 1) / 2
    assert figures.markout_1s_cents == (-1 - 1) / 2
    assert figures.markout_10s_cents == (-1 - 3.5) / 2
    assert figures.markout_60s_cents == 1.5
    fills = evaluation.frames["fills"].to_pydict()
    queue = [i for i, m in enumerate(fills["fill_model"]) if m == "queue"]
    assert [fills["side"][i] for i in queue] == ["yes", "no"]
    assert [fills["price_cents"][i] for i in queue] == [45.0, 57.0]
    assert [fills["spread_capture_cents"][i] for i in queue] == [-2.5, -1.0]
    assert [fills["markout_60s_cents"][i] for i in queue] == [1.5, None]


def test_inventory_is_weighted_by_time() -> None:
    """10 contracts from the buy at 0 to the sale at 1 s, of 60.5 s."""
    figures = taker().run("taker").episodes[0].figures
    assert figures.inventory_mean == pytest.approx(10 * 1_000 / 60_500)
    assert figures.inventory_max == 10


def test_the_bounds_enclose_a_maker() -> None:
    """Nothing crosses 40, the queue still holds 70, and a touch fills all 10 at a mid of 42.5."""
    evaluation = maker()
    profit = {m: evaluation.run("maker", m).total.profit_cents for m in evaluation.fill_models}
    assert profit == {"through": 0.0, "queue": 0.0, "touch": 25.0}
    figures = evaluation.run("maker", "touch").episodes[0].figures
    assert (figures.fills, figures.contracts, figures.maker_share) == (1, 10, 1.0)
    assert figures.fees_cents == 0
    assert figures.spread_capture_cents == 2.5
    assert figures.markout_1s_cents == 2.5
    assert figures.markout_10s_cents is None
    # filled in the flow into the second row: 0 for 1 s, 10 for 1.5 s
    assert figures.inventory_mean == pytest.approx(10 * 1_500 / 2_500)


def test_totals_and_comparison() -> None:
    """Against `always-buy`, which pays for 10 of the same market as often as it can."""
    session = session_of(
        snapshot(0, {40: 100, 39: 50}, {55: 80}),
        delta(1_000, YES, 40, -30, 30),
        quiet(2_500, 1),
    )
    tape = build_tape([session], min_episode_length=3)
    found = evaluate({"idle": lambda obs: np.zeros(len(obs), int)}, tape, baselines=["always-buy"])
    # two orders of 10 at 45, mid 42.5, fees of 17.325 rounded up each
    total = found.run("always-buy").total
    assert total.profit_cents == 2 * (-25 - 18)
    assert (total.win_rate, total.losing_rate) == (0.0, 1.0)
    assert total.max_drawdown_cents == 86
    pair = next(c for c in found.comparisons if c.fill_model == "queue")
    assert (pair.first, pair.second, pair.difference_cents) == ("idle", "always-buy", 86.0)
    assert (pair.first_better, pair.second_better) == (1, 0)
    assert "$0.86 a market more than always-buy" in pair.sentence
    assert "1 event is too few" in pair.sentence


def test_a_settled_market_pays_out() -> None:
    """10 at 45 plus a fee of 18, paid 100 each at the end."""
    session = session_of(
        snapshot(0, {40: 100}, {55: 80}),
        quiet(1_000, 2),
        settlement_value=10_000,
    )
    tape = build_tape([session], min_episode_length=3)
    figures = evaluate({"p": scripted([BUY_YES, HOLD])}, tape).run("p").episodes[0].figures
    assert figures.settled
    assert figures.profit_cents == 1_000 - 450 - 18
    assert (figures.position_at_end, figures.inventory_max) == (0, 10)
