from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_train.cli.train import _parse, _spelt_out, base_config
from kalshi_train.config import TrainConfig
from kalshi_train.defaults import ALGORITHM_DEFAULTS
from kalshi_train.learner.config import LearnerConfig


def parse(*words: str) -> TrainConfig:
    arguments = _spelt_out(words)
    return _parse(arguments, base_config(arguments)).run


def test_flags_of_the_original_have_their_names_and_meanings() -> None:
    flags = {
        "--sessions": "6,7,8,9",
        "--algorithm": "a2c",
        "--total-timesteps": "50000",
        "--learning-rate": "0.001",
        "--cash-start": "5000",
        "--min-episode-length": "20",
        "--max-episode-steps": "100",
        "--model-save-path": "x/y.zip",
        "--save-freq": "1000",
        "--eval-freq": "500",
        "--log-interval": "3",
        "--device": "cpu",
        "--log-level": "DEBUG",
        "--log-file": "x/log.txt",
    }
    config = parse(*(word for flag in flags.items() for word in flag), "--curriculum")
    assert config.session_ids == (6, 7, 8, 9)
    assert (config.learner.algorithm, config.total_timesteps) == ("a2c", 50000)
    assert config.learner.learning_rate == 1e-3
    assert (config.sim.cash_start, config.sim.max_episode_steps) == (5000, 100)
    assert config.tape.min_episode_length == 20
    assert config.model_save_path == Path("x/y.zip")
    assert config.run_folder == Path("x")
    assert (config.save_freq, config.eval_freq, config.log_interval) == (1000, 500, 3)
    assert (config.log_level, config.log_file, config.curriculum) == (
        "DEBUG",
        Path("x/log.txt"),
        "easiest",
    )


def test_every_field_of_the_simulation_is_a_flag() -> None:
    words = {
        "actions": "maker",
        "pricing": "join",
        "time_in_force": "gtc",
        "fill_model": "prob",
        "valuation": "liquidation",
        "end_of_data": "truncate",
        "market_order": "shuffle",
        "trade_share": "0.2",
        "reward_scale": "0.5",
        "max_position": "20",
    }
    for f in fields(SimConfig):
        flag = f"--{f.name.replace('_', '-')}"
        if f.name in ("fees", "random_start", "record_fills"):
            off = parse(f"--no-{flag[2:]}")
            assert getattr(off.sim, f.name) is False
        else:
            given = words.get(f.name, "2")
            assert str(getattr(parse(flag, given).sim, f.name)) == given


def test_command_line_json_and_python_are_one() -> None:
    config = parse("--session", "9", "--net-arch", "32,16", "--eval-sessions", "8", "--seed", "4")
    assert config == TrainConfig(
        session=9, learner=LearnerConfig(net_arch=(32, 16)), eval_sessions=(8,), seed=4
    )
    stored = json.loads(json.dumps(config.to_json()))
    assert TrainConfig.from_json(stored, "test") == config


def test_config_file_gives_defaults_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"session": 9, "gamma": 0.5, "n_envs": 4}))
    config = parse("--config", str(file), "--n-envs", "8")
    assert (config.session, config.learner.gamma, config.n_envs) == (9, 0.5, 8)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
@pytest.mark.parametrize("n_envs", [1, 3, 64, 1000, 1024, 5000])
def test_resolved_settings_are_complete_and_even(algorithm: Any, n_envs: int) -> None:
    resolved = TrainConfig(n_envs=n_envs).changed(algorithm=algorithm).resolve()
    names = ALGORITHM_DEFAULTS[algorithm](1, None)
    learner = resolved.learner
    assert all(getattr(learner, name) is not None for name in names)
    own = ("save_freq", "eval_freq", "log_interval", "num_threads")
    assert all(getattr(resolved, name) is not None for name in own)
    if algorithm == "ppo":
        assert learner.n_steps is not None
        assert learner.batch_size is not None
        assert learner.n_steps * n_envs % learner.batch_size == 0
    assert TrainConfig.from_json(resolved.to_json(), "test") == resolved


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_envs": 0}, "n_envs=0"),
        ({"n_envs": 4, "n_steps": 8, "batch_size": 64}, "batch_size 64 is larger"),
        ({"n_envs": 1, "n_steps": 1}, "rollout of 2"),
        ({"session": 1, "sessions": (2,)}, "not both"),
        ({"sessions": (2, 2)}, "named twice"),
        ({"session": 2, "eval_sessions": (2,)}, "nothing is left"),
        ({"algorithm": "a2c", "n_epochs": 3}, "setting of ppo"),
        ({"algorithm": "sarsa"}, "allowed are ppo, a2c, dqn"),
        ({"net_arch": (0,)}, "at least 1 unit"),
        ({"net_arch": "64"}, "whole numbers"),
        ({"curriculum": "need", "market_order": "shuffle"}, "leave out market_order"),
        ({"cash_start": 0}, "cash_start=0"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"total_timesteps": True}, "whole number"),
        ({"tensorboard": 1}, "True and False"),
        ({"device": 3}, "must be text"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig().changed(**settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "JSON object"),
        ('{"wrong": 1}', "unknown setting wrong"),
        ('{"n_envs": 0}', "n_envs=0"),
    ],
)
def test_a_wrong_config_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_file(file)
    with pytest.raises(ConfigError, match="cannot read"):
        TrainConfig.from_file(tmp_path / "nowhere.json")


