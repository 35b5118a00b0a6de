"""Every wrapper that gymnasium and Stable-Baselines3 ship, around the environments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector
from stable_baselines3.common import vec_env
from stable_baselines3.common.vec_env import VecEnv

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.synthetic.session import generate_session

ID = "kalshi_sim/Kalshi-v0"
CONFIG = SimConfig(max_episode_steps=90)
NOT_OURS: Final = {
    "AtariPreprocessing": "games of Atari",
    "GrayscaleObservation": "images",
    "ResizeObservation": "images",
    "AddRenderObservation": "images",
    "AddWhiteNoise": "images",
    "ObstructView": "images",
    "RenderCollection": "images",
    "RecordVideo": "images",
    "HumanRendering": "images",
    "FilterObservation": "observations that are dictionaries",
    "ClipAction": "continuous actions",
    "RescaleAction": "continuous actions",
    "DiscretizeAction": "continuous actions",
    "ArrayConversion": "array libraries that gymnasium does not bring",
    "JaxToNumpy": "array libraries that gymnasium does not bring",
    "JaxToTorch": "array libraries that gymnasium does not bring",
    "NumpyToTorch": "array libraries that gymnasium does not bring",
}
"""Wrappers of gymnasium that have nothing to do here, by what they are for."""
ZERO, ONE = np.float32(0), np.float32(1)
SINGLE: Final[dict[str, Callable[[Any], gym.Env[Any, Any]]]] = {
    "Autoreset": wrappers.Autoreset,
    "ClipReward": lambda e: wrappers.ClipReward(e, -1, 1),
    "DelayObservation": lambda e: wrappers.DelayObservation(e, 2),
    "DiscretizeObservation": lambda e: wrappers.DiscretizeObservation(
        e, bins=3, multidiscrete=True
    ),
    "DtypeObservation": lambda e: wrappers.DtypeObservation(e, np.float64),
    "FlattenObservation": wrappers.FlattenObservation,
    "FrameStackObservation": lambda e: wrappers.FrameStackObservation(e, 4),
    "MaxAndSkipObservation": lambda e: wrappers.MaxAndSkipObservation(e, 4),
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "OrderEnforcing": wrappers.OrderEnforcing,
    "PassiveEnvChecker": wrappers.PassiveEnvChecker,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "RepeatAction": lambda e: wrappers.RepeatAction(e, 3),
    "RescaleObservation": lambda e: wrappers.RescaleObservation(e, ZERO, ONE),
    "ReshapeObservation": lambda e: wrappers.ReshapeObservation(e, (4, 13)),
    "StickyAction": lambda e: wrappers.StickyAction(e, 0.5),
    "TimeAwareObservation": lambda e: wrappers.TimeAwareObservation(wrappers.TimeLimit(e, 90)),
    "TimeLimit": lambda e: wrappers.TimeLimit(e, 20),
    "TransformAction": lambda e: wrappers.TransformAction(e, lambda a: a, e.action_space),
    "TransformObservation": lambda e: wrappers.TransformObservation(e, lambda o: o, None),
    "TransformReward": lambda e: wrappers.TransformReward(e, lambda r: float(r) / 100),
}
VECTOR: Final[dict[str, Callable[[Any], Any]]] = {
    "ClipReward": lambda e: vector.ClipReward(e, -1, 1),
    "DictInfoToList": vector.DictInfoToList,
    "DtypeObservation": lambda e: vector.DtypeObservation(e, np.float64),
    "FlattenObservation": vector.FlattenObservation,
    "NormalizeObservation": vector.NormalizeObservation,
    "NormalizeReward": vector.NormalizeReward,
    "RecordEpisodeStatistics": vector.RecordEpisodeStatistics,
    "RescaleObservation": lambda e: vector.RescaleObservation(e, ZERO, ONE),
    "ReshapeObservation": lambda e: vector.ReshapeObservation(e, (4, 13)),
    "TransformAction": lambda e: vector.TransformAction(
        e, lambda a: a, e.action_space, e.single_action_space
    ),
    "TransformObservation": lambda e: vector.TransformObservation(e, lambda o: o),
    "TransformReward": lambda e: vector.TransformReward(e, lambda r: r / 100),
    "VectorizeTransformAction": lambda e: vector.VectorizeTransformAction(
        e, wrappers.TransformAction, func=lambda a: a, action_space=e.single_action_space
    ),
    "VectorizeTransformObservation": lambda e: vector.VectorizeTransformObservation(
        e,
        wrappers.TransformObservation,
        func=lambda o: o,
        observation_space=e.single_observation_space,
    ),
    "VectorizeTransformReward": lambda e: vector.VectorizeTransformReward(
        e, wrappers.TransformReward, func=lambda r: r
    ),
}
SB3: Final[dict[str, Callable[[VecEnv], VecEnv]]] = {
    "VecCheckNan": lambda e: vec_env.VecCheckNan(e, raise_exception=True),
    "VecFrameStack": lambda e: vec_env.VecFrameStack(e, 4),
    "VecMonitor": vec_env.VecMonitor,
    "VecNormalize": vec_env.VecNormalize,
}
SB3_NOT_OURS: Final = {"VecExtractDictObs", "VecTransposeImage", "VecVideoRecorder"}
"""For observations that are dictionaries or images."""


@pytest.fixture(scope="module")
def tape() -> Tape:
    """A tape of some views."""
    return build_tape([generate_session(1, markets=5, minutes=8, seed=4)])


WARNS: Final = {
    "VecMonitor": "infos hold its figures without it",
    "DtypeObservation": "any change of the type is warned of",
}
"""Wrappers that warn when they are made, and of what."""


def wrapped(wrapper: Callable[[Any], Any], env: Any, name: str) -> Any:
    with warnings.catch_warnings():
        if name in WARNS:
            warnings.simplefilter("ignore")
        return wrapper(env)


def test_no_wrapper_is_forgotten() -> None:
    assert {*wrappers.__all__} - {"vector"} <= {*SINGLE, *NOT_OURS}
    assert {*vector.__all__} <= {*VECTOR, *NOT_OURS}
    shipped = {n for n in vec_env.__all__ if n.startswith("Vec")} - {"VecEnv", "VecEnvWrapper"}
    assert shipped <= {*SB3, *SB3_NOT_OURS}


@pytest.mark.parametrize("name", sorted({*SINGLE} & {*wrappers.__all__}))
def test_around_one_environment(name: str, tape: Tape) -> None:
    env = wrapped(SINGLE[name], gym.make(ID, tape=tape, config=CONFIG), name)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation) or name == "TransformObservation"
    ends = 0
    for k in range(300):
        observation, reward, terminated, truncated, _ = env.step(np.int64(k % 5))
        assert np.isfinite(float(reward))
        assert env.observation_space.contains(observation) or name == "TransformObservation"
        if terminated or truncated:
            ends += 1
            if name != "Autoreset":
                env.reset()
    assert ends
    assert env.unwrapped.state()["view"].shape == (1,)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP"])
@pytest.mark.parametrize("name", sorted({*VECTOR} & {*vector.__all__}))
def test_around_a_vector(name: str, mode: str, tape: Tape) -> None:
    inner = gym.make_vec(ID, num_envs=3, tape=tape, config=CONFIG, autoreset_mode=mode)
    try:
        env = wrapped(VECTOR[name], inner, name)
    except ValueError as refusal:
        # gymnasium's own: in this mode a step has two observations, its last and the next first
        assert "autoreset_mode" in str(refusal)  # noqa: PT017  # not all its versions refuse
        assert mode == "SAME_STEP"
        assert name.endswith("Observation")
        return
    env.reset(seed=1)
    ends = 0
    for k in range(200):
        observations, rewards, terminated, truncated, _ = env.step(np.full(3, k % 5))
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
        ends += int((terminated | truncated).sum())
    assert ends >= 6


@pytest.mark.parametrize("name", SB3)
def test_around_the_batch(name: str, tape: Tape) -> None:
    inner = KalshiVecEnv(tape, 3, CONFIG)
    env = wrapped(SB3[name], inner, name)
    env.reset()
    ends = 0
    for k in range(200):
        observations, rewards, dones, infos = env.step(np.full(3, k % 5))
        assert isinstance(observations, np.ndarray)
        assert observations.shape == (3, *(env.observation_space.shape or ()))
        assert np.isfinite(rewards).all()
        for done, info in zip(dones, infos, strict=True):
            assert ("terminal_observation" in info) == ("episode" in info) == bool(done)
        ends += int(dones.sum())
    assert ends >= 6
    np.testing.assert_array_equal(np.stack(env.env_method("action_masks")), inner.action_masks())
    assert env.get_attr("tape")[0] is tape
