"""The environments under other people's wrappers and helpers."""

from __future__ import annotations

import asyncio
import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from kalshi_sim import (
    KalshiVecEnv,
    KalshiVectorEnv,
    MarketAgnosticKalshiEnv,
    SimConfig,
    Tape,
    build_tape,
    open_store,
)
from kalshi_sim.errors import ConfigError
from kalshi_sim.infos import Infos
from kalshi_sim.synthetic.session import generate_session
from kalshi_train import SB3TrainingConfig, SessionBasedEnvironment

ID = "kalshi_sim/Kalshi-v0"


@pytest.fixture(scope="module")
def tape() -> Tape:
    """A tape of some views."""
    return build_tape([generate_session(1, markets=8, minutes=6, seed=4)])


def test_infos_are_nobody_elses(tape: Tape) -> None:
    env = KalshiVecEnv(tape, 3)
    env.reset()
    *_, infos = env.step(np.zeros(3, int))
    infos[0]["mine"] = 1
    assert infos[0] == {"mine": 1}
    *_, after = env.step(np.zeros(3, int))
    assert "mine" not in after[0]
    after[1]["mine"] = 1
    assert after == [{}, {"mine": 1}, {}]


def test_infos_are_a_list_to_everybody() -> None:
    nothing: list[Any] = [None] * 3
    infos = Infos(nothing)
    infos[1] = {"a": 1}
    plain = [{}, {"a": 1}, {}]
    assert len(infos) == 3
    assert list(infos) == plain
    assert infos[-2] == {"a": 1}
    assert infos[1:] == plain[1:]
    assert infos.copy() == plain
    assert copy.deepcopy(infos) == plain
    assert pickle.loads(pickle.dumps(infos)) == plain
    assert [info.get("a") for info in infos] == [None, 1, None]
    assert infos == plain
    infos[0].setdefault("b", 2)
    assert infos[0] == {"b": 2}


@pytest.mark.parametrize("n_envs", [1, 5, 7])
def test_methods_are_handed_out_by_what_they_mean(tape: Tape, n_envs: int) -> None:
    env = KalshiVecEnv(tape, n_envs, SimConfig(record_fills=True))
    env.reset()
    env.step(np.ones(n_envs, int))
    expected = env.state()
    states = env.env_method("state")
    assert [s["position"] for s in states] == expected["position"].tolist()
    assert [m.shape for m in env.env_method("action_masks", indices=[0])] == [(5,)]
    fills = env.env_method("fills")
    assert [set(f["env"]) for f in fills] == [
        {i} if len(fills[i]) else set() for i in range(n_envs)
    ]
    assert sum(map(len, fills)) > 0


def test_reset_options_choose_views(tape: Tape) -> None:
    env = KalshiVecEnv(tape, 3)
    env.set_options([{"view": 5}, {}, {"view": 2}])
    env.reset()
    assert env.state()["view"].tolist() == [5, 1, 2]
    env.reset()
    assert env.state()["view"].tolist() == [0, 1, 2]
    env.set_options({"view": 4})
    env.reset()
    assert env.state()["view"].tolist() == [4, 4, 4]
    env.set_options({"views": 4})
    with pytest.raises(ConfigError, match="unknown option of reset: 'views'"):
        env.reset()
    vector = KalshiVectorEnv(tape, 2)
    vector.reset(options={"view": 3})
    assert vector.state()["view"].tolist() == [3, 3]


def test_the_order_of_views_holds_when_drawn_by_weight(tape: Tape) -> None:
    env = KalshiVecEnv(tape, 64, SimConfig(market_order="weighted"))
    env.set_view_order([1, 3])
    env.reset()
    assert set(env.state()["view"].tolist()) == {1, 3}
    env.set_view_weights([1.0] * 3 + [0.0] * (len(tape.views) - 3))
    env.reset()
    assert set(env.state()["view"].tolist()) == {1}
    env.set_view_order([3])
    with pytest.raises(ConfigError, match="weight 0"):
        env.reset()


def test_a_session_based_environment_sees_its_own_members(tmp_path: Path) -> None:
    open_store(tmp_path).save(generate_session(1, markets=8, minutes=6, seed=4))

    async def made() -> SessionBasedEnvironment:
        env = SessionBasedEnvironment(str(tmp_path), [1], SB3TrainingConfig(), n_envs=2)
        await env.initialize()
        return env

    env = asyncio.run(made())
    env.reset()
    assert env.get_attr("market_views") == [env.market_views] * 2
    assert env.get_attr("session_ids", 0) == [[1]]
    assert env.get_attr("tape")[0] is env.env.tape
    assert env.env_method("get_market_rotation_info")[1]["sessions_covered"] == [1]
    assert len(env.env_method("action_masks")) == 2
    assert env.env_is_wrapped(Monitor) == [True, True]
    env.set_options({"view": 2})
    env.reset()
    assert env.state()["view"].tolist() == [2, 2]


