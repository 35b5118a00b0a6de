"""Tapes of small hand-written streams, with numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kalshi_sim import build_tape
from kalshi_sim.features import FEATURES
from kalshi_sim.reference.agreement import assert_tapes_equal, tape_flow, twins
from kalshi_sim.reference.features import AGENT_INDEPENDENT
from kalshi_sim.session import NO_TIME, MarketInfo, Session
from tests.support.random_markets import make_session
from tests.support.streams import NO, T0, YES, delta, gap, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel


def one_of_everything() -> Session:
    """Trades, clamps, an inversion, a crossed moment, one side, no side, a gap."""
    return session_of(
        snapshot(0, {40: 100, 39: "50.5"}, {55: 80, 50: 20, 54: "0.5"}),
        delta(10, YES, 40, -30, traded=20),
        delta(10, YES, 41, 10),
        delta(8, NO, 55, "0.5"),  # runs backwards: counts at 10
        delta(20, YES, 46, 5),  # 46 + 55 >= 100: no row
        delta(25, YES, 46, -5),
        delta(1_000, NO, 55, -100, traded=30),  # holds 80.5: the level is gone, 80 were removed
        delta(2_000, NO, 50, -20),  # 54 shows no whole contract: no NO side is left
        delta(3_000, YES, 48, 5),
        gap(4_000),
        delta(5_000, YES, 48, 5),
        snapshot(6_000, {60: 10}, {30: 10}),
        delta(7_000, YES, 60, -10),
        delta(7_000, NO, 30, -10),  # nothing is left: no row
        delta(8_000, YES, 60, 4),
    )


def test_rows_of_one_of_everything() -> None:
    tape, views = twins([one_of_everything()])
    assert_tapes_equal(tape, views)
    assert tape.payout == 100
    assert (tape.ts_ms - T0).tolist() == [0, 10, 25, 1_000, 2_000, 3_000, 6_000, 8_000]
    yes = [
        list(zip(*(a[t, YES, :3].tolist() for a in (tape.px, tape.qty)), strict=True))
        for t in range(8)
    ]
    no = [
        list(zip(*(a[t, NO, :3].tolist() for a in (tape.px, tape.qty)), strict=True))
        for t in range(8)
    ]
    nothing = (0, 0)
    assert yes[0] == [(40, 100), (39, 50), nothing]
    assert yes[1] == yes[2] == yes[4] == [(41, 10), (40, 70), (39, 50)]
    assert yes[5] == [(48, 5), (41, 10), (40, 70)]
    assert yes[6] == [(60, 10), nothing, nothing]
    assert yes[7] == [(60, 4), nothing, nothing]
    assert no[0] == no[1] == no[2] == [(55, 80), (50, 20), nothing]
    assert no[3] == [(50, 20), nothing, nothing]
    assert no[4] == no[5] == no[7] == [nothing] * 3
    assert no[6] == [(30, 10), nothing, nothing]


def test_marks_of_one_of_everything() -> None:
    """40+45, 41+45 twice, 41+50; alone, 41 keeps 91; 48 lifts it to 96; 60+70; 60 keeps 130."""
    tape, _ = twins([one_of_everything()])
    assert tape.mark2.tolist() == [85, 86, 86, 91, 91, 96, 130, 130]


def test_flow_of_one_of_everything() -> None:
    """(side, price, removed, added, traded): what a snapshot or a gap brings is none."""
    tape, _ = twins([one_of_everything()])
    assert [tape_flow(tape, t) for t in range(8)] == [
        [],
        [(YES, 40, 30, 0, 20), (YES, 41, 0, 10, 0), (NO, 55, 0, 0, 0)],
        [(YES, 46, 5, 5, 0)],
        [(NO, 55, 80, 0, 30)],
        [(NO, 50, 20, 0, 0)],
        [(YES, 48, 0, 5, 0)],
        [],
        [(YES, 60, 10, 4, 0), (NO, 30, 10, 0, 0)],
    ]


def feature_columns() -> dict[str, int]:
    """The tape's column of each agent-independent feature."""
    names = [spec.name for spec in FEATURES]
    return {names[index]: column for column, index in enumerate(AGENT_INDEPENDENT)}


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        (0, "yes_bid", 0.40),
        (0, "yes_ask", 0.45),
        (0, "spread", math.log(6) / math.log(101)),
        (0, "mid", 0.425),
        # bids: (40*100 + 39*50)/150; asks: (45*80 + 50*20)/100; m3 weighs each by the other's size
        (0, "microprice_offset", math.tanh(((5950 / 150 * 100 + 46 * 150) / 250 - 42.5) / 2)),
        (0, "bid_size", math.log(101) / math.log(1e7 + 1)),
        (0, "top_imbalance", 20 / 180),
        (0, "bid_depth_5", math.log(151) / math.log(1e7 + 1)),
        (0, "ask_depth_5", math.log(101) / math.log(1e7 + 1)),  # 50 is 5 cents behind 45
        (0, "depth_imbalance", 50 / 250),
        (0, "bid_levels", math.log(3) / math.log(1001)),
        (0, "bid_concentration", 1.0),
        # 100 contracts: 80 at 45 and 20 at 50 are 46 each; selling: 100 at 40
        (0, "buy_impact", math.log(1 + 3.5) / math.log(101)),
        (0, "sell_impact", math.log(1 + 2.5) / math.log(101)),
        # 40 in the ladder lies 1 below 41: 10 at 41 and 70 at 40 and 20 at 39 are 39.9 each
        (1, "sell_impact", math.log(1 + 43 - 39.9) / math.log(101)),
        (0, "row_gap", 0.0),
        (1, "row_gap", math.log(11) / math.log(3.6e6 + 1)),
        (2, "quote_age", math.log(16) / math.log(8.64e7 + 1)),
        (3, "quote_age", 0.0),
        (2, "updates_1s", math.log(4) / math.log(1001)),
        (3, "updates_1s", math.log(4) / math.log(1001)),  # row 0 is exactly one second away
        (1, "mid_change_1", math.tanh(0.5)),
        (5, "volatility_60s", math.log(1 + math.sqrt(0.25 + 6.25 + 6.25)) / math.log(101)),
        # best before or now: 30 removed at 40, 10 added at 41, nothing at 55
        (1, "order_flow_10s", -20 / 40),
        # and 80 taken from the ask, 20 taken from the ask at 50 (46 in row 2 is never best)
        (4, "order_flow_10s", (10 - 30 + 80 + 20) / 140),
        (4, "yes_ask", 1.0),
        (4, "two_sided", 0.0),
        (4, "microprice_offset", 0.0),
        (4, "spread_change_60s", math.tanh((59 - (5 + 4 + 4 + 9 + 59) / 5) / 5)),
        (1, "momentum_60s", math.tanh(0.05)),
        (5, "session_progress", math.log(1.05) / math.log(1441)),
        (0, "time_to_close", 1.0),
        (0, "time_of_day_sin", -math.sin(math.pi / 3)),  # 16 of 24 hours are 240 degrees
        (0, "time_of_day_cos", -0.5),
        (0, "fee_rate", 0.07 * 0.425 * 0.575 * 50),
    ],
)
def test_features_of_one_of_everything(row: int, name: str, value: float) -> None:
    tape, _ = twins([one_of_everything()])
    assert float(tape.features[row, feature_columns()[name]]) == pytest.approx(value, abs=1e-6)


