"""CardPPO and CardA2C against stable-baselines3's PPO and A2C, on a batch of a processor.

What a card's batch gives is compared with a processor's in tests/cuda; here it is the collector and
the update: for the same draws they give the bits of stock code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.learner.algorithms import FastPPO
from kalshi_train.learner.card import CardA2C, CardPPO
from kalshi_train.learner.card_rollout import CardRolloutBuffer
from kalshi_train.models import load_model
from tests.learner.test_algorithms import KeptLog, WalkVecEnv, threads

N_ENVS, N_STEPS = 12, 16
SHUFFLED = SimConfig(random_start=True, market_order="shuffle", reward_scale=0.01)
CUT = SimConfig(random_start=True, max_episode_steps=7, reward_scale=0.01)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=4, minutes=4, deltas=300, seed=3, edge=0.8)])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


@pytest.fixture
def stock_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minibatches are drawn where stock code draws them, and count rows as it does."""

    def order(self: CardRolloutBuffer) -> th.Tensor:
        size = self.buffer_size * self.n_envs
        rows = np.arange(size).reshape(self.buffer_size, self.n_envs).T.reshape(-1)
        return th.from_numpy(rows[np.random.permutation(size)])  # noqa: NPY002 (as SB3 draws)

    monkeypatch.setattr(CardRolloutBuffer, "order", order)


def trained(kind: Any, env: Any, rollouts: int = 2, **settings: Any) -> tuple[Any, list[Any]]:
    """A model after some rollouts, and what it logged after each."""
    model = kind("MlpPolicy", env, n_steps=N_STEPS, seed=5, device="cpu", **settings)
    log = KeptLog()
    model.set_logger(log)
    model.learn(N_ENVS * N_STEPS * rollouts, log_interval=1)
    return model, log.dumped


def flat(model: Any) -> np.ndarray:
    """All weights."""
    return th.cat([p.detach().flatten() for p in model.policy.parameters()]).numpy()


PPO_CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "value clipping": {"clip_range_vf": 0.002, "ent_coef": 0.02, "vf_coef": 0.8},
    "a shorter last minibatch, falling rates": {
        "batch_size": 80,
        "normalize_advantage": False,
        "clip_range": lambda left: 0.2 * left,
        "learning_rate": lambda left: 1e-3 * left,
    },
    "target kl": {"target_kl": 0.0005, "learning_rate": 2e-3},
}


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # on purpose
@pytest.mark.usefixtures("stock_order")
@pytest.mark.parametrize("case", PPO_CASES.values(), ids=PPO_CASES)
def test_ppo_has_the_bits_of_stock(tape: Tape, case: dict[str, Any]) -> None:
    settings = {"batch_size": 64, "n_epochs": 3, "learning_rate": 1e-3} | case
    config = SHUFFLED
    ours, log = trained(CardPPO, KalshiVecEnv(tape, N_ENVS, config, seed=2), **settings)
    stock, stock_log = trained(PPO, KalshiVecEnv(tape, N_ENVS, config, seed=2), **settings)
    np.testing.assert_array_equal(flat(ours), flat(stock))
    assert ours._n_updates == stock._n_updates
    for mine, theirs in zip(log, stock_log, strict=True):
        assert mine.keys() == theirs.keys()
        for key in mine.keys() - {"time/fps", "time/time_elapsed"}:
            np.testing.assert_allclose(mine[key], theirs[key], rtol=1e-4, atol=1e-6, err_msg=key)
    assert [(e["r"], e["l"]) for e in ours.ep_info_buffer] == [
        (e["r"], e["l"]) for e in stock.ep_info_buffer
    ]
    assert len(ours.ep_info_buffer) > 0


A2C_CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "Adam": {"use_rms_prop": False, "max_grad_norm": 0.05},
    "normalised": {"normalize_advantage": True, "ent_coef": 0.01, "gae_lambda": 0.9},
}


