"""Several runs: seeds, folders, date splits, `kalshi-runs`, and a run that is finished."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.runs import main as runs_main
from kalshi_train.cli.train import evaluate_main, train_main
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sessions 1 to 3, a day apart."""
    place = str(tmp_path_factory.mktemp("runs") / "sessions")
    for number in (1, 2, 3):
        made = generate_session(number, markets=6, minutes=12, seed=4, deltas=600)
        open_store(place).save(made)
    return place


def trained(store: str, capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    common = ["--store", store, "--total-timesteps", "512", "--n-envs", "4", "--n-steps", "64"]
    common += ["--no-tensorboard", "--json"]
    assert train_main([*common, *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def test_seeds_and_the_runs_they_make(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = trained(store, capsys, "--session", 1, "--seeds", 2, "--model-save-path", "first")
    profits = [run["heldout_profit_cents"] for run in found["runs"]]
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    assert found["mean_profit_cents"] == pytest.approx(np.mean(profits))
    assert found["standard_deviation_cents"] == pytest.approx(np.std(profits, ddof=1))
    assert found["best"] == f"first/seed-{int(np.argmax(profits))}"
    assert json.loads(Path("first/runs.json").read_text()) == found
    assert [p.name for p in tmp_path.iterdir()] == ["first"]  # nothing beside it
    heldout = [
        json.loads(Path(f"first/seed-{n}/training_results.json").read_text())["data"]["heldout"]
        for n in (0, 1)
    ]
    assert heldout[0] == heldout[1]  # the seeds differ in nothing else

    trained(store, capsys, "--session", 1, "--model-save-path", "second", "--gamma", "0.9")
    assert runs_main(["--json"]) == 0
    runs = {run["folder"]: run for run in json.loads(capsys.readouterr().out)}
    assert list(runs) == ["first/seed-0", "first/seed-1", "second"]
    assert set(runs["second"]["settings"]) == {"gamma", "seed", "split_seed"}
    assert runs["second"]["settings"]["gamma"] == 0.9
    assert runs["first/seed-1"]["heldout_profit_cents"] == profits[1]
    assert runs_main([".", "--plot", "runs.html"]) == 0
    shown = capsys.readouterr().out
    assert "3 runs below" in shown
    told = " ".join(shown.split())
    assert re.search(r"best of \d+ tries \(3 runs with their checkpoints\) on \d+ markets of", told)
    assert "gamma" in shown
    assert re.search(r"steps, (-|\+)?\$\d", told)
    assert " cents a market" not in told
    page = Path("runs.html").read_text()
    assert "seed-1" in page
    assert "held out, a market" in page
    assert runs_main(["absent"]) == 2
    assert runs_main([store]) == 2

    capsys.readouterr()
    words = ["first/seed-0", "second", "--store", store, "--session", "2", "--report", "None"]
    assert evaluate_main([*words, "--json", "--baselines", "none", "--resamples", "100"]) == 0
    policies = json.loads(capsys.readouterr().out)["policies"]
    assert [p["name"] for p in policies] == [
        "first/seed-0/trained_model",
        "second/trained_model",
    ]


def test_a_finished_run_says_so(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    result = trained(store, capsys, "--session", 1, "--model-save-path", folder)
    assert result["timesteps_trained"] == 512
    assert result["final_model_path"] == str(folder / "trained_model.zip")
    assert "No evidence: session 1 is generated" in result["verdict"]
    assert train_main(["--resume-from", str(folder), "--store", store]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "nothing was left to train: this run is finished at 512 steps" in shown


def test_held_out_from_a_date(store: str) -> None:
    day = str(np.datetime64(int(open_store(store).list_sessions()[1].started_at.timestamp()), "s"))
    config = TrainConfig(store=store, sessions=(1, 2), eval_from=day[:10], cache=False)
    data = prepare(config)
    assert data.heldout is not None
    assert {v.session_id for v in data.train.views} == {1}
    assert {v.session_id for v in data.heldout.views} == {2}
    assert f"events from {day[:10]}" in data.split.rule
    spans = [data.heldout.ts_ms[[v.start, v.stop - 1]] for v in data.heldout.views]
    middle = int(np.median([begin for begin, _ in spans])) + 1
    straddled = prepare(config.changed(eval_from=str(np.datetime64(middle, "ms"))))
    assert straddled.heldout is not None
    assert len(straddled.heldout.views) + len(straddled.train.views) < 12
    assert "on neither side" in straddled.split.rule
    ends = [straddled.train.ts_ms[v.stop - 1] for v in straddled.train.views]
    begins = [straddled.heldout.ts_ms[v.start] for v in straddled.heldout.views]
    assert max(ends) < middle <= min(begins)


def test_walking_forward(store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--sessions", "1,2,3", "--model-save-path", tmp_path / "wf"]
    found = trained(store, capsys, *words, "--walk-forward", 2)
    folders = [Path(run["folder"]) for run in found["runs"]]
    assert [f.name for f in folders] == ["fold-1", "fold-2"]
    data = [json.loads((f / "training_results.json").read_text())["data"] for f in folders]
    heldout = [set(d["heldout"]["tickers"]) for d in data]
    assert heldout[0]
    assert heldout[1]
    assert not heldout[0] & heldout[1]
    assert set(data[0]["train"]["tickers"]) <= set(data[1]["train"]["tickers"])
    for d, out in zip(data, heldout, strict=True):
        assert not out & set(d["train"]["tickers"])
    common = ["--store", store, "--sessions", "1,2"]
    for wrong in (
        ["--walk-forward", "0"],
        ["--walk-forward", "50"],
        ["--walk-forward", "2", "--seeds", "2"],
        ["--walk-forward", "2", "--eval-from", "2026-03-18"],
    ):
        assert train_main([*common, *wrong]) == 2
        assert "eval" in (error := capsys.readouterr().err) or "--walk-forward" in error


def test_walking_forward_over_one_evening_names_its_own_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of its events overlap: none is over before others begin."""
    made = generate_session(9, markets=12, minutes=10, seed=4)
    place = str(tmp_path / "sessions")
    open_store(place).save(made)
    words = ["--session", "9", "--store", place, "--walk-forward", "4"]
    assert train_main([*words, "--model-save-path", str(tmp_path / "wf")]) == 2
    told = capsys.readouterr().err
    assert "--walk-forward 4: " in told
    assert "eval_from" not in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"eval_from": "soon"}, "must be a date or time like 2026-03-18"),
        ({"eval_until": "2026-03-18"}, "goes with eval_from"),
        ({"eval_from": "2026-03-18", "eval_until": "2026-03-17"}, "must be after eval_from"),
        ({"eval_from": "2026-03-18", "eval_sessions": (2,)}, "give eval_from or eval_sessions"),
    ],
)
def test_a_wrong_date_is_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainConfig(sessions=(1, 2), **settings)


def test_a_date_with_nothing_on_one_side_is_told(store: str) -> None:
    for date in ("2000-01-01", "2100-01-01"):
        config = TrainConfig(store=store, sessions=(1,), eval_from=date, tape=TapeOptions())
        with pytest.raises(ConfigError, match="choose another time"):
            prepare(config)


@pytest.mark.parametrize(("words", "widest"), [((), 120), (("--wide",), None)])
def test_runs_that_differ_in_much_fit_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], widest: int | None
) -> None:
    """In a pipe, where no terminal says how wide the table may be."""
    for k in range(6):
        settings = {"total_timesteps": 512, "seed": k}
        settings |= {f"a_setting_with_a_long_name_{i}": k for i in range(20)}
        (tmp_path / f"run-{k}").mkdir()
        (tmp_path / f"run-{k}" / "config.json").write_text(json.dumps(settings))
    assert runs_main([str(tmp_path), *words]) == 0
    table = capsys.readouterr().out.split("not shown:")[0].splitlines()
    longest = max(len(line) for line in table if not line.startswith("6 runs below"))
    assert longest > 400 if widest is None else longest <= widest


def test_one_run_is_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"total_timesteps": 512}))
    assert runs_main([str(tmp_path)]) == 0
    assert "1 run below" in capsys.readouterr().out


def test_damaged_evaluations_do_not_end_the_listing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eval_logs").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"total_timesteps": 512}))
    (tmp_path / "eval_logs" / "evaluations.npz").write_bytes(b"PK\x03\x04 no archive")
    assert runs_main([str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "1 run below" in shown.out
    told = f"not counted among the tries: {tmp_path}/eval_logs/evaluations.npz is damaged"
    assert told in " ".join((shown.out + shown.err).split())


def test_a_plot_is_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"total_timesteps": 512}))
    assert runs_main([str(tmp_path), "--plot", str(tmp_path / "runs.png")]) == 2
    assert "it is a page; name it .html" in capsys.readouterr().err
    assert not (tmp_path / "runs.png").exists()
