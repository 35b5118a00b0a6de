"""Nothing a caller does lets a kernel read or write out of bounds."""

from __future__ import annotations

import copy
import dataclasses
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from kalshi_sim import BatchSimulator, LiveMarket, SimConfig, build_tape
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.gym_env import MarketAgnosticKalshiEnv
from kalshi_sim.kernels import layout
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.session import Events
from kalshi_train.evaluation import BASELINES
from kalshi_train.evaluation.episodes import play_all
from tests.support.odd_tapes import MANY, MARKET, TAPE, simulator

pytestmark = pytest.mark.kernel

ODD_INTS = [-1, 10**8, 2**63, 2**70, -(2**63), 1.5, float("nan"), "0", True, None, [0], np.bool_(1)]
BAD_ACTIONS: list[Any] = [
    [1.9, 0.0],
    [True, False],
    np.array([True, False]),
    ["1", "0"],
    [float("nan"), 0.0],
    [float("inf"), 0.0],
    [5, 0],
    [-1, 0],
    [2**63, 0],
    [2**70, 0],
    [0],
    [0, 0, 0],
    [[0, 0]],
    0,
    None,
    [None, 0],
    [1 + 2j, 0],
    np.array([0, 1], "M8[s]"),
    [1, True],
]


@pytest.mark.parametrize("actions", BAD_ACTIONS, ids=repr)
def test_actions_that_are_none(actions: Any) -> None:
    sim = simulator()
    before = sim.get_simulation_state()
    with pytest.raises((ValueError, TypeError, OverflowError), match=r"actions|int|NoneType|arg"):
        sim.step(actions)
    np.testing.assert_array_equal(sim.get_simulation_state()["core"], before["core"])


@pytest.mark.parametrize(
    "actions",
    [
        [1, 2],
        (1, 2),
        np.array([1.0, 2.0]),
        np.array([1, 2], np.uint8),
        np.array([1, 2], np.float32),
    ],
)
def test_actions_of_any_whole_type_are_the_same(actions: Any) -> None:
    sim, other = simulator(), simulator()
    sim.step(actions)
    other.step(np.array([1, 2]))
    np.testing.assert_array_equal(sim.agents.core, other.agents.core)


@pytest.mark.parametrize("value", ODD_INTS, ids=repr)
def test_numbers_that_are_none(value: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: simulator().reset_one(value),
        lambda: simulator().seed(value),
        lambda: BatchSimulator(TAPE, value),
        lambda: BatchSimulator(TAPE, 1, seed=value),
        lambda: TAPE.select([value]),
        lambda: simulator().schedule.set_order([value]),
    ]
    if value is not None:
        calls += [
            lambda: simulator().reset_one(0, value),
            lambda: BatchSimulator(TAPE, 1, n_threads=value),
            lambda: MarketAgnosticKalshiEnv(TAPE).reset(options={"view": value}),
        ]
    for number, call in enumerate(calls):
        if number in (1, 3) and value == 10**8:
            continue  # a seed as good as any
        with pytest.raises((ConfigError, ValueError)):
            call()


def test_a_finished_environment_does_not_step() -> None:
    sim = simulator(n_envs=2)
    for _ in range(len(MANY.views[1]) - 1):
        *_, finished = sim.step([1, 1], restart=False)
    assert finished is not None
    assert finished.envs.tolist() == [1]
    with pytest.raises(RuntimeError, match="environment 1 is over"):
        sim.step([0, 0])
    saved = sim.get_simulation_state()
    sim.reset_one(1)
    sim.step([0, 0])
    sim.set_simulation_state(saved)
    with pytest.raises(RuntimeError, match="is over"):
        sim.step([0, 0])
    sim.reset()
    sim.step([0, 0])


def test_nothing_steps_before_it_was_started() -> None:
    sim = BatchSimulator(MANY, 3)
    with pytest.raises(RuntimeError, match="before reset"):
        sim.step([0, 0, 0])
    sim.reset_one(0)
    with pytest.raises(RuntimeError, match="environment 1, 2"):
        sim.step([0, 0, 0])