@pytest.mark.parametrize("case", A2C_CASES.values(), ids=A2C_CASES)
@pytest.mark.parametrize("config", [SHUFFLED, CUT], ids=["whole", "cut short"])
def test_a2c_equals_stock(tape: Tape, case: dict[str, Any], config: SimConfig) -> None:
    """Within rounding: its rows are not put into another order, and values of what was cut short
    come from one product instead of one each."""
    ours, log = trained(CardA2C, KalshiVecEnv(tape, N_ENVS, config, seed=2), **case)
    stock, stock_log = trained(A2C, KalshiVecEnv(tape, N_ENVS, config, seed=2), **case)
    change = np.linalg.norm(flat(ours) - flat(stock))
    assert change <= 1e-5 * np.linalg.norm(flat(stock))
    assert log[-1].keys() == stock_log[-1].keys()
    for mine, theirs in zip(log, stock_log, strict=True):
        for key in mine.keys() - {"time/fps", "time/time_elapsed"}:
            np.testing.assert_allclose(mine[key], theirs[key], rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.usefixtures("stock_order")
def test_normalised_observations_equal_those_of_stock(tape: Tape) -> None:
    def env() -> VecNormalize:
        return VecNormalize(KalshiVecEnv(tape, N_ENVS, CUT, seed=2), norm_reward=False)

    ours, _ = trained(CardPPO, env(), batch_size=64, n_epochs=2)
    stock, _ = trained(PPO, env(), batch_size=64, n_epochs=2)
    assert np.linalg.norm(flat(ours) - flat(stock)) <= 1e-5 * np.linalg.norm(flat(stock))
    mine, theirs = (m.get_vec_normalize_env().obs_rms for m in (ours, stock))
    np.testing.assert_allclose(mine.mean, theirs.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mine.var, theirs.var, rtol=1e-4, atol=1e-6)
    assert mine.count == theirs.count
    np.testing.assert_allclose(ours._last_obs, stock._last_obs, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ours._last_episode_starts, stock._last_episode_starts)


@pytest.mark.usefixtures("stock_order")
def test_masks_are_those_of_maskable_ppo(tape: Tape) -> None:
    """Its rollouts and its update, which draws its minibatches as stock PPO does."""
    config = SimConfig(actions="maker", random_start=True, reward_scale=0.01)
    settings: dict[str, Any] = {"batch_size": 64, "n_epochs": 2, "ent_coef": 0.01}
    ours, _ = trained(CardPPO, KalshiVecEnv(tape, N_ENVS, config, seed=2), 2, mask=True, **settings)
    theirs, _ = trained(MaskablePPO, KalshiVecEnv(tape, N_ENVS, config, seed=2), 2, **settings)
    assert np.linalg.norm(flat(ours) - flat(theirs)) <= 1e-5 * np.linalg.norm(flat(theirs))
    assert ours.env.state()["invalid_actions"].sum() == 0
    masks, actions = ours.rollout_buffer.masks, ours.rollout_buffer.actions
    assert masks.gather(2, actions[:, :, None]).all()
    assert not masks.all()


def test_models_open_in_stock_and_go_on_elsewhere(tape: Tape, tmp_path: Path) -> None:
    env = KalshiVecEnv(tape, N_ENVS, SHUFFLED)
    ours, _ = trained(CardPPO, env, 1, batch_size=64, mask=True)
    ours.save(tmp_path / "m.zip")
    for kind in (PPO, FastPPO, CardPPO):
        loaded = kind.load(tmp_path / "m.zip", device="cpu")
        np.testing.assert_array_equal(flat(loaded), flat(ours))
        loaded.set_env(KalshiVecEnv(tape, N_ENVS, SHUFFLED))
        loaded.learn(N_ENVS * N_STEPS)
    assert type(load_model(tmp_path / "m.zip")) is FastPPO
    seen = env.reset()
    masks = env.action_masks()
    chosen, _ = ours.predict(seen, deterministic=True, action_masks=masks)
    assert masks[np.arange(N_ENVS), chosen].all()


def test_no_finished_episode_is_lost_where_there_is_room_for_few(tape: Tape) -> None:
    """Every episode is reported, however many end in a rollout."""
    env = KalshiVecEnv(tape, N_ENVS, SimConfig(random_start=True, max_episode_steps=1))
    reported: list[int] = []

    class Reported(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            reported.append(len(self.locals["finished_infos"]))

    model = CardPPO("MlpPolicy", env, n_steps=N_STEPS, batch_size=64, device="cpu", seed=1)
    model.learn(N_ENVS * N_STEPS, callback=Reported())
    assert reported == [N_ENVS * N_STEPS]
    assert len(model.ep_info_buffer or ()) == 100  # SB3 keeps so many


def test_what_cannot_be_on_a_card_is_refused(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="needs a KalshiVecEnv"):
        CardPPO("MlpPolicy", WalkVecEnv(4), n_steps=8, batch_size=8, device="cpu").learn(32)
    env = KalshiVecEnv(tape, 4)
    own = type("Own", (PPO.policy_aliases["MlpPolicy"],), {})
    with pytest.raises(ConfigError, match="the policy is a Own, not an MlpPolicy"):
        CardPPO(own, env, n_steps=8, batch_size=8, device="cpu")
