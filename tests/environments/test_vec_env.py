"""The Stable-Baselines3 VecEnv contract, modelled on SB3's own tests of vectorised environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from kalshi_sim import FEATURES, KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.synthetic.session import generate_session

N_ENVS = 6


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=8, minutes=20, seed=3)])


@pytest.fixture
def env(tape: Tape) -> KalshiVecEnv:
    return KalshiVecEnv(tape, n_envs=N_ENVS, seed=1)


def random_actions(env: VecEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, env.num_envs)


def test_shapes_and_dtypes(env: KalshiVecEnv) -> None:
    first: Any = env.reset()
    assert first.shape == (N_ENVS, 52)
    assert first.dtype == np.float32
    obs: Any
    obs, rewards, dones, infos = env.step(np.zeros(N_ENVS, np.int64))
    assert obs.shape == (N_ENVS, 52)
    assert obs.dtype == np.float32
    assert rewards.shape == (N_ENVS,)
    assert rewards.dtype == np.float32
    assert dones.shape == (N_ENVS,)
    assert dones.dtype == np.bool_
    assert len(infos) == N_ENVS
    assert env.observation_space.shape == (52,)
    assert env.action_space == gym.spaces.Discrete(5)


def test_observations_lie_in_the_space(env: KalshiVecEnv) -> None:
    rng = np.random.default_rng(0)
    obs: Any = env.reset()
    for _ in range(300):
        assert all(env.observation_space.contains(row) for row in obs)
        obs, *_ = env.step(random_actions(env, rng))


def test_names_and_bounds_of_the_features(env: KalshiVecEnv) -> None:
    assert [f.index for f in FEATURES] == list(range(52))
    assert len({f.name for f in FEATURES}) == 52
    groups = [f.group for f in FEATURES]
    counts = {g: groups.count(g) for g in ("market", "temporal", "portfolio", "global")}
    assert counts == {"market": 21, "temporal": 14, "portfolio": 12, "global": 5}
    space = env.observation_space
    assert isinstance(space, gym.spaces.Box)
    assert space.low.tolist() == [f.low for f in FEATURES]
    assert space.high.tolist() == [f.high for f in FEATURES]


def test_what_a_step_returned_stays_for_one_more_step(env: KalshiVecEnv) -> None:
    rng = np.random.default_rng(0)
    kept: list[Any] = [env.reset()]
    copies = [kept[0].copy()]
    kept_dones: list[np.ndarray] = []
    for _ in range(50):
        obs, _, dones, _ = env.step(random_actions(env, rng))
        np.testing.assert_array_equal(kept[-1], copies[-1])
        if kept_dones:
            assert kept_dones[-1] is not dones
        kept.append(obs)
        copies.append(obs.copy())  # type: ignore[union-attr]  # no dict
        kept_dones.append(dones)


def test_rewards_may_be_changed_in_place(env: KalshiVecEnv) -> None:
    env.reset()
    _, rewards, _, _ = env.step(np.ones(N_ENVS, np.int64))
    before = rewards.copy()
    rewards += 1000.0
    _, again, _, _ = env.step(np.zeros(N_ENVS, np.int64))
    assert np.all(np.abs(again) < 1000.0)
    assert np.any(before != 0)


def finish(env: KalshiVecEnv) -> tuple[np.ndarray, list[dict[str, Any]], np.ndarray]:
    """Hold until an episode ends; observations, infos and dones of that step."""
    env.reset()
    while True:
        obs, _, dones, infos = env.step(np.zeros(env.num_envs, np.int64))
        if dones.any():
            return np.asarray(obs), infos, dones


def test_infos_only_for_finished_environments(env: KalshiVecEnv) -> None:
    _, infos, dones = finish(env)
    for info, done in zip(infos, dones, strict=True):
        assert bool(info) == done
    np.testing.assert_array_equal(env.last_finished, np.flatnonzero(dones))
    _, _, dones, infos = env.step(np.zeros(N_ENVS, np.int64))
    assert all(bool(info) == done for info, done in zip(infos, dones, strict=True))


def test_keys_of_a_finished_info(env: KalshiVecEnv, tape: Tape) -> None:
    obs, infos, dones = finish(env)
    i = int(np.flatnonzero(dones)[0])
    info = infos[i]
    assert set(info) == {"episode", "market", "terminal_observation", "TimeLimit.truncated"}
    assert set(info["episode"]) == {"r", "l", "t"}
    view = next(v for v in tape.views if v.market_ticker == info["market"]["market_ticker"])
    assert info["episode"]["l"] == len(view) - 1
    assert info["market"]["session_id"] == 1
    assert set(info["market"]) >= {
        "equity_cents",
        "realized_pnl_cents",
        "fees_cents",
        "fills",
        "contracts_traded",
        "position",
        "invalid_actions",
        "max_drawdown_cents",
    }
    assert not np.array_equal(info["terminal_observation"], obs[i])
    np.testing.assert_array_equal(
        info["terminal_observation"][:35], tape.features[view.stop - 1, :35]
    )


def test_the_terminal_observation_is_a_copy(env: KalshiVecEnv) -> None:
    _, infos, dones = finish(env)
    kept = infos[int(np.flatnonzero(dones)[0])]["terminal_observation"]
    before = kept.copy()
    for _ in range(3):
        env.step(np.zeros(N_ENVS, np.int64))
    np.testing.assert_array_equal(kept, before)


def test_truncation_is_told_from_termination(tape: Tape) -> None:
    env = KalshiVecEnv(tape, n_envs=2, config=SimConfig(max_episode_steps=3))
    env.reset()
    for _ in range(3):
        _, _, dones, infos = env.step(np.zeros(2, np.int64))
    assert dones.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert [info["episode"]["l"] for info in infos] == [3, 3]


def test_attributes_come_as_lists(env: KalshiVecEnv) -> None:
    assert env.get_attr("num_envs") == [N_ENVS] * N_ENVS
    assert env.get_attr("num_envs", indices=[0, 2]) == [N_ENVS] * 2
    assert env.get_attr("num_envs", indices=3) == [N_ENVS]
    env.set_attr("note", "x")
    assert env.get_attr("note") == ["x"] * N_ENVS
    with pytest.raises(ValueError, match="share"):
        env.set_attr("note", "y", indices=[1])
    with pytest.raises(AttributeError):
        env.get_attr("nothing")


def test_methods_are_called_once_and_handed_out(env: KalshiVecEnv) -> None:
    env.reset()
    masks = env.env_method("action_masks")
    assert len(masks) == N_ENVS
    np.testing.assert_array_equal(np.stack(masks), env.action_masks())
    assert len(env.env_method("state", indices=[1])) == 1


def test_no_environment_is_wrapped(env: KalshiVecEnv) -> None:
    assert env.env_is_wrapped(gym.Wrapper) == [False] * N_ENVS
    assert env.env_is_wrapped(gym.Wrapper, indices=[0]) == [False]
    assert env.env_is_wrapped(Monitor) == [True] * N_ENVS  # infos hold what it adds
    assert env.get_images() == [None] * N_ENVS


def play(env: KalshiVecEnv, steps: int = 200) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    out: list[Any] = [np.asarray(env.reset()).copy()]
    for _ in range(steps):
        obs, rewards, dones, _ = env.step(random_actions(env, rng))
        out += [np.asarray(obs).copy(), rewards.copy(), dones.copy()]
    return out


@pytest.mark.parametrize("order", ["sequential", "shuffle", "weighted"])
def test_one_seed_fixes_everything(tape: Tape, order: Any) -> None:
    config = SimConfig(market_order=order, random_start=True)
    one = play(KalshiVecEnv(tape, 4, config, seed=7))
    two = play(KalshiVecEnv(tape, 4, config, seed=7))
    other = play(KalshiVecEnv(tape, 4, config, seed=8))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_seed_takes_effect_at_the_next_reset(tape: Tape) -> None:
    config = SimConfig(random_start=True)
    env = KalshiVecEnv(tape, 4, config, seed=1)
    env.reset()
    env.seed(7)
    again = play(env)
    fresh = play(KalshiVecEnv(tape, 4, config, seed=7))
    assert all(np.array_equal(a, b) for a, b in zip(again, fresh, strict=True))


def test_sb3_trains_on_it_and_saves(env: KalshiVecEnv, tmp_path: Any) -> None:
    ppo = PPO("MlpPolicy", env, n_steps=8, batch_size=24, n_epochs=1, device="cpu").learn(96)
    ppo.save(tmp_path / "ppo")
    assert PPO.load(tmp_path / "ppo", env=env, device="cpu").num_timesteps == 96
    A2C("MlpPolicy", env, n_steps=5, device="cpu").learn(60)


def test_sb3_wrappers_work(env: KalshiVecEnv) -> None:
    with pytest.warns(UserWarning, match="already wrapped"):  # infos hold its figures without it
        wrapped = VecNormalize(VecMonitor(env))
    wrapped.reset()
    seen = 0
    for _ in range(200):
        _, _, dones, infos = wrapped.step(np.zeros(N_ENVS, np.int64))
        seen += int(dones.sum())
        assert all(
            ("episode" in info) == bool(done) for info, done in zip(infos, dones, strict=True)
        )
    assert seen


def test_mistakes_are_named(tape: Tape, env: KalshiVecEnv) -> None:
    with pytest.raises(ConfigError, match="n_envs=0"):
        KalshiVecEnv(tape, n_envs=0)
    with pytest.raises(ConfigError, match="n_threads"):
        KalshiVecEnv(tape, n_envs=1, n_threads=0)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(N_ENVS, np.int64))
    env.reset()
    for bad in (np.full(N_ENVS, 5), np.full(N_ENVS, -1)):
        with pytest.raises(ValueError, match="numbers from 0 to 4"):
            env.step(bad)
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros(N_ENVS + 1, np.int64))
