"""Pauses, grids and fees that change, on hand-written streams, computed by hand, for both twins."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_sim.reference.engines import Runner
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, OracleFill
from kalshi_sim.session import NO_TIME, FeeUpdate, GridUpdate, Pause, Session
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT
from tests.support.golden import BOTH, calm, column, config
from tests.support.streams import NO, T0, YES, delta, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel

FEE_RATE = 51
ONLY_HOLD = [True, False, False, False, False]
FLAT = [True, True, False, True, False]


# -- pauses (docs/contract.md#4-one-step) ----------------------------------------------------------


def pausing(*pauses: Pause) -> Session:
    """95 of 110 at 40 trade, then the rest, and an ask of 40 crosses an order there."""
    return calm(
        delta(10, YES, 40, 10),
        delta(20, YES, 40, -95, traded=95),
        delta(30, YES, 40, -15, traded=15) + delta(30, NO, 60, 50),
        quiet(40, 4),
        pauses=pauses,
    )


@BOTH
def test_without_a_pause_the_order_fills(run: Runner) -> None:
    """Ahead 100, 95 trade: 5; of 15 traded then 5 were ahead and 10 fill the order at 30 ms."""
    out = run(pausing(), config(pricing="join", fees=False), [BUY_YES, *[HOLD] * 5])
    assert out.fills == [OracleFill(3, YES, 40, 10, 0, True)]
    assert column(out, "order_ahead", YES) == [0, 100, 5, 0, 0, 0, 0]


@BOTH
@pytest.mark.parametrize("model", ["through", "queue", "prob", "touch"])
def test_nothing_fills_in_a_pause_and_its_end_cancels(run: Runner, model: Any) -> None:
    """15 to 35 ms: what is ahead follows the sizes shown (15, then 0); no trade, no crossing fills.

    The order reserves 10 x 40 cents until the flow into the row at 40 ms, before which it is gone.
    """
    settings = config(pricing="join", fill_model=model, fees=False)
    session = pausing(Pause(T0 + 15, T0 + 35))
    out = run(session, settings, [BUY_YES, HOLD, BUY_NO, HOLD, HOLD, BUY_YES])
    assert out.fills == []
    assert column(out, "order_size", YES) == [0, 10, 10, 10, 0, 0, 10]
    assert column(out, "order_ahead", YES)[:5] == [0, 100, 15, 0, 0]
    assert column(out, "free_cash")[:5] == [10_000, 9_600, 9_600, 9_600, 10_000]
    # The buy of NO at 20 ms is invalid, as its mask says.
    assert out.masks[:4] == [FLAT, FLAT, ONLY_HOLD, ONLY_HOLD]
    assert out.masks[4] == FLAT
    assert column(out, "invalid_actions") == [0, 0, 0, 1, 1, 1, 1]


@BOTH
@pytest.mark.parametrize(
    ("pause", "filled"),
    [
        (Pause(T0 + 12, T0 + 13), []),  # between two rows
        (Pause(T0 + 12, T0 + 20), []),  # its end at the time of a row
        (Pause(T0 + 20, T0 + 20), []),  # and nothing but an end
        (Pause(T0 - 5, T0), [OracleFill(3, YES, 40, 10, 0, True)]),  # over before the order
        (Pause(T0 + 31, T0 + 35), [OracleFill(3, YES, 40, 10, 0, True)]),  # after its fill
    ],
)
def test_the_end_of_a_pause_cancels_also_where_no_row_lies_in_it(
    run: Runner, pause: Pause, filled: list[OracleFill]
) -> None:
    out = run(pausing(pause), config(pricing="join", fees=False), [BUY_YES, *[HOLD] * 5])
    assert out.fills == filled
    assert column(out, "order_size", YES)[2] == (10 if filled else 0)
    assert column(out, "invalid_actions") == [0] * 7


@BOTH
def test_an_order_that_arrives_in_a_pause_vanishes(run: Runner) -> None:
    """Decided at 10 ms, 5 ms on its way, paused from 12 ms on; the order of NO stays."""
    session = calm(
        delta(10, YES, 39, 1), delta(30, YES, 39, 1), quiet(31, 2), pauses=[Pause(T0 + 12)]
    )
    settings = config(pricing="join", latency_ms=5, fees=False)
    out = run(session, settings, [BUY_NO, BUY_YES, HOLD, HOLD])
    assert out.masks[1][BUY_YES]
    assert column(out, "order_size", YES) == [0, 0, 0, 0, 0]
    assert column(out, "order_size", NO) == [0, 10, 10, 10, 0]  # orders are dropped at the end
    assert column(out, "invalid_actions") == [0, 0, 1, 1, 1]


@BOTH
def test_an_order_that_arrives_after_the_end_of_a_pause_stays(run: Runner) -> None:
    """Decided at 10 ms, 15 ms on its way; the pause from 12 to 20 ms ends before it arrives."""
    session = calm(
        delta(10, YES, 39, 1), delta(30, YES, 39, 1), quiet(31, 2), pauses=[Pause(T0 + 12, T0 + 20)]
    )
    settings = config(pricing="join", latency_ms=15, fees=False)
    out = run(session, settings, [HOLD, BUY_YES, HOLD, HOLD])
    assert column(out, "order_size", YES) == [0, 0, 10, 10, 0]
    assert column(out, "invalid_actions") == [0] * 5


@BOTH
def test_a_coarse_row_in_a_pause_fills_nothing_at_all(run: Runner) -> None:
    """Rows of a second; 100 trade at 1 100 ms, before the pause, and the row's time is 1 900 ms."""
    session = session_of(
        snapshot(0, {40: 5, 30: 1}, {55: 80}),
        delta(1_100, YES, 40, -5, traded=5) + delta(1_900, YES, 40, 3),
        quiet(2_000, 1) + quiet(3_000, 1) + quiet(4_000, 1),
        pauses=[Pause(T0 + 1_500, T0 + 3_500)],
    )
    settings = config(pricing="join", fill_model="touch", fees=False)
    out = run(session, settings, [BUY_YES, HOLD, HOLD, HOLD], row_interval_ms=1_000)
    assert out.fills == []
    assert column(out, "order_size", YES) == [0, 10, 10, 10, 0]
    assert column(out, "order_ahead", YES)[:4] == [0, 3, 3, 3]
    assert out.masks == [FLAT, ONLY_HOLD, ONLY_HOLD, ONLY_HOLD]


