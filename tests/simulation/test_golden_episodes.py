"""Episodes on small hand-written streams, with numbers computed by hand, for both twins."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_sim.reference.engines import Runner
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, SELL_NO, SELL_YES, OracleFill
from tests.support.golden import BOTH, calm, column, config
from tests.support.streams import NO, T0, YES, delta, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel


@BOTH
def test_a_round_trip_costs_spread_and_fees(run: Runner) -> None:
    """Buys 10 at 45 and sells them at 41, which shows 10.

    Fees: 0.07*10*0.45*0.55 = 17.325 cents, 0.07*10*0.41*0.59 = 16.933 cents, each rounded up.
    """
    session = calm(delta(10, YES, 41, 10), quiet(20, 2))
    out = run(session, config(), [BUY_YES, SELL_YES, HOLD])
    assert out.fills == [
        OracleFill(0, YES, 45, 10, 18, False),
        OracleFill(1, NO, 59, 10, 17, False),
    ]
    assert column(out, "cash") == [10_000, 9_532, 9_925, 9_925]
    assert column(out, "position") == [0, 10, 0, 0]
    assert column(out, "cost") == [0, 450, 0, 0]
    assert column(out, "realized") == [0, 0, -40, -40]
    assert column(out, "fees_paid") == [0, 18, 35, 35]
    # 10 contracts at a mid of (41 + 45) / 2
    assert column(out, "equity2") == [20_000, 2 * 9_532 + 860, 19_850, 19_850]
    assert out.rewards == [-38.0, -37.0, 0.0]
    assert (out.terminated, out.truncated) == (True, False)


@BOTH
def test_selling_no_is_buying_yes(run: Runner) -> None:
    """NO bought at 60 (the bid of 40), sold for 55: the same as YES bought back at 45."""
    out = run(calm(quiet(10, 3)), config(fees=False), [BUY_NO, SELL_NO, HOLD])
    assert out.fills == [
        OracleFill(0, NO, 60, 10, 0, False),
        OracleFill(1, YES, 45, 10, 0, False),
    ]
    assert column(out, "position") == [0, -10, 0, 0]
    assert column(out, "cash") == [10_000, 9_400, 9_950, 9_950]
    assert column(out, "realized") == [0, 0, -50, -50]


@BOTH
def test_liquidation_values_at_the_best_bid(run: Runner) -> None:
    out = run(calm(quiet(10, 2)), config(fees=False, valuation="liquidation"), [BUY_YES, HOLD])
    assert column(out, "equity2") == [20_000, 2 * (9_550 + 400), 2 * (9_550 + 400)]
    assert out.rewards == [-50.0, 0.0]


@BOTH
def test_an_order_takes_level_after_level(run: Runner) -> None:
    """NO at 61 reaches YES bids of 40 (20 contracts, improving on 61 by 1) and of 39."""
    session = session_of(
        snapshot(0, {40: 20, 39: 50}, {55: 80}),
        delta(10, YES, 40, -20),
        delta(20, YES, 40, 20),
        quiet(30, 2),
    )
    late = config(order_size=30, fees=False, latency_ms=10)
    out = run(session, late, [HOLD, BUY_NO, HOLD, HOLD])
    # decided at row 1 (best bid 39), arriving at 20 on the book that shows 40 again
    assert out.fills == [OracleFill(2, NO, 60, 20, 0, False), OracleFill(2, NO, 61, 10, 0, False)]


@BOTH
def test_maker_fees_where_they_are_charged(run: Runner) -> None:
    """0.0175*7*0.40*0.60 dollars = 2.94 cents, rounded up."""
    session = calm(
        delta(10, YES, 40, -100) + delta(10, YES, 39, -50) + delta(10, NO, 60, 7),
        quiet(20, 2),
        maker_multiplier=10_000,
    )
    out = run(session, config(pricing="join"), [BUY_YES, HOLD, HOLD])
    assert out.fills == [OracleFill(1, YES, 40, 7, 3, True)]


@BOTH
def test_cash_limits_an_order_with_its_highest_fee(run: Runner) -> None:
    """45 and a fee of one, 1.7325 rounded up: 47 a contract, two for a dollar.

    Two cost a fee of 3.465, rounded up. The 6 cents left buy no YES, but close by buying NO.
    """
    out = run(calm(quiet(10, 2)), config(cash_start=100), [BUY_YES, BUY_YES])
    assert out.fills == [OracleFill(0, YES, 45, 2, 4, False)]
    assert column(out, "cash") == [100, 6, 6]
    assert out.masks == [[True, True, False, True, False], [True, False, True, True, False]]
    assert column(out, "invalid_actions") == [0, 0, 1]


@BOTH
def test_a_resting_order_reserves_its_price(run: Runner) -> None:
    """10 at 40 from 500 cents leave 100: too little for 10 NO at 55, enough for one."""
    settings = config(cash_start=500, pricing="join", fill_model="through")
    out = run(calm(quiet(10, 3)), settings, [BUY_YES, BUY_NO, HOLD])
    assert column(out, "free_cash") == [500, 100, 45, 500]
    assert column(out, "order_size", NO) == [0, 0, 1, 0]


@BOTH
def test_an_order_that_meets_the_own_other_side_cancels_it(run: Runner) -> None:
    """A bid of 40 rests; NO at 60 would trade with it, so it goes first, and 100 others do."""
    session = calm(quiet(10, 3))
    late = config(pricing="join", fees=False)
    out = run(session, late, [BUY_YES, HOLD, HOLD])
    assert column(out, "order_size", YES) == [0, 10, 10, 0]
    moved = calm(
        delta(10, YES, 40, -100)
        + delta(10, YES, 39, -50)
        + delta(10, YES, 37, 5)
        + delta(10, NO, 55, -80)
        + delta(10, NO, 50, -20)
        + delta(10, NO, 59, 5)
        + delta(10, NO, 58, 5),
        delta(20, NO, 61, 7),  # crosses: the order at 40 fills 7
        quiet(30, 2),
    )
    out = run(moved, late, [BUY_YES, BUY_NO, BUY_NO, HOLD])
    # NO at 59 rests beside it (40 + 59 < 100); at 61 it would meet it: cancelled first
    assert column(out, "order_size", YES) == [0, 10, 3, 0, 0]
    assert column(out, "order_price", NO) == [0, 0, 59, 61, 0]
    assert out.fills == [OracleFill(2, YES, 40, 7, 0, True)]


@BOTH
def test_improve_steps_up_the_grid_until_it_would_cross(run: Runner) -> None:
    """41, while the NO side joins 55 at 56; once 44 is the best bid, 45 would cross: join."""
    session = calm(delta(10, YES, 44, 5), quiet(20, 2))
    settings = config(pricing="improve", fill_model="through")
    out = run(session, settings, [BUY_YES, BUY_YES, HOLD])
    assert column(out, "order_price", YES) == [0, 41, 44, 0]
    assert column(out, "order_ahead", YES) == [0, 0, 5, 0]


@BOTH
def test_the_same_price_keeps_its_place_and_another_loses_it(run: Runner) -> None:
    """Behind 100, then 90 left of them; the same price changes nothing, counted as nothing."""
    session = calm(
        delta(10, YES, 40, -10),
        delta(20, YES, 40, 50),
        delta(30, YES, 41, 5),
        quiet(40, 2),
    )
    settings = config(pricing="join", fill_model="through")
    out = run(session, settings, [BUY_YES, BUY_YES, BUY_YES, BUY_YES, HOLD])
    assert column(out, "order_ahead", YES) == [0, 90, 90, 90, 5, 0]
    assert column(out, "invalid_actions") == [0] * 6


@BOTH
def test_selling_what_is_not_held_is_invalid(run: Runner) -> None:
    out = run(calm(quiet(10, 2)), config(), [SELL_YES, SELL_NO])
    assert out.masks[0] == [True, True, False, True, False]
    assert out.fills == []
    assert column(out, "invalid_actions") == [0, 1, 2]
    assert out.rewards == [0.0, 0.0]


@BOTH
def test_latency_is_waited_for(run: Runner) -> None:
    """Decided at 0 for 45, in flight until 25, it meets row 2 (at 20), where 45 shows 3."""
    session = calm(delta(10, NO, 55, -70), delta(20, NO, 55, -7), delta(30, YES, 1, 1), quiet(40))
    out = run(session, config(latency_ms=25, fees=False), [BUY_YES, BUY_YES, HOLD, HOLD])
    assert out.fills == [OracleFill(2, YES, 45, 3, 0, False)]
    assert out.masks[0] == [True, True, False, True, False]
    assert out.masks[1] == out.masks[2] == [True, False, False, False, False]
    assert column(out, "invalid_actions") == [0, 0, 1, 1, 1]
    assert column(out, "order_size", YES) == [0, 0, 0, 7, 7]
    assert column(out, "cash") == [10_000] * 3 + [10_000 - 3 * 45] * 2


@BOTH
def test_an_order_in_flight_at_the_end_never_arrives(run: Runner) -> None:
    out = run(calm(quiet(10, 2)), config(latency_ms=5_000), [BUY_YES, HOLD])
    assert out.fills == []
    assert out.terminated


@BOTH
@pytest.mark.parametrize(
    ("market", "cash", "realized", "position"),
    [
        ({"settlement_value": 10_000}, 9_550 + 1_000, 550, 0),
        ({"settlement_value": 0}, 9_550, -450, 0),
        ({"settlement_value": 3_700}, 9_550 + 370, -80, 0),
        ({"settlement_value": 10_000, "settlement_known_ms": T0 + 11}, 10_550, 550, 0),
        ({"settlement_value": 10_000, "settlement_known_ms": T0 + 12}, 9_550, 0, 10),
    ],
)
def test_settlement(
    run: Runner, market: dict[str, int], cash: int, realized: int, position: int
) -> None:
    """The session's last message is at 11 ms: what became known later settles nothing."""
    out = run(calm(quiet(10, 2), **market), config(fees=False), [BUY_YES, HOLD])
    last = out.states[-1]
    assert (last["cash"], last["realized"], last["position"]) == (cash, realized, position)
    assert out.terminated
    assert sum(out.rewards) == (last["equity2"] - 20_000) / 2


