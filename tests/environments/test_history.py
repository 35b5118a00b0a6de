"""Observations of several rows are those of SB3's `VecFrameStack`, whatever is played."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack

from kalshi_sim import (
    BatchSimulator,
    KalshiVecEnv,
    KalshiVectorEnv,
    LiveMarket,
    MarketAgnosticKalshiEnv,
    SimConfig,
    Tape,
    build_tape,
)
from kalshi_sim.errors import ConfigError
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.own import OwnFeatures
from kalshi_sim.spaces import history_of_space, observation_space
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.policies import BASELINES, deterministic, policy_from_model
from kalshi_train.evaluation.policies import policy_from_function as from_function
from tests.support.cases import tapes
from tests.support.strategies import random_config

pytestmark = pytest.mark.kernel

SESSION = generate_session(1, markets=4, minutes=6, seed=4)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([SESSION])


def features(row: Any, agent: Any, observation: Any, out: Any) -> None:
    out[0] = agent.position / 100
    out[1] = 3.0 - row.yes_size % 7


OWN = OwnFeatures(features, ("own_position", "own_size"), low=1.0, high=3.0)


def assert_stacked(
    tape: Tape, config: SimConfig, history: int, actions: Any, own: OwnFeatures | None = None
) -> int:
    """Play both with the same actions; how many episodes ended on the way."""
    n = actions.shape[1]
    stacked = VecFrameStack(KalshiVecEnv(tape, n, config, seed=3, features=own), history)
    native = KalshiVecEnv(tape, n, replace(config, history=history), seed=3, features=own)
    assert native.observation_space.shape == stacked.observation_space.shape
    seen: Any = native.reset()
    ended = 0
    np.testing.assert_array_equal(seen, stacked.reset())
    for row in actions:
        before, kept = seen, seen.copy()
        seen, rewards, dones, infos = native.step(row)
        np.testing.assert_array_equal(before, kept)  # until the step after the next
        theirs, their_rewards, their_dones, their_infos = stacked.step(row)
        np.testing.assert_array_equal(seen, theirs)
        np.testing.assert_array_equal(rewards, their_rewards)
        np.testing.assert_array_equal(dones, their_dones)
        for i in np.flatnonzero(dones):
            last = infos[i]["terminal_observation"]
            np.testing.assert_array_equal(last, their_infos[i]["terminal_observation"])
            assert native.observation_space.contains(last)
        assert all(native.observation_space.contains(one) for one in seen)
        ended += int(dones.sum())
    return ended


@given(tapes(max_moments=20), st.integers(2, 5), st.integers(0, 2**32))
def test_equal_over_generated_markets(tape: Tape, history: int, seed: int) -> None:
    rng = random.Random(seed)
    config = random_config(rng, random_start=rng.random() < 0.5)
    actions = np.array([[rng.randrange(5) for _ in range(3)] for _ in range(25)])
    assert_stacked(tape, config, history, actions)


@pytest.mark.parametrize("own", [None, OWN], ids=["plain", "own"])
@pytest.mark.parametrize("history", [2, 7])
def test_equal_over_many_ends(tape: Tape, history: int, own: OwnFeatures | None) -> None:
    config = SimConfig(max_episode_steps=5, pricing="join", random_start=True)
    actions = np.random.default_rng(0).integers(0, 5, (40, 4))
    assert assert_stacked(tape, config, history, actions, own) >= 32


def test_each_face_shows_it(tape: Tape) -> None:
    config = SimConfig(history=3, max_episode_steps=6)
    actions = np.random.default_rng(1).integers(0, 5, 20)
    one, many = MarketAgnosticKalshiEnv(tape, config), KalshiVectorEnv(tape, 1, config)
    assert one.observation_space == many.single_observation_space == observation_space(history=3)
    first, (second, _) = one.reset()[0], many.reset()
    np.testing.assert_array_equal(first, second[0])
    assert not first[:104].any()
    for action in actions:
        seen, _, terminated, truncated, _ = one.step(action)
        theirs, *_, infos = many.step(np.array([action]))
        if terminated or truncated:
            np.testing.assert_array_equal(seen, infos["final_obs"][0])
            seen, _ = one.reset()
        np.testing.assert_array_equal(seen, theirs[0])


def test_a_saved_state_goes_on(tape: Tape) -> None:
    config = SimConfig(history=4, max_episode_steps=9)
    actions = np.random.default_rng(2).integers(0, 5, (30, 5))
    whole, half = BatchSimulator(tape, 5, config), BatchSimulator(tape, 5, config)
    whole.reset()
    for row in actions[:13]:
        whole.step(row)
    half.set_simulation_state(whole.get_simulation_state())
    for row in actions[13:]:
        np.testing.assert_array_equal(whole.step(row)[0], half.step(row)[0])
    with pytest.raises(ConfigError, match="observations"):
        BatchSimulator(tape, 5).set_simulation_state(whole.get_simulation_state())


def test_the_space_tells_the_history() -> None:
    assert [history_of_space(observation_space(history=k)) for k in (1, 2, 256)] == [1, 2, 256]
    assert history_of_space(observation_space(OWN, 3), OWN) == 3
    assert history_of_space(observation_space(OWN, 3)) is None
    assert observation_space(OWN, 2).low[[52, 53, 106, 107]].tolist() == [0, 0, 1, 1]
    with pytest.raises(ConfigError, match="history"):
        SimConfig(history=0)


def played(tape: Tape, config: SimConfig, policy: Any) -> list[Any]:
    return play_all(
        tape, config, policy, lambda e: (e.actions.tolist(), e.observations.tolist()), detail=True
    )


def test_models_are_played_with_their_own_history(tape: Tape, tmp_path: Path) -> None:
    """Compiled as asked row by row, and whether it was trained here or in `VecFrameStack`."""
    config = SimConfig(history=3)
    model = PPO("MlpPolicy", KalshiVecEnv(tape, 2, config), n_steps=4, batch_size=8, seed=1)
    framed = VecFrameStack(KalshiVecEnv(tape, 2), 3)
    other = PPO("MlpPolicy", framed, n_steps=4, batch_size=8, seed=1)
    compiled = policy_from_model(model, "ppo")
    assert compiled.is_compiled
    expected = played(tape, config, from_function("same", deterministic(model)))
    for policy in (compiled, policy_from_model(other, "framed")):
        assert played(tape, SimConfig(), policy) == expected
    assert played(tape, config, BASELINES["imbalance"]) == played(
        tape, SimConfig(), BASELINES["imbalance"]
    )


def portfolio_of(sim: BatchSimulator, peak2: int) -> Portfolio:
    state = {name: values[0] for name, values in sim.state().items()}
    orders = [
        None
        if not state["order_size"][s]
        else tuple(int(state[f"order_{what}"][s]) for what in ("price", "size", "ahead"))
        for s in range(2)
    ]
    return Portfolio(
        cash=int(state["cash"]),
        position=int(state["position"]),
        cost=int(state["cost"]),
        realized=int(state["realized"]),
        fees_paid=int(state["fees_paid"]),
        peak_equity=Decimal(peak2) / 2,
        yes_order=orders[0],  # type: ignore[arg-type]  # of three numbers
        no_order=orders[1],  # type: ignore[arg-type]  # of three numbers
    )


def test_a_live_market_shows_what_training_saw() -> None:
    tape = build_tape([SESSION])
    config = SimConfig(pricing="join", history=4)
    view = tape.views[0]
    sim = BatchSimulator(tape, 1, config)
    seen = sim.reset()[0].copy()
    peak = 2 * config.cash_start
    info = next(m for m in SESSION.markets if m.ticker == view.market_ticker)
    events = SESSION.market_events(view.market_ticker)
    market = LiveMarket(info, first_book_ms=view.first_book_ms, payout=tape.payout)
    fed = 0
    for t in range(min(30, len(view) - 1)):
        ts = tape.ts_ms[view.start + t]
        until = int(np.searchsorted(events.ts_ms, ts, side="right"))
        market.feed(events[fed:until])
        market.finish()
        fed = until
        assert len(market) == t + 1
        peak = max(peak, int(sim.state()["equity2"][0]))
        mine = portfolio_of(sim, peak)
        for _ in range(2):  # asked again at a row it shows the same
            np.testing.assert_array_equal(market.observation(mine, config), seen)
        seen = sim.step(np.array([t % 5]))[0][0].copy()
    cash = Portfolio(cash=10_000)
    asked, passed_over = (
        LiveMarket(info, first_book_ms=view.first_book_ms, payout=tape.payout) for _ in range(2)
    )
    for k in range(fed):
        closed = asked.feed(events[k : k + 1])
        passed_over.feed(events[k : k + 1])
        if closed:
            asked.observation(cash, config)
            if len(asked) in (1, 5):
                passed_over.observation(cash, config)
    np.testing.assert_array_equal(
        passed_over.observation(cash, config), asked.observation(cash, config)
    )
    model = PPO("MlpPolicy", KalshiVecEnv(tape, 2, config), n_steps=4, batch_size=8)
    assert market.act(model, cash, config) in range(5)
    with pytest.raises(ConfigError, match="history=4"):
        market.act(model, cash)
