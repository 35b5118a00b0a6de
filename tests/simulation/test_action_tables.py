"""Action tables: kernels and reference agree on all of them, and what cancels and prices do."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalshi_sim import ActionRow, ActionTable, BatchSimulator, SimConfig, build_tape
from kalshi_sim.actions import TABLES
from kalshi_sim.reference.agreement import oracle_views, twins
from kalshi_sim.reference.comparing import assert_same_episode
from kalshi_sim.reference.engines import Runner, run_compiled_batch, run_oracle_on
from kalshi_sim.reference.simulator import OracleFill
from kalshi_sim.session import Pause, Session
from tests.simulation.test_golden_states import pausing
from tests.support.action_tables import random_table, table_actions, table_config
from tests.support.golden import BOTH, calm, column, config
from tests.support.modes import examples
from tests.support.strategies import random_actions, random_config, sessions
from tests.support.streams import NO, T0, YES, delta, quiet, session_of, snapshot

# Hypothesis warns of it where a drawn tape fails; the tape is large.
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]
CONFIGS_PER_TAPE = 5
ENVS = 4
NAMES = TABLES["maker"].names
HOLD = NAMES.index("hold")
CANCEL_YES, CANCEL_NO, CANCEL_BOTH = (NAMES.index(f"cancel_{s}") for s in ("yes", "no", "both"))
JOIN_YES, JOIN_NO = NAMES.index("buy_yes_join"), NAMES.index("buy_no_join")
IMPROVE_YES = NAMES.index("buy_yes_improve")


@settings(max_examples=examples(60))
@given(
    session=sessions(max_moments=80, max_markets=2),
    seed=st.integers(0, 2**32),
    depth=st.sampled_from((1, 2, 3, 10)),
    interval=st.sampled_from((1, 1, 10, 1000)),
)
def test_episodes_of_every_table_agree(
    session: Session, seed: int, depth: int, interval: int
) -> None:
    """Cancels in flight, all fill models, latencies, pauses and both payouts among them."""
    views = oracle_views([session], depth=depth, row_interval_ms=interval)
    assume(views)
    tape, views = twins([session], depth=depth, row_interval_ms=interval)
    rng = random.Random(seed)
    for _ in range(CONFIGS_PER_TAPE):
        table = random_table(rng)
        used = table_config(rng, table)
        actions = [table_actions(rng, table, 90) for _ in range(ENVS)]
        compiled = run_compiled_batch(tape, used, actions)
        for i in range(ENVS):
            assert_same_episode(compiled[i], run_oracle_on(views[i % len(views)], used, actions[i]))


@settings(max_examples=examples(30))
@given(session=sessions(max_moments=60, max_markets=1), seed=st.integers(0, 2**32))
def test_the_five_spelt_out_are_the_five(session: Session, seed: int) -> None:
    """A table equal in meaning (its pricing written out) gives the same episodes."""
    tape = build_tape([session], min_episode_length=3)
    assume(tape.views)
    rng = random.Random(seed)
    plain = random_config(rng)
    rows = tuple(
        replace(row, pricing=plain.pricing) if row.is_order else row for row in TABLES["five"].rows
    )
    actions = [random_actions(rng, 60) for _ in range(ENVS)]
    spelt = replace(plain, actions=ActionTable(rows), pricing="cross")
    assert run_compiled_batch(tape, plain, actions) == run_compiled_batch(tape, spelt, actions)


def trading() -> Session:
    """The best YES bid of 40 x 100 is traded through by 105, two rows after the start."""
    return calm(
        quiet(10, 1),
        delta(20, YES, 40, -100, traded=100) + delta(20, YES, 40, 30),
        delta(30, YES, 40, -30, traded=30) + delta(30, YES, 40, 40),
        quiet(40, 2),
    )


@BOTH
def test_a_cancelled_order_does_not_fill(run: Runner) -> None:
    """Joins behind 100; they trade in row 2, the 30 after them fill it in row 3 if it is there."""
    settings = config(actions="maker", fill_model="queue", fees=False)
    held = run(trading(), settings, [JOIN_YES, HOLD, HOLD, HOLD])
    assert held.fills == [OracleFill(3, YES, 40, 10, 0, True)]
    out = run(trading(), settings, [JOIN_YES, HOLD, CANCEL_YES, HOLD])
    assert out.fills == []
    assert column(out, "order_size", YES) == [0, 10, 10, 0, 0]
    free = column(out, "free_cash")
    assert free == [10_000, 9_600, 9_600, 10_000, 10_000]
    assert column(out, "invalid_actions") == [0] * 5


@BOTH
def test_a_cancel_without_an_order_is_invalid(run: Runner) -> None:
    settings = config(actions="maker")
    out = run(trading(), settings, [CANCEL_YES, JOIN_NO, CANCEL_YES, CANCEL_BOTH, CANCEL_BOTH])
    masks = [[m[a] for a in (CANCEL_YES, CANCEL_NO, CANCEL_BOTH)] for m in out.masks]
    none, no = [False] * 3, [False, True, True]
    assert masks == [none, none, no, no, none]
    assert column(out, "invalid_actions") == [0, 1, 1, 2, 2, 3]
    assert column(out, "order_size", NO) == [0, 0, 10, 10, 0, 0]


@BOTH
def test_a_cancel_in_flight_lets_fill_what_fills_before(run: Runner) -> None:
    """Rows 10 ms apart: a cancel that takes 15 ms arrives after the fill, and is not counted."""
    settings = config(actions="maker", fill_model="queue", fees=False, latency_ms=15)
    session = calm(
        quiet(10, 1),
        quiet(20, 1),
        delta(30, YES, 40, -100, traded=100) + delta(30, YES, 40, 30),
        delta(40, YES, 40, -30, traded=30) + delta(40, YES, 40, 40),
        quiet(50, 1) + quiet(60, 1),
    )
    # In flight only HOLD is valid: the second cancel is counted.
    actions = [JOIN_YES, HOLD, HOLD, CANCEL_YES, CANCEL_BOTH, HOLD]
    out = run(session, settings, actions)
    assert out.fills == [OracleFill(4, YES, 40, 10, 0, True)]
    assert out.masks[4] == [True] + [False] * (len(NAMES) - 1)
    assert column(out, "invalid_actions") == [0, 0, 0, 0, 0, 1, 1]
    # A row earlier it arrives 5 ms before the fill.
    out = run(session, settings, [JOIN_YES, HOLD, CANCEL_YES, HOLD, HOLD, HOLD])
    assert out.fills == []
    assert column(out, "order_size", YES) == [0, 0, 10, 10, 0, 0, 0]


@BOTH
def test_a_cancel_acts_after_the_interval_it_arrives_in(run: Runner) -> None:
    """Rows of a second: it arrives at 2 499, and what filled until 2 800 may have come before."""
    session = session_of(
        snapshot(0, {40: 5}, {55: 80}),
        delta(1_800, YES, 40, 1),
        delta(2_800, YES, 40, -6, traded=6) + delta(2_800, YES, 40, 6),
        delta(3_800, YES, 40, -6, traded=6) + delta(3_800, YES, 40, 6),
        quiet(4_000, 1),
    )
    settings = config(actions="maker", fill_model="touch", latency_ms=500, order_size=20)
    actions = [JOIN_YES, CANCEL_YES, HOLD, HOLD]
    out = run(session, settings, actions, row_interval_ms=1_000)
    assert out.fills == [OracleFill(2, YES, 40, 6, 0, True)]
    assert column(out, "order_size", YES) == [0, 20, 0, 0, 0]
    assert all(out.masks[2]) is False
    assert out.masks[2][JOIN_NO]  # nothing is in flight any more


@BOTH
def test_a_cancel_works_in_a_pause(run: Runner) -> None:
    settings = config(actions="maker", fees=False)
    out = run(pausing(Pause(T0 + 5, T0 + 25)), settings, [JOIN_YES, *[HOLD] * 5])
    at = next(t for t, m in enumerate(out.masks) if t and not m[JOIN_NO])
    assert out.masks[at][CANCEL_YES]
    out = run(
        pausing(Pause(T0 + 5, T0 + 25)),
        settings,
        [JOIN_YES, *[HOLD] * (at - 1), CANCEL_YES, *[HOLD] * (5 - at)],
    )
    assert column(out, "order_size", YES)[at : at + 2] == [10, 0]
    assert column(out, "invalid_actions")[-1] == 0


@BOTH
@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("buy_yes_join", 40),
        ("buy_yes_improve", 41),
        ("buy_yes_behind_1", 39),
        ("buy_yes_behind_2", 38),
        ("buy_no_join", 55),
        ("buy_no_behind_1", 54),
        ("buy_no_behind_2", 53),
    ],
)
def test_prices_of_the_maker(run: Runner, name: str, price: int) -> None:
    side = YES if "yes" in name else NO
    out = run(calm(quiet(10, 2)), config(actions="maker"), [NAMES.index(name), HOLD])
    assert column(out, "order_price", side)[1] == price


@BOTH
def test_behind_the_lowest_price_is_invalid(run: Runner) -> None:
    """The best bids are 2 and 90: two prices are below the one, none is a 90th below the other."""
    rows = (
        ActionRow("hold"),
        ActionRow("buy", "yes", "behind 1"),
        ActionRow("buy", "yes", "behind 2"),
        ActionRow("buy", "no", "behind 89"),
        ActionRow("buy", "no", "behind 90"),
    )
    session = session_of(snapshot(0, {2: 100}, {90: 100}), quiet(10, 4, NO))
    out = run(session, config(actions=ActionTable(rows)), [1, 3])
    assert out.masks[0] == [True, True, False, True, False]
    assert column(out, "order_price", YES)[1] == 1
    assert column(out, "order_price", NO)[2] == 1


@BOTH
def test_behind_crosses_bands_and_leaves_prices_off_the_grid(run: Runner) -> None:
    """Tenths of a cent below 10 and above 90 (NO: the same, mirrored): 2 behind 10 is 9.8."""
    rows = (
        ActionRow("hold"),
        ActionRow("buy", "yes", "behind 2"),
        ActionRow("buy", "no", "behind 3"),
    )
    session = session_of(
        snapshot(0, {10: 100}, {11: 100}), quiet(10, 4), sub_penny=True, taker_multiplier=0
    )
    out = run(session, config(actions=ActionTable(rows)), [1, 2])
    # 1/100 cent
    assert column(out, "order_price", YES)[1] == 980
    assert column(out, "order_price", NO)[2] == 980


@BOTH
def test_sizes_are_quarters_of_an_order(run: Runner) -> None:
    """7 contracts: a half are 3, a tenfold 70; of a sell no more than what is held."""
    names = TABLES["sized"].names
    settings = config(actions="sized", order_size=7, fees=False, cash_start=1_000_000)
    wanted = ["buy_yes_x0.5", "buy_yes_x10", "sell_yes_x10", "sell_yes_x10", "hold"]
    out = run(calm(quiet(10, 6)), settings, [names.index(name) for name in wanted])
    assert [(fill.side, fill.qty) for fill in out.fills] == [(YES, 3), (YES, 70), (NO, 70), (NO, 3)]
    small = config(actions="sized", order_size=1, fees=False)
    out = run(calm(quiet(10, 5)), small, [names.index("buy_yes_x0.5"), 0])
    assert [fill.qty for fill in out.fills] == [1]


@BOTH
def test_the_size_at_arrival_is_the_rows(run: Runner) -> None:
    """Twice an order, decided while the position leaves room for one only of the two."""
    names = TABLES["sized"].names
    settings = config(actions="sized", max_position=10, latency_ms=15, fees=False)
    actions = [names.index("buy_yes_x2"), 0, 0]
    out = run(calm(quiet(10, 1), quiet(20, 1), quiet(30, 2)), settings, actions)
    assert [fill.qty for fill in out.fills] == [10]


@BOTH
def test_working_is_a_share_of_the_largest_order(run: Runner) -> None:
    from kalshi_sim.kernels.observation import BID_WORKING

    names = TABLES["sized"].names
    settings = config(actions="sized", pricing="join")
    out = run(calm(quiet(10, 3)), settings, [names.index("buy_yes_x5"), 0])
    assert out.observations[1][BID_WORKING] == pytest.approx(0.5)


def test_masks_follow_the_table() -> None:
    tape = build_tape([calm(quiet(10, 10))], min_episode_length=3)
    for name, count in (("five", 5), ("sized", 21), ("maker", 16)):
        simulator = BatchSimulator(tape, 3, SimConfig(actions=name))
        simulator.reset()
        assert simulator.action_masks().shape == (3, count)
        with pytest.raises(ValueError, match=f"from 0 to {count - 1}; there is {count}"):
            simulator.step(np.array([0, 0, count]))