@BOTH
def test_a_coarse_row_before_a_pause_that_its_interval_ends_in(run: Runner) -> None:
    """The row's time, 1 200 ms, is before the pause; the order arrives at 1 999 ms, within it."""
    session = session_of(
        snapshot(0, {40: 5}, {55: 80}),
        delta(1_200, YES, 40, 3),
        quiet(2_600, 1) + quiet(3_000, 1),
        pauses=[Pause(T0 + 1_500, T0 + 2_500)],
    )
    out = run(session, config(pricing="join"), [HOLD, BUY_YES, HOLD], row_interval_ms=1_000)
    assert out.masks[1] == FLAT
    assert column(out, "order_size", YES) == [0, 0, 0, 0]
    assert column(out, "invalid_actions") == [0, 0, 1, 1]


@BOTH
def test_a_paused_market_settles(run: Runner) -> None:
    """10 YES at 45 cost 450 and a fee of 0.07 x 10 x 45 x 55 / 100 = 17.325: 18; they pay 1 000."""
    session = calm(
        quiet(10, 4), pauses=[Pause(T0 + 11)], settlement_value=PRICE_SCALE, taker_multiplier=10_000
    )
    out = run(session, config(pricing="cross"), [BUY_YES, HOLD, HOLD, HOLD])
    assert column(out, "cash") == [10_000, 9_532, 9_532, 9_532, 10_532]
    assert column(out, "position") == [0, 10, 10, 10, 0]
    assert out.masks[2] == ONLY_HOLD
    assert out.terminated


# -- grids (docs/contract.md#3-rows-views-tapes) ---------------------------------------------------

FIVE_CENTS = ((0, PRICE_SCALE, 5 * STORED_PER_CENT),)


