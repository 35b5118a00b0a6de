"""A run against the import of its own recording: nothing differs, whatever trades and breaks."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_build import build_tape
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.evaluation.policies import BASELINES, Policy, policy_from_model
from kalshi_train.learner.algorithms import FastPPO
from kalshi_train.trading.log import DecisionLog, read_log
from kalshi_train.trading.recording import SEGMENTS
from kalshi_train.trading.verify import verify
from support.recorded_exchange import record
from tests.support.paper import traded
from tests.support.recorded import Recorded, recorded

__all__ = ["recorded"]

BOOKS = "orderbook_delta"
FAULTS = [
    Fault(fault="skip_seq", channel=BOOKS, after=60),
    Fault(fault="repeat_seq", channel=BOOKS, after=120),
    Fault(fault="reorder_seq", channel=BOOKS, after=180),
    Fault(fault="error_25", channel=BOOKS, after=240),
    Fault(fault="silence", channel=BOOKS, after=300, seconds=0.2),
    Fault(fault="abort", channel=BOOKS, after=360),
]
GENERATED = generate_session(1, markets=12, minutes=10.0, seed=5)
TICKERS = [market.ticker for market in GENERATED.markets]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a generated session, with faults."""
    folder = tmp_path_factory.mktemp("faulty")
    made = asyncio.run(record(GENERATED, folder, FAULTS, speed=120, seconds=6))
    assert len(set(made.happened)) >= 5, made.happened
    return made.segments


@pytest.fixture(scope="module")
def evening(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session]:
    """A recording of some minutes of a recorded evening, replayed."""
    session = recorded.session("nba")
    session = session.select([market.ticker for market in session.markets][:4])
    folder = tmp_path_factory.mktemp("evening")
    made = asyncio.run(record(session, folder, speed=400, seconds=2.5, skip_ms=60 * 60_000))
    return made.segments, session


@pytest.fixture(scope="module")
def models() -> dict[str, Policy]:
    """One small model of each kind; what they have learned does not matter here."""
    env = KalshiVecEnv(build_tape(GENERATED), n_envs=2, config=SimConfig(), seed=1)
    small = {"net_arch": [8]}
    steps: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "policy_kwargs": small}
    lstm = steps | {"policy_kwargs": small | {"lstm_hidden_size": 8}}
    made: dict[str, Any] = {
        "ppo": PPO("MlpPolicy", env, seed=3, **steps),
        "a2c": A2C("MlpPolicy", env, policy_kwargs=small, seed=4),
        "dqn": DQN("MlpPolicy", env, buffer_size=100, policy_kwargs=small, seed=5),
        "maskable": MaskablePPO("MlpPolicy", env, seed=6, **steps),
        "masked": FastPPO("MlpPolicy", env, seed=6, mask=True, **steps),
        "recurrent": RecurrentPPO("MlpLstmPolicy", env, seed=7, **lstm),
    }
    made["ppo"].learn(32)
    return {name: policy_from_model(model, name) for name, model in made.items()}


@pytest.mark.parametrize("seed", range(4))
def test_random_actions_are_replayed_bit_for_bit(faulty: Path, tmp_path: Path, seed: int) -> None:
    config = SimConfig(
        latency_ms=(0, 20, 400, 0)[seed],
        actions=("five", "maker", "sized", "maker")[seed],
        fill_model=("queue", "prob", "queue", "touch")[seed],
        pricing="join" if seed == 3 else "cross",
        valuation="liquidation" if seed == 1 else "mid",
    )
    rows = TapeOptions(row_interval_ms=(1, 1, 1, 1000)[seed], depth=(10, 3, 10, 10)[seed])
    random = BASELINES["random"]
    trader = traded(faulty, TICKERS, random, tmp_path / "run", config=config, tape=rows, seed=seed)
    verdict = verify(tmp_path / "run")
    assert (verdict.total, verdict.described) == (0, [])
    assert verdict.rows > (50 if seed == 3 else 150)
    assert verdict.fills > 20
    assert verdict.cuts["gap"] > 5
    assert sum(m.orders for m in trader.markets.values()) > 20