def test_coarse_rows_are_timed_by_their_last_event() -> None:
    """Intervals of a second: 0-999 is judged once, at its end, when nothing is crossed."""
    tape, views = twins([one_of_everything()], row_interval_ms=1_000)
    assert_tapes_equal(tape, views)
    assert (tape.ts_ms - T0).tolist() == [25, 1_000, 2_000, 3_000, 6_000, 8_000]
    assert tape_flow(tape, 0) == []


def test_a_sub_penny_price_makes_the_money_unit_finer() -> None:
    session = session_of(
        snapshot(0, {"3.3": 10}, {"96.2": 10}),
        delta(1, YES, "3.4", 5),
        delta(2, NO, "96.3", 5),
        sub_penny=True,
    )
    tape, views = twins([session])
    assert_tapes_equal(tape, views)
    assert tape.payout == 10_000
    assert tape.px[:, YES, 0].tolist() == [330, 340, 340]
    assert tape.mark2.tolist() == [330 + 380, 340 + 380, 340 + 370]


def test_the_close_time_known_at_a_row_ends_the_view() -> None:
    """Close at 30, moved to 45 at 20 and back to 10 (which is past) at 40."""
    session = session_of(
        snapshot(0, {40: 1}, {50: 1}),
        *(delta(at, YES, 39, 1) for at in (10, 20, 30, 40, 50)),
        close_time_ms=T0 + 30,
        close_updates=((T0 + 20, T0 + 45), (T0 + 40, T0 + 10)),
    )
    tape, views = twins([session])
    assert_tapes_equal(tape, views)
    assert (tape.ts_ms - T0).tolist() == [0, 10, 20, 30]
    assert tape.views[0].rows_after_close == 2
    seconds = [0.03, 0.02, 0.025, 0.015]
    expected = [math.log1p(s) / math.log(30 * 86_400 + 1) for s in seconds]
    got = tape.features[:, feature_columns()["time_to_close"]]
    np.testing.assert_allclose(got, expected, atol=1e-7)


