"""Ctrl-C and SIGTERM save a training; a folder has one training at a time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from kalshi_sim import KalshiVecEnv, build_tape, open_store
from kalshi_sim.errors import ConfigError
from kalshi_sim.synthetic.session import generate_session
from kalshi_train import FastPPO, TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.models import model_weights
from kalshi_train.training.run import METRICS_FILE
from kalshi_train.training.run_lock import LOCK_FILE, locked

_TRAIN = "import sys; from kalshi_train.cli.train import train_main as f; sys.exit(f())"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session to train on."""
    folder = tmp_path_factory.mktemp("store")
    open_store(folder).save(generate_session(1, markets=8, minutes=8, seed=1))
    return folder


def start(store: Path, model: Path, *more: str) -> subprocess.Popen[str]:
    """A training in a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", _TRAIN, "--store", str(store), "--session", "1"),
            *("--model-save-path", str(model), "--num-threads", "1", "--n-envs", "8"),
            *("--n-steps", "64", "--batch-size", "512", "--no-tensorboard", *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_steps(folder: Path, name: str = METRICS_FILE) -> None:
    """Wait until the run has learned from a rollout, or has written another file."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / name).exists() and (folder / name).stat().st_size > 0:
            return
        time.sleep(0.02)
    pytest.fail("the training did not begin")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_resumed_run_ends_as_if_there_was_none(
    signum: signal.Signals, store: Path, tmp_path: Path
) -> None:
    steps = ("--total-timesteps", "60000", "--save-freq", "60000", "--eval-freq", "20000")
    whole = start(store, tmp_path / "whole" / "m.zip", *steps)
    errors = whole.communicate()[1]
    assert whole.returncode == 0, errors
    cut = start(store, tmp_path / "cut" / "m.zip", *steps)
    wait_for_steps(tmp_path / "cut")
    cut.send_signal(signum)
    errors = cut.communicate(timeout=60)[1]
    assert cut.returncode == 128 + signum, errors
    assert "Traceback" not in errors
    found = re.search(r"saved at ([\d,]+) steps; go on with: kalshi-train --resume-from", errors)
    assert found, errors
    at = int(found[1].replace(",", ""))
    assert 0 < at < 60_000
    assert (tmp_path / "cut" / "checkpoints" / f"model_{at}_steps.zip").exists()
    assert not (tmp_path / "cut" / LOCK_FILE).exists()
    again = start(store, tmp_path / "cut" / "m.zip", *steps, "--resume-from", str(tmp_path / "cut"))
    errors = again.communicate()[1]
    assert again.returncode == 0, errors
    one, other = (model_weights(tmp_path / n / "m.zip", "cpu")["policy"] for n in ("whole", "cut"))
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


def test_the_second_signal_stops_at_once(store: Path, tmp_path: Path) -> None:
    run = start(store, tmp_path / "m.zip", "--n-steps", "200000", "--total-timesteps", "100000000")
    wait_for_steps(tmp_path, "config.json")
    time.sleep(0.7)  # it is in the midst of its first rollout
    run.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    begun = time.monotonic()
    errors = run.communicate(timeout=30)[1]
    assert time.monotonic() - begun < 5
    assert run.returncode == 130
    assert "Traceback" not in errors
    assert re.search(r"interrupted at once: [\d,]+ steps are lost", errors), errors
    assert "go on with" not in errors


def test_the_second_signal_names_the_last_checkpoint(store: Path, tmp_path: Path) -> None:
    often = ("--n-steps", "4000", "--save-freq", "1", "--total-timesteps", "100000000")
    run = start(store, tmp_path / "m.zip", *often)
    wait_for_steps(tmp_path)
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        time.sleep(0.02)
    errors = run.communicate(timeout=30)[1]
    assert run.returncode == 130
    assert "go on with: kalshi-train --resume-from" in errors, errors


def test_a_second_training_into_a_folder_is_refused(store: Path, tmp_path: Path) -> None:
    first = start(store, tmp_path / "m.zip", "--total-timesteps", "100000000")
    try:
        wait_for_steps(tmp_path)
        second = start(store, tmp_path / "other.zip", "--total-timesteps", "1000")
        errors = second.communicate(timeout=60)[1]
        assert second.returncode == 2
        assert f"process {first.pid} on " in errors
    finally:
        first.kill()
        first.communicate()
    assert (tmp_path / LOCK_FILE).exists()  # of the killed one; it stops nobody
    third = start(store, tmp_path / "m.zip", "--total-timesteps", "1000")
    assert "belongs to" not in third.communicate(timeout=60)[1]
    assert third.returncode == 0


def refused(folder: Path) -> None:
    """Another owner asks for a folder that is held, and is told whose it is."""
    with pytest.raises(ConfigError, match=f"process {os.getpid()} on"), locked(folder):
        pass


def test_a_lock_is_let_go_whatever_happens(tmp_path: Path) -> None:
    for _ in range(2):
        with contextlib.suppress(ZeroDivisionError), locked(tmp_path):
            refused(tmp_path)
            print(1 // 0)
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_a_resumed_run_do_not_resume(tmp_path: Path) -> None:
    config = TrainConfig(session=1, resume_from=tmp_path, seed=5)
    write_settings(tmp_path / "config.json", config.to_json())
    again = TrainConfig.from_file(tmp_path / "config.json")
    assert again.resume_from is None
    assert again.seed == 5


def test_damage_of_the_settings_is_found(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_settings(path, TrainConfig(session=1).to_json())
    content = path.read_bytes()
    good = TrainConfig.from_file(path)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            assert TrainConfig.from_file(path) == good
        except ConfigError:
            continue
    values = json.loads(content) | {"seed": 7}
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match='remove its entry "digest"'):
        TrainConfig.from_file(path)
    del values["digest"]
    path.write_text(json.dumps(values))
    assert TrainConfig.from_file(path).seed == 7


def test_two_learners_in_two_threads_learn_as_one_after_the_other() -> None:
    tape = build_tape([generate_session(1, markets=8, minutes=6, seed=1)])

    def learn(seed: int) -> dict[str, torch.Tensor]:
        env = KalshiVecEnv(tape, 16, n_threads=1)
        model = FastPPO("MlpPolicy", env, n_steps=32, batch_size=128, seed=seed, device="cpu")
        model.learn(3000)
        return {name: value.clone() for name, value in model.policy.state_dict().items()}

    threads = torch.get_num_threads()
    alone = [learn(0), learn(1)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(learn, [0, 1]))
    assert torch.get_num_threads() == threads
    for one, other in zip(alone, together, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
