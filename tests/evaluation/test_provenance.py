"""Every verdict says what it rests on: the data, what the model has seen of it, whose settings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO

from kalshi_sim import SimConfig, Tape, __version__
from kalshi_sim.session import POLLED, REBUILT_SUFFIX
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.train import evaluate_main, train_main
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.show import verdict
from kalshi_train.report.page import _words
from kalshi_train.training.run import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sessions 5 and 6, and two short runs on session 5."""
    place = tmp_path_factory.mktemp("provenance")
    store = open_store(str(place / "sessions"))
    for number in (5, 6):
        store.save(generate_session(number, markets=6, minutes=12, seed=4, deltas=800))
    common = ["--store", str(place / "sessions"), "--session", "5", "--total-timesteps", "512"]
    common += ["--n-envs", "4", "--n-steps", "64", "--no-tensorboard", "--eval-fraction", "0.4"]
    runs = {"one": ["--seed", "3"], "two": ["--order-size", "4", "--latency-ms", "50"]}
    for name, words in runs.items():
        path = str(place / name / f"{name}.zip")
        assert train_main([*common, *words, "--model-save-path", path, "--json"]) == 0
    return place


def found(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    common = ["--store", str(folder / "sessions"), "--json", "--report", "None"]
    assert evaluate_main([*words, *common, "--resamples", "100", "--baselines", "hold"]) == 0
    return json.loads(capsys.readouterr().out)


def test_held_out_seen_and_unknown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "one")
    seen = found(folder, capsys, run, "--session", "5")["provenance"]["models"][0]
    assert seen["sight"] == "partly seen in training"
    assert (seen["markets"], seen["markets_seen"]) == (6, 4)
    assert (seen["trained_on"], seen["training_seed"]) == ([5], 3)
    assert seen["training_timesteps"] == 512
    out = found(folder, capsys, run, "--heldout")
    held = out["provenance"]["models"][0]
    assert (held["sight"], held["markets"], held["markets_seen"]) == ("held out", 2, 0)
    assert held["chosen_among"] is None
    assert not any("trained on" in c for c in out["policies"][0]["caveats"])
    other = found(folder, capsys, run, "--session", "6")["provenance"]["models"][0]
    assert other["sight"] == "held out"
    (folder / "mine.py").write_text("def act(obs):\n    return [0] * len(obs)\n")
    mine = found(folder, capsys, f"{folder / 'mine.py'}:act", "--session", "5")
    assert mine["provenance"]["models"][0]["sight"] == "not known"


def test_a_model_chosen_on_these_markets_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = str(folder / "one" / "best_model" / "best_model.zip")
    out = found(folder, capsys, best, "--heldout")
    assert out["provenance"]["models"][0]["chosen_among"] >= 1
    assert any("chosen on these markets" in c for c in out["policies"][0]["caveats"])
    elsewhere = found(folder, capsys, best, "--session", "6")
    assert elsewhere["provenance"]["models"][0]["chosen_among"] is None