def test_choosing_a_view_passes_over_none() -> None:
    sim = simulator(n_envs=1)
    sim.reset_one(0, view=0)
    sim.reset_one(0)
    assert sim.state()["view"][0] == 1


@pytest.mark.parametrize("column", range(layout.N_CORE))
@pytest.mark.parametrize("value", [2**62, -(2**62), 10**12])
def test_a_state_with_an_absurd_number_is_refused_or_harmless(column: int, value: int) -> None:
    sim = simulator(record_fills=True)
    state = sim.get_simulation_state()
    state["core"][:, column] = value
    before = sim.get_simulation_state()
    harmless = column in (layout.A_PENDING_ARRIVAL, layout.A_ENTERED, layout.A_ENTERED_NO)
    counters = (layout.A_STEPS, layout.A_INVALID, layout.A_FILLS, layout.A_CONTRACTS)
    if value == 10**12 and (harmless or column in (*counters, *_MONEY)):
        sim.set_simulation_state(state)
        sim.step([1, 3])
        return
    if column in counters and value == 2**62:
        return
    with pytest.raises(ConfigError, match="saved state"):
        sim.set_simulation_state(state)
    np.testing.assert_array_equal(sim.get_simulation_state()["core"], before["core"])


_MONEY = (
    layout.A_CASH,
    layout.A_COST,
    layout.A_REALIZED,
    layout.A_FEES,
    layout.A_FREE,
    layout.A_EQUITY2,
    layout.A_PEAK2,
    layout.A_DRAWDOWN2,
    layout.A_RETURN2,
    layout.A_AHEAD,
    layout.A_AHEAD_NO,
)


def test_a_state_of_another_tape_or_batch_is_refused() -> None:
    state = simulator().get_simulation_state()
    with pytest.raises(ConfigError, match="2 environments, this batch 3"):
        simulator(n_envs=3).set_simulation_state(state)
    with pytest.raises(ConfigError, match="view that this tape of 1 views lacks"):
        simulator(TAPE).set_simulation_state(state)
    for name in list(state):
        if name not in ("waiting", "own_returns"):  # older states have neither
            with pytest.raises(ConfigError, match=f"{name} is missing"):
                simulator().set_simulation_state({k: v for k, v in state.items() if k != name})
    for name, wrong in {
        "core": state["core"].astype(np.float64),
        "taken": state["taken"][:, :, :3],
        "observations": np.full_like(state["observations"], np.nan),
        "cursor": 99,
        "order": np.array([7]),
        "round": np.array([]),
        "weights": np.array([0.0, 0.0]),
        "rng": {"bit_generator": "MT19937"},
        "waiting": np.zeros(1, bool),
        "taken_views": np.zeros(7, np.int64),
    }.items():
        with pytest.raises(ConfigError):
            simulator().set_simulation_state(state | {name: wrong})
    with pytest.raises(ConfigError):
        simulator().set_simulation_state(None)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", 99), ("kind", -1), ("side", 2), ("side", -1), ("price", 10**9), ("price", -5)],
)
def test_events_that_cannot_be_reach_no_kernel(column: str, value: int) -> None:
    columns = {n: getattr(MARKET.events, n).copy() for n in Events.__dataclass_fields__}
    columns[column][3] = value
    events = Events(**columns)
    with pytest.raises(DataError, match=column):
        build_tape([dataclasses.replace(MARKET, events=events)], min_episode_length=3)
    with pytest.raises(DataError, match=column):
        LiveMarket(MARKET.markets[0]).feed(events)
    del columns["flags"]
    with pytest.raises(DataError, match="different lengths"):
        build_tape(
            [dataclasses.replace(MARKET, events=Events(**columns, flags=np.zeros(1, np.int8)))]
        )


