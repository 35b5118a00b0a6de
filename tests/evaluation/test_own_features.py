"""Models that see features of their own are evaluated, and shown on the page, with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from stable_baselines3 import PPO

from kalshi_sim import KalshiVecEnv, Tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.own import OwnFeatures
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.policies import policy_from_function, policy_from_model
from kalshi_train.report import write_report


def spread(row: Any, agent: Any, observation: Any, out: Any) -> None:
    out[0] = (row.payout - row.no_bid - row.yes_bid) / row.payout
    out[1] = agent.position / 100


OWN = OwnFeatures(spread, ("spread_share", "load"))


@pytest.fixture(scope="module")
def model(tape: Tape) -> PPO:
    env = KalshiVecEnv(tape, n_envs=2, features=OWN)
    agent = PPO("MlpPolicy", env, n_steps=8, batch_size=16, seed=3)
    head = agent.policy.action_net
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.mul_(60)
    return agent


def test_a_model_is_played_with_its_own_features(tape: Tape, model: PPO, tmp_path: Path) -> None:
    seen: list[npt.NDArray[np.float32]] = []

    def act(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        seen.append(observations.copy())
        actions: npt.NDArray[np.int64] = model.predict(observations, deterministic=True)[0]
        return actions

    few = tape.select([0, 1])
    found = evaluate(
        {
            "mine": policy_from_model(model, "mine", features=OWN),
            "twin": policy_from_function("twin", act, features=OWN),
        },
        few,
        resamples=100,
    )
    for fill_model in found.fill_models:
        mine, twin = found.run("mine", fill_model), found.run("twin", fill_model)
        assert mine.total == twin.total
        assert mine.total.fills > 0
    everything = np.concatenate(seen)
    assert everything.shape[1] == 54
    bid, ask = everything[:, 0].astype(np.float64), everything[:, 1].astype(np.float64)
    assert np.allclose(everything[:, 52], ask - bid, atol=1e-6)
    write_report(found, tmp_path / "own.html")
    assert (tmp_path / "own.html").stat().st_size > 1_000_000


def test_without_them_it_says_how_to_give_them(tape: Tape, model: PPO) -> None:
    with pytest.raises(ConfigError, match=r"policy_from_model\(model, name, features=own\)"):
        evaluate({"mine": model}, tape)
