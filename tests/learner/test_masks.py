"""Masks in FastPPO and FastA2C, against sb3-contrib's MaskablePPO and autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch as th
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from kalshi_sim import KalshiVecEnv, LiveMarket, SimConfig, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.synthetic.session import generate_session
from kalshi_train import LearnerConfig
from kalshi_train.evaluation import evaluate
from kalshi_train.learner.algorithms import FastA2C, FastPPO
from kalshi_train.models import load_model
from tests.learner.test_algorithms import WalkVecEnv
from tests.support.golden import calm
from tests.support.streams import quiet

NAMES = (
    *("observations", "actions", "rewards", "episode_starts"),
    *("values", "log_probs", "advantages", "returns"),
)


class MaskedWalk(WalkVecEnv):
    """What is valid depends on the row; action 3 never is, action 0 always."""

    def action_masks(self) -> npt.NDArray[np.bool_]:
        masks: npt.NDArray[np.bool_] = self._obs[self._turn][:, :5] > -0.3
        masks[:, 0], masks[:, 3] = True, False
        return masks


class Kept(BaseCallback):
    """The rollout as it was before the update, whose order of rows is then fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: dict[str, npt.NDArray[Any]] = {}

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]  # on-policy
        self.arrays = {name: getattr(buffer, name).copy() for name in (*NAMES, "masks")}
        np.random.seed(3)  # noqa: NPY002 - SB3's order of minibatches comes from it


def learnt(kind: Any, **settings: Any) -> tuple[Any, dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """A masked model after one update, its weights before, and the rollout between."""
    model = kind(
        "MlpPolicy", MaskedWalk(8), n_steps=32, mask=True, seed=1, device="cpu", **settings
    )
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    kept = Kept()
    model.learn(256, callback=kept)
    return model, before, kept.arrays


def test_rollouts_and_updates_equal_maskable_ppo() -> None:
    settings: dict[str, Any] = {"batch_size": 64, "n_epochs": 3, "ent_coef": 0.01}
    fast, before, rollout = learnt(FastPPO, **settings)
    assert np.take_along_axis(rollout["masks"], rollout["actions"], 2).all()
    assert not (rollout["actions"] == 3).any()

    theirs = MaskablePPO("MlpPolicy", MaskedWalk(8), n_steps=32, seed=1, device="cpu", **settings)
    theirs.policy.load_state_dict(before)
    buffer = theirs.rollout_buffer
    buffer.reset()
    for name in NAMES:
        setattr(buffer, name, rollout[name].copy())
    buffer.action_masks = rollout["masks"].astype(np.float32)
    buffer.full = True
    flat = {name: rollout[name].reshape(256, -1) for name in ("observations", "actions", "masks")}
    values, log_probs, _ = theirs.policy.evaluate_actions(
        th.from_numpy(flat["observations"]),
        th.from_numpy(flat["actions"]).flatten(),
        action_masks=th.from_numpy(flat["masks"]),
    )
    np.testing.assert_allclose(rollout["log_probs"].ravel(), log_probs.detach(), atol=1e-5)
    np.testing.assert_allclose(rollout["values"].ravel(), values.detach().ravel(), atol=1e-5)

    theirs.set_logger(configure(None, []))
    np.random.seed(3)  # noqa: NPY002 - as above
    theirs.train()
    for (name, mine), other in zip(
        fast.policy.state_dict().items(), theirs.policy.state_dict().values(), strict=True
    ):
        assert float((mine - other).norm()) <= 1e-5 * float(other.norm()), name
        changed = float((before[name] - other).norm())
        assert changed > 1e-3 * float(other.norm()), name


def test_the_gradient_of_a2c_is_that_of_autograd() -> None:
    fast, before, rollout = learnt(FastA2C, max_grad_norm=1e9, ent_coef=0.01)
    twin = MaskablePPO("MlpPolicy", MaskedWalk(8), n_steps=32, device="cpu").policy
    twin.load_state_dict(before)
    flat = {name: th.from_numpy(array.reshape(256, -1)) for name, array in rollout.items()}
    values, log_probs, entropy = twin.evaluate_actions(
        flat["observations"], flat["actions"].flatten(), action_masks=flat["masks"]
    )
    assert entropy is not None
    loss = -(flat["advantages"].flatten() * log_probs).mean() - 0.01 * entropy.mean()
    loss = loss + 0.5 * th.nn.functional.mse_loss(flat["returns"], values)
    loss.backward()
    for p, q in zip(fast.policy.parameters(), twin.parameters(), strict=True):
        assert q.grad is not None
        np.testing.assert_allclose(p.grad, q.grad, rtol=2e-4, atol=1e-6)


def test_masked_models_never_choose_what_is_invalid(tmp_path: Path) -> None:
    """While learning, in an evaluation, opened by stock PPO, and on a live market."""
    tape = build_tape([generate_session(1, markets=2, minutes=5, deltas=500, seed=4)])
    maker = SimConfig(actions="maker")
    env = KalshiVecEnv(tape, n_envs=4, config=maker)
    model = FastPPO("MlpPolicy", env, n_steps=32, batch_size=64, mask=True, seed=0, device="cpu")
    model.learn(512)
    assert env.state()["invalid_actions"].sum() == 0
    model.save(tmp_path / "m.zip")
    loaded = load_model(tmp_path / "m.zip")
    assert type(loaded) is FastPPO
    found = evaluate({"ours": loaded, "stock": PPO.load(tmp_path / "m.zip")}, tape, maker)
    assert found.run("ours").total.invalid_actions == 0
    assert found.run("ours").total == found.run("stock").total
    session = calm(quiet(10, 3))
    market = LiveMarket(session.markets[0])
    market.feed(session.events)
    market.finish()
    portfolio = Portfolio(cash=10_000)
    mask = market.action_mask(portfolio, maker)
    drawn = {market.act(loaded, portfolio, maker, deterministic=k == 0) for k in range(200)}
    assert all(mask[action] for action in drawn)
    assert len(drawn) > 1


def test_masks_are_refused_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="mask with stock_sb3"):
        LearnerConfig(mask=True, stock_sb3=True)
    gelu = {"activation_fn": th.nn.GELU}
    with pytest.raises(ConfigError, match="mask=True needs MlpPolicy on float32 on the CPU: the"):
        FastPPO("MlpPolicy", MaskedWalk(8), mask=True, policy_kwargs=gelu, device="cpu")
