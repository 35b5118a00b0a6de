from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO

from kalshi_sim.session import Session
from kalshi_train.cli.train import evaluate_main, train_main
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.models import STATE_MEMBER
from kalshi_train.training.progress import show_result
from kalshi_train.training.result import TrainResult
from kalshi_train.training.run import train


def config(folder: Path, **settings: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "total_timesteps": 2400,
        "n_envs": 8,
        "n_steps": 32,
        "seed": 3,
        "num_threads": 1,
        "log_level": "WARNING",
        "model_save_path": folder / "model.zip",
        "eval_freq": 700,
        "save_freq": 500,
        "tensorboard": False,
        "net_arch": (16, 16),
    }
    return TrainConfig().changed(**{**base, **settings})


def weights(model: Any) -> bytes:
    state = [*model.policy.state_dict().values()]
    for entry in model.policy.optimizer.state.values():
        state += [torch.as_tensor(v) for v in entry.values()]
    return b"".join(t.detach().numpy().tobytes() for t in state)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, edge_session: Session) -> TrainResult:
    folder = tmp_path_factory.mktemp("run")
    return train(config(folder, tensorboard=True), sessions=[edge_session])


def test_results_lie_where_people_know_them(finished: TrainResult) -> None:
    folder = finished.model_path.parent
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    events = {n for n in names if n.startswith("tensorboard/ppo/events")}
    assert len(events) == 1
    saved = (512, 1024, 1536, 2048, 2560)
    assert names - events == {
        "model.zip",
        "config.json",
        "metrics.jsonl",
        "training_results.json",
        "best_model/best_model.zip",
        "eval_logs/evaluations.npz",
        *(f"checkpoints/model_{n}_steps.zip" for n in saved),
    }
    assert TrainConfig.from_file(folder / "config.json").learner.n_steps == 32


def test_plain_sb3_opens_the_models(finished: TrainResult) -> None:
    for path in (finished.model_path, finished.best_model_path):
        assert path is not None
        model = PPO.load(path, device="cpu")
        action, _ = model.predict(np.zeros(52, np.float32), deterministic=True)
        assert action in range(5)
    assert weights(PPO.load(finished.model_path, device="cpu")) == weights(finished.model)


def test_results_agree_with_each_other(finished: TrainResult) -> None:
    folder = finished.model_path.parent
    results = json.loads((folder / "training_results.json").read_text())
    del results["digest"]  # of the file
    assert results == json.loads(json.dumps(finished.results))
    assert results["total_timesteps"] == finished.num_timesteps == 2560
    evaluated = results["evaluation_seconds"]
    assert 0 < evaluated < finished.seconds
    assert finished.steps_per_second == pytest.approx(2560 / (finished.seconds - evaluated))
    assert sum(m["episodes"] for m in results["markets"]) == finished.episodes
    assert results["data"]["train"]["events"] == 5
    assert results["data"]["heldout"]["events"] == 1
    assert "1 event, 4 tries" in results["verdict"]
    assert "the policy did not trade. No evidence: " in results["verdict"]
    told = results["diagnosis"]
    assert (told["policy"], told["seeds"]) == ("ppo", 1)
    assert told["profit_cents"] == results["heldout"]["mean_profit_cents"]
    with np.load(folder / "eval_logs" / "evaluations.npz") as stored:
        assert stored["timesteps"].tolist() == [768, 1536, 2304, 2560]
        assert stored["results"].shape == stored["ep_lengths"].shape == (4, 2)
        assert stored["profit_cents"][-1].mean() == results["heldout"]["mean_profit_cents"]


def test_metrics_are_those_of_the_simulator(finished: TrainResult) -> None:
    folder = finished.model_path.parent
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = lines[-1]
    assert last["rollout/episodes"] == finished.episodes
    actions = sum(v for k, v in last.items() if k.startswith("actions/"))
    assert actions == pytest.approx(1.0, abs=1e-4)
    wanted = {"equity_cents", "position", "free_cash_cents"} | {
        f"{name}_per_1000_steps" for name in ("profit_cents", "fees_cents", "fills", "contracts")
    }
    assert {f"trading/{name}" for name in wanted} <= set(last)
    assert {"episode/win_rate", "episode/sharpe", "episode/drawdown_cents"} <= set(last)
    assert {"time/collect_seconds", "time/step_seconds", "time/learn_seconds"} <= set(last)
    assert last["time/evaluate_seconds"] > 0
    assert last["time/step_seconds"] <= last["time/collect_seconds"]
    assert "train/value_loss" in last
    assert "heldout/mean_profit_cents" in last
    # 10 million steps make at most 4000 records.
    assert max(len(json.dumps(line)) for line in lines) * 4000 < 10e6


def test_heldout_evaluation_repeats(finished: TrainResult, edge_session: Session) -> None:
    used = TrainConfig.from_json(finished.results["config"], "test")
    heldout = prepare(used, [edge_session]).heldout
    assert heldout is not None
    policy = policy_from_model(finished.model, "PPO")
    first, again = (play_heldout(heldout, used.simulation, policy) for _ in range(2))
    assert first.summary() == again.summary() == finished.heldout
    assert first.lengths.tolist() == [len(v) - 1 for v in heldout.views]


