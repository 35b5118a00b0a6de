"""What the evaluation's tests share: a generated session and an untrained agent that trades."""

from __future__ import annotations

import pytest
import torch
from stable_baselines3 import PPO

from kalshi_sim import KalshiVecEnv, Tape, build_tape
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="session")
def tape() -> Tape:
    """Some generated markets."""
    return build_tape([generate_session(5, markets=6, minutes=12, seed=4, deltas=2_500)])


@pytest.fixture(scope="session")
def model(tape: Tape) -> PPO:
    """A network whose preferences are strong enough to differ from row to row."""
    agent = PPO("MlpPolicy", KalshiVecEnv(tape, n_envs=2), n_steps=8, batch_size=16, seed=3)
    head = agent.policy.action_net
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.mul_(60)
    return agent
