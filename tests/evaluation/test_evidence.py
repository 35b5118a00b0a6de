"""Evaluation says where the books it played on were not recorded: rebuilt, or polled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalshi_sim import build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.store import open_store
from kalshi_train.cli.evaluate import main
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.show import verdict
from tests.support.wire import MARKET, T0, delta, write


def polls(folder: Path) -> Path:
    return write(
        folder / "polls.jsonl",
        *(
            {
                "ts_ms": T0 + i,
                "ticker": MARKET,
                "orderbook": {"yes": [[40, 9 + i]], "no": [[50, 9]]},
            }
            for i in range(20)
        ),
    )


def deltas(folder: Path) -> Path:
    both = (("yes", "0.4000", "-1.00"), ("no", "0.5000", "-1.00"))
    return write(folder / "deltas.jsonl", *(delta(i, i, *both[i % 2]) for i in range(20)))


@pytest.mark.parametrize(
    ("recording", "source", "said"),
    [
        (polls, "polls", "session 5 is made of polls"),
        (deltas, "capture, rebuilt start", "began without a recorded snapshot"),
    ],
)
def test_every_output_says_that_it_is_no_evidence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recording: object,
    source: str,
    said: str,
) -> None:
    assert callable(recording)
    session = import_captures([recording(tmp_path)], session_id=5, missing_snapshot="smallest")
    folder = str(tmp_path / "sessions")
    open_store(folder).save(session)
    assert session.source == source
    common = ["--session", "5", "--store", folder, "--baselines", "hold", "--resamples", "100"]
    page = tmp_path / "page.html"
    assert main([*common, "--report", str(page)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "no evidence: session 5" in out
    assert said in out
    assert said in page.read_text()
    assert main([*common, "--report", "None", "--json"]) == 0
    (caveat,) = json.loads(capsys.readouterr().out)["caveats"]
    assert said in caveat
    tape = build_tape([session])
    made = evaluate({"mine": "hold"}, tape, caveats=[caveat], resamples=100)
    assert verdict(made, made.policies[0].name).endswith(f"No evidence: {caveat}")


def test_recorded_books_have_no_caveat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {
            "recv_ts_ms": T0,
            "type": "orderbook_snapshot",
            "msg": {"market_ticker": MARKET, "yes": [[40, 90]], "no": [[50, 90]]},
        },
        *[delta(None, i, sid=None) for i in range(20)],
    ]
    session = import_captures([write(tmp_path / "c.jsonl", *lines)], session_id=5)
    folder = str(tmp_path / "sessions")
    open_store(folder).save(session)
    common = ["--session", "5", "--store", folder, "--baselines", "hold", "--resamples", "100"]
    assert main([*common, "--report", "None", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["caveats"] == []
