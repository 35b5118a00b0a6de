"""`kalshi-sim calibrate`: known latency, trade share and queue power are found again."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.calibration.own_log import read_own_log
from kalshi_sim.cli.commands import main
from kalshi_sim.ingest.segments import frame_line, segment_name
from kalshi_train.cli.evaluate import main as evaluate_main
from kalshi_train.cli.train import base_config
from support.own_orders import OwnOrders, make_own_orders

DOCS = Path(__file__).parents[2] / "docs" / "calibration.md"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnOrders:
    folder = tmp_path_factory.mktemp("own")
    made = make_own_orders(folder, 3, orders=50, trade_share=0.15, queue_power=2.0, places=False)
    code = main(["import", str(made.capture), "--session", "5", "--store", str(folder / "store")])
    assert code == 0
    return made


def calibrated(own: OwnOrders, out: Path, *more: str) -> int:
    store = own.capture.parent / "store"
    words = ["calibrate", str(own.log), "--session", "5", "--store", str(store), "--out", str(out)]
    return main([*words, *more])


def test_what_is_known_is_found_again_and_read_by_training_and_evaluation(
    own: OwnOrders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "calibration.json"
    capsys.readouterr()
    code = calibrated(own, out)
    shown = capsys.readouterr().out
    assert code == 0
    table = shown[: shown.index("not enough")]
    assert max(map(len, table.splitlines())) <= 80
    found = json.loads(out.read_text())
    estimates = {e["name"]: e for e in found["calibration"]["estimates"]}
    for name, true in (("queue_power", 2.0), ("trade_share", 0.15), ("latency median", 50.0)):
        assert estimates[name]["low"] <= true <= estimates[name]["high"], estimates[name]
    assert own.filled > 30
    assert found["queue_power"] == 2
    assert abs(found["trade_share"] - 0.15) < 0.03
    assert abs(found["latency_ms"] - 50) < 6
    assert estimates["latency p99"]["value"] is None
    assert "not enough timed orders to estimate latency p99 (50 of 299 needed)" in shown
    trained = base_config(["--settings", str(out)]).sim
    assert trained.latency_ms == found["latency_ms"]
    assert trained.trade_share == found["trade_share"]
    assert trained.queue_power == 2
    words = ["--session", "5", "--store", str(own.capture.parent / "store"), "--report", "None"]
    words += ["--baselines", "hold", "--settings", str(out), "--queue-power", "3", "--json"]
    assert evaluate_main(words) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["latency_ms"] == found["latency_ms"]
    assert config["trade_share"] == found["trade_share"]
    assert config["queue_power"] == 3, "a flag goes before the file"


def test_a_run_says_the_same_as_a_file(
    own: OwnOrders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(own, tmp_path / "run")
    assert main(["calibrate", str(run), "--out", str(tmp_path / "a.json"), "--json"]) == 0
    of_run = json.loads(capsys.readouterr().out)
    assert calibrated(own, tmp_path / "b.json", "--json") == 0
    of_file = json.loads(capsys.readouterr().out)
    for name in ("latency_ms", "trade_share", "queue_power"):
        assert of_run[name] == of_file[name]
    assert of_run["calibration"]["estimates"] == of_file["calibration"]["estimates"]


def run_of(own: OwnOrders, folder: Path) -> Path:
    """The folder that `kalshi-trade` would have left of the same orders."""
    (folder / "segments").mkdir(parents=True)
    lines = [
        b'{"kalshi_sim_segment":1,"run":1,"number":1,"began_ns":1,"url":"","use_yes_price":false}\n'
    ]
    ns = 1_789_999_999_000_000_000
    for text in own.capture.read_text().splitlines():
        line = json.loads(text)
        frame = line.get("raw", line)
        ns = line.get("recv_ts_ns", ns)
        lines.append(frame_line(ns, ns, 1, json.dumps(frame, separators=(",", ":")).encode()))
    name = segment_name(1, 1, "20260101T000000Z")
    (folder / "segments" / name).write_bytes(gzip.compress(b"".join(lines)))
    log: list[dict[str, Any]] = [{"t": "start", "orders": "local", "replay": False}]
    with own.log.open() as file:
        rows = list(csv.DictReader(file))
    markets = {row["id"]: row["market"] for row in rows if row["event"] == "order"}
    for row in rows:
        at, who = int(row["time_ms"]), row["id"]
        about = {"m": markets[who], "id": who, "oid": who, "mono": at * 1_000_000}
        if row["event"] == "order":
            decided = int(row["decided_ms"])
            log.append({"t": "row", "m": row["market"], "r": 0, "ts": decided})
            intent = {"t": "order", "r": 0, "side": "bid", "price": "0.4000", "count": "10.00"}
            log.append(intent | about | {"decided": decided * 1_000_000})
            log.append({"t": "answer", "ms": at, "filled": "0.00", "remaining": "10.00"} | about)
        elif row["event"] == "fill":
            size = {"count": f"{row['contracts']}.00", "taker": False, "ms": at}
            log.append({"t": "fill"} | about | size)
        else:
            log.append({"t": "withdraw", "why": "action"} | about)
    text = "".join(json.dumps(line) + "\n" for line in log)
    (folder / "decisions.jsonl").write_text(text + '{"t":"cut off')
    return folder


def test_too_little_is_said_and_no_number_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = make_own_orders(tmp_path, 1, orders=4)
    store = str(tmp_path / "store")
    assert main(["import", str(few.capture), "--session", "1", "--store", store]) == 0
    capsys.readouterr()
    out = tmp_path / "none.json"
    words = ["calibrate", str(few.log), "--session", "1", "--store", store, "--out", str(out)]
    assert main(words) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "not enough timed orders to estimate latency median (4 of 6 needed)" in shown
    assert re.search(r"to estimate queue_power \(\d of 20 needed\)", shown)
    assert re.search(
        r"not enough trades at the best price to estimate trade_share \(\d+ of 30", shown
    )
    assert not out.exists()


ORDER = '{"event":"order","id":"a","time_ms":1,"market":"M","side":"yes","price_cents":40,'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1: it is no JSON"),
        ("[]", "line 1: it is no JSON object"),
        ('{"event":"buy"}', "line 1: event buy: must be one of order, place, fill, end"),
        ('{"event":"fill","id":"a"}', "line 1: order a has no line before this one"),
        (ORDER + '"contracts":"x"}', "line 1: contracts x: must be a number"),
        (ORDER + '"contracts":0.001}', "line 1: contracts 0.001: must be 0 or more"),
        (ORDER.replace("yes", "up") + '"contracts":1}', "line 1: side up: must be yes or no"),
        (ORDER + '"contracts":1,"decided_ms":5}', "it arrives 4 ms before it was decided"),
        (ORDER + '"contracts":1,"sent_ms":5}', "line 1: answered_ms is missing: must be a number"),
        (2 * (ORDER + '"contracts":1}\n'), "line 2: order a is there already"),
    ],
)
def test_a_line_that_is_wrong_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(text)
    assert main(["calibrate", str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_a_run_on_paper_and_a_missing_one_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "name the folder of a run of kalshi-trade" in capsys.readouterr().err
    (tmp_path / "decisions.jsonl").write_text('{"t":"start"}\n')
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "it sent no orders" in capsys.readouterr().err


def test_settings_that_are_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.json"
    for values, said in (
        ({"order_size": 5}, "unknown setting order_size; it may set latency_ms"),
        ({}, "it sets nothing"),
        ({"latency_ms": -1}, "latency_ms"),
    ):
        file.write_text(json.dumps(values))
        assert evaluate_main(["--session", "5", "--settings", str(file)]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_examples_of_the_docs_are_read(tmp_path: Path, suffix: str) -> None:
    fence = {"csv": "csv", "jsonl": "json"}[suffix]
    blocks = re.findall(rf"```{fence}\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    file = tmp_path / f"own.{suffix}"
    file.write_text(blocks[0])
    log = read_own_log(file)
    (order,) = log.orders
    assert (order.market, order.side, order.price, order.size) == ("KXNBA-26-A", 0, 4200, 1000)
    assert order.places == [(1790000005000, 12000)]
    assert order.fills == [(1790000031250, 400)]
    assert order.ended_ms == 1790000060000
    assert log.at_exchange_ms == [63.0]
    assert log.round_trip_ms == [88.5]