def test_short_views_are_skipped_by_name_and_reason() -> None:
    session = make_session(
        [
            (MarketInfo("KXHAND-26-A"), snapshot(0, {40: 1}, {50: 1}) + delta(1, YES, 40, 1)),
            (
                MarketInfo("KXHAND-26-B"),
                [*snapshot(0, {40: 1}, {50: 1}), *delta(1, YES, 40, 1), *delta(2, YES, 40, 1)],
            ),
        ]
    )
    tape = build_tape([session], min_episode_length=3)
    assert [view.market_ticker for view in tape.views] == ["KXHAND-26-B"]
    assert [(skip.market_ticker, skip.rows) for skip in tape.skipped] == [("KXHAND-26-A", 2)]
    assert tape.skipped[0].reason


def test_a_market_in_which_nothing_has_a_time_has_no_rows() -> None:
    timeless = [(*row[:5], NO_TIME) for row in snapshot(0, {40: 1}, {50: 1})]
    timed = snapshot(0, {40: 1}, {50: 1}) + quiet(1, 3)
    session = make_session(
        [(MarketInfo("KXHAND-26-A"), timeless), (MarketInfo("KXHAND-26-B"), timed)],
        first_book_ms=T0,
    )
    tape, views = twins([session])
    assert_tapes_equal(tape, views)
    assert [(skip.market_ticker, skip.rows) for skip in tape.skipped] == [("KXHAND-26-A", 0)]


def test_another_market_changes_no_row() -> None:
    """A neighbour's updates are no rows of this market and no features of it."""
    alone = one_of_everything()
    neighbour = snapshot(3, {10: 5}, {70: 5}) + [
        event for at in range(5, 9_000, 500) for event in delta(at, YES, 9, 1)
    ]
    events = alone.market_events("KXHAND-26-A")
    rows = [
        (
            int(e.kind[0]),
            int(e.side[0]),
            int(e.price[0]),
            int(e.size[0]),
            int(e.traded[0]),
            int(e.ts_ms[0]),
        )
        for e in (events[slice(i, i + 1)] for i in range(len(events)))
    ]
    both = make_session(
        [(MarketInfo("KXHAND-26-A"), rows), (MarketInfo("KXHAND-26-B"), neighbour)],
        first_book_ms=T0,
    )
    tape, single = (build_tape([session], min_episode_length=3) for session in (both, alone))
    view = tape.views[0].rows
    for name in ("ts_ms", "px", "qty", "mark2", "features"):
        assert np.array_equal(getattr(tape, name)[view], getattr(single, name)), name
