"""Studies: the same trials in turn, in threads, in processes and after a kill; their results."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from plotly.offline import get_plotlyjs

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_train.cli.evaluate import main as evaluate_main
from kalshi_train.cli.tune import main as tune_main
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.tries import tries_beside
from kalshi_train.training.randomness import random_state
from kalshi_train.tune import TuneOptions, TuneResult, tune
from kalshi_train.tune import driver as driver_module
from kalshi_train.tune.options import Workers
from kalshi_train.tune.run import shared_config
from kalshi_train.tune.storage import open_study, requeue_lost
from kalshi_train.tune.workers import ProcessWorker
from support.postgres import PASSWORD, QUOTED_PASSWORD, Database

TRIALS = 3
SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "net_arch": {"choices": [[8], [16]]},
    "pricing": {"choices": ["cross", "join"]},
}
RUN = {"total_timesteps": 512, "n_envs": 8, "n_steps": 32, "eval_freq": 256, "n_epochs": 1}
ROOM = 160_000
"""Bytes of a file: a study has room in it, a model not."""
FLAGS = [w for k, v in RUN.items() for w in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of what is searched."""
    path = tmp_path_factory.mktemp("space") / "space.json"
    path.write_text(json.dumps(SPACE))
    return path


@pytest.fixture(scope="module")
def config(store_folder: Path) -> TrainConfig:
    """What all trials share."""
    return TrainConfig().changed(
        store=str(store_folder),
        session=9,
        eval_fraction=0.4,
        final_fraction=0.2,
        log_level="ERROR",
        **RUN,
    )


def options(folder: Path, space: Path, **settings: Any) -> TuneOptions:
    """How it is searched: what is suggested depends on nothing that other trials came to."""
    given: dict[str, Any] = {
        "trials": TRIALS,
        "trial_seeds": 2,
        "sampler": "random",
        "pruner": "none",
        "workers": "threads",
    }
    return TuneOptions(study=folder, space=space, **(given | settings))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, config: TrainConfig, space: Path) -> TuneResult:
    """The study whose trials ran one after the other."""
    folder = tmp_path_factory.mktemp("alone") / "study"
    return tune(config, options(folder, space))


def figures(result: TuneResult) -> list[Any]:
    """What trials came to, without when and where."""
    return [
        (t.number, t.state, t.value, t.by_seed, t.settings, t.evaluations, t.profits)
        for t in result.trials
    ]


def test_a_study_has_trials_a_best_and_a_final_evaluation(
    alone: TuneResult, config: TrainConfig, space: Path
) -> None:
    assert alone.counts == {"complete": TRIALS}
    assert len({json.dumps(t.to_json()["settings"]) for t in alone.trials}) == TRIALS
    for trial in alone.trials:
        assert len(trial.by_seed) == 2
        assert trial.value == pytest.approx(np.mean(trial.by_seed))
        assert len(trial.evaluations) == 4  # two of each run
        assert trial.value == list(trial.evaluations.values())[-1]
    assert alone.best is not None
    assert alone.best.value == max(t.value or 0 for t in alone.trials)
    assert alone.selection is not None
    assert alone.selection.tries == sum(len(t.evaluations) for t in alone.trials) == 12
    assert alone.final is not None
    assert alone.final["looks"] == 1
    assert set(alone.final["by_seed_cents"]) == {"seed-0", "seed-1"}
    assert set(alone.importance) <= set(SPACE)
    model = alone.folder / "best" / "seed-0" / "trained_model.zip"
    assert tries_beside(model) == 12
    # The value of a trial is that of its own file of evaluations, by event, under the bound.
    run = alone.trials[1].folder / "seed-1"
    with np.load(run / "eval_logs" / "evaluations.npz") as kept:
        profits, events = kept["profit_cents"][-1], kept["events"]
    sums = [profits[events == event].sum() for event in np.unique(events)]
    assert alone.trials[1].by_seed[1] == pytest.approx(np.mean(sums))
    assert json.loads((run / "config.json").read_text())["eval_fill_model"] == "through"


