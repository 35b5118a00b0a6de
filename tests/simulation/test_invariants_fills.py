"""What must hold of orders and fills in every episode of the compiled simulator."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim import Tape
from kalshi_sim.config import FillModel
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, SELL_NO, SELL_YES, OracleFill
from tests.support.cases import Episode, episodes, run_episodes, tapes
from tests.support.modes import examples
from tests.support.strategies import random_config

# Hypothesis warns of it where a drawn tape fails; the tape is large.
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]
OFTEN = settings(max_examples=examples(150))
SEEDS = st.integers(0, 2**32)


def limit_price(episode: Episode, row: int, side: int) -> int:
    """The price of a bid under `cross` and `join`: off the grid the next one that is worse."""
    payout, grid = episode.tape.payout, episode.grid(row, side)
    if episode.config.pricing == "cross":
        crossing = payout - episode.best(row, 1 - side)
        return min((price for price in grid if price >= crossing), default=0)
    return max((price for price in grid if price <= episode.best(row, side)), default=0)


@OFTEN
@given(
    drawn=episodes(pricing="cross", time_in_force="gtc", latency_ms=0),
    joining=episodes(pricing="join", latency_ms=0),
)
def test_a_sell_never_opens_a_position_for_as_long_as_it_rests(
    drawn: list[Episode], joining: list[Episode]
) -> None:
    for episode in drawn + joining:
        run, position = episode.run, 0
        selling = [False, False]
        fills = list(run.fills)
        for t in range(len(run.rewards)):
            action, state = episode.actions[t], run.states[t]
            if action != HOLD and run.masks[t][action]:
                named = 0 if action in (BUY_YES, SELL_YES) else 1
                sells = action in (SELL_YES, SELL_NO)
                side = 1 - named if sells else named
                kept = state["order_price"][side] == limit_price(episode, t, side)
                if not kept or not state["order_size"][side]:
                    selling[side] = sells
            while fills and fills[0].row + (not fills[0].maker) == t + 1:
                fill = fills.pop(0)
                held = -position if fill.side == 0 else position
                assert not selling[fill.side] or fill.qty <= held
                position += fill.qty if fill.side == 0 else -fill.qty
        assert not fills


@OFTEN
@given(drawn=episodes(pricing="cross"))
def test_no_entry_takes_more_than_its_level_shows(drawn: list[Episode]) -> None:
    for episode in drawn:
        for fill in episode.run.fills:
            if not fill.maker:
                shown = episode.levels(fill.row, 1 - fill.side)
                assert fill.qty <= shown[episode.tape.payout - fill.price]


@OFTEN
@given(drawn=episodes(time_in_force="gtc"))
def test_no_resting_order_fills_beyond_what_traded_or_crossed(drawn: list[Episode]) -> None:
    """In one row: what met the order by trades at its price or worse, or by the other side."""
    for episode in drawn:
        payout = episode.tape.payout
        assumed = not episode.view.trades_recorded
        worse_too = not assumed or episode.config.fill_model == "touch"
        for row in {fill.row for fill in episode.run.fills if fill.maker}:
            for side in (0, 1):
                fills = [f for f in episode.run.fills if f.maker and (f.row, f.side) == (row, side)]
                assert len(fills) <= 2
                for price in {fill.price for fill in fills}:
                    crossing = sum(
                        size
                        for level, size in episode.levels(row, 1 - side).items()
                        if level + price >= payout
                    )
                    met = sum(
                        removed if assumed else traded
                        for s, p, removed, _, traded in episode.flow(row)
                        if s == side and (p == price or (p < price and worse_too))
                    )
                    met = 0 if episode.config.fill_model == "through" else met
                    assert sum(f.qty for f in fills) <= crossing + met


@OFTEN
@given(
    drawn=episodes(
        market={"nasty": False, "whole_sizes": True, "depth": 60},
        fill_model="through",
        cash_start=1_000_000,
    )
)
def test_displayed_size_is_never_filled_twice(drawn: list[Episode]) -> None:
    """All that was ever taken from a side was shown at first or added since."""
    for episode in drawn:
        for side in (0, 1):
            offered = sum(episode.levels(0, side).values())
            for row in range(1, len(episode.run.states)):
                offered += sum(e[3] for e in episode.flow(row) if e[0] == side)
                taken = sum(
                    f.qty
                    for f in episode.run.fills
                    if f.side == 1 - side and f.row + (not f.maker) <= row
                )
                assert taken <= offered


@OFTEN
@given(drawn=episodes(latency_ms=30), later=episodes(latency_ms=1_500))
def test_nothing_fills_before_its_order_arrives(drawn: list[Episode], later: list[Episode]) -> None:
    """An entry happens in the last row an order's arrival allows, a resting fill after it."""
    for episode in drawn + later:
        interval = episode.tape.row_interval_ms
        decided: list[int] = []  # arrival of every order the agent sent
        for t, mask in enumerate(episode.run.masks):
            if episode.actions[t] != HOLD and mask[episode.actions[t]]:
                last_ms = episode.ts(t) // interval * interval + interval - 1
                decided.append(last_ms + episode.config.latency_ms)
        for fill in episode.run.fills:
            next_ts = episode.ts(fill.row if fill.maker else fill.row + 1)
            assert decided
            assert min(decided) < next_ts
        entries = {fill.row for fill in episode.run.fills if not fill.maker}
        for row in entries:
            assert any(row_met(episode, arrival) == row for arrival in decided)