def off_grid(yes: dict[int, int], no: dict[int, int]) -> Session:
    """From 5 ms on prices are multiples of 5 cents; the book stays."""
    return session_of(
        snapshot(0, yes, no),
        quiet(10, 4),
        first_price_ranges=((0, PRICE_SCALE, STORED_PER_CENT),),
        grid_updates=[GridUpdate(T0 + 5, FIVE_CENTS)],
        price_ranges=FIVE_CENTS,
    )


NARROW = ({41: 30, 38: 20}, {56: 5, 55: 20, 53: 40})
"""Bids of 41 and 38, asks of 44, 45 and 47."""
WIDE = ({41: 30}, {46: 5})
"""A bid of 41, an ask of 54."""


@BOTH
@pytest.mark.parametrize(
    ("book", "pricing", "action", "before", "after"),
    [
        # 44 is offered, off the grid: 45 is the next that still crosses
        (NARROW, "cross", BUY_YES, 44, 45),
        # YES at 41 is NO offered at 59: 60
        (NARROW, "cross", BUY_NO, 59, 60),
        # the next one behind the best bid
        (NARROW, "join", BUY_YES, 41, 40),
        (NARROW, "join", BUY_NO, 56, 55),
        # 42 + 56 < 100; on the grid 45 + 56 is not, so join
        (NARROW, "improve", BUY_YES, 42, 40),
        # 57 + 41 < 100; 60 + 41 is not
        (NARROW, "improve", BUY_NO, 57, 55),
        # 45 + 46 < 100 and 50 + 41 < 100
        (WIDE, "improve", BUY_YES, 42, 45),
        (WIDE, "improve", BUY_NO, 47, 50),
    ],
)
def test_off_the_grid_the_next_price_that_is_worse(
    run: Runner, book: Any, pricing: Any, action: int, before: int, after: int
) -> None:
    """The price that an order of 100 rests at, decided before and after the change."""
    side = YES if action == BUY_YES else NO
    settings = config(pricing=pricing, order_size=100, fees=False)
    for actions, price in (([action, HOLD], before), ([HOLD, action], after)):
        out = run(off_grid(*book), settings, [*actions, HOLD, HOLD])
        assert column(out, "order_price", side)[3] == price


@BOTH
def test_a_crossing_order_off_the_grid_takes_what_it_crosses(run: Runner) -> None:
    """At 45, decided at 10 ms: 5 at 44 and 20 at 45; of 40 the other 15 rest at 45."""
    settings = config(pricing="cross", order_size=40, fees=False)
    out = run(off_grid(*NARROW), settings, [HOLD, BUY_YES, HOLD, HOLD])
    assert out.fills == [OracleFill(1, YES, 44, 5, 0, False), OracleFill(1, YES, 45, 20, 0, False)]
    assert column(out, "order_size", YES) == [0, 0, 15, 15, 0]
    assert column(out, "order_price", YES) == [0, 0, 45, 45, 0]
    assert column(out, "cash")[2] == 10_000 - 5 * 44 - 20 * 45


@BOTH
def test_with_latency_the_grid_is_that_of_the_decision(run: Runner) -> None:
    """Decided on cents at 0 ms, it meets the book of 10 ms at 44: 5, and 35 rest there."""
    settings = config(pricing="cross", order_size=40, latency_ms=10, fees=False)
    out = run(off_grid(*NARROW), settings, [BUY_YES, HOLD, HOLD, HOLD])
    assert out.fills == [OracleFill(1, YES, 44, 5, 0, False)]
    assert column(out, "order_price", YES) == [0, 0, 44, 44, 0]


