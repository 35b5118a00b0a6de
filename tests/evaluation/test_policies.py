"""Compiled policies do what the same policy does as a function of observations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.config import FillModel
from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES, HOLD
from kalshi_train.evaluation import BASELINES, evaluate, kernels
from kalshi_train.evaluation.contrib import chooser_of
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import (
    Policy,
    deterministic,
    policy_from_function,
    policy_from_model,
)
from kalshi_train.learner.algorithms import FastPPO

PLACE = {f.name: f.index for f in FEATURES}
CONFIGS = [
    SimConfig(),
    SimConfig(pricing="join", fill_model="touch", order_size=3),
    SimConfig(pricing="improve", fill_model="prob", latency_ms=200),
    SimConfig(cash_start=50, fill_model="through"),
]


def outcome(tape: Tape, config: SimConfig, policy: Policy) -> list[Any]:
    def keep(e: Played) -> Any:
        arrays = (e.actions, e.equity2, e.position, e.fills)
        return [a.tolist() for a in arrays], e.core.tolist(), e.truncated

    return play_all(tape, config, policy, keep)


def one(row: np.ndarray, name: str) -> float:
    return float(row[PLACE[name]])


def join_both(row: np.ndarray) -> int:
    limit = 0.99 * math.log(6) / math.log(101)
    bid = one(row, "bid_working") == 0 or one(row, "bid_distance") != 0
    ask = one(row, "ask_working") == 0 or one(row, "ask_distance") != 0
    position = one(row, "position")
    sides = [
        s
        for s, wanted in ((1, bid and position < limit), (-1, ask and position > -limit))
        if wanted
    ]
    if not sides:
        return HOLD
    if len(sides) == 2:
        return BUY_YES if position <= 0 else BUY_NO
    return BUY_YES if sides[0] == 1 else BUY_NO


def follow(name: str, threshold: float, row: np.ndarray) -> int:
    order = 0.9 * math.log(2) / math.log(101)
    signal, position = one(row, name), one(row, "position")
    if signal > threshold and position < order:
        return BUY_YES
    return BUY_NO if signal < -threshold and position > -order else HOLD


TWINS: dict[str, Callable[[np.ndarray], int]] = {
    "hold": lambda row: HOLD,
    "always-buy": lambda row: BUY_YES,
    "join-both-sides": join_both,
    "momentum": lambda row: follow("momentum_60s", math.tanh(0.2), row),
    "imbalance": lambda row: follow("depth_imbalance_5", 0.5, row),
}


def wanted_by(name: str, row: np.ndarray) -> tuple[int | None, int | None]:
    """Where a quoter wants its orders: prices behind the best, None for no order."""
    held = math.copysign(101 ** abs(one(row, "position")) - 1, one(row, "position"))
    lean = one(row, "depth_imbalance_5")
    if name == "join-and-cancel":
        places = [None if lean < -0.5 else 0, None if lean > 0.5 else 0]
    else:
        risk = 0.1 * (101 ** one(row, "volatility_60s") - 1) ** 2
        shift = risk * held
        if name == "skew-forecast":
            micro = max(-0.999, min(0.999, one(row, "microprice_offset")))
            shift -= 0.5 * 2 * math.atanh(micro) + 0.5 * one(row, "order_flow_10s")
        raw = [math.floor(risk / 2 + s + 0.5) for s in (shift, -shift)]
        places = [None if k > 2 else max(-1, k) for k in raw]
    full = [held >= 4.95, held <= -4.95]
    bid, ask = (None if f else p for f, p in zip(full, places, strict=True))
    return bid, ask


def quoter(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A quoter that cancels; it counts its steps, as all episodes begin together."""
    step = -1
    rows = SimConfig(actions="maker").table.names
    place = {-1: "improve", 0: "join", 1: "behind_1", 2: "behind_2"}

    def choose(row: np.ndarray) -> int:
        wanted = wanted_by(name, row)
        has = [one(row, f"{side}_working") > 0 for side in ("bid", "ask")]
        drops = [h and w is None for h, w in zip(has, wanted, strict=True)]
        if any(drops):
            which = "both" if all(drops) else "yes" if drops[0] else "no"
            return rows.index(f"cancel_{which}")
        moves = []
        for side, h, w in zip(("bid", "ask"), has, wanted, strict=True):
            at = round(5 * math.atanh(max(-0.999, min(0.999, one(row, f"{side}_distance")))))
            moves.append(w is not None and not (h and at == w))
        if all(has):
            first = step % 2
        elif any(has):
            first = 0 if has[1] else 1
        else:
            first = 0 if one(row, "position") <= 0 else 1
        chosen = next((side for side in (first, 1 - first) if moves[side]), None)
        if chosen is None:
            return HOLD
        behind = wanted[chosen]
        assert behind is not None
        return rows.index(f"buy_{('yes', 'no')[chosen]}_{place[behind]}")

    def act(observations: np.ndarray) -> np.ndarray:
        nonlocal step
        step += 1
        return np.array([choose(row) for row in observations])

    return act