def row_met(episode: Episode, arrival: int) -> int:
    """The last row whose time is not after the arrival."""
    return max(r for r in range(len(episode.view)) if episode.ts(r) <= arrival)


def one_order(tape: Tape, seed: int) -> dict[str, list[OracleFill]]:
    """The same single order, held to the end, under each fill model."""
    rng = random.Random(seed)
    config = random_config(
        rng,
        cash_start=10**9,
        order_size=rng.choice((1, 5, 10, 40)),
        max_position=1_000,
        time_in_force="gtc",
        max_episode_steps=None,
    )
    before = rng.randrange(6)
    actions = [HOLD] * before + [rng.choice((BUY_YES, BUY_NO))] + [HOLD] * 100
    out = {}
    for model in get_args(FillModel):
        [episode] = run_episodes(tape, replace(config, fill_model=model), [actions])
        out[model] = episode.run.fills
    return out


@settings(max_examples=examples(500))
@given(tape=tapes(), seed=SEEDS)
def test_one_order_fills_through_then_queue_then_prob_then_touch(tape: Tape, seed: int) -> None:
    """Contracts filled by each row, from the pessimistic to the optimistic model."""
    fills = one_order(tape, seed)
    last = max((f.row for model in fills.values() for f in model), default=0)
    for row in range(last + 1):
        filled = [sum(f.qty for f in model if f.row <= row) for model in fills.values()]
        assert filled == sorted(filled), f"row {row}: {dict(zip(fills, filled, strict=True))}"


@OFTEN
@given(drawn=episodes(time_in_force="ioc"))
def test_immediate_or_cancel_never_rests(drawn: list[Episode]) -> None:
    for episode in drawn:
        assert all(state["order_size"] == [0, 0] for state in episode.run.states)
        assert not any(fill.maker for fill in episode.run.fills)


def arrives_in_a_pause(episode: Episode, row: int) -> bool:
    """Whether an order decided at a row arrives, at the end of its interval, in a pause."""
    interval = episode.tape.row_interval_ms
    arrival = (episode.ts(row) // interval + 1) * interval - 1
    return any(begin <= arrival < end for begin, end in episode.view.pauses)


@OFTEN
@given(drawn=episodes())
def test_a_masked_action_only_counts_as_invalid(drawn: list[Episode]) -> None:
    for episode in drawn:
        if episode.config.latency_ms:
            continue
        counted = sum(
            not mask[action] or (action != HOLD and arrives_in_a_pause(episode, row))
            for row, (mask, action) in enumerate(
                zip(episode.run.masks, episode.actions, strict=False)
            )
        )
        assert episode.run.states[-1]["invalid_actions"] == counted


@OFTEN
@given(drawn=episodes())
def test_own_orders_never_meet(drawn: list[Episode]) -> None:
    for episode in drawn:
        for state in episode.run.states:
            if all(state["order_size"]):
                assert sum(state["order_price"]) < episode.tape.payout
