"""Recorded text steers no terminal, no page, and shares no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalshi_sim.cli import main
from kalshi_sim.cli.console import print_json
from kalshi_train.cli.train import evaluate_main
from kalshi_train.report.drawing import distinct_labels, ticker_label
from kalshi_train.report.html import shown

TICKERS = [
    "\x1b]0;PWNED\x07\x1b[2J\x1b[31mRED",
    "\u202eRTL",
    "[bold red]markup[/]",
    "<script>alert(1)</script>",
    '<a href="javascript:alert(1)">x</a>',
    "N\nL",
    "\x9b31m",
    "A/B",
    "A_B",
    "CON",
    "nul.txt",
    "..",
    "L" * 3000,
    "=HYPERLINK(1)",
]


def capture(path: Path) -> Path:
    """A capture of markets with hostile tickers."""
    frames = []
    for seq, ticker in enumerate(TICKERS):
        message = {"market_ticker": ticker, "yes": [[40, 100], [39, 50]], "no": [[55, 100]]}
        frames.append({"type": "orderbook_snapshot", "sid": 1, "seq": seq + 1, "msg": message})
    for k in range(20):
        for i, ticker in enumerate(TICKERS):
            change = {"market_ticker": ticker, "price": 40, "delta": 5, "side": "yes"}
            change["ts"] = f"2025-11-14T22:10:{10 + k}Z"
            seq = len(TICKERS) * (k + 1) + i + 1
            frames.append({"type": "orderbook_delta", "sid": 1, "seq": seq, "msg": change})
    path.write_text("\n".join(map(json.dumps, frames)))
    return path


def test_no_output_steers_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "S")
    source = str(capture(tmp_path / "c.jsonl"))
    assert main(["import", source, "--store", store, "--session", "1"]) == 0
    commands = [
        ["list", "--store", store],
        ["analyze", "1", "--store", store],
        ["analyze", "1", "--store", store, "--json"],
        ["export", "1", "--store", store, "--out", str(tmp_path / "out")],
    ]
    for command in commands:
        assert main(command) == 0
    page = tmp_path / "page.html"
    arguments = ["--store", store, "--session", "1", "--baselines", "hold,always-buy"]
    assert evaluate_main([*arguments, "--report", str(page)]) == 0
    assert evaluate_main([*arguments, "--markets", "\x1b[2J"]) == 2
    out, err = capfd.readouterr()
    for character in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert character not in out + err
        assert character not in page.read_text("utf-8")
    assert "[bold red]markup[/]" in out
    assert "<script>alert(1)" not in page.read_text("utf-8")
    names = [p.name for p in (tmp_path / "out").glob("*.gz")]
    assert len(names) == len(TICKERS)
    assert all(name.isascii() and name.isprintable() for name in names)


def test_json_keeps_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"tickers": [*TICKERS, "東京 é", "\x7f"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"tickers": [*TICKERS, "東京 é", "\x7f"]}
    assert "東京 é" in out
    assert not any(c in out for c in "\x1b\x9b\u202e\x7f")


def test_labels_of_charts_are_plain_text() -> None:
    assert ticker_label("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;"
    assert distinct_labels(["a\x1b", "a\x1b"]) == ["a\\x1b", "a\\x1b (2)"]
    assert shown({"a": ["\u202e", {"b": "\x1b"}], "n": 1}) == {
        "a": ["\\u202e", {"b": "\\x1b"}],
        "n": 1,
    }
