from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import make_folder, whole_file
from kalshi_train.training import checkpoints


class Still(gym.Env[Any, Any]):
    """The smallest environment with a given number of features and actions."""

    def __init__(self, size: int = 52, actions: int = 5):
        self.observation_space = gym.spaces.Box(-1, 1, (size,), np.float32)
        self.action_space = gym.spaces.Discrete(actions)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(self.observation_space.shape or (), np.float32), {}

    def step(self, action: Any) -> Any:
        return self.reset()[0], 0.0, False, False, {}


def model(kind: Any = PPO, size: int = 52, actions: int = 5) -> Any:
    return kind("MlpPolicy", DummyVecEnv([lambda: Still(size, actions)]), device="cpu")


def write(folder: Path, steps: int, started: int = 1) -> Path:
    path = checkpoints.checkpoint_path(folder, steps)
    run = {"run_started_ns": started, "num_timesteps": steps}
    checkpoints.write_checkpoint(path, model(), run, {"x": np.arange(3)})
    return path


def test_a_checkpoint_is_a_plain_model_with_more(tmp_path: Path) -> None:
    path = write(tmp_path, 100)
    assert path == tmp_path / "checkpoints" / "model_100_steps.zip"
    assert PPO.load(path, device="cpu").observation_space.shape == (52,)
    found = checkpoints.read_checkpoint(path)
    assert found.exact
    assert found.run["num_timesteps"] == 100
    assert found.arrays["x"].tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_newest_good_one_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 900, started=1)
    good = write(tmp_path, 200, started=2)
    write(tmp_path, 100, started=2)
    cut = write(tmp_path, 300, started=2)
    cut.write_bytes(cut.read_bytes()[:-1000])
    (cut.parent / "model_400_steps.zip").write_bytes(b"")
    flipped = bytearray(write(tmp_path, 500, started=2).read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    (cut.parent / "model_500_steps.zip").write_bytes(flipped)
    (cut.parent / ".model_600_steps.zip.x.tmp").write_bytes(b"half")
    with caplog.at_level(logging.WARNING, "kalshi_train"):
        assert checkpoints.find_checkpoint(tmp_path).path == good
        assert checkpoints.find_checkpoint(tmp_path / "checkpoints").path == good
    assert checkpoints.find_checkpoint(good).path == good


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "no good checkpoint"),
        (lambda path: path.write_bytes(b"text"), "no whole checkpoint"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "no model"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, prepare: Any, message: str) -> None:
    path = tmp_path / "given"
    prepare(path)
    with pytest.raises(ConfigError, match=message):
        checkpoints.find_checkpoint(path)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"kind": A2C}, "a model of a2c, this run trains ppo"),
        ({"kind": DQN}, "a model of dqn, this run trains ppo"),
        ({"size": 40}, r"shape \(40,\)"),
        ({"actions": 3}, "3 actions"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, made: Any, message: str) -> None:
    path = tmp_path / "model.zip"
    model(**made).save(path)
    with pytest.raises(ConfigError, match=message):
        checkpoints.check_model(path, "ppo", 1, 5)


def test_plain_models_have_no_state(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    model().save(path)
    checkpoints.check_model(path, "ppo", 1, 5)
    assert not checkpoints.read_checkpoint(path).exact


def test_flatten_and_back() -> None:
    nested = {"a": np.arange(4), "b": {"c": 3, "d": {"e": "Philox", "f": np.zeros((2, 2))}}}
    back = checkpoints.unflatten(checkpoints.flatten(nested))
    assert back["a"].tolist() == [0, 1, 2, 3]
    assert back["b"]["c"] == 3
    assert back["b"]["d"]["e"] == "Philox"
    assert back["b"]["d"]["f"].shape == (2, 2)


def test_a_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def stop_halfway() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_halfway()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write into the folder"):
        make_folder(tmp_path / "file" / "below")


def unsealed(path: Path) -> None:
    """Make a checkpoint what it was before there were checksums: a zip without a comment."""
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 20 :] = b"\0\0"
    path.write_bytes(content)


def test_a_checkpoint_of_before_checksums_is_read_with_one_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for steps in (100, 200):
        unsealed(write(tmp_path, steps))
    newest = checkpoints.checkpoint_path(tmp_path, 200)
    for path in (tmp_path, newest, newest):
        found = checkpoints.find_checkpoint(path)
        assert found.exact
        assert found.run["num_timesteps"] == 200
        assert found.arrays["x"].tolist() == [0, 1, 2]
        checkpoints.check_model(found.path, "ppo", 1, 5)
    notes = [r.getMessage() for r in caplog.records if "no checksum" in r.getMessage()]
    assert notes == [
        f"{newest} carries no checksum (it is of an earlier version); read as it is",
    ]


def test_what_can_be_seen_of_damage_without_a_checksum_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 100)
    unsealed(path)
    content = path.read_bytes()
    middle = bytearray(content)
    middle[len(content) // 2] ^= 1
    for damaged in (middle, content[:-1], content[: len(content) // 2], content + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError):
            checkpoints.read_checkpoint(path)


def test_a_checkpoint_that_lost_its_checksum_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 100)
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    for damaged in (content[: end + 22], content[:-1], content + b"\0", content + content):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="damaged"):
            checkpoints.read_checkpoint(path)