RESUMES = [
    {"algorithm": "ppo"},
    {"algorithm": "a2c", "n_steps": 8},
    {"algorithm": "ppo", "mask": True, "actions": "maker"},
    {"algorithm": "a2c", "n_steps": 8, "mask": True},
    {"algorithm": "ppo", "stock_sb3": True, "curriculum": "shuffled"},
    {"algorithm": "a2c", "n_steps": 8, "stock_sb3": True, "lr_schedule": "linear"},
    {"algorithm": "ppo", "n_envs": 1, "n_steps": 256, "curriculum": "need"},
    {"algorithm": "ppo", "curriculum": "easiest", "num_threads": 2, "max_episode_steps": 30},
    {"algorithm": "ppo", "history": 3},
]


@pytest.mark.parametrize("settings", RESUMES, ids=lambda s: "-".join(map(str, s.values())))
def test_one_go_or_two_give_the_same_weights(
    tmp_path: Path, edge_session: Session, settings: Any
) -> None:
    whole = train(config(tmp_path / "whole", **settings), sessions=[edge_session])
    if settings.get("lr_schedule") != "linear":
        part = train(
            config(tmp_path / "parts", **settings, total_timesteps=1000), sessions=[edge_session]
        )
        assert part.num_timesteps < whole.num_timesteps
    else:  # as after a kill: the schedule knows the whole run
        train(config(tmp_path / "parts", **settings), sessions=[edge_session])
        for late in (tmp_path / "parts" / "checkpoints").glob("model_[12]???_steps.zip"):
            late.unlink()
    resumed = config(tmp_path / "parts", **settings, resume_from=tmp_path / "parts")
    rest = train(resumed, sessions=[edge_session])
    assert rest.num_timesteps == whole.num_timesteps
    assert weights(rest.model) == weights(whole.model)
    assert rest.results["markets"] == whole.results["markets"]
    assert rest.heldout == whole.heldout
    steps = [
        json.loads(line)["timesteps"]
        for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)


def test_the_summary_says_why(finished: TrainResult, capsys: pytest.CaptureFixture[str]) -> None:
    show_result(finished)
    shown = " ".join(capsys.readouterr().out.split())
    assert finished.results["diagnosis"]["sentence"] in shown
    assert "drawn actions" in shown


def test_the_same_seed_gives_the_same_model(
    tmp_path: Path, edge_session: Session, finished: TrainResult
) -> None:
    again = train(config(tmp_path), sessions=[edge_session])
    assert weights(again.model) == weights(finished.model)
    other = train(config(tmp_path, seed=4), sessions=[edge_session])
    assert weights(other.model) != weights(finished.model)


def test_a_finished_run_resumes_to_itself(
    tmp_path: Path, edge_session: Session, finished: TrainResult
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished.model_path.parent, folder)
    again = train(config(folder, resume_from=folder), sessions=[edge_session])
    assert weights(again.model) == weights(finished.model)
    assert again.heldout == finished.heldout


def test_changed_settings_go_on_from_the_weights(
    tmp_path: Path,
    edge_session: Session,
    finished: TrainResult,
    caplog: pytest.LogCaptureFixture,
) -> None:
    resumed = config(tmp_path, resume_from=finished.model_path, n_envs=4, total_timesteps=3000)
    result = train(resumed, sessions=[edge_session])
    assert result.num_timesteps > 3000
    assert "n_envs 4 (was 8)" in caplog.text
    assert "episodes start anew" in caplog.text


def test_a_state_that_another_version_kept_starts_the_episodes_anew(
    tmp_path: Path,
    edge_session: Session,
    finished: TrainResult,
    caplog: pytest.LogCaptureFixture,
) -> None:
    older = io.BytesIO()
    with zipfile.ZipFile(finished.model_path) as now, zipfile.ZipFile(older, "w") as archive:
        for name in now.namelist():
            data = now.read(name)
            if name == STATE_MEMBER:
                arrays = dict(np.load(io.BytesIO(data)))
                arrays["sim/core"] = arrays["sim/core"][:, :-2]
                packed = io.BytesIO()
                np.savez(packed, **arrays)
                data = packed.getvalue()
            archive.writestr(name, data)
    path = tmp_path / "older.zip"
    path.write_bytes(older.getvalue())  # and without a checksum, as they were
    resumed = config(tmp_path / "run", resume_from=path, total_timesteps=3000)
    assert train(resumed, sessions=[edge_session]).num_timesteps > 3000
    assert "episodes start anew: the saved state cannot be of this tape" in caplog.text
    assert "carries no checksum" in caplog.text


def test_a_model_of_plain_sb3_goes_on(tmp_path: Path, edge_session: Session) -> None:
    first = train(config(tmp_path / "one", algorithm="a2c"), sessions=[edge_session])
    plain = tmp_path / "plain.zip"
    A2C.load(first.model_path, device="cpu").save(plain)
    resumed = config(tmp_path, algorithm="a2c", resume_from=plain, total_timesteps=4000)
    result = train(resumed, sessions=[edge_session])
    assert result.num_timesteps >= 4000