@BOTH
def test_beyond_the_grid_there_is_no_price(run: Runner) -> None:
    """From 5 ms on the grid begins at 50: no bid to join below 41, none of NO above 50."""
    upper = ((PRICE_SCALE // 2, PRICE_SCALE, STORED_PER_CENT),)
    session = session_of(
        snapshot(0, *NARROW),
        quiet(10, 3),
        grid_updates=[GridUpdate(T0 + 5, upper)],
        price_ranges=upper,
    )
    joining = run(session, config(pricing="join"), [HOLD, BUY_YES, HOLD])
    # NO joins 56 at 50, the highest NO price of the grid; YES would be at 49 at most
    assert joining.masks[:2] == [FLAT, [True, False, False, True, False]]
    assert column(joining, "invalid_actions") == [0, 0, 1, 1]
    crossing = run(session, config(pricing="cross"), [HOLD, BUY_YES, HOLD])
    # YES crosses 44 at 50; NO would need 59
    assert crossing.masks[:2] == [FLAT, [True, True, False, False, False]]
    assert [(f.price, f.qty) for f in crossing.fills] == [(44, 5), (45, 5)]


# -- fees (docs/contract.md#8-money) ---------------------------------------------------------------


@BOTH
def test_each_entry_pays_the_multiplier_of_its_row(run: Runner) -> None:
    """10 at 45 by takers: 17.325, 18 cents; doubled from 15 ms on 34.65, 35; null at 35 ms: 18.

    Feature 51 is 0.07 M m (1 - m) 100 / 2 with m = 0.425: 0.8553, and doubled at most 1.
    """
    session = calm(
        quiet(10, 1),
        quiet(20, 1),
        quiet(30, 1),
        quiet(40, 3),
        fee_updates=[FeeUpdate(T0 + 15, 20_000, None), FeeUpdate(T0 + 35)],
    )
    actions = [BUY_YES, HOLD, BUY_YES, HOLD, BUY_YES, HOLD]
    out = run(session, config(pricing="cross"), actions)
    assert [(fill.row, fill.fee) for fill in out.fills] == [(0, 18), (2, 35), (4, 18)]
    assert column(out, "fees_paid") == [0, 18, 18, 53, 53, 71, 71]
    rates = [observation[FEE_RATE] for observation in out.observations]
    assert rates == pytest.approx([0.855_312_5, 0.855_312_5, 1, 1, 0.855_312_5, 0.855_312_5])


@BOTH
def test_an_update_without_a_time_holds_from_the_start(run: Runner) -> None:
    """Half of 17.325 is 8.6625: 9."""
    session = calm(quiet(10, 3), fee_updates=[FeeUpdate(NO_TIME, 5_000, None)])
    out = run(session, config(pricing="cross"), [BUY_YES, HOLD, HOLD])
    assert [fill.fee for fill in out.fills] == [9]


@BOTH
def test_a_resting_order_pays_the_multiplier_of_when_it_came_to_rest(run: Runner) -> None:
    """10 at 40 by makers: 0.0175 x 10 x 40 x 60 / 100 = 4.2, 5 cents; doubled 8.4, 9.

    A contract reserves its 40 and its own fee: 0.42, 1 cent; doubled 0.84, 1 cent too. Quadrupled
    it would be 1.68: the first order's reserve stays that of its own multiplier.
    """
    session = calm(
        quiet(10, 1),
        quiet(20, 1),
        delta(30, YES, 40, -10, traded=10),
        delta(40, YES, 40, -10, traded=10),
        quiet(50, 2),
        maker_multiplier=10_000,
        fee_updates=[FeeUpdate(T0 + 15, 40_000, 40_000), FeeUpdate(T0 + 25, 20_000, 20_000)],
    )
    settings = config(pricing="join", fill_model="touch")
    out = run(session, settings, [BUY_YES, HOLD, HOLD, BUY_YES, HOLD, HOLD])
    assert [(fill.row, fill.fee) for fill in out.fills] == [(3, 5), (4, 9)]
    assert column(out, "free_cash")[:3] == [10_000, 10_000 - 10 * 41, 10_000 - 10 * 41]
    assert column(out, "fees_paid") == [0, 0, 0, 5, 14, 14, 14]


@BOTH
def test_what_an_order_reserves_at_entry_is_of_its_row(run: Runner) -> None:
    """50 cents free buy one contract at 45: with M 1 it needs 45 + 1.7325 (2), with M 5 45 + 9."""
    session = calm(quiet(10, 1), quiet(20, 2), fee_updates=[FeeUpdate(T0 + 15, 50_000, None)])
    settings = config(pricing="cross", cash_start=50)
    out = run(session, settings, [HOLD, HOLD, BUY_YES])
    assert [mask[BUY_YES] for mask in out.masks] == [True, True, False]
    assert out.fills == []