def test_gymnasium_records_statistics_of_one_environment(tape: Tape) -> None:
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(ID, tape=tape))
    env.reset()
    total, steps, over = 0.0, 0, False
    while not over:
        _, reward, terminated, truncated, info = env.step(1)
        total, steps, over = total + float(reward), steps + 1, terminated or truncated
    assert info["episode"]["l"] == steps == info["episode_length"]
    assert info["episode"]["r"] == pytest.approx(total, abs=1e-2)
    assert info["episode_return"] == pytest.approx(total, abs=1e-2)
    assert info["market"]["market_ticker"] == tape.views[0].market_ticker


def test_sb3_monitors_one_environment(tape: Tape) -> None:
    env = Monitor(MarketAgnosticKalshiEnv(tape))
    env.reset()
    info: dict[str, Any] = {}
    while "episode" not in info:
        *_, info = env.step(0)
    assert info["episode"]["l"] == len(tape.views[0]) - 1


@pytest.mark.parametrize("wrapper", ["NormalizeObservation", "NormalizeReward"])
def test_gymnasium_normalizes_a_vector(tape: Tape, wrapper: str) -> None:
    env = getattr(gym.wrappers.vector, wrapper)(gym.make_vec(ID, num_envs=4, tape=tape))
    env.reset()
    for _ in range(300):
        obs, rewards, *_ = env.step(np.ones(4, int))
        assert np.isfinite(obs).all()
        assert np.isfinite(rewards).all()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_gymnasium_records_statistics_of_a_vector(tape: Tape, mode: AutoresetMode) -> None:
    inner = gym.make_vec(ID, num_envs=3, tape=tape, autoreset_mode=mode)
    env = gym.wrappers.vector.RecordEpisodeStatistics(inner)
    env.reset()
    lengths = []
    for _ in range(400):
        *_, infos = env.step(np.zeros(3, int))
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert len(lengths) >= 3
    assert set(lengths) <= {len(v) - 1 for v in tape.views}


def test_next_step_autoreset_equals_same_step(tape: Tape) -> None:
    """Each environment sees the same episodes; a restart takes a step of its own."""
    config = SimConfig(record_fills=True)
    for view in range(3):
        same = KalshiVectorEnv(tape, 1, config)
        following = KalshiVectorEnv(tape, 1, config, autoreset_mode="NextStep")
        for env in (same, following):
            env.reset()
            env.simulator.schedule.set_order([view, view + 1])
            env.simulator.reset_one(0)
        rng = np.random.default_rng(0)
        for _ in range(500):
            actions = rng.integers(0, 5, 1)
            obs, rewards, terminated, truncated, infos = same.step(actions)
            ours = following.step(actions)
            np.testing.assert_array_equal(ours[1:3], (rewards, terminated))
            if not (terminated | truncated)[0]:
                np.testing.assert_array_equal(ours[0], obs)
                continue
            np.testing.assert_array_equal(ours[0][0], infos["final_obs"][0])
            final = infos["final_info"]["market"]
            assert ours[4]["market"]["equity_cents"] == final["equity_cents"]
            restart, reward, *ends, infos = following.step(np.array([3]))
            np.testing.assert_array_equal(restart, obs)
            assert (reward[0], *(e[0] for e in ends), infos) == (0, False, False, {})