@BOTH
@pytest.mark.parametrize(
    ("fields", "steps", "ends"),
    [
        ({}, 3, (True, False)),
        ({"end_of_data": "truncate"}, 3, (False, True)),
        ({"max_episode_steps": 2}, 2, (False, True)),
        ({"max_episode_steps": 3}, 3, (True, False)),
        ({"max_episode_steps": 3, "end_of_data": "truncate"}, 3, (False, True)),
    ],
)
def test_ends(run: Runner, fields: dict[str, Any], steps: int, ends: tuple[bool, bool]) -> None:
    out = run(calm(quiet(10, 3)), config(**fields), [HOLD] * 3)
    assert len(out.rewards) == steps
    assert (out.terminated, out.truncated) == ends


@BOTH
def test_losing_everything_ends_the_episode(run: Runner) -> None:
    """Two cents buy YES at 1 for a fee of 1; sold at 1 for a fee of 1, nothing is left."""
    session = session_of(
        snapshot(0, {}, {99: 5}),
        snapshot(10, {1: 5}, {98: 5}),
        quiet(20, 4, NO),
        taker_multiplier=1,
    )
    free = config(cash_start=1, order_size=1, fees=False)
    assert run(session, free, [BUY_YES] + [HOLD] * 4).states[1]["position"] == 1
    charged = config(cash_start=2, order_size=1)
    out = run(session, charged, [BUY_YES, SELL_YES, HOLD, HOLD, HOLD])
    assert column(out, "cash") == [2, 0, 0]
    assert (out.terminated, out.truncated) == (True, False)
    assert out.rewards == [-0.5, -1.5]


