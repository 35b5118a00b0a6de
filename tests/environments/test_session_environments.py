from __future__ import annotations

import ast
import asyncio
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import A2C, PPO

import kalshi_train
from kalshi_sim import open_store
from kalshi_sim.errors import ConfigError, NoViewsError, SessionNotFoundError
from kalshi_sim.session import Session
from kalshi_train import (
    CurriculumEnvironmentFactory,
    SB3TrainingConfig,
    SessionBasedEnvironment,
    create_env_config,
    create_training_config,
)
from kalshi_train.cli.train import train_main
from kalshi_train.training import checkpoints
from support.postgres import PASSWORD, QUOTED_PASSWORD, Database


def ready(url: Path, ids: Any, n_envs: int = 1, **settings: Any) -> SessionBasedEnvironment:
    env = SessionBasedEnvironment(str(url), ids, SB3TrainingConfig(**settings), n_envs=n_envs)
    asyncio.run(env.initialize())
    return env


async def program(database_url: str, folder: Path) -> PPO:
    """The example people know, word for word, with a shorter run."""
    env_config = create_env_config(cash_start=10000)
    training_config = create_training_config(min_episode_length=10)
    config = SB3TrainingConfig(
        env_config=env_config,
        min_episode_length=training_config.min_episode_length,
        max_episode_steps=training_config.max_episode_steps,
        skip_failed_markets=training_config.skip_failed_markets,
    )
    env = SessionBasedEnvironment(database_url, [9], config)
    await env.initialize()
    model = PPO("MlpPolicy", env, verbose=1)
    model.learn(total_timesteps=2048)
    model.save(folder / "trained_models" / "my_model.zip")
    return model


def test_the_example_people_know_runs(store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "trained_models").mkdir()  # SB3 warns when it has to
    model = asyncio.run(program(str(store_folder), tmp_path))
    loaded = PPO.load(tmp_path / "trained_models" / "my_model.zip", device="cpu")
    env = model.get_env()
    assert env is not None
    obs = env.reset()
    action, _ = loaded.predict(obs)  # type: ignore[arg-type]  # no dict
    assert action.shape == (1,)


def test_the_example_and_the_commands_run_against_postgresql(
    database: Database,
    edge_session: Session,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    open_store(database.url).save(edge_session)
    (tmp_path / "trained_models").mkdir()
    asyncio.run(program(database.url, tmp_path))
    path = tmp_path / "run" / "trained_model.zip"
    for algorithm, rest in (("ppo", ["--session", "9"]), ("a2c", ["--sessions", "9"])):
        words = ["--algorithm", algorithm, "--total-timesteps", "500", "--n-steps", "16", *rest]
        words += ["--n-envs", "4", "--cash-start", "5000", "--model-save-path", str(path)]
        words += ["--store", database.url]
        assert train_main([*words, "--log-level", "DEBUG"]) == 0
        assert path.is_file()
    texts = [file.read_text() for file in path.parent.rglob("*.json*")]
    for checkpoint in path.parent.rglob("*.zip"):
        with zipfile.ZipFile(checkpoint) as archive:
            texts.append(archive.read(checkpoints.RUN_MEMBER).decode())
    texts += capfd.readouterr()
    assert not [t for t in texts if PASSWORD in t or QUOTED_PASSWORD in t]


def test_before_initialize_it_says_what_to_do(store_folder: Path) -> None:
    env = SessionBasedEnvironment(str(store_folder), 9)
    PPO("MlpPolicy", env, device="cpu")
    assert env.observation_space.shape == (52,)
    with pytest.raises(ConfigError, match=r"await env.initialize\(\)"):
        env.reset()
    env.close()


def test_it_is_a_vecenv_of_any_size(store_folder: Path) -> None:
    env = ready(store_folder, [6, 9], n_envs=30, max_episode_steps=20)
    n_markets = len(env.market_views)
    assert 12 < n_markets <= 20
    model = A2C("MlpPolicy", env, device="cpu", seed=1)
    model.learn(2000)
    info = env.get_market_rotation_info()
    assert info["total_markets"] == n_markets
    assert info["sessions_covered"] == [6, 9]
    assert env.action_masks().shape == (30, 5)
    assert env.state()["position"].shape == (30,)
    assert env.get_attr("num_envs", [0, 3]) == [30, 30]
    assert np.shape(env.env_method("action_masks", indices=[1])) == (1, 5)
    assert env.env_is_wrapped(object, [0, 1]) == [False, False]  # type: ignore[arg-type]  # any class will do
    assert env.get_images() == [None] * 30
    env.set_attr("render_mode", None)
    env.close()


def test_seeding_repeats(store_folder: Path) -> None:
    config = SB3TrainingConfig(create_env_config(random_start=True))
    rows = []
    for seed in (1, 1, 2):
        env = SessionBasedEnvironment(str(store_folder), 9, config, n_envs=8)
        asyncio.run(env.initialize())
        env.seed(seed)
        obs = env.reset()
        assert isinstance(obs, np.ndarray)
        rows.append(obs.tolist())
    assert rows[0] == rows[1] != rows[2]


def test_missing_sessions_are_left_out_or_told(
    store_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(ready(store_folder, [9, 77]).market_views) == 12
    assert "77" in caplog.text
    with pytest.raises(SessionNotFoundError):
        ready(store_folder, [9, 77], skip_failed_markets=False)
    with pytest.raises(SessionNotFoundError):
        ready(store_folder, [77])
    with pytest.raises(NoViewsError):
        ready(store_folder, [9], min_episode_length=10**6)
    with pytest.raises(ConfigError, match="session_ids is empty"):
        SessionBasedEnvironment(str(store_folder), [])
    with pytest.raises(ConfigError, match="n_envs=0"):
        SessionBasedEnvironment(str(store_folder), 9, n_envs=0)
    with pytest.raises(ConfigError, match="create_env_config"):
        create_env_config(wrong=1)


def test_the_factory_makes_ready_environments(store_folder: Path) -> None:
    factory = CurriculumEnvironmentFactory(str(store_folder))

    async def make() -> list[int]:
        one = await factory.create_single_session_env(9)
        several = await factory.create_multi_session_env([6, 9], n_envs=2)
        either = await factory.create_env_from_curriculum(6)
        return [len(env.market_views) for env in (one, several, either)]

    one, several, either = asyncio.run(make())
    assert one == 12
    assert 0 < either <= 8
    assert several == one + either
    sessions = asyncio.run(factory.get_available_sessions())
    assert [s.session_id for s in sessions] == [6, 9]


def test_all_public_names_are_there() -> None:
    for name in kalshi_train.__all__:
        assert getattr(kalshi_train, name).__name__ == name
    assert dir(kalshi_train) == sorted(kalshi_train.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kalshi_train.nothing  # noqa: B018 - looking it up is the point


def test_every_example_in_the_docs_is_python() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        ast.parse(block)