@pytest.mark.parametrize("column", Events.__dataclass_fields__)
@pytest.mark.parametrize("change", ["float", "nan", "wide", "objects", "list", "other"])
def test_columns_of_another_kind_reach_no_kernel(column: str, change: str) -> None:
    columns: dict[str, Any] = {n: getattr(MARKET.events, n) for n in Events.__dataclass_fields__}
    given = columns[column]
    columns[column] = {
        "float": lambda: given.astype(np.float64),
        "nan": lambda: np.full(len(given), np.nan),
        "wide": lambda: np.stack([given, given], axis=1),
        "objects": lambda: given.astype(object),
        "list": given.tolist,
        "other": lambda: given.astype(np.int32),
    }[change]()
    events = Events(**columns)
    with pytest.raises(DataError, match=rf"{column} is .*, expected int\d* \[events\]"):
        build_tape([dataclasses.replace(MARKET, events=events)], min_episode_length=3)
    with pytest.raises(DataError, match=f"{column} is "):
        LiveMarket(MARKET.markets[0]).feed(events)


def test_columns_with_gaps_between_their_values_are_the_same() -> None:
    columns = {n: np.repeat(getattr(MARKET.events, n), 2)[::2] for n in Events.__dataclass_fields__}
    spaced = dataclasses.replace(MARKET, events=Events(**columns))
    tape = build_tape([spaced], min_episode_length=3, depth=3)
    np.testing.assert_array_equal(tape.features, TAPE.features)


@pytest.mark.parametrize("views", [[2], [-1], [2**40], [0.5], [], ["0"]], ids=str)
def test_views_to_evaluate_that_are_none(views: Any) -> None:
    with pytest.raises(ConfigError, match="views to play"):
        play_all(MANY, SimConfig(), BASELINES["hold"], lambda e: e.index, views=views)


def test_two_threads_do_not_step_one_batch_at_once() -> None:
    sim = simulator(TAPE, 1)
    outside, refused, rows = [], [], len(TAPE)

    def work() -> None:
        for _ in range(3_000):
            try:
                sim.step([1])
            except RuntimeError as error:
                refused.append(str(error))
            row = int(sim.agents.core[0, layout.A_ROW])
            if not 0 <= row < rows:
                outside.append(row)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not outside
    assert set(refused) <= {"another thread is stepping this batch; give each one of its own"}
    sim._exclusive.acquire()
    for call in (lambda: sim.step([0]), sim.reset, lambda: sim.reset_one(0)):
        with pytest.raises(RuntimeError, match="another thread"):
            call()
    copy.deepcopy(sim).step([0])  # the copy's lock is its own
    sim._exclusive.release()
    sim.step([0])


def live() -> LiveMarket:
    """A market of a few rows."""
    market = LiveMarket(MARKET.markets[0], depth=3)
    market.feed(MARKET.events)
    market.finish()
    return market


@pytest.mark.parametrize(
    "portfolio",
    [
        {"position": 2**62},
        {"position": 1.5},
        {"cash": 1.5},
        {"cash": 2**62},
        {"cash": Decimal("NaN")},
        {"cash": Decimal("0.001")},
        {"yes_order": (10**6, 1, 0)},
        {"yes_order": (-1, 1, 0)},
        {"no_order": (50, -1, 0)},
        {"no_order": (50, 2**50, 0)},
        {"no_order": (50, 1, -1)},
        {"peak_equity": "1"},
    ],
    ids=str,
)
def test_a_portfolio_that_cannot_be(portfolio: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        live().observation(Portfolio(**{"cash": 10_000, **portfolio}))


@pytest.mark.parametrize("time", [-1, 2**62, 1.5, None])
def test_times_of_a_live_market_that_cannot_be(time: Any) -> None:
    for call in (lambda: live().advance(time), lambda: live().update_close(time, 1)):
        with pytest.raises(ConfigError):
            call()
    if time is not None:
        with pytest.raises(ConfigError):
            LiveMarket(MARKET.markets[0], first_book_ms=time)
    with pytest.raises(ConfigError):
        LiveMarket(MARKET.markets[0], payout=7)
