"""Environments go to other processes: by pickle, by copy, and by text alone."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import SubprocVecEnv

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, load_tape, open_store
from kalshi_sim.registration import ENV_ID
from kalshi_sim.synthetic.session import generate_session

SIZES = (1, 64, 4096)
SMALL = 16_384
"""Bytes; a tape that travelled as its rows would take a megabyte."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a session."""
    folder = tmp_path_factory.mktemp("travel") / "sessions"
    open_store(folder).save(generate_session(3, markets=12, minutes=10, seed=5))
    return folder


@pytest.fixture(scope="module")
def tape(store: Path) -> Tape:
    """Its tape, mapped from the cache."""
    return load_tape(store, 3)


TEXT = f"kalshi_sim.registration:{ENV_ID}"
"""An id that is known where nothing of the package has been imported."""


def steps(env: Any, n: int) -> list[npt.NDArray[np.float32]]:
    """What five more steps show."""
    rng = np.random.default_rng(7)
    return [np.array(env.step(rng.integers(0, 5, n))[0]) for _ in range(5)]


def test_a_mapped_tape_travels_as_its_place(tape: Tape) -> None:
    assert len(pickle.dumps(tape)) < SMALL < tape.rows.nbytes
    again = pickle.loads(pickle.dumps(tape))
    np.testing.assert_array_equal(again.rows, tape.rows)
    assert pickle.loads(pickle.dumps(tape.select([1]))).views == (tape.views[1],)


@pytest.mark.parametrize("n_envs", SIZES)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_batch_goes_on_elsewhere(tape: Tape, n_envs: int, n_threads: int) -> None:
    config = SimConfig(random_start=True, market_order="shuffle", latency_ms=50)
    env = KalshiVecEnv(tape, n_envs, config, seed=3, n_threads=min(n_threads, n_envs))
    env.reset()
    steps(env, n_envs)
    packed = pickle.dumps(env)
    assert len(packed) < SMALL + 3_000 * n_envs  # its agents, not its tape
    others = [pickle.loads(packed), copy.deepcopy(env)]
    wanted = steps(env, n_envs)
    for other in others:
        np.testing.assert_array_equal(steps(other, n_envs), wanted)


@pytest.mark.parametrize("n_envs", SIZES)
def test_environments_are_named_by_text_alone(store: Path, n_envs: int) -> None:
    where: dict[str, Any] = {"store": str(store), "session": 3, "config": {"pricing": "join"}}
    mode = gym.VectorizeMode.VECTOR_ENTRY_POINT
    made = gym.make_vec(ENV_ID, num_envs=n_envs, vectorization_mode=mode, **where)
    assert made.spec is not None
    text = EnvSpec.from_json(made.spec.to_json())
    again = gym.make_vec(text, num_envs=n_envs, vectorization_mode=mode)
    for env in (made, again, pickle.loads(pickle.dumps(again))):
        env.reset(seed=2)
        np.testing.assert_array_equal(steps(env, n_envs), steps_of_text(where, n_envs))


def steps_of_text(where: dict[str, Any], n_envs: int) -> list[npt.NDArray[np.float32]]:
    """The same from a batch that was made here."""
    env = KalshiVecEnv(load_tape(where["store"], 3), n_envs, SimConfig(pricing="join"), seed=2)
    env.reset()
    return steps(env, n_envs)


def test_processes_that_are_spawned_step_the_same_session(store: Path) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make(TEXT, store=str(store), session=3)

    spawned = SubprocVecEnv([make] * 2, start_method="spawn")
    try:
        first = spawned.reset()
        assert isinstance(first, np.ndarray)
        np.testing.assert_array_equal(first[0], make().reset()[0])
    finally:
        spawned.close()