@pytest.mark.parametrize("name", ["join-and-cancel", "skew-inventory", "skew-forecast"])
@pytest.mark.parametrize("model", ["queue", "touch"])
def test_quoters_that_cancel_are_the_functions_they_say(
    tape: Tape, name: str, model: FillModel
) -> None:
    baseline = BASELINES[name]
    config = baseline.config(SimConfig(fill_model=model, fees=False))
    compiled = outcome(tape, config, baseline)
    assert compiled == outcome(tape, config, policy_from_function(name, quoter(name)))
    used = np.concatenate([actions for (actions, *_), *_ in compiled])
    assert set(range(1, 4)) & set(used.tolist())  # cancels
    assert len(set(used.tolist())) > (4 if name == "join-and-cancel" else 6)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.pricing}-{c.fill_model}")
def test_baselines_are_the_functions_they_say(tape: Tape, name: str, config: SimConfig) -> None:
    baseline = BASELINES[name]
    twin = policy_from_function(name, lambda obs: np.array([TWINS[name](row) for row in obs]))
    config = baseline.config(config)
    compiled = outcome(tape, config, baseline)
    assert compiled == outcome(tape, config, twin)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.pricing}-{c.fill_model}")
def test_a_compiled_network_is_the_model(tape: Tape, model: PPO, config: SimConfig) -> None:
    policy = policy_from_model(model, "ppo")
    assert policy.act is None
    compiled = outcome(tape, config, policy)
    assert compiled == outcome(tape, config, policy_from_function("ppo", deterministic(model)))
    used = {a for (actions, *_), *_ in compiled for a in actions}
    assert len(used - {-1}) > 1


@pytest.mark.parametrize("config", [SimConfig(), SimConfig(latency_ms=200, cash_start=90)])
def test_a_compiled_masked_network_is_the_model(tape: Tape, config: SimConfig) -> None:
    """With cancels, and with orders that money does not reach for."""
    import torch

    quoting = replace(config, actions="maker")
    env = KalshiVecEnv(tape, 2, quoting)
    model = FastPPO("MlpPolicy", env, n_steps=8, batch_size=16, seed=3, mask=True)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(60)  # type: ignore[operator]  # a Linear
    policy, begin = policy_from_model(model, "ppo"), chooser_of(model)
    assert policy.is_compiled
    assert begin is not None
    asked = replace(policy, begin=begin)
    assert not asked.is_compiled
    compiled = outcome(tape, quoting, policy)
    assert compiled == outcome(tape, quoting, asked)
    chosen = {a for (actions, *_), *_ in compiled for a in actions}
    assert len(chosen) > 4
    assert all(core[layout.A_INVALID] == 0 for _, core, _ in compiled) == (config.latency_ms == 0)


def test_a_network_with_relu_and_other_widths(tape: Tape) -> None:
    import torch

    kwargs: dict[str, Any] = {"net_arch": [24, 40, 8], "activation_fn": torch.nn.ReLU}
    env = KalshiVecEnv(tape, n_envs=2)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, seed=1, policy_kwargs=kwargs)
    policy = policy_from_model(model, "relu")
    obs = np.random.default_rng(0).uniform(-1, 1, (2_000, 52)).astype(np.float32)
    decider = policy.decider(tape.views[0], 0, 5)
    found = [kernels.forward(decider, row) for row in obs]
    expected, _ = model.predict(obs, deterministic=True)
    assert found == expected.tolist()


def test_tanh_is_as_good_as_float32_allows() -> None:
    x = np.linspace(-12, 12, 50_001).astype(np.float32)
    y = x.copy()
    kernels.tanh_in_place(y)
    assert np.abs(y - np.tanh(x.astype(np.float64))).max() < 5e-7


