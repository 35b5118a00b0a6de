"""Resting orders and footprint on hand-written streams, computed by hand, for both twins."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_sim.reference.engines import Runner
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, OracleFill
from kalshi_sim.session import Session
from tests.support.golden import BOTH, calm, column, config
from tests.support.streams import NO, YES, delta, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel


@BOTH
def test_what_was_taken_stays_taken(run: Runner) -> None:
    """45 shows 80: 20 of 100 rest. 90 shown then are 10 more; shown 30 and 70 again are 40 more."""
    session = calm(
        delta(10, NO, 55, 10),
        delta(20, NO, 55, -60),
        delta(30, NO, 55, 40),
        quiet(40, 2),
    )
    out = run(session, config(order_size=100, fees=False), [BUY_YES] + [HOLD] * 4)
    assert out.fills == [
        OracleFill(0, YES, 45, 80, 0, False),
        OracleFill(1, YES, 45, 10, 0, True),
        OracleFill(3, YES, 45, 10, 0, True),
    ]
    assert column(out, "order_size", YES) == [0, 10, 10, 0, 0, 0]
    assert column(out, "order_ahead", YES) == [0, 0, 0, 0, 0, 0]


def queue_session(**kwargs: Any) -> Session:
    """A level of 100; 100 more; 60 leave, 10 of them traded; 95 trade; 4 trade below."""
    return calm(
        delta(10, YES, 40, 100),
        delta(20, YES, 40, -60, traded=10),
        delta(30, YES, 40, -95, traded=95),
        delta(40, YES, 39, -4, traded=4),
        quiet(50, 2),
        **kwargs,
    )


@BOTH
@pytest.mark.parametrize(
    ("model", "power", "ahead", "filled"),
    [
        # only the min() rule: 140 and 45 shown do not bind before 100 and do then
        ("through", 3, [0, 100, 100, 45, 45, 45, 0], []),
        # 100, minus 10 traded = 90; 95 traded leave 5 for the order; then 4 below it
        ("queue", 3, [0, 100, 90, 0, 0, 0, 0], [(3, 5), (4, 4)]),
        # front 90, back 200-10-90 = 100, of 50 cancels 90/190 = 23: 67 ahead, 95 leave 28
        ("prob", 1, [0, 100, 67, 0, 0, 0, 0], [(3, 10)]),
        # 8100/18100 of 50 = 22: 68
        ("prob", 2, [0, 100, 68, 0, 0, 0, 0], [(3, 10)]),
        # 729/1729 of 50 = 21: 69
        ("prob", 3, [0, 100, 69, 0, 0, 0, 0], [(3, 10)]),
        # whatever is ahead: the first 10 traded
        ("touch", 3, [0, 100, 0, 0, 0, 0, 0], [(2, 10)]),
    ],
)
def test_fill_models(
    run: Runner, model: Any, power: int, ahead: list[int], filled: list[tuple[int, int]]
) -> None:
    settings = config(pricing="join", fill_model=model, queue_power=power, fees=False)
    out = run(queue_session(), settings, [BUY_YES] + [HOLD] * 5)
    assert [(fill.row, fill.qty) for fill in out.fills] == filled
    assert all(fill.maker and fill.price == 40 for fill in out.fills)
    assert column(out, "order_ahead", YES)[1:] == ahead[1:]


@BOTH
@pytest.mark.parametrize(
    ("model", "share", "ahead", "filled"),
    [
        # floor(60 * 0.3) = 18 and floor(95 * 0.3) = 28 of the removals count as traded
        ("queue", 0.3, [100, 82, 45, 45], []),
        # front 82, back 200-18-82 = 100, of 42 cancels 82/182 = 18: 64; then front 64-28 = 36,
        # back 140-28-36 = 76, of 67 cancels 36/112 = 21: 15
        ("prob", 0.3, [100, 64, 15, 15], []),
        # all that is removed at its price
        ("touch", 0.3, [100, 0, 0, 0], [(2, 10)]),
        ("queue", 1.0, [100, 40, 0, 0], [(3, 10)]),
    ],
)
def test_fill_models_without_recorded_trades(
    run: Runner, model: Any, share: float, ahead: list[int], filled: list[tuple[int, int]]
) -> None:
    settings = config(
        pricing="join", fill_model=model, trade_share=share, queue_power=1, fees=False
    )
    out = run(queue_session(trades_recorded=False), settings, [BUY_YES] + [HOLD] * 5)
    assert [(fill.row, fill.qty) for fill in out.fills] == filled
    assert column(out, "order_ahead", YES)[1:5] == ahead


@BOTH
def test_a_crossing_row_fills_at_the_orders_price(run: Runner) -> None:
    """NO bids of 61 x 3 and 60 x 4 meet the order at 40; the rest waits."""
    session = calm(
        delta(10, YES, 40, -100)
        + delta(10, YES, 39, -50)
        + delta(10, YES, 30, 5)
        + delta(10, NO, 61, 3)
        + delta(10, NO, 60, 4),
        quiet(20, 2),
    )
    settings = config(pricing="join", fill_model="through")
    out = run(session, settings, [BUY_YES, HOLD, HOLD])
    assert out.fills == [OracleFill(1, YES, 40, 7, 0, True)]
    assert column(out, "order_size", YES) == [0, 3, 3, 0]


@BOTH
def test_flow_of_the_interval_of_arrival_does_not_act(run: Runner) -> None:
    """Rows of a second: arrives at 1 499, in the interval whose trades come before and after."""
    session = session_of(
        snapshot(0, {40: 5}, {55: 80}),
        delta(1_200, YES, 40, -5, traded=5) + delta(1_800, YES, 40, 6),
        delta(2_500, YES, 40, -6, traded=6),
        quiet(3_000, 1) + quiet(4_000, 1),
    )
    settings = config(pricing="join", fill_model="touch", latency_ms=500)
    out = run(session, settings, [BUY_YES, HOLD, HOLD, HOLD], row_interval_ms=1_000)
    assert out.fills == [OracleFill(2, YES, 40, 6, 0, True)]


@BOTH
def test_memory_of_taken_levels_is_bounded(run: Runner) -> None:
    """A market climbs a cent a row, and each best bid is sold to: 20 to 51 are remembered.

    52 cannot be. NO at 49 rests when 52 is gone; it passes over the next 52 for more at 51, if
    the tape is deep enough to see that.
    """
    session = session_of(
        snapshot(0, {20: 1}, {40: 500}),
        *[delta(10 * i, YES, 20 + i, 1) for i in range(1, 33)],
        delta(400, YES, 52, -1),
        delta(500, YES, 52, 1) + delta(500, YES, 51, 2),
        quiet(1_000, 2),
    )
    settings = config(order_size=1, fees=False)
    first = [OracleFill(i, NO, 80 - i, 1, 0, False) for i in range(32)]
    assert run(session, settings, [BUY_NO] * 34 + [HOLD], depth=1).fills == first
    later = OracleFill(34, NO, 49, 1, 0, True)
    assert run(session, settings, [BUY_NO] * 34 + [HOLD], depth=2).fills == [*first, later]


@BOTH
def test_beyond_depth_an_order_waits_behind_everything(run: Runner) -> None:
    """With latency the level of the order is no longer among those the tape shows."""
    session = session_of(
        snapshot(0, {40: 5}, {50: 80}),
        delta(10, YES, 41, 5),
        delta(20, YES, 40, -5, traded=5),
        delta(30, YES, 41, -5, traded=5) + delta(30, YES, 40, 8),
        delta(40, YES, 40, -2, traded=2),
        quiet(50, 2),
    )
    settings = config(pricing="join", latency_ms=10)
    out = run(session, settings, [BUY_YES] + [HOLD] * 6, depth=1)
    assert column(out, "order_ahead", YES)[:6] == [0, 0, 2**40 - 5, 8, 6, 6]


@BOTH
@pytest.mark.parametrize(("depth", "later"), [(1, 2), (10, 5)])
def test_what_was_taken_is_remembered_beyond_the_tapes_depth(
    run: Runner, depth: int, later: int
) -> None:
    """5 of 10 taken at 40, which shrinks to 2 and grows to 12 behind a better bid, then is best.

    Unseen, all 5 stay taken: 7 are left. Seen, 2 stay taken: 10 are left.
    """
    session = session_of(
        snapshot(0, {40: 10}, {50: 80}),
        delta(10, YES, 41, 5),
        delta(20, YES, 40, -8),
        delta(30, YES, 40, 10),
        delta(40, YES, 41, -5),
        quiet(100, 3),
    )
    actions = [BUY_NO, HOLD, HOLD, HOLD, BUY_NO, BUY_NO, HOLD]
    out = run(session, config(order_size=5, fees=False), actions, depth=depth)
    assert [(fill.row, fill.price, fill.qty) for fill in out.fills] == [
        (0, 60, 5),
        (4, 60, 5),
        (5, 60, later),
    ]
