"""The claims about the fill models, against the true queue; and that takers earn nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fill_models, no_edge
from benchmarks.fill_models import MODELS, Case, broken_claims, compare, make_case, model_rows
from benchmarks.join_both_sides import model_profit, true_profit
from benchmarks.pages import write_between_markers
from benchmarks.resting_study import (
    Fills,
    batches,
    contract_rows,
    draw_orders,
    simulated_fills,
    true_fills,
    without_trades,
)
from kalshi_sim import BatchSimulator, SimConfig, build_tape
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES, HOLD
from kalshi_sim.session import EventKind
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(1, markets=150, minutes=35, seed=9, per_market=6, size=10)


def test_no_claim_about_the_models_is_refuted(case: Case) -> None:
    """through and queue never fill before the truth, touch never after it."""
    assert broken_claims(case) == []


def test_models_fill_in_their_order(case: Case) -> None:
    """By every row: through <= queue <= prob <= touch, in whole contracts."""
    never = 2**40
    rows = [model_rows(case.tape, case.orders, m) for m in MODELS]
    due = [np.where(r < 0, never, r) for r in rows]
    for pessimist, optimist in itertools.pairwise(due):
        assert (pessimist >= optimist).all()


def test_queue_and_prob_are_close_to_the_truth(case: Case) -> None:
    for model in ("queue", "prob"):
        found = compare(
            case.tape, case.orders, case.when, model_rows(case.tape, case.orders, model)
        )
        assert found.truth > 1000
        assert found.recall > 0.95
        assert found.precision > 0.98
        assert abs(found.bias) < 0.05


def test_hidden_demand_is_a_small_part_of_the_truth(case: Case) -> None:
    hidden = (case.when >= 0).sum() - (case.when_seen >= 0).sum()
    assert 0 < hidden < 0.03 * (case.when >= 0).sum()


def test_without_trades_the_pessimistic_bound_is_the_same(case: Case) -> None:
    first, second = (model_rows(t, case.orders, "through") for t in (case.tape, case.bare))
    np.testing.assert_array_equal(first, second)


def test_a_session_without_trades_keeps_its_book() -> None:
    session = generate_session(2, markets=8)
    bare = without_trades(session)
    assert not bare.trades_recorded
    assert not (bare.events.kind == EventKind.TRADE).any()
    tapes = build_tape([session]), build_tape([bare])
    np.testing.assert_array_equal(tapes[0].px, tapes[1].px)
    np.testing.assert_array_equal(tapes[0].ts_ms, tapes[1].ts_ms)


def test_an_order_stood_at_the_best_price_is_the_one_that_joins(case: Case) -> None:
    at_best = case.orders[np.flatnonzero(case.orders.distance == 0)[:200]]
    expected = simulated_fills(case.tape, at_best, "prob")
    config = SimConfig(pricing="join", fill_model="prob", record_fills=True, cash_start=10**9)
    simulator = BatchSimulator(case.tape, len(at_best), config)
    simulator.reset()
    for env, view in enumerate(at_best.view):
        simulator.reset_one(env, int(view))
    alive = np.ones(len(at_best), np.bool_)
    got: list[tuple[int, int, int]] = []
    row = 0
    while alive.any():
        joins = np.where(at_best.side == 0, BUY_YES, BUY_NO)
        _, _, done, _ = simulator.step(np.where(at_best.row == row, joins, HOLD))
        row += 1
        got += [(f["env"], row, f["qty"]) for f in simulator.fills() if alive[f["env"]]]
        alive &= done == 0
    assert sorted(got) == sorted(zip(*(c.tolist() for c in expected), strict=True))
    assert got


def test_contracts_are_counted_one_by_one() -> None:
    fills = Fills(np.array([0, 0, 2]), np.array([3, 5, 4]), np.array([1, 2, 3]))
    expected = [[3, 5, 5], [-1, -1, -1], [4, 4, 4]]
    assert contract_rows(fills, 3, 3).tolist() == expected


def test_a_comparison_counts_contracts(case: Case) -> None:
    orders = case.orders[np.arange(2)]
    truth = np.array([[1, 2, -1], [4, -1, -1]])
    model = np.array([[2, 2, 3], [-1, -1, -1]])
    found = compare(case.tape, orders, truth, model)
    assert found[:5] == (3, 3, 2, 1, 2)
    assert (found.recall, found.precision, found.bias) == (2 / 3, 2 / 3, 0.0)


def test_every_order_is_in_one_batch(case: Case) -> None:
    found = np.concatenate(list(batches(case.tape, case.orders)))
    assert sorted(found.tolist()) == list(range(len(case.orders)))


def test_orders_are_drawn_within_the_book(case: Case) -> None:
    orders = draw_orders(
        case.tape, np.random.default_rng(1), per_view=2, size=5, distances=(-1, 0, 3)
    )
    starts = np.array([v.start for v in case.tape.views])[orders.view]
    best = case.tape.px[starts + orders.row, orders.side, 0]
    opposite = case.tape.px[starts + orders.row, 1 - orders.side, 0]
    np.testing.assert_array_equal(best - orders.price, orders.distance)
    assert (orders.price + opposite < case.tape.payout).all()
    assert (orders.ahead[orders.distance == -1] == 0).all()
    assert (orders.ahead[orders.distance == 0] > 0).all()
    assert len(true_fills(case.tape, case.truth, orders).order) > 0


def test_joining_both_sides_earns_between_through_and_touch(case: Case) -> None:
    truth = true_profit(case.tape, case.truth)
    profit = {model: model_profit(case.tape, model) for model in MODELS}
    for low, high in (
        (profit["through"], truth),
        (truth, profit["touch"]),
        (profit["queue"], profit["touch"]),
    ):
        beyond = low - high
        assert beyond.mean() <= 3 * beyond.std() / np.sqrt(len(beyond))
    beyond = profit["queue"] - truth
    assert abs(beyond.mean()) <= 3 * beyond.std() / np.sqrt(len(beyond))


def test_tables_are_written_between_the_markers(case: Case, tmp_path: Path) -> None:
    few = case.orders[np.arange(50)]
    results = fill_models.study([case._replace(orders=few, when=case.when[:50])])
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- fill-models:start -->\nold\n<!-- fill-models:end -->\nb\n")
    text = fill_models.table(results, None)
    write_between_markers(page, "fill-models", text)
    write_between_markers(page, "fill-models", text)
    assert page.read_text() == (
        f"a\n<!-- fill-models:start -->\n{text}\n<!-- fill-models:end -->\nb\n"
    )
    assert list(tmp_path.iterdir()) == [page]
    assert text.count("\n") == 1 + 2 * len(MODELS)
    page.write_text("nothing")
    with pytest.raises(SystemExit, match=r"page\.md lacks"):
        write_between_markers(page, "fill-models", text)


def test_takers_earn_nothing_without_an_edge() -> None:
    tape = no_edge.make_tape(300, 12, seed=4)
    assert len(tape.views) > 200
    found = list(no_edge.results(tape, seed=0))
    assert {r.model for r in found} == set(MODELS)
    assert [r for r in found if not r.holds] == []
    lost = [r for r in found if r.policy == "random"]
    assert all(r.mean < -5 * r.error for r in lost)
