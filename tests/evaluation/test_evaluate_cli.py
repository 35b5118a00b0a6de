"""The command: tables, JSON, Parquet, a page; what was trained with; mistakes told in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from stable_baselines3 import PPO

from kalshi_sim import open_store
from kalshi_sim.files import write_json
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.train import evaluate_main
from kalshi_train.config import TrainConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: PPO) -> Path:
    """A store with session 5, a bare model, and one whose training settings lie beside it."""
    place = tmp_path_factory.mktemp("cli")
    open_store(str(place / "sessions")).save(
        generate_session(5, markets=6, minutes=12, seed=4, deltas=1_500)
    )
    (place / "run").mkdir()
    model.save(place / "bare.zip")
    model.save(place / "run" / "trained.zip")
    config = TrainConfig(store=str(place / "sessions"), session=5, eval_fraction=0.4)
    config = config.changed(order_size=3, pricing="join")
    write_json(place / "run" / "config.json", config.to_json())
    return place


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1773875400")


def run(folder: Path, *words: str) -> int:
    return evaluate_main([*words, "--store", str(folder / "sessions")])


def as_json(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert run(folder, *words, "--json", "--report", "None") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def test_twice_the_same_bytes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(folder / "bare.zip"), "--session", "5", "--stress", "--json", "--report", "None")
    texts = []
    for _ in range(2):
        assert run(folder, *words) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert found["provenance"]["made_at"] == "2026-03-18T23:10:00Z"
    assert [p["name"] for p in found["policies"]] == [
        "bare",
        "hold",
        "random",
        "always-buy",
        "join-both-sides",
        "join-and-cancel",
        "skew-inventory",
        "skew-forecast",
        "momentum",
        "imbalance",
    ]
    for policy in found["policies"]:
        assert list(policy["fill_models"]) == ["through", "queue", "touch"]
    conditions = [s["condition"] for s in found["stress"] if s["fill_model"] == "queue"]
    assert conditions == [
        "as configured",
        "latency 50 ms",
        "latency 100 ms",
        "latency 250 ms",
        "latency 500 ms",
        "without fees",
        "size times 5",
        "size times 25",
        "500 ms, fees, size times 25",
    ]
    assert (
        found["stress"][1]["profit_cents"]
        == (found["policies"][0]["fill_models"]["queue"]["total"]["profit_cents"])
    )


def test_tables_parquet_and_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--session", "5", "--parquet", str(tmp_path / "pq"), "--stress")
    page = tmp_path / "out" / "page.html"
    assert run(folder, str(folder / "bare.zip"), *words, "--report", str(page)) == 0
    shown = capsys.readouterr().out
    for text in ("Profit after fees", "bare by market", "bare under stress", "after fees ("):
        assert text in shown
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    tables = {p.stem: pq.read_table(p) for p in (tmp_path / "pq").iterdir()}
    assert set(tables) == {"totals", "episodes", "fills", "equity", "comparisons", "stress"}
    episodes = tables["episodes"].to_pylist()
    fills = tables["fills"].to_pylist()
    equity = tables["equity"].to_pylist()
    for e in episodes:
        key = ("policy", "fill_model", "market_ticker")
        mine = [f for f in fills if all(f[k] == e[k] for k in key)]
        assert len(mine) == e["fills"]
        assert sum(f["contracts"] for f in mine) == e["contracts"]
        assert sum(f["fee_cents"] for f in mine) == e["fees_cents"]
        curve = [q for q in equity if all(q[k] == e[k] for k in key)]
        assert curve[-1]["equity_cents"] - curve[0]["equity_cents"] == e["profit_cents"]


def test_it_says_why_in_terminal_json_and_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(folder / "bare.zip"), "--session", "5", "--baselines", "none")
    asked = (*words, "--stochastic", "1", "--permutations", "2")
    found = as_json(folder, capsys, *asked)
    (told,), (null,) = found["diagnoses"], found["permutations"]
    assert (told["seeds"], len(null["null_profits_cents"])) == (1, 2)
    assert 0 < told["entropy"] < 1.61
    page = tmp_path / "page.html"
    assert run(folder, *asked, "--report", str(page)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert told["sentence"] in shown
    assert "Why bare trades as it does" in shown
    assert "drawn actions" in shown
    assert "with the market features of other events" in shown
    text = page.read_text("utf-8")
    assert told["sentence"] in text
    assert '"diagnoses":[{"policy":"bare","lines":[["most probable action"' in text
    plain = as_json(folder, capsys, *words)
    assert plain["diagnoses"][0]["drawn_profit_cents"] is None
    assert plain["permutations"] == []


def test_settings_are_those_of_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = str(folder / "run" / "trained.zip")
    found = as_json(folder, capsys, trained, "--session", "5", "--baselines", "none")
    assert (found["config"]["order_size"], found["config"]["pricing"]) == (3, "join")
    changed = ("--session", "5", "--order-size", "4", "--fill-model", "touch")
    found = as_json(folder, capsys, trained, *changed)
    assert (found["config"]["order_size"], found["config"]["pricing"]) == (4, "join")
    assert found["fill_models"] == ["through", "touch"]


def test_held_out_markets_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kalshi_train.data.prepare import prepare

    config = TrainConfig.from_file(folder / "run" / "config.json")
    heldout = prepare(config).heldout
    assert heldout is not None
    found = as_json(folder, capsys, str(folder / "run" / "trained.zip"), "--heldout")
    markets = found["policies"][0]["fill_models"]["queue"]["markets"]
    assert [m["market_ticker"] for m in markets] == [v.market_ticker for v in heldout.views]


def test_markets_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = as_json(folder, capsys, "--session", "5", "--baselines", "hold")
    names = [m["market_ticker"] for m in every["policies"][0]["fill_models"]["queue"]["markets"]]
    some = as_json(folder, capsys, "--session", "5", "--markets", f"{names[2]},{names[0]}")
    shown = [m["market_ticker"] for m in some["policies"][0]["fill_models"]["queue"]["markets"]]
    assert shown == [names[0], names[2]]


def test_two_models_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = (str(folder / "bare.zip"), str(folder / "run" / "trained.zip"))
    same = ("--order-size", "3", "--pricing", "join")
    found = as_json(folder, capsys, *both, *same, "--session", "5", "--baselines", "none")
    (pair,) = (c for c in found["comparisons"] if c["fill_model"] == "queue")
    assert pair["difference_cents"] == 0
    assert pair["sentence"] == (
        "bare and trained earned the same in every market (fill model queue)."
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.zip", "--session", "5"], "there is no model at missing.zip"),
        ([], "no session named"),
        (["--session", "77"], "77"),
        (["--session", "5", "--baselines", "winning"], "no such baseline"),
        (["--session", "5", "--markets", "NONE"], "no market to play named NONE"),
        (["--session", "5", "--order-size", "0"], "order_size=0"),
        (["--session", "5", "--fill-model", "best"], "fill-model"),
        (["--session", "5", "--confidence", "2"], "confidence=2.0"),
        (["--session", "5", "--seed", "-1"], "seed=-1"),
        (["--session", "5", "--resamples", "1"], "resamples=1"),
        (["--session", "5", "--heldout"], "--heldout"),
        (["--session", "5", "--baselines", "none"], "nothing to evaluate"),
        (["--session", "5", "--sessions", "5"], "not both"),
    ],
)
def test_mistakes_are_told_in_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(folder, *words, "--report", "None") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("kalshi-evaluate: ")
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_a_file_that_is_no_model_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.zip").write_bytes(b"not a zip")
    assert run(folder, str(tmp_path / "broken.zip"), "--session", "5") == 2
    assert "broken.zip" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    page = str(tmp_path / "file" / "page.html")
    assert run(folder, "--session", "5", "--report", page) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "cannot write into the folder" in shown.err