@pytest.mark.parametrize("name", ["always-buy", "join-both-sides", "skew-inventory", "momentum"])
def test_baselines_are_replayed_bit_for_bit(faulty: Path, tmp_path: Path, name: str) -> None:
    traded(faulty, TICKERS, BASELINES[name], tmp_path / "run")
    verdict = verify(tmp_path / "run")
    assert (verdict.total, verdict.described) == (0, [])
    assert verdict.rows > 150


@pytest.mark.parametrize("name", ["ppo", "a2c", "dqn", "maskable", "masked", "recurrent"])
def test_models_are_replayed_bit_for_bit(
    faulty: Path, tmp_path: Path, models: dict[str, Policy], name: str
) -> None:
    traded(faulty, TICKERS, models[name], tmp_path / "run", config=SimConfig(latency_ms=5))
    verdict = verify(tmp_path / "run")
    assert (verdict.total, verdict.described) == (0, [])
    assert verdict.rows > 150


@pytest.mark.parametrize("name", ["random", "join-both-sides", "ppo"])
def test_an_evening_is_replayed_bit_for_bit(
    evening: tuple[Path, Session], tmp_path: Path, models: dict[str, Policy], name: str
) -> None:
    segments, session = evening
    tickers = [market.ticker for market in session.markets]
    traded(segments, tickers, models.get(name) or BASELINES[name], tmp_path / "run")
    verdict = verify(tmp_path / "run")
    assert (verdict.total, verdict.described) == (0, [])
    assert verdict.rows > 100


def test_what_differs_is_found(faulty: Path, tmp_path: Path) -> None:
    traded(faulty, TICKERS, BASELINES["join-both-sides"], tmp_path / "run")
    changes: dict[str, dict[str, Any]] = {
        "action": {"a": 3},
        "state": {"s": None},
        "seen": {"o": ["0"] * 3},
    }
    for name, change in changes.items():
        other = tmp_path / name
        other.mkdir()
        shutil.copytree(tmp_path / "run" / SEGMENTS, other / SEGMENTS)
        log = DecisionLog(other)
        for nth, line in enumerate(read_log(tmp_path / "run")):
            if nth > 20 and line["t"] == "row" and line["a"] != 3 and change:
                was = line["s"]
                line |= change
                if line["s"] is None:
                    line["s"] = [[was[0][0] + 1, *was[0][1:]], *was[1:]]
                change = {}
            log.write(line)
        log.close()
        assert not change
        assert verify(other).total > 0, name


def test_a_frame_that_was_changed_is_found(faulty: Path, tmp_path: Path) -> None:
    trader = traded(faulty, TICKERS, BASELINES["random"], tmp_path / "run")
    market = next(m for m in trader.markets.values() if m.band is not None and m.band.row > 20)
    log = DecisionLog(tmp_path / "other")
    shutil.copytree(tmp_path / "run" / SEGMENTS, tmp_path / "other" / SEGMENTS)
    for line in read_log(tmp_path / "run"):
        if line["t"] == "cut" and line["market"] == market.ticker:
            line["deltas"] += 1
        log.write(line)
    log.close()
    assert verify(tmp_path / "other").total > 0


def test_settings_of_another_simulation_differ(faulty: Path, tmp_path: Path) -> None:
    traded(faulty, TICKERS, BASELINES["random"], tmp_path / "run")
    log = DecisionLog(tmp_path / "other")
    shutil.copytree(tmp_path / "run" / SEGMENTS, tmp_path / "other" / SEGMENTS)
    for line in read_log(tmp_path / "run"):
        if line["t"] == "start":
            line["config"]["order_size"] = replace(SimConfig(), order_size=11).order_size
        log.write(line)
    log.close()
    assert verify(tmp_path / "other").total > 0