@BOTH
def test_a_finer_grid_charges_finer_fees(run: Runner) -> None:
    """In 1/100 cents: 3.8 cents x 10 and a fee of 0.07*10*0.038*0.962*100 = 2.55892 cents."""
    session = session_of(
        snapshot(0, {"3.4": 10}, {"96.2": 10}), quiet(10, 2), sub_penny=True, fee_unit=1
    )
    out = run(session, config(), [BUY_YES, HOLD])
    assert out.fills == [OracleFill(0, YES, 380, 10, 256, False)]
    assert column(out, "cash")[1] == 1_000_000 - 3_800 - 256


@BOTH
def test_a_sell_with_nothing_left_to_sell_vanishes_on_arrival(run: Runner) -> None:
    """While it is under way, the NO order resting at its price closes the position.

    It is counted as invalid, although the same price would have left the old order as it is.
    """
    session = session_of(
        snapshot(0, {40: 100}, {55: 100}),
        delta(20, YES, 40, -5, traded=5),
        quiet(40, 1),
        delta(45, NO, 55, -6, traded=6),
        quiet(60, 1),
        quiet(100, 2),
    )
    settings = config(pricing="join", fill_model="touch", latency_ms=10, order_size=8, fees=False)
    out = run(session, settings, [BUY_YES, BUY_NO, SELL_YES, HOLD, HOLD, HOLD])
    assert column(out, "position") == [0, 5, 5, -1, -1, -1, -1]
    assert column(out, "order_size", NO) == [0, 0, 8, 2, 2, 2, 0]
    assert column(out, "invalid_actions") == [0, 0, 0, 0, 1, 1, 1]
