"""The page of a run of trading in a real browser, while the run grows and after it."""

from __future__ import annotations

import itertools
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.trade import main
from kalshi_train.evaluation.policies import BASELINES
from kalshi_train.report.trading.page import PAGE_NAME, write_page
from kalshi_train.report.trading.process import PageProcess
from kalshi_train.report.trading.so_far import RunSoFar
from kalshi_train.trading.gap_table import COLUMNS, rows_of
from kalshi_train.trading.log import read_log
from kalshi_train.trading.trader import Trader
from tests.report.browsing import ladder, opened
from tests.support.paper import recording_of, trading

SESSION = generate_session(1, markets=2, minutes=90.0, seed=5)
TICKERS = [market.ticker for market in SESSION.markets]
POLICY = replace(BASELINES["random"], name="random </script><b>")
CONFIG = SimConfig(actions="maker")


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_of(SESSION, tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def finished(segments: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    for _ in trading(segments, TICKERS, POLICY, folder, config=CONFIG, replay=False):
        pass
    return folder


def wait(page: Page, condition: str) -> None:
    """Until something holds; Playwright's own way needs the `eval` that the page forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


class Growing:
    """A run that goes on when it is told to, and its page in a browser."""

    def __init__(self, steps: Iterator[Trader], page: Page, complaints: list[str]) -> None:
        self.steps = steps
        self.page = page
        self.complaints = complaints

    def go_on(self, lines: int | None) -> Trader:
        return list(itertools.islice(self.steps, lines))[-1]

    def wait(self, condition: str) -> None:
        wait(self.page, condition)


@pytest.fixture
def growing(browser: Browser, segments: Path, tmp_path: Path) -> Iterator[Growing]:
    steps = trading(segments, TICKERS, POLICY, tmp_path / "run", config=CONFIG, replay=False)
    with PageProcess(tmp_path / "run", 0) as process:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on(
            "request",
            lambda r: None if r.url.startswith(process.address) else complaints.append(r.url),
        )
        page.goto(process.address)
        page.evaluate("kalshiReport.ready")
        yield Growing(steps, page, complaints)
        context.close()
    assert not process.failed


def figures(page: Page) -> dict[tuple[str, str], str]:
    cells = page.eval_on_selector_all(
        "#markets td[data-figure]", "cells => cells.map(c => ({...c.dataset}))"
    )
    return {(c["market"], c["figure"]): c["value"] for c in cells}


def expected(run: RunSoFar) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for market in run.figures()["markets"]:
        for model, values in market["models"].items():
            found[market["market"], f"profit {model}"] = values["profit_cents"]
            found[market["market"], f"fills {model}"] = values["fills"]
        found[market["market"], "position"] = market["models"]["queue"]["position"]
        found[market["market"], "rows"] = market["rows"]
        found[market["market"], "orders"] = market["orders"]
    return found


def test_it_grows_without_being_loaded_again(growing: Growing) -> None:
    page = growing.page
    assert "not begun" in str(page.text_content("#live"))
    page.evaluate("window.stayed = true")
    early = growing.go_on(80)
    growing.wait(f"kalshiReport.run().decisions === {early.decisions}")
    growing.wait("kalshiReport.episode()")
    page.select_option("#replay-market", "1")  # the busier one
    growing.wait("kalshiReport.shown() === '0-1'")
    first = figures(page)
    rows = int(page.evaluate("kalshiReport.episode().rows"))
    curve = page.get_attribute("#equity path", "d")
    page.evaluate(f"kalshiReport.moveTo({rows - 1})")
    late = growing.go_on(80)
    growing.wait(f"kalshiReport.run().decisions === {late.decisions}")
    growing.wait(f"kalshiReport.episode().rows > {rows}")
    assert page.evaluate("window.stayed")
    assert figures(page) != first
    assert page.get_attribute("#equity path", "d") != curve
    assert page.evaluate("kalshiReport.episode().row === kalshiReport.episode().rows - 1")
    page.evaluate("kalshiReport.moveTo(3)")
    last = growing.go_on(None)
    growing.wait(f"kalshiReport.run().decisions === {last.decisions}")
    growing.wait("kalshiReport.episode().rows === kalshiReport.run().markets[1].rows")
    assert page.evaluate("kalshiReport.episode().row") == 3
    growing.wait("kalshiReport.run().state === 'ended'")
    assert "It has ended: the run ends" in str(page.text_content("#live"))
    assert growing.complaints == []


def test_it_shows_what_the_log_says(browser: Browser, finished: Path) -> None:
    assert main(["--report", str(finished)]) == 0
    shown, complaints = opened(browser, finished / PAGE_NAME)
    run = RunSoFar.of_finished(finished)
    found = figures(shown)
    wanted = expected(run)
    assert {key: float(found[key]) for key in wanted} == wanted
    lines = list(read_log(finished))
    assert sum(v for (_, figure), v in wanted.items() if figure == "rows") == sum(
        line["t"] == "row" for line in lines
    )
    profit = shown.text_content("#equity-names [data-model=queue]")
    assert profit is not None
    total = run.figures()["profit_cents"]["queue"] / 100
    assert f"{abs(total):.2f}" in profit
    names = shown.eval_on_selector_all("#equity-names span", "all => all.map(s => s.dataset.model)")
    assert names == ["through", "queue", "touch"]
    assert shown.locator("#recent tbody tr").count() > 10
    assert complaints == []
    shown.context.close()


def test_the_replay_is_the_recording(browser: Browser, finished: Path) -> None:
    """Books, orders and money of the page are those of the import and of the log."""
    from kalshi_sim.tape_build import build_tape

    assert main(["--report", str(finished)]) == 0
    tape = build_tape(import_captures(segments_in(finished / "segments"), session_id=1))
    shown, complaints = opened(browser, finished / PAGE_NAME)
    lines = [line for line in read_log(finished) if line["t"] == "row"]
    by_time = {int(ms): i for i, ms in enumerate(tape.ts_ms[tape.views[0].rows])}
    ticker = tape.views[0].market_ticker
    own = [line for line in lines if line["m"] == ticker]
    shown.select_option("#replay-market", label=ticker)
    wait(shown, f"kalshiReport.episode().rows === {len(own)}")
    compared = 0
    for line in own[:: max(1, len(own) // 12)]:
        if line["ts"] not in by_time:
            continue  # a row that was closed before its last frame came
        at = tape.views[0].start + by_time[line["ts"]]
        shown.locator("#slider").fill(str(line["r"]))
        sides = [
            [[int(p), int(q)] for p, q in zip(tape.px[at, s], tape.qty[at, s], strict=True) if q]
            for s in (0, 1)
        ]
        asks = [[tape.payout - p, q] for p, q in reversed(sides[1])]
        book = ladder(shown)
        assert book == {"bid": sides[0], "ask": asks}
        held = line["s"][1][1]
        state = shown.text_content("#state dd[data-name=position]")
        assert state == f"{abs(held)}{' YES' if held > 0 else ' NO' if held else ''}"
        compared += 1
    assert compared > 5
    assert complaints == []
    shown.context.close()


def test_a_phone_is_wide_enough_and_names_are_no_markup(browser: Browser, finished: Path) -> None:
    assert main(["--report", str(finished)]) == 0
    shown, complaints = opened(
        browser, finished / PAGE_NAME, viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.locator("h1 b").count() == 0
    assert shown.text_content("h1") == "random </script><b> trading"
    refused = shown.evaluate(
        """() => new Promise(done => {
          document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
        })"""
    )
    assert (refused, shown.evaluate("window.injected")) == ("script-src-elem", None)
    assert all("Content Security Policy" in complaint for complaint in complaints)
    shown.context.close()


def test_the_same_run_gives_the_same_page(finished: Path) -> None:
    assert main(["--report", str(finished)]) == 0
    first = (finished / PAGE_NAME).read_bytes()
    assert main(["--report", str(finished)]) == 0
    assert (finished / PAGE_NAME).read_bytes() == first


def test_a_run_that_was_read_as_it_grew_is_the_run(finished: Path, tmp_path: Path) -> None:
    """A file that is cut anywhere, read on from there, and no rows at all."""
    run = RunSoFar(tmp_path)
    log, rows = ((finished / name).read_bytes() for name in ("decisions.jsonl", "rows.zz"))
    for part in range(8):
        (tmp_path / "decisions.jsonl").write_bytes(log[: len(log) * (part + 1) // 8])
        (tmp_path / "rows.zz").write_bytes(rows[: len(rows) * part // 7])
        run.read()
    whole = RunSoFar.of_finished(finished)
    assert run.figures() == whole.figures()
    assert run.blocks(1, 0) == whole.blocks(1, 0)
    (tmp_path / "rows.zz").unlink()
    assert RunSoFar.of_finished(tmp_path).figures()["replay"]["views"] == []


def test_a_run_that_was_killed_and_resumed_is_one(finished: Path, tmp_path: Path) -> None:
    """The second leg has a file of its own; of the first the last rows were not written."""
    log, rows = ((finished / name).read_bytes() for name in ("decisions.jsonl", "rows.zz"))
    first = log[: log.index(b'{"t":"left"')]
    (tmp_path / "rows.zz").write_bytes(rows[: len(rows) // 2])
    run = RunSoFar(tmp_path)
    for part in (first, log.replace(b'{"t":"start"', b'{"t":"start","leg":1', 1)):
        with (tmp_path / "decisions.jsonl").open("ab") as file:
            file.write(part)
        if part is not first:
            (tmp_path / "leg-1-rows.zz").write_bytes(rows)
        run.read()
    whole = RunSoFar.of_finished(finished)
    once, both = (r.figures()["markets"][1] for r in (whole, run))
    assert both["rows"] == 2 * once["rows"]
    assert once["rows"] < both["replayed"] < 2 * once["rows"]
    begin = both["replayed"] - once["rows"]
    assert run.blocks(1, begin) is not None
    again, alone = (r.blocks(1, at) for r, at in ((run, begin), (whole, 0)))
    assert again is not None
    assert alone is not None
    assert again["book"] == alone["book"]
    assert both["models"] == once["models"]
    assert run.figures()["state"] == "ended"


def answer(url: str, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
            return response.status, response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def test_it_is_served_to_this_machine_alone(tmp_path: Path) -> None:
    tmp_path.joinpath("run").mkdir()
    with PageProcess(tmp_path / "run", 0) as process:
        status, headers = answer(process.address)
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert answer(process.address, Host="attacker.example")[0] == 403
        assert answer(process.address + "rows?market=x")[0] == 400
        assert process.address.startswith("http://127.0.0.1:")
        port = int(process.address.split(":")[-1].strip("/"))
        with pytest.raises(ConfigError, match=f"--page {port}: .* choose another port"):
            PageProcess(tmp_path, port)
    assert not process.failed


def test_a_log_that_is_none_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--report", str(tmp_path)]) == 2
    assert "name the folder of a run of kalshi-trade" in capsys.readouterr().err


def test_the_gap_to_the_exchange_is_shown(browser: Browser, finished: Path, tmp_path: Path) -> None:
    model = {"contracts": 12.0, "recall": 0.5, "precision": None, "delay_ms_median": 3.0}
    model |= {"early": 1.0, "more": 2.0, "missed": 4.0, "missed_own_impact": 1.0}
    model |= {"profit_cents": -150.0, "places": 2, "place_error_mean_abs": 1.0}
    gap: dict[str, Any] = {
        "orders": 5,
        "markets": 1,
        "not_compared": 1,
        "after_a_gap": 0.0,
        "taken": 3.0,
    }
    gap |= {"own_impact": 2.0, "contracts": 20.0, "profit_cents": 75.0, "models": {"queue": model}}
    run = RunSoFar.of_finished(finished)
    write_page(run, tmp_path / "with.html", gap)
    write_page(run, tmp_path / "without.html")
    page, complaints = opened(browser, tmp_path / "with.html")
    cells = page.eval_on_selector_all(
        "#gap tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    assert cells == [list(COLUMNS), *rows_of(gap)]
    assert "3 contracts taken, 2 met" in page.inner_text("#gap-notes")
    without, more = opened(browser, tmp_path / "without.html")
    assert without.locator("#exchange-gap").is_hidden()
    assert complaints + more == []
    page.context.close()
    without.context.close()
