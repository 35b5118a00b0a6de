"""What must hold of money in every episode of the compiled simulator."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim import SimConfig, build_tape
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, SELL_NO, SELL_YES, exact_fee
from kalshi_sim.units import money_per_cent
from tests.support.cases import Episode, episodes, run_episodes
from tests.support.modes import examples
from tests.support.streams import quiet, session_of, snapshot

pytestmark = pytest.mark.kernel

OFTEN = settings(max_examples=examples(150))


def states_before_settlement(episode: Episode) -> list[dict[str, int]]:
    """The states in which fills alone explain the money."""
    states = episode.run.states
    return states[:-1] if episode.settles else states


def value2(episode: Episode, state: dict[str, int]) -> int:
    """Twice the value of the position of a state, by the configured valuation."""
    side = 0 if state["position"] >= 0 else 1
    if episode.config.valuation == "liquidation":
        return 2 * abs(state["position"]) * episode.best(state["row"], side)
    return abs(state["position"]) * episode.mark2(state["row"], side)


@OFTEN
@given(drawn=episodes())
def test_cash_and_free_cash_are_never_negative(drawn: list[Episode]) -> None:
    for episode in drawn:
        for state in episode.run.states:
            assert state["cash"] >= 0
            assert 0 <= state["free_cash"] <= state["cash"]


@OFTEN
@given(drawn=episodes(pricing="join", fees=True, cash_start=60))
def test_makers_short_of_cash_stay_solvent(drawn: list[Episode]) -> None:
    for episode in drawn:
        assert all(state["free_cash"] >= 0 for state in episode.run.states)


@OFTEN
@given(drawn=episodes())
def test_equity_is_start_plus_realized_plus_unrealized_minus_fees(drawn: list[Episode]) -> None:
    for episode in drawn:
        start = episode.config.cash_start * money_per_cent(episode.tape.payout)
        for state in episode.run.states:
            value = value2(episode, state)
            assert state["equity2"] == 2 * state["cash"] + value
            unrealized2 = value - 2 * state["cost"]
            kept2 = 2 * (start + state["realized"] - state["fees_paid"])
            assert state["equity2"] == kept2 + unrealized2


@OFTEN
@given(drawn=episodes())
def test_the_return_is_the_change_of_equity(drawn: list[Episode]) -> None:
    for episode in drawn:
        states, config = episode.run.states, episode.config
        scale = config.reward_scale / (2 * money_per_cent(episode.tape.payout))
        changes = [b["equity2"] - a["equity2"] for a, b in itertools.pairwise(states)]
        assert episode.run.rewards == [float(np.float32(c * scale)) for c in changes]
        if episode.run.info:
            assert episode.run.info["return"] == sum(changes) * scale


@OFTEN
@given(drawn=episodes(cash_start=1_000_000))
def test_pairs_of_yes_and_no_return_exactly_the_payout(drawn: list[Episode]) -> None:
    """Cash is what fills cost, and the payout for each contract bought on both sides."""
    for episode in drawn:
        start = episode.config.cash_start * money_per_cent(episode.tape.payout)
        for t, state in enumerate(states_before_settlement(episode)):
            fills = [f for f in episode.run.fills if f.row < t or (f.maker and f.row == t)]
            bought = [sum(f.qty for f in fills if f.side == side) for side in (0, 1)]
            paid = sum(f.price * f.qty + f.fee for f in fills)
            assert state["position"] == bought[0] - bought[1]
            assert state["cash"] == start - paid + min(bought) * episode.tape.payout
            assert state["fees_paid"] == sum(f.fee for f in fills)


@OFTEN
@given(drawn=episodes())
def test_settlement_pays_what_the_market_paid(drawn: list[Episode]) -> None:
    for episode in drawn:
        if not episode.settles:
            continue
        assert episode.view.settlement_value is not None
        yes = episode.view.settlement_value
        last, before = episode.run.states[-1], episode.run.states[-2]
        late = [f for f in episode.run.fills if f.row >= before["row"]]
        late = [f for f in late if f.row > before["row"] or not f.maker]
        bought = [sum(f.qty for f in late if f.side == side) for side in (0, 1)]
        position = before["position"] + bought[0] - bought[1]
        payout = episode.tape.payout
        pays = position * yes if position >= 0 else -position * (payout - yes)
        pairs2 = abs(before["position"]) + sum(bought) - abs(position)
        spent = sum(f.price * f.qty + f.fee for f in late)
        assert 2 * last["cash"] == 2 * (before["cash"] - spent + pays) + pairs2 * payout
        assert last["position"] == last["cost"] == 0
        assert last["order_size"] == [0, 0]


@OFTEN
@given(
    bid=st.integers(2, 97),
    spread=st.integers(1, 20),
    contracts=st.integers(1, 300),
    yes=st.booleans(),
    multiplier=st.sampled_from((10_000, 5_000, 12_345)),
    fee_unit=st.sampled_from((1, 100)),
)
def test_a_round_trip_costs_exactly_spread_and_fees(
    bid: int, spread: int, contracts: int, yes: bool, multiplier: int, fee_unit: int
) -> None:
    ask = min(bid + spread, 99)
    session = session_of(
        snapshot(0, {bid: 500}, {100 - ask: 500}),
        quiet(10, 3),
        taker_multiplier=multiplier,
        fee_unit=fee_unit,
    )
    tape = build_tape([session], min_episode_length=3)
    cents = money_per_cent(tape.payout)
    unit = fee_unit * cents // 100 or 1
    config = SimConfig(
        order_size=contracts, cash_start=1_000_000, max_position=1_000, record_fills=True
    )
    actions = [BUY_YES, SELL_YES, HOLD] if yes else [BUY_NO, SELL_NO, HOLD]
    [episode] = run_episodes(tape, config, [actions])
    fees = sum(
        math.ceil(exact_fee(contracts, price * cents, tape.payout, multiplier, False) / unit) * unit
        for price in (bid, ask)
    )
    start, end = episode.run.states[0], episode.run.states[2]
    assert end["position"] == 0
    assert start["cash"] - end["cash"] == (ask - bid) * cents * contracts + fees


@OFTEN
@given(drawn=episodes(latency_ms=0))
def test_no_action_changes_equity_by_more_than_spread_and_fees(drawn: list[Episode]) -> None:
    """By the mark of its own row, what an action trades at once costs up to spread and fee.

    Where the best price lies off the grid, an order crosses at the grid's next one, and may take
    what lies between; each contract then costs that much more, and nothing else may.
    """
    for episode in drawn:
        payout = episode.tape.payout
        for fill in episode.run.fills:
            if fill.maker:
                continue
            spread = payout - episode.best(fill.row, 0) - episode.best(fill.row, 1)
            cost2 = fill.qty * (2 * fill.price - episode.mark2(fill.row, fill.side))
            ask = payout - episode.best(fill.row, 1 - fill.side)
            beyond = fill.price - ask
            assert 0 <= cost2 <= 2 * fill.qty * (spread + beyond)
            assert 0 <= beyond <= episode.grid_price_from(fill.row, fill.side, ask) - ask


@OFTEN
@given(drawn=episodes(actions=(HOLD, SELL_YES, SELL_NO)))
def test_from_flat_a_sell_opens_nothing(drawn: list[Episode]) -> None:
    for episode in drawn:
        run = episode.run
        assert run.fills == []
        assert all(not mask[SELL_YES] and not mask[SELL_NO] for mask in run.masks)
        assert {(s["position"], s["cash"], s["free_cash"]) for s in run.states} == {
            (0, run.states[0]["cash"], run.states[0]["cash"])
        }
        acted = sum(action != HOLD for action in episode.actions[: len(run.rewards)])
        assert run.states[-1]["invalid_actions"] == acted


@OFTEN
@given(drawn=episodes())
def test_position_with_its_order_never_exceeds_the_limit(drawn: list[Episode]) -> None:
    for episode in drawn:
        for state in episode.run.states:
            for side, sign in ((0, 1), (1, -1)):
                wanted = sign * state["position"] + state["order_size"][side]
                assert wanted <= episode.config.max_position