def test_events_are_split_three_ways(alone: TuneResult, config: TrainConfig, space: Path) -> None:
    data = prepare(shared_config(config, options(alone.folder, space)))
    assert data.heldout is not None
    assert data.final is not None
    parts = [{v.event for v in tape.views} for tape in (data.train, data.heldout, data.final)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6
    trained = json.loads((alone.folder / "best/seed-0/training_results.json").read_text())["data"]
    assert trained["final"]["tickers"] == [v.market_ticker for v in data.final.views]
    assert not set(trained["train"]["tickers"]) & set(trained["final"]["tickers"])
    assert trained["train"]["events"] == len(parts[0]) + len(parts[1])
    assert trained["heldout"] is None


def test_kalshi_evaluate_plays_the_final_events(
    alone: TuneResult, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(alone.folder / "best" / "seed-0"), "--final", "--baselines", "none"]
    assert evaluate_main([*words, "--json", "--report", "None"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert alone.final is not None
    assert found["provenance"]["markets"] == alone.final["markets"]
    assert found["provenance"]["models"][0]["markets_seen"] == 0
    assert found["provenance"]["models"][0]["tries"] == 12


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_two_jobs_give_what_each_trial_gives_alone(
    alone: TuneResult, config: TrainConfig, space: Path, tmp_path: Path, workers: Workers
) -> None:
    torch.set_num_threads(2)
    state, drawn = torch.get_rng_state(), random_state()["numpy_keys"]
    two = options(tmp_path / "study", space, jobs=2, workers=workers, final=False)
    assert figures(tune(config, two)) == figures(alone)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(random_state()["numpy_keys"], drawn)


def test_a_study_goes_on_after_a_kill(
    alone: TuneResult, config: TrainConfig, space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    words = [
        *("--store", str(config.store), "--session", "9", "--eval-fraction", "0.4"),
        *("--study", str(folder), "--space", str(space), "--trials", str(TRIALS), "--jobs", "2"),
        *("--sampler", "random", "--pruner", "none", "--trial-seeds", "2", *FLAGS),
    ]
    code = "from kalshi_train.entry import tune; raise SystemExit(tune())"
    begun = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL)
    while not list(folder.glob("trial-*/seed-1")):  # a trial is in its second run
        assert begun.poll() is None
        time.sleep(0.01)
    begun.kill()
    begun.wait()
    done = tune(config, options(folder, space))
    assert figures(done) == figures(alone)
    assert done.final == alone.final
    again = tune(config, options(folder, space))
    assert figures(again) == figures(alone)
    assert again.final == alone.final
    assert again.evaluation is None  # the final events are looked at once
    with pytest.raises(ConfigError, match=r"begun with sampler random, not tpe"):
        tune(config, options(folder, space, sampler="tpe"))


class _Killed(ProcessWorker):
    """A worker that is killed while it trains, as often as `kills` says."""

    kills = 0

    def __init__(self) -> None:
        super().__init__()
        if type(self).kills:
            type(self).kills -= 1
            self._process.kill()


@pytest.mark.parametrize(("kills", "state"), [(2, "complete"), (3, "failed")])
def test_a_killed_worker_is_replaced(
    alone: TuneResult,
    config: TrainConfig,
    space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: int,
    state: str,
) -> None:
    monkeypatch.setattr(_Killed, "kills", kills)
    monkeypatch.setattr(driver_module, "ProcessWorker", _Killed)
    one = options(tmp_path / "study", space, trials=1, workers="processes", final=False)
    result = tune(config, one)
    assert result.counts == {state: 1}
    if state == "complete":
        assert figures(result) == figures(alone)[:1]
    else:
        assert result.trials[0].message.startswith("its worker was killed 3 times")


def test_a_database_holds_a_study_and_its_password_is_nowhere(
    config: TrainConfig,
    space: Path,
    alone: TuneResult,
    database: Database,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = {"storage": database.url, "final": False}
    first = tune(config, options(tmp_path / "one" / "study", space, trials=1, **kept))
    assert figures(first) == figures(alone)[:1]
    # Another machine, with a folder of its own, goes on.
    second = tune(config, options(tmp_path / "two" / "study", space, trials=2, **kept))
    assert figures(second) == figures(alone)[:2]
    wrong = database.url.replace("@127.0.0.1:", "@127.0.0.1:1")
    with pytest.raises(StoreError, match="the study at postgresql://") as caught:
        tune(config, options(tmp_path / "two" / "study", space, **kept | {"storage": wrong}))
    said = f"{caught.value}{capfd.readouterr()}{second.to_json()}"
    files = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    for secret in (PASSWORD, QUOTED_PASSWORD):
        assert secret not in said
        assert secret.encode() not in files


def test_trials_that_cannot_be_fail_alone(config: TrainConfig, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(
        json.dumps({"n_steps": {"choices": [8, 32]}, "batch_size": {"choices": [128, 256]}})
    )
    one = options(tmp_path / "study", space, trials=4, trial_seeds=1, final=False)
    result = tune(config, one)
    together = [t for t in result.trials if t.settings["n_steps"] == 8]
    assert {t.number for t in result.trials if t.state == "failed"} == {t.number for t in together}
    assert 0 < len(together) < 4
    assert "is larger than a rollout of 64" in together[0].message


def test_a_full_disk_ends_the_study_and_no_trial(config: TrainConfig, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"gamma": {"low": 0.9, "high": 0.99}}))
    one = options(tmp_path / "study", space, trials=1, trial_seeds=1, final=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"^trial 0 could not go on: cannot write .*\.zip"):
            tune(config, one)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tune(config, one).counts == {"complete": 1}


def test_trials_below_the_median_are_ended_early(config: TrainConfig, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"learning_rate": {"low": 1e-4, "high": 3e-2, "log": True}}))
    longer = config.changed(total_timesteps=1024)
    study = options(tmp_path / "study", space, trials=9, sampler="tpe", pruner="median")
    result = tune(longer, replace(study, trial_seeds=1, final=False))
    assert result.counts["pruned"] > 0
    for trial in (t for t in result.trials if t.state == "pruned"):
        last = max(trial.evaluations)
        assert len(trial.evaluations) < 4
        others = [t.evaluations[last] for t in result.trials[: trial.number] if t.profits]
        assert max(trial.evaluations.values()) < np.median(others)
    assert result.best is not None
    assert result.best.state == "complete"


def test_the_command_shows_a_study(
    alone: TuneResult,
    config: TrainConfig,
    space: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [
        *("--store", str(config.store), "--session", "9", "--eval-fraction", "0.4"),
        *("--study", str(alone.folder), "--space", str(space), "--trials", "0"),
        *("--sampler", "random", "--pruner", "none", "--trial-seeds", "2", *FLAGS),
    ]
    monkeypatch.setenv("COLUMNS", "80")
    assert tune_main(words) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    assert "kept from all trials" in shown
    assert "is the best of 12 tries" in " ".join(shown.split())
    assert "seen by no trial" in " ".join(shown.split())
    assert tune_main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["final"] == alone.final
    page = (alone.folder / "study.html").read_text()
    assert "History" in page
    assert "chart-learning_rate" in page
    for outside in ('src="http', 'href="http', "<link"):
        assert outside not in page.replace(get_plotlyjs(), "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resume-from", "x"], "x"),
        (["--model-save-path", "m"], "writes into the folder of --study"),
        (["--storage", "mysql://u:hunter2@h/db"], "a store at mysql: (address not shown)"),
        (["--storage", "postgresql://u:hunter2@h:x/db"], "URL cannot be understood; it should"),
        (["--storage", "folder"], "--storage is a postgresql:// address"),
        (["--trials", "-1"], "trials=-1: must be a whole number from 0"),
        (["--eval-fraction", "0"], "nothing is held out to compare trials on"),
        (["--space", "absent.json"], "cannot read the search space absent.json"),
    ],
)
def test_a_mistake_is_one_line(
    config: TrainConfig,
    tmp_path: Path,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--store", str(config.store), "--session", "9", "--log-level", "ERROR", *words]
    assert tune_main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("kalshi-tune: ")
    assert len(error.splitlines()) == 1
    assert said in error
    assert "hunter2" not in error


def test_a_trial_of_another_machine_is_lost_when_it_is_silent(
    config: TrainConfig, space: Path, tmp_path: Path
) -> None:
    one = options(tmp_path / "study", space)
    with open_study(one, {"seed": 0}) as study:
        trial = study.ask()
        for name, value in (("host", "elsewhere"), ("driver", "d"), ("alive", time.time())):
            trial.set_user_attr(name, value)
        assert requeue_lost(study, one.study) == []
        trial.set_user_attr("alive", time.time() - 400)
        assert requeue_lost(study, one.study) == [trial.number]
        assert study.trials[0].state == optuna.trial.TrialState.WAITING