def test_the_command_trains_and_tells(
    store_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--algorithm", "ppo", "--total-timesteps", "1000", "--n-envs", "4", "--n-steps", "32"]
    words += ["--store", str(store_folder), "--model-save-path", str(tmp_path / "m.zip")]
    assert train_main(["--session", "9", *words, "--log-file", str(tmp_path / "log")]) == 0
    out, err = capfd.readouterr()
    assert "Training finished" in out
    assert re.search(r"time .*% of it held-out evaluation", out)
    assert re.search(r"speed .* steps/s, evaluation not counted", out)
    assert re.search(r"evaluating on \d+ held-out markets", err)
    assert "held-out profit after fees" in out + err
    assert "Warning" not in err
    assert "held-out" in (tmp_path / "log").read_text()
    assert train_main(["--sessions", "6,9", *words, "--curriculum", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)
    assert results["data"]["train"]["sessions"] == [6, 9]
    assert results["config"]["curriculum"] == "easiest"
    assert train_main(["--resume-from", str(tmp_path), "--total-timesteps", "1200"]) == 0
    assert "resumed from" in capfd.readouterr().err


def test_training_under_touch_warns(
    tmp_path: Path, edge_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    for model, warns in (("queue", False), ("touch", True)):
        caplog.clear()
        short = config(tmp_path / model, fill_model=model, total_timesteps=256)
        train(short, sessions=[edge_session])
        assert ("train under through or queue" in caplog.text) is warns


def test_a_masked_model_is_trained_resumed_and_evaluated_by_command(
    store_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(store_folder)]
    words = [*store, "--session", "9", "--mask", "--actions", "maker", "--n-envs", "4"]
    words += ["--n-steps", "32", "--total-timesteps", "1000", "--cash-start", "2000"]
    assert train_main([*words, "--model-save-path", str(tmp_path / "m.zip")]) == 0
    assert train_main([*store, "--resume-from", str(tmp_path), "--total-timesteps", "1500"]) == 0
    told = capfd.readouterr().err
    assert "resumed from" in told
    assert "bit for bit" not in told  # as the checkpoint: masked, with its table
    assert json.loads((tmp_path / "config.json").read_text())["mask"] is True
    words = [*store, "--session", "9", "--baselines", "random", "--json", "--report", "None"]
    assert evaluate_main([str(tmp_path), *words]) == 0
    models = json.loads(capfd.readouterr().out)["policies"]
    invalid = {m["name"]: m["fill_models"]["queue"]["total"]["invalid_actions"] for m in models}
    assert invalid.pop("random") > 0
    assert [*invalid.values()] == [0] * len(invalid)


def test_dry_run_tells_and_writes_nothing(
    store_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    words = ["--sessions", "6,9", "--store", str(store_folder), "--dry-run", "--n-envs", "8"]
    words += ["--model-save-path", str(folder / "m.zip"), "--eval-sessions", "6"]
    assert train_main(words) == 0
    out = capfd.readouterr().out
    assert "held out: sessions 6" in out
    assert "n_envs = 8" in out
    assert train_main([*words, "--json", "--max-spread", "1.5"]) == 0
    planned = json.loads(capfd.readouterr().out)
    assert planned["config"]["n_steps"] > 0
    assert any("mean spread" in reason for reason in planned["data"]["skipped"])
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no session named"),
        (["--session", "77"], "no session 77"),
        (["--session", "9", "--store", "{tmp}/nowhere"], "nowhere"),
        (["--session", "9", "--min-episode-length", "100000"], "no market"),
        (["--session", "9", "--max-spread", "0"], "no market is left"),
        (["--session", "9", "--model-save-path", "{tmp}/file/m.zip"], "cannot write"),
        (["--session", "9", "--resume-from", "{tmp}/nowhere"], "no such file or folder"),
        (["--session", "9", "--resume-from", "{tmp}/file"], "no whole checkpoint"),
        (["--algorithm", "a2c", "--resume-from", "{ppo}"], "a model of ppo"),
        (["--resume-from", "{ppo}", "--session", "9", "--net-arch", "7"], "other layers"),
        (["--session", "9", "--n-envs", "0"], "n_envs=0"),
        (["--session", "9", "--batch-size", "999999"], "larger than a rollout"),
        (["--session", "9", "--eval-sessions", "6", "--sessions", "9"], "not both"),
        (["--session", "x"], "invalid literal"),
        (["--sessions", "6,x"], "invalid literal"),
        (["--frobnicate"], "frobnicate"),
        (["--config", "{tmp}/nowhere.json"], "cannot read the config"),
        (["--session", "9", "--log-file", "{tmp}/file/log"], "cannot write"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    store_folder: Path,
    finished: TrainResult,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", str(store_folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    words = [w.format(tmp=tmp_path, ppo=finished.model_path) for w in words]
    assert train_main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    said = [line for line in err.splitlines() if not line.startswith("loading ")]
    assert len(said) == 1
    assert said[0].startswith("kalshi-train: ")
    assert message in said[0]