def test_what_was_run_when_and_on_what(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1773875400")
    words = (str(folder / "one"), "--session", "6", "--seed", "8")
    out = found(folder, capsys, *words)["provenance"]
    assert out["sessions"] == [{"session_id": 6, "origin": "generated", "source": "synthetic"}]
    assert (out["markets"], out["events"], out["models_tried"]) == (6, 3, 1)
    assert (out["seed"], out["version"], out["made_at"]) == (8, __version__, "2026-03-18T23:10:00Z")
    assert out["command"].startswith(f"kalshi-evaluate {folder / 'one'} --session 6 --seed 8")


def test_models_keep_their_own_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = (str(folder / "one"), str(folder / "two"))
    out = found(folder, capsys, *both, "--session", "6", "--stress")
    assert [p["settings"] for p in out["policies"][:2]] == [{}, {"order_size": 4, "latency_ms": 50}]
    assert [m["settings_of"] for m in out["provenance"]["models"]] == ["its own training"] * 2
    assert out["provenance"]["models_tried"] == 2
    alone = found(folder, capsys, both[1], "--session", "6", "--stress")
    assert alone["policies"][0]["fill_models"] == out["policies"][1]["fill_models"]
    assert alone["stress"] == [s for s in out["stress"] if s["policy"] == "two"]
    given = found(folder, capsys, *both, "--session", "6", "--order-size", "2")
    assert [p["settings"] for p in given["policies"][:2]] == [{}, {"latency_ms": 50}]
    assert [m["changed"] for m in given["provenance"]["models"]] == [
        {"order_size": 10},
        {"order_size": 4},
    ]


def test_the_terminal_says_it_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = [str(folder / "one"), str(folder / "two"), "--session", "5", "--report", "None"]
    common = ["--store", str(folder / "sessions"), "--resamples", "100", "--baselines", "hold"]
    assert evaluate_main([*words, *common]) == 0
    shown = " ".join(capsys.readouterr().out.split())  # however wide the terminal is
    for text in (
        r"data +session 5 generated \(synthetic\)",
        r"markets +6 of 3 events",
        r"one +trained on 4 of these 6 markets; settings of its own training; 512 steps, seed 3",
        r"models +2 tried",
        r"made by +version .*, seed 0, 20",
        r"command +kalshi-evaluate .*one .*two --session 5",
        r"note: two is played with its own settings: order_size=4, latency_ms=50",
        r"No evidence: session 5 is generated.* No evidence: one was trained on 4 of these 6",
    ):
        assert re.search(text, shown), text


def test_no_password_is_kept(folder: Path) -> None:
    from kalshi_train.evaluation.provenance import shown_command

    for word in ("--store=postgresql://me:secret@host/db", "postgresql://me:secret@host/db"):
        text = shown_command(["kalshi-evaluate", "--store", word])
        assert "secret" not in text
        assert "host/db" in text
    assert "se cret" not in shown_command(["--store", "postgresql://me:se cret@host/db"])


def test_from_python_what_the_tape_shows(tape: Tape, model: PPO) -> None:
    out = evaluate({"mine": model}, tape, SimConfig(), resamples=100)
    assert [s.origin for s in out.provenance.sessions] == ["generated"]
    assert out.provenance.models[0].sight == "not known"
    assert out.provenance.made_at is None
    assert "No evidence: session 5 is generated" in verdict(out, "mine")
    assert all(v["tone"] != "good" for v in _words(out)["verdicts"])


def test_a_run_says_what_its_results_rest_on(folder: Path) -> None:
    results = json.loads((folder / "one" / "training_results.json").read_text())
    rests_on = results["provenance"]
    (session,) = rests_on["sessions"]
    assert (session["session_id"], session["origin"]) == (5, "generated")
    final, best = rests_on["models"]
    assert (final["name"], final["chosen_among"]) == ("final model", None)
    assert best["name"] == "best model"
    assert best["chosen_among"] >= 1
    for model in (final, best):
        assert (model["sight"], model["markets"], model["settings_of"]) == (
            "held out",
            2,
            "this run",
        )
        assert (model["trained_on"], model["training_seed"]) == ([5], 3)
    assert rests_on["seed"] == 3
    assert rests_on["version"] == __version__
    assert rests_on["command"].startswith("kalshi-train --store ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rests_on["made_at"])
    assert "session 5 is generated" in results["verdict"]


@pytest.mark.parametrize(
    ("source", "caveat"),
    [
        (POLLED, "is made of polls"),
        ("capture" + REBUILT_SUFFIX, "began without a recorded snapshot"),
    ],
)
def test_training_on_books_that_are_a_guess_says_so(
    source: str, caveat: str, tmp_path: Path
) -> None:
    session = replace(generate_session(7, markets=3, minutes=10, seed=4, deltas=300), source=source)
    settings = {"total_timesteps": 64, "n_envs": 2, "n_steps": 32, "eval_fraction": 0.0}
    config = TrainConfig().changed(
        **settings, tensorboard=False, model_save_path=tmp_path / "run" / "m.zip"
    )
    result = train(config, sessions=[session])
    assert caveat in result.verdict
    rests_on = result.results["provenance"]
    assert rests_on["models"][0]["sight"] == "seen in training"
    assert rests_on["command"] is None
