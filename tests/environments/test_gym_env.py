"""The gymnasium environments: registered, checked, and equal to KalshiVecEnv step for step."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check

from kalshi_sim import (
    KalshiVecEnv,
    KalshiVectorEnv,
    MarketAgnosticKalshiEnv,
    SimConfig,
    Tape,
    build_tape,
    open_store,
)
from kalshi_sim.env_spec import KalshiSpec
from kalshi_sim.errors import ConfigError
from kalshi_sim.own import OwnFeatures
from kalshi_sim.synthetic.session import generate_session

ID = "kalshi_sim/Kalshi-v0"


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=5, minutes=20, seed=4)])


def test_both_checkers_pass(tape: Tape) -> None:
    env = gym.make(ID, tape=tape, config=SimConfig(max_episode_steps=50))
    gymnasium_check(env.unwrapped, skip_render_check=True)
    sb3_check(env.unwrapped)


@pytest.mark.parametrize(
    "imports",
    [
        "import kalshi_sim, gymnasium",
        "import gymnasium, kalshi_sim",
        "from kalshi_sim import SimConfig; from gymnasium import spaces; import gymnasium",
        "import gymnasium, kalshi_sim.registration",
    ],
)
def test_registered_without_importing_the_environment(imports: str) -> None:
    code = (
        f"{imports}; import sys; assert {ID!r} in gymnasium.registry; "
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_imports_no_gymnasium() -> None:
    code = "import kalshi_sim, sys; assert 'gymnasium' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("imports", ["import gymnasium", "import kalshi_sim, gymnasium"])
def test_the_id_alone_is_enough_with_its_module(imports: str) -> None:
    """As in a process that was started with nothing but the text."""
    code = (
        f"{imports}\ntry:\n    gymnasium.make('kalshi_sim.registration:{ID}')\n"
        "except Exception as error:\n    assert 'needs a tape or a stored session' in str(error)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_make_vec_gives_the_mode_asked_for(tape: Tape) -> None:
    env = gym.make_vec(ID, num_envs=3, tape=tape)
    assert isinstance(env, KalshiVectorEnv)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    same = gym.make_vec(ID, num_envs=3, tape=tape, autoreset_mode="SAME_STEP")
    assert same.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert env.observation_space.shape == (3, 52)
    env.close()


@pytest.mark.parametrize("pricing", ["cross", "join", "improve"])
def test_all_three_give_the_same_numbers(tape: Tape, pricing: Any) -> None:
    config = SimConfig(pricing=pricing, record_fills=True)
    n = len(tape.views)
    sb3 = KalshiVecEnv(tape, n, config)
    vector = KalshiVectorEnv(tape, n, config)
    singles = [MarketAgnosticKalshiEnv(tape, config) for _ in range(n)]
    rng = np.random.default_rng(0)
    obs_sb3: Any = sb3.reset()
    obs_vector, _ = vector.reset()
    obs_single = np.stack([e.reset(options={"view": i})[0] for i, e in enumerate(singles)])
    np.testing.assert_array_equal(obs_sb3, obs_vector)
    np.testing.assert_array_equal(obs_sb3, obs_single)
    over = np.zeros(n, np.bool_)
    while not over.all():
        actions = rng.integers(0, 5, n)
        obs_sb3, rewards, dones, infos = sb3.step(actions)
        obs_vector, rewards_v, terminated, truncated, infos_v = vector.step(actions)
        np.testing.assert_array_equal(obs_sb3, obs_vector)
        np.testing.assert_array_equal(rewards, rewards_v)
        np.testing.assert_array_equal(dones, terminated | truncated)
        for i in np.flatnonzero(~over):
            last, reward, end, cut, info = singles[i].step(actions[i])
            assert reward == rewards[i]
            assert (end or cut) == dones[i]
            if not dones[i]:
                np.testing.assert_array_equal(last, obs_sb3[i])
                continue
            np.testing.assert_array_equal(last, infos[i]["terminal_observation"])
            np.testing.assert_array_equal(last, infos_v["final_obs"][i])
            assert info["market"] == infos[i]["market"]
            assert infos_v["final_info"]["market"]["fills"][i] == info["market"]["fills"]
            assert cut == infos[i]["TimeLimit.truncated"]
        over |= dones


def test_an_episode_goes_on_to_the_next_view(tape: Tape) -> None:
    env = MarketAgnosticKalshiEnv(tape)
    for expected in (0, 1, 2):
        env.reset()
        assert env.state()["view"].tolist() == [expected]
    env.reset(seed=0)
    assert env.state()["view"].tolist() == [0]
    assert env.action_masks().shape == (5,)
    assert len(env.fills()) == 0


def test_mistakes_are_named(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="needs a tape"):
        gym.make(ID)
    env = MarketAgnosticKalshiEnv(tape)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(0)
    with pytest.raises(ConfigError, match="view=99"):
        env.reset(options={"view": 99})


def test_a_stored_session_is_named_in_a_spec_that_makes_it_again(
    tape: Tape, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    store.save(generate_session(1, markets=5, minutes=20, seed=4))
    made = gym.make(ID, store=str(tmp_path), session=1)
    assert made.spec is not None
    again = gym.make(EnvSpec.from_json(made.spec.to_json()))
    first, _ = made.reset()
    np.testing.assert_array_equal(first, again.reset()[0])
    np.testing.assert_array_equal(first, gym.make(ID, tape=tape).reset()[0])
    vector = gym.make_vec(ID, num_envs=2, store=str(tmp_path), session=1)
    assert vector.reset()[0].shape == (2, 52)
    with pytest.raises(ConfigError, match="needs a tape or a stored session"):
        gym.make(ID, tape=tape, session=1)


def test_a_spec_of_a_tape_is_json_that_asks_for_it_again(tape: Tape) -> None:
    """A spec as JSON holds plain values; a tape is arrays of megabytes, so it is named there."""
    made = gym.make(ID, tape=tape, config=SimConfig(latency_ms=7))
    assert made.spec is not None
    assert made.spec.kwargs["tape"] is tape  # wrappers copy the spec, but no arrays
    spec = EnvSpec.from_json(made.spec.to_json())
    with pytest.raises(ConfigError, match=r"names Tape\(.*give that: gymnasium.make\(spec, tape"):
        gym.make(spec)
    again = gym.make(spec, tape=tape)
    assert isinstance(again.unwrapped, MarketAgnosticKalshiEnv)
    assert again.unwrapped.simulator.config == SimConfig(latency_ms=7)
    np.testing.assert_array_equal(again.reset()[0], made.reset()[0])
    pickled = gym.make(pickle.loads(pickle.dumps(made.spec)))
    np.testing.assert_array_equal(pickled.reset()[0], gym.make(ID, tape=tape).reset()[0])
    vector = gym.make_vec(ID, num_envs=2, tape=tape)
    assert vector.spec is not None
    named = EnvSpec.from_json(vector.spec.to_json())
    assert gym.make_vec(named, num_envs=2, tape=tape).reset()[0].shape == (2, 52)
    own = OwnFeatures(len, ("a",))  # type: ignore[arg-type]  # never called
    for code in ({"features": own}, {"reward": len}):
        held = KalshiSpec(ID, kwargs={"tape": tape, **code})
        with pytest.raises(ValueError, match="which no JSON holds"):
            held.to_json()


def test_a_config_can_be_a_mapping_of_settings(tape: Tape) -> None:
    env = MarketAgnosticKalshiEnv(tape, {"latency_ms": 7, "actions": "maker"})
    assert env.simulator.config == SimConfig(latency_ms=7, actions="maker")
    odd: list[Any] = [{"latency": 7}, {"latency_ms": -1}, 5, {1: 2}]
    for config in odd:
        with pytest.raises(ConfigError, match=r"latency|config"):
            KalshiVectorEnv(tape, 2, config)


def test_make_vec_takes_the_most_steps_of_an_episode(tape: Tape) -> None:
    env = gym.make_vec(ID, num_envs=2, tape=tape, max_episode_steps=3)
    env.reset()
    for k in range(1, 4):
        *_, truncated, _ = env.step(np.zeros(2, int))
        assert truncated.tolist() == [k == 3] * 2
