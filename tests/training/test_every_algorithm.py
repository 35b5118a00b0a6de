"""DQN and sb3-contrib's algorithms by `--algorithm`, and normalization: trained, kept, resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecNormalize

from kalshi_sim import KalshiVecEnv, SimConfig, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.session import Session
from kalshi_train.cli.train import evaluate_main, train_main
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.learner.normalization import Normalizer
from kalshi_train.models import load_model
from kalshi_train.training.run import train
from tests.training.test_training import config, weights

LSTM: dict[str, Any] = {
    "algorithm": "recurrent-ppo",
    "lstm_hidden_size": 8,
    "n_steps": 32,
    "n_epochs": 2,
}
DQN_SETTINGS: dict[str, Any] = {
    "algorithm": "dqn",
    "n_steps": 8,
    "learning_starts": 300,
    "buffer_size": 1000,
    "target_update_interval": 500,
}
EXACT: list[dict[str, Any]] = [
    {"algorithm": "maskable-ppo"},
    LSTM,
    {"algorithm": "ppo", "normalize": True},
    {**LSTM, "normalize": True},
]


def named(settings: dict[str, Any]) -> str:
    return f"{settings['algorithm']}{'-normalized' if settings.get('normalize') else ''}"


@pytest.mark.parametrize("settings", EXACT, ids=named)
def test_one_go_or_two_give_the_same_weights(
    tmp_path: Path, edge_session: Session, settings: dict[str, Any]
) -> None:
    sessions = [edge_session]
    whole = train(config(tmp_path / "whole", **settings), sessions=sessions)
    part = config(tmp_path / "parts", **settings, total_timesteps=1000)
    assert train(part, sessions=sessions).num_timesteps < whole.num_timesteps
    rest = config(tmp_path / "parts", **settings, resume_from=tmp_path / "parts")
    resumed = train(rest, sessions=sessions)
    assert weights(resumed.model) == weights(whole.model)
    assert resumed.heldout == whole.heldout


@pytest.mark.parametrize("normalize", [False, True])
def test_dqn_goes_on_and_fills_its_buffer_anew(
    tmp_path: Path, edge_session: Session, normalize: bool, caplog: pytest.LogCaptureFixture
) -> None:
    used = {**DQN_SETTINGS, "normalize": normalize}
    first = train(config(tmp_path, **used, total_timesteps=1200), sessions=[edge_session])
    before, updates = weights(first.model), first.model._n_updates
    assert updates > 0
    # Not as many steps as it waits for: nothing is learned.
    resumed = config(tmp_path, **used, resume_from=tmp_path, total_timesteps=1400)
    second = train(resumed, sessions=[edge_session])
    assert "300 are collected before it learns on" in caplog.text
    assert (second.model._n_updates, weights(second.model)) == (updates, before)
    longer = config(tmp_path, **used, resume_from=tmp_path, total_timesteps=2400)
    third = train(longer, sessions=[edge_session])
    assert third.model._n_updates > updates
    assert weights(third.model) != before
    actions = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert sum(v for k, v in actions.items() if k.startswith("actions/")) == pytest.approx(1)


KINDS: list[tuple[dict[str, Any], type]] = [
    ({"algorithm": "maskable-ppo"}, MaskablePPO),
    (LSTM, RecurrentPPO),
    ({**DQN_SETTINGS, "normalize": True}, DQN),
    ({"algorithm": "ppo", "normalize": True}, PPO),
]


@pytest.mark.parametrize(("settings", "kind"), KINDS, ids=lambda v: getattr(v, "__name__", ""))
def test_the_commands_train_resume_and_evaluate(
    settings: dict[str, Any],
    kind: type,
    store_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The file gives what the run had when it ended, to the cent."""
    words = ["--store", str(store_folder), "--session", "9", "--n-envs", "4"]
    words += ["--model-save-path", str(tmp_path / "run"), "--net-arch", "16"]
    words += ["--total-timesteps", "600", "--no-tensorboard", "--save-freq", "300"]
    for name, value in {"n_steps": 32, **settings}.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, str(value)]
    assert train_main(words) == 0
    assert train_main(["--resume-from", str(tmp_path / "run"), "--total-timesteps", "900"]) == 0
    results = json.loads((tmp_path / "run" / "training_results.json").read_text())
    assert results["algorithm"] == settings["algorithm"]
    assert results["config"].get("normalize") == settings.get("normalize", False)
    assert results["total_timesteps"] >= 900
    loaded: Any = kind
    assert type(loaded.load(results["final_model_path"], device="cpu")) is kind
    assert isinstance(load_model(Path(results["final_model_path"])), kind)
    capfd.readouterr()
    words = [str(tmp_path / "run"), "--store", str(store_folder), "--heldout", "--json"]
    assert evaluate_main([*words, "--baselines", "none", "--report", "None"]) == 0
    (found,) = json.loads(capfd.readouterr().out)["policies"]
    total = found["fill_models"]["queue"]["total"]
    assert total["profit_cents"] == results["heldout"]["total_profit_cents"]


