"""What must hold in every episode of markets whose grid and fees change and that are paused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings

from kalshi_sim.reference.simulator import BUY_YES, HOLD, SELL_NO, OracleFill, exact_fee
from kalshi_sim.units import money_per_cent
from tests.support.cases import Episode, episodes
from tests.support.modes import examples

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]
OFTEN = settings(max_examples=examples(120))
CHANGING: dict[str, Any] = {"changing": True}


def rounded_fee(episode: Episode, fill: OracleFill, multiplier: int) -> int:
    """The fee of a fill by a multiplier, rounded up to the view's unit."""
    payout, unit = episode.tape.payout, episode.view.fee_unit
    exact = exact_fee(fill.qty, fill.price, payout, multiplier, fill.maker)
    return math.ceil(exact / unit) * unit


def side_of(action: int) -> int:
    """The side on which an action bids."""
    return 0 if action in (BUY_YES, SELL_NO) else 1


def came_to_rest(episode: Episode, fill: OracleFill) -> int:
    """The row at which the order of a resting fill entered, without latency."""
    states, masks = episode.run.states, episode.run.masks
    for t in range(fill.row - 1, -1, -1):
        action = episode.actions[t]
        if action == HOLD or not masks[t][action] or side_of(action) != fill.side:
            continue
        stays = states[t]["order_size"][fill.side] > 0 and (
            states[t]["order_price"][fill.side] == fill.price
        )
        # A valid action at the price of a resting order leaves it; at another one it replaces it.
        if not stays:
            return t
    raise AssertionError(f"no order for {fill}")


@OFTEN
@given(drawn=episodes(market=CHANGING, fees=True))
def test_entries_pay_the_taker_multiplier_of_the_row_they_meet(drawn: list[Episode]) -> None:
    for episode in drawn:
        for fill in episode.run.fills:
            if not fill.maker:
                terms = episode.terms(fill.row)
                assert fill.fee == rounded_fee(episode, fill, terms.taker_multiplier)


@OFTEN
@given(drawn=episodes(market=CHANGING, fees=True, latency_ms=0, pricing="join"))
def test_resting_orders_pay_the_maker_multiplier_of_when_they_came(drawn: list[Episode]) -> None:
    for episode in drawn:
        for fill in episode.run.fills:
            if fill.maker:
                terms = episode.terms(came_to_rest(episode, fill))
                assert fill.fee == rounded_fee(episode, fill, terms.maker_multiplier)


@OFTEN
@given(
    drawn=episodes(market=CHANGING, fees=True),
    poor=episodes(market=CHANGING, fees=True, cash_start=60, pricing="join"),
)
def test_changing_fees_make_no_debts(drawn: list[Episode], poor: list[Episode]) -> None:
    for episode in drawn + poor:
        start = episode.config.cash_start * money_per_cent(episode.tape.payout)
        for state in episode.run.states:
            assert 0 <= state["free_cash"] <= state["cash"]
            money = start + state["realized"] - state["fees_paid"] - state["cost"]
            assert state["cash"] == money


@OFTEN
@given(drawn=episodes(market=CHANGING))
def test_nothing_fills_in_a_pause(drawn: list[Episode]) -> None:
    for episode in drawn:
        assert not any(f.maker and episode.terms(f.row).paused for f in episode.run.fills)
        interval = episode.tape.row_interval_ms
        for row, mask in enumerate(episode.run.masks):
            if episode.terms(row).paused:
                assert mask == [True, False, False, False, False]
            arrival = (episode.ts(row) // interval + 1) * interval - 1
            if not episode.config.latency_ms and any(
                begin <= arrival < end for begin, end in episode.view.pauses
            ):
                assert not any(f.row == row and not f.maker for f in episode.run.fills)


@OFTEN
@given(drawn=episodes(market=CHANGING, latency_ms=0))
def test_the_end_of_a_pause_leaves_no_order(drawn: list[Episode]) -> None:
    for episode in drawn:
        for row in range(1, len(episode.run.states)):
            before, now = episode.ts(row - 1), episode.ts(row)
            if not any(before < end <= now for _, end in episode.view.pauses):
                continue
            # In coarse rows an order may arrive after that end, at the end of its interval.
            interval = episode.tape.row_interval_ms
            arrival = (before // interval + 1) * interval - 1
            if all(end > arrival for _, end in episode.view.pauses if before < end <= now):
                assert episode.run.states[row]["order_size"] == [0, 0]


@OFTEN
@given(drawn=episodes(market=CHANGING, latency_ms=0))
def test_new_orders_lie_on_the_grid_of_their_row(drawn: list[Episode]) -> None:
    for episode in drawn:
        states = episode.run.states
        for t, (before, after) in enumerate(itertools.pairwise(states)):
            for side in (0, 1):
                price = after["order_price"][side]
                if price and price != before["order_price"][side]:
                    assert price in episode.grid(t, side)