def test_autoreset_disabled_equals_same_step(tape: Tape) -> None:
    """The same episodes, where whoever steps restarts what is over, as gymnasium's tests do."""
    same = KalshiVectorEnv(tape, 3)
    disabled = gym.make_vec(ID, num_envs=3, tape=tape, autoreset_mode=AutoresetMode.DISABLED)
    np.testing.assert_array_equal(same.reset(seed=1)[0], disabled.reset(seed=1)[0])
    rng, ends = np.random.default_rng(0), 0
    for _ in range(500):
        actions = rng.integers(0, 5, 3)
        expected, rewards, terminated, truncated, infos = same.step(actions)
        seen, *ours, our_infos = disabled.step(actions)
        for mine, theirs in zip(ours, (rewards, terminated, truncated), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        over = terminated | truncated
        if over.any():
            ends += 1
            np.testing.assert_array_equal(our_infos["_market"], over)
            for env in np.flatnonzero(over):
                np.testing.assert_array_equal(seen[env], infos["final_obs"][env])
            with pytest.raises(RuntimeError, match="is over"):
                disabled.step(actions)
            seen, _ = disabled.reset(options={"reset_mask": over})
        np.testing.assert_array_equal(seen, expected)
    assert ends > 3
    for mask in (np.ones(3, int), np.ones(2, bool), [[True]]):
        with pytest.raises(ConfigError, match=r"reset_mask must be bool \[3\]"):
            disabled.reset(options={"reset_mask": mask})
    with pytest.raises(ConfigError, match="unknown option of reset: 'reset_mask'"):
        same.reset(options={"reset_mask": np.ones(3, bool)})


def test_other_autoreset_modes_are_refused(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="allowed are NEXT_STEP, SAME_STEP, DISABLED"):
        KalshiVectorEnv(tape, 2, autoreset_mode="sometimes")


def played_by_sb3(env: KalshiVecEnv, episodes: int) -> list[int]:
    """The views that SB3's `evaluate_policy` counts, in the order they end."""
    played: list[int] = []

    def note(local: dict[str, Any], _: dict[str, Any]) -> None:
        if local["done"]:
            played.append(local["info"]["market"]["view"])

    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(
            model, env, n_eval_episodes=episodes, callback=note, return_episode_rewards=True
        )
    assert lengths == [len(env.tape.views[view]) - 1 for view in played]
    assert len(list(returns)) == episodes  # type: ignore[arg-type]  # a list is asked for
    return played


@pytest.mark.parametrize("divided", [False, True])
def test_evaluate_policy_plays_every_view_once(tape: Tape, divided: bool) -> None:
    """In one environment, in one a view, and in any number, also more, whose views are divided.

    SB3 decides beforehand how many episodes count of each environment, whereas a batch's
    environments share the order of views: whichever ends first plays the next one. So with five
    environments and six views, not divided, one may be counted twice and another not at all.
    """
    n = len(tape.views)
    counts = range(1, n + 5) if divided else (1, n)
    for n_envs in counts:
        env = KalshiVecEnv(tape, n_envs)
        if divided:
            env.set_view_order(range(n), divided=True)
        assert sorted(played_by_sb3(env, n)) == list(range(n)), n_envs


def test_divided_views_come_in_turn_and_are_saved(tape: Tape) -> None:
    config = SimConfig(max_episode_steps=2)
    env = KalshiVecEnv(tape, 2, config)
    env.set_view_order([5, 4, 3, 2, 1], divided=True)
    env.reset()
    seen = [env.state()["view"].tolist()]
    state: dict[str, Any] = {}
    for k in range(4):
        if k == 2:
            state = env.get_simulation_state()
        env.step(np.zeros(2, int))
        env.step(np.zeros(2, int))
        seen.append(env.state()["view"].tolist())
    # two views each, the fifth to the last environment, then each its own anew
    assert seen == [[5, 4], [3, 2], [5, 1], [3, 4], [5, 2]]
    other = KalshiVecEnv(tape, 2, config)
    other.reset()
    other.set_simulation_state(state)
    for _ in range(4):
        other.step(np.zeros(2, int))
    assert other.state()["view"].tolist() == seen[-1]
    with pytest.raises(ConfigError, match="divided in turn among 4 environments"):
        other.set_simulation_state({**state, "taken_views": np.ones(4, np.int64)})
    for order in ("shuffle", "weighted"):
        shuffled = KalshiVecEnv(tape, 2, SimConfig(market_order=order))
        with pytest.raises(ConfigError, match="market_order='sequential' alone"):
            shuffled.set_view_order([0, 1], divided=True)


def test_eval_callback_warns_of_nothing(tape: Tape) -> None:
    env = KalshiVecEnv(tape, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callback = EvalCallback(KalshiVecEnv(tape, 1), n_eval_episodes=2, eval_freq=8, verbose=0)
        PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu").learn(64, callback)
    assert np.isfinite(callback.last_mean_reward)


def test_sb3_wrappers_of_the_batch(tape: Tape) -> None:
    with pytest.warns(UserWarning, match="already wrapped"):  # infos hold its figures without it
        env = VecNormalize(VecMonitor(KalshiVecEnv(tape, 3)))
    env.reset()
    seen = 0
    for _ in range(300):
        _, _, dones, infos = env.step(np.ones(3, int))
        for done, info in zip(dones, infos, strict=True):
            assert ("episode" in info) == done
            seen += done
    assert seen


def test_rewards_stay_finite_at_the_ends_of_their_scale(tape: Tape) -> None:
    for scale in (1e-12, 1e12):
        env = KalshiVecEnv(tape, 8, SimConfig(reward_scale=scale, cash_start=10**12))
        env.reset()
        for _ in range(60):
            _, rewards, *_ = env.step(np.random.default_rng(0).integers(0, 5, 8))
            assert np.isfinite(rewards).all()
    with pytest.raises(ConfigError, match="reward_scale"):
        SimConfig(reward_scale=1e300)