def test_a_normalized_model_sees_in_evaluation_what_it_saw_in_training(
    tmp_path: Path, edge_session: Session
) -> None:
    result = train(config(tmp_path, normalize=True), sessions=[edge_session])
    env = result.model.get_vec_normalize_env()
    assert env is not None
    loaded = load_model(result.model_path)
    kept = Normalizer.of_model(loaded)
    assert kept is not None
    assert kept.count > result.num_timesteps
    seen = np.random.default_rng(0).uniform(-1, 1, (200, 52)).astype(np.float32)
    np.testing.assert_array_equal(kept(seen), env.normalize_obs(seen))
    expected = result.model.predict(env.normalize_obs(seen), deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(seen, deterministic=True)[0], expected)
    view = build_tape([edge_session]).views[0]
    choose = policy_from_model(loaded, "m").chooser([view] * 200)
    none = np.ones((200, 5), np.bool_)
    np.testing.assert_array_equal(choose(np.arange(200), seen, none), expected)
    assert (PPO.load(result.model_path).predict(seen, deterministic=True)[0] != expected).any()


def test_a_model_of_ones_own_in_vec_normalize_is_evaluated_in_it(edge_session: Session) -> None:
    tape = build_tape([edge_session]).select([0, 1])
    env = VecNormalize(KalshiVecEnv(tape, 4, SimConfig()), norm_reward=False)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, seed=1, device="cpu").learn(256)
    env.training = False
    own = policy_from_model(model, "m")
    assert own.act is not None
    bare = play_heldout(tape, SimConfig(), own)

    def scaled(seen: Any) -> Any:
        return model.predict(env.normalize_obs(seen), deterministic=True)[0]

    found = evaluate({"m": scaled}, tape, baselines=[]).run("m").total.profit_cents
    assert found == pytest.approx(bare.profit.sum())


MISTAKES = [
    ({"algorithm": "dqn", "mask": True}, "dqn has no masks; ppo, a2c and maskable-ppo have"),
    ({"algorithm": "recurrent-ppo", "mask": True}, "recurrent-ppo has no masks"),
    ({"algorithm": "dqn", "stock_sb3": True}, "dqn has one"),
    (
        {"algorithm": "dqn", "n_epochs": 3},
        "n_epochs is a setting of ppo, maskable-ppo and recurrent-ppo",
    ),
    (
        {"algorithm": "dqn", "gae_lambda": 0.9},
        "gae_lambda is a setting of ppo, a2c, maskable-ppo and recurrent-ppo, not of dqn",
    ),
    ({"algorithm": "ppo", "buffer_size": 10}, "buffer_size is a setting of dqn, not of ppo"),
    ({"algorithm": "ppo", "lstm_hidden_size": 10}, "is a setting of recurrent-ppo, not of ppo"),
    ({"algorithm": "dqn", "buffer_size": 99}, "learning_starts 10000 is larger than buffer_size"),
    ({"algorithm": "maskable-ppo", "n_envs": 1, "n_steps": 1}, "maskable-ppo needs a rollout of 2"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES, ids=lambda v: str(v)[:40])
def test_settings_that_do_not_apply_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig().changed(**settings)


def test_a_run_keeps_its_algorithm_and_its_normalization(
    tmp_path: Path, edge_session: Session
) -> None:
    train(config(tmp_path, **LSTM, total_timesteps=300), sessions=[edge_session])
    other = config(tmp_path, algorithm="maskable-ppo", resume_from=tmp_path)
    with pytest.raises(ConfigError, match="is a model of recurrent-ppo, this run trains maskable"):
        train(other, sessions=[edge_session])
    scaled = config(tmp_path, **LSTM, normalize=True, resume_from=tmp_path)
    with pytest.raises(ConfigError, match="was trained without --normalize and cannot go on with"):
        train(scaled, sessions=[edge_session])
