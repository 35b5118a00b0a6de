"""Saved models are read without running code of theirs, and damage is found before use."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO

from kalshi_sim import KalshiVecEnv, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.gym_env import MarketAgnosticKalshiEnv
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.models import STATE_MEMBER, load_model, model_data, model_weights
from kalshi_train.safe_pickle import UntrustedError, read_pickle
from kalshi_train.training.checkpoints import (
    check_model,
    find_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from tests.support.models import Payload, rewritten, with_attribute


@pytest.fixture(scope="module")
def tape() -> Tape:
    """A small tape."""
    return build_tape([generate_session(1, markets=6, minutes=10, seed=1)])


@pytest.fixture(scope="module")
def model(tape: Tape) -> PPO:
    """A model of a small network."""
    env = KalshiVecEnv(tape, 2)
    kwargs = {"net_arch": [8, 4], "activation_fn": torch.nn.ReLU}
    return PPO("MlpPolicy", env, n_steps=8, batch_size=8, policy_kwargs=kwargs, device="cpu")


def save(model: Any, path: Path) -> Path:
    """A checkpoint of a model."""
    write_checkpoint(path, model, {"run_started_ns": 1, "x": 1}, {"a/b": np.arange(3)})
    return path


@pytest.mark.parametrize(
    "attribute", ["policy_class", "observation_space", "policy_kwargs", "clip_range", "anything"]
)
def test_code_in_a_model_is_never_run(attribute: str, model: PPO, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    payload = cloudpickle.dumps(Payload(mark))
    evil = rewritten(save(model, tmp_path / "m.zip"), with_attribute(attribute, payload))
    needed = attribute not in ("clip_range", "anything")
    if needed:
        with pytest.raises(
            ConfigError, match=r"running code of the file \(posix.system\).*--trust"
        ):
            load_model(evil)
    else:
        load_model(evil)
    for read in (
        lambda: check_model(evil, "ppo", 1, 5),
        lambda: model_data(evil),
        lambda: find_checkpoint(evil),
        lambda: model_weights(evil, "cpu"),
    ):
        try:
            read()
        except ConfigError:
            assert needed
    assert not mark.exists()
    with contextlib.suppress(ConfigError):
        load_model(evil, trust=True)
    assert mark.exists()  # so that the test can fail


def test_code_in_the_weights_is_never_run(model: PPO, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    stored = io.BytesIO()
    torch.save({"policy": Payload(mark)}, stored)
    evil = rewritten(
        save(model, tmp_path / "m.zip"),
        lambda name, data: stored.getvalue() if name == "policy.pth" else data,
    )
    for trust in (False, True):
        with pytest.raises(ConfigError):
            load_model(evil, trust=trust)
    assert not mark.exists()


@pytest.mark.parametrize("attribute", ["policy_class", "replay_buffer_class", "lr_schedule"])
def test_code_in_a_model_of_dqn_is_never_run(attribute: str, tape: Tape, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    env = MarketAgnosticKalshiEnv(tape)
    DQN("MlpPolicy", env, buffer_size=10, device="cpu").save(tmp_path / "m.zip")
    payload = cloudpickle.dumps(Payload(mark))
    evil = rewritten(tmp_path / "m.zip", with_attribute(attribute, payload))
    with contextlib.suppress(ConfigError):
        load_model(evil)
    model_data(evil)
    assert not mark.exists()
    with contextlib.suppress(ConfigError):
        load_model(evil, trust=True)
    assert mark.exists()


@pytest.mark.parametrize("name", ["model/normalization/mean", "a/b"])
def test_code_among_the_arrays_of_a_run_is_never_run(name: str, model: PPO, tmp_path: Path) -> None:
    """What observations are scaled by, and the state a run goes on from."""
    mark = tmp_path / "ran"
    packed = io.BytesIO()
    objects: Any = np.array([Payload(mark)], dtype=object)
    np.savez(packed, **{name: objects})
    evil = rewritten(
        save(model, tmp_path / "m.zip"),
        lambda member, data: packed.getvalue() if member == STATE_MEMBER else data,
    )
    with pytest.raises(ConfigError, match=r"evil\.zip"):
        read_checkpoint(evil)
    with contextlib.suppress(ConfigError):
        load_model(evil)
    assert not mark.exists()
    np.load(io.BytesIO(packed.getvalue()), allow_pickle=True)[name]  # so that the test can fail
    assert mark.exists()


@pytest.mark.parametrize("command", ["evaluate", "dry-run", "resume"])
def test_commands_run_no_code_of_a_model(command: str, model: PPO, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    payload = cloudpickle.dumps(Payload(mark))
    evil = rewritten(save(model, tmp_path / "m.zip"), with_attribute("policy_class", payload))
    arguments = {
        "evaluate": ["evaluate_main", str(evil), "--session", "1"],
        "dry-run": ["train_main", "--resume-from", str(evil), "--session", "1", "--dry-run"],
        "resume": ["train_main", "--resume-from", str(evil), "--session", "1"],
    }[command]
    code = f"import sys; from kalshi_train.cli.train import {arguments[0]} as f; sys.exit(f())"
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments[1:]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert not mark.exists()


@pytest.mark.parametrize("kind", [PPO, A2C, DQN])
def test_models_of_stable_baselines_are_read_as_it_reads_them(
    kind: type[Any], tape: Tape, tmp_path: Path
) -> None:
    made = kind("MlpPolicy", MarketAgnosticKalshiEnv(tape), device="cpu", seed=3)
    made.save(tmp_path / "m.zip")
    ours, theirs = load_model(tmp_path / "m.zip"), kind.load(tmp_path / "m.zip", device="cpu")
    observations = np.random.default_rng(0).normal(size=(50, 52)).astype(np.float32)
    np.testing.assert_array_equal(
        ours.predict(observations, deterministic=True)[0],
        theirs.predict(observations, deterministic=True)[0],
    )
    for name, values in theirs.policy.state_dict().items():
        assert torch.equal(ours.policy.state_dict()[name], values)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(os.system),
        pickle.dumps(eval),
        pickle.dumps(getattr),
        pickle.dumps(subprocess.Popen),
        b"cbuiltins\n__import__\n(S'os'\ntR.",
        b"cbuiltins\ndict.__init__\n.",
        b"\x80\x02cos\nsystem\n(S'true'\ntR.",
        b"P0\n.",
        cloudpickle.dumps(lambda: 1),
    ],
)
def test_a_pickle_names_only_what_is_on_the_list(data: bytes) -> None:
    with pytest.raises(UntrustedError):
        read_pickle(data)


def test_any_flipped_byte_of_a_checkpoint_is_found(model: PPO, tmp_path: Path) -> None:
    path = save(model, tmp_path / "model_8_steps.zip")
    content = path.read_bytes()
    rng = random.Random(0)
    tail = [len(content) - k for k in range(1, 200, 3)]
    for at in (*range(0, 60, 3), *tail, *rng.choices(range(len(content)), k=150)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ConfigError):
            read_checkpoint(path)
    for length in (0, 1, 22, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ConfigError):
            read_checkpoint(path)


def test_a_damaged_newest_checkpoint_is_passed_over_by_name(
    model: PPO, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for steps in (8, 16, 24):
        save(model, tmp_path / "checkpoints" / f"model_{steps}_steps.zip")
    newest = tmp_path / "checkpoints" / "model_24_steps.zip"
    damaged = bytearray(newest.read_bytes())
    at = damaged.rfind(b"PK\x01\x02")
    damaged[at + 10] ^= 4
    newest.write_bytes(damaged)
    assert find_checkpoint(tmp_path).path.name == "model_16_steps.zip"
    assert "model_24_steps.zip is damaged" in caplog.text


def test_plain_models_of_others_are_read(model: PPO, tmp_path: Path) -> None:
    model.save(tmp_path / "theirs.zip")
    assert not read_checkpoint(tmp_path / "theirs.zip").exact
    ours = PPO.load(save(model, tmp_path / "ours.zip"), device="cpu").policy.state_dict()
    for name, values in model.policy.state_dict().items():
        assert torch.equal(values, ours[name]), name