def test_other_models_are_asked_in_batches(tape: Tape) -> None:
    model = DQN("MlpPolicy", KalshiVecEnv(tape, n_envs=1), buffer_size=100, seed=2)
    policy = policy_from_model(model, "dqn")
    assert policy.act is not None
    assert evaluate(model, tape).run("DQN").total.markets == len(tape.views)


def test_the_random_baseline_is_uniform_and_belongs_to_the_market(tape: Tape) -> None:
    def actions(t: Tape, seed: int) -> list[list[int]]:
        return play_all(
            t,
            SimConfig(cash_start=10**9),
            BASELINES["random"],
            lambda e: e.actions[:-1].tolist(),
            seed=seed,
        )

    whole = actions(tape, 0)
    assert actions(tape.select([3]), 0) == [whole[3]]
    assert actions(tape, 1) != whole
    counts = np.bincount([a for part in whole for a in part], minlength=5)
    share = counts / counts.sum()
    assert np.abs(share - 0.2).max() < 5 * math.sqrt(0.2 * 0.8 / counts.sum())


def test_profit_is_what_training_calls_held_out_profit(tape: Tape, model: PPO) -> None:
    result = play_heldout(tape, SimConfig(), policy_from_model(model, "PPO"))
    run = evaluate(model, tape).run("PPO")
    assert [e.figures.profit_cents for e in run.episodes] == result.profit.tolist()
    assert [e.figures.fees_cents for e in run.episodes] == result.columns["fees_cents"].tolist()


def test_held_out_figures_are_those_of_the_environment(tape: Tape, model: PPO) -> None:
    """Each view played by `KalshiVecEnv` and the network itself ends with the same figures."""
    config = SimConfig(reward_scale=0.25, order_size=7)
    env = KalshiVecEnv(tape, n_envs=len(tape.views), config=config)
    act, obs = deterministic(model), env.reset()
    ended: dict[int, Any] = {}
    while len(ended) < len(tape.views):
        obs, _, dones, infos = env.step(act(np.asarray(obs)))
        for i in np.flatnonzero(dones):
            ended.setdefault(infos[i]["market"]["view"], infos[i])
    expected = [ended[i] for i in range(len(tape.views))]
    for found in (
        play_heldout(tape, config, policy_from_model(model, "PPO"), n_threads=1),
        play_heldout(tape, config, policy_from_function("PPO", act)),
    ):
        assert found.rewards.tolist() == [e["episode"]["r"] for e in expected]
        assert found.lengths.tolist() == [e["episode"]["l"] for e in expected]
        market = [e["market"] for e in expected]
        assert (found.profit + 10_000).tolist() == [m["equity_cents"] for m in market]
        assert found.drawdown.tolist() == [m["max_drawdown_cents"] for m in market]
        for name, values in found.columns.items():
            assert values.tolist() == [m[name] for m in market]
        assert found.columns["fills"].any()


def test_more_fills_than_there_is_room_for(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop comes back for room and goes on where it stood."""
    config = SimConfig(cash_start=10**8)
    expected = outcome(tape, config, BASELINES["random"])
    monkeypatch.setattr("kalshi_train.evaluation.episodes.FILL_ROOM", 30)
    assert outcome(tape, config, BASELINES["random"]) == expected


def test_a_model_of_something_else_is_refused(tape: Tape) -> None:
    import gymnasium as gym

    model = PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=8, batch_size=8)
    with pytest.raises(ConfigError, match=r"observations of shape \(4,\)"):
        evaluate(model, tape)


@pytest.mark.parametrize(
    "wrong", [np.zeros(3), np.full(6, 5), np.zeros(6, np.float32)], ids=["count", "range", "kind"]
)
def test_a_function_that_gives_no_actions_is_told(tape: Tape, wrong: np.ndarray) -> None:
    assert len(tape.views) == 6, "as many as the functions below answer for"
    with pytest.raises(ConfigError, match="whole numbers from 0 to 4"):
        evaluate({"wrong": lambda obs: wrong}, tape)


def test_there_must_be_something_to_evaluate(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        evaluate(None, tape)
    with pytest.raises(ConfigError, match="no such baseline"):
        evaluate(None, tape, baselines=["winning"])


def test_a_tape_of_nothing_but_short_markets() -> None:
    """Three rows are enough for every figure."""
    from tests.support.streams import quiet, session_of, snapshot

    tape = build_tape(
        [session_of(snapshot(0, {40: 100}, {55: 80}), quiet(1, 2))], min_episode_length=3
    )
    found = evaluate(None, tape, baselines=["all"], stress=True)
    assert len(found.runs) == 27