OLD_CONFIG = {
    "cash_start": 5000,
    "order_size": 10,
    "max_position": 1000,
    "pricing": "join",
    "time_in_force": "gtc",
    "fill_model": "prob",
    "trade_share": 0.05,
    "queue_power": 3,
    "latency_ms": 120,
    "fees": True,
    "valuation": "mid",
    "end_of_data": "terminate",
    "max_episode_steps": None,
    "random_start": True,
    "market_order": "sequential",
    "reward_scale": 0.001,
    "record_fills": False,
    "store": "sessions",
    "session": 9,
    "sessions": [],
    "algorithm": "a2c",
    "total_timesteps": 2400,
    "learning_rate": 0.001,
    "lr_schedule": "constant",
    "min_episode_length": 20,
    "max_spread": None,
    "depth": 5,
    "row_interval_ms": 1,
    "cache": True,
    "model_save_path": "run/model.zip",
    "resume_from": None,
    "save_freq": 240,
    "eval_freq": 240,
    "eval_fraction": 0.2,
    "eval_sessions": [8],
    "log_interval": 1,
    "device": "cpu",
    "log_level": "INFO",
    "log_file": None,
    "curriculum": None,
    "n_envs": 8,
    "seed": 3,
    "n_steps": 32,
    "batch_size": None,
    "n_epochs": None,
    "gamma": 0.99,
    "gae_lambda": 0.98,
    "ent_coef": 0.02,
    "ent_half_life": 300000,
    "vf_coef": 0.5,
    "clip_range": None,
    "max_grad_norm": 0.5,
    "net_arch": [16, 16],
    "num_threads": 1,
    "stock_sb3": False,
    "progress": True,
    "tensorboard": True,
}
"""A config.json as the first release wrote it."""


def test_a_config_file_of_before_loads(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(OLD_CONFIG))
    config = TrainConfig.from_file(file)
    assert config.sim == SimConfig(
        cash_start=5000,
        pricing="join",
        fill_model="prob",
        latency_ms=120,
        random_start=True,
        reward_scale=0.001,
    )
    assert config.tape == TapeOptions(min_episode_length=20, depth=5)
    assert (config.learner.algorithm, config.learner.net_arch) == ("a2c", (16, 16))
    assert (config.model_save_path, config.eval_sessions) == (Path("run/model.zip"), (8,))
    written = json.loads(json.dumps(config.to_json()))
    assert {name: written[name] for name in OLD_CONFIG} == OLD_CONFIG


def test_a_config_file_may_have_objects_of_settings(tmp_path: Path) -> None:
    nested = {"sim": {"latency_ms": 7}, "tape": {"depth": 3}, "learner": {"net_arch": [8]}}
    config = TrainConfig.from_json({"session": 9, **nested}, "test")
    assert config == TrainConfig(session=9).changed(latency_ms=7, depth=3, net_arch=(8,))
    with pytest.raises(ConfigError, match="sim must be an object"):
        TrainConfig.from_json({"sim": 3}, "test")


def test_every_setting_has_one_home() -> None:
    parts = [{f.name for f in fields(kind)} for kind in (SimConfig, TapeOptions, LearnerConfig)]
    own = {f.name for f in fields(TrainConfig)} - {"sim", "tape", "learner"}
    names = [name for part in (*parts, own) for name in part]
    assert len(names) == len(set(names))
    assert set(TrainConfig().flat()) == set(names) >= set(OLD_CONFIG)


def test_resolving_twice_changes_nothing() -> None:
    resolved = TrainConfig().resolve(longest_heldout=100_000)
    assert resolved.eval_freq == 20 * 100_000
    assert resolved.resolve() == resolved


def test_simulation_settings_follow_the_curriculum() -> None:
    assert TrainConfig(curriculum="need").simulation.market_order == "weighted"
    assert TrainConfig(curriculum="shuffled").simulation.market_order == "shuffle"
    assert TrainConfig(curriculum="easiest").simulation.market_order == "sequential"
    assert TrainConfig().changed(market_order="shuffle").simulation.market_order == "shuffle"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from kalshi_train.cli.train import train_main\n"
        "try:\n    train_main(['--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numba', 'stable_baselines3', 'gymnasium', 'pyarrow', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--total-timesteps" in done.stdout
    assert "--dry-run" in done.stdout


MASKED = [
    ((), False),
    (("--mask",), True),
    (("--actions", "maker"), True),
    (("--actions", "sized", "--algorithm", "a2c"), True),
    (("--actions", "maker", "--no-mask"), False),
    (("--no-mask", "--actions", "maker"), False),
    (("--actions", "maker", "--algorithm", "dqn"), False),
    (("--actions", "maker", "--algorithm", "maskable-ppo"), False),
    (("--actions", "maker", "--stock-sb3"), False),
    (("--actions", "maker", "--device", "cuda"), True),
]


@pytest.mark.parametrize(("words", "masked"), MASKED, ids=str)
def test_other_tables_than_five_are_masked(words: tuple[str, ...], masked: bool) -> None:
    arguments = _spelt_out(words)
    config = _parse(arguments, base_config(arguments)).run
    assert config.resolve().learner.mask is masked
    assert config.to_json()["mask"] in (None, masked)
