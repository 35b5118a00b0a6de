"""All markets of a real evening, in the time promised, and its page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from stable_baselines3 import PPO

from kalshi_sim import Tape, build_tape
from kalshi_train.evaluation import Evaluation, evaluate
from kalshi_train.report import write_report
from tests.report.browsing import FLAGS, book, choose, ladder, opened
from tests.support.recorded import Recorded

PROMISED_S = 120


@pytest.fixture(scope="module")
def nba(recorded: Recorded) -> Tape:
    return build_tape([recorded.session("nba")])


@pytest.fixture(scope="module")
def evaluated(nba: Tape, model: PPO) -> Evaluation:
    start = time.monotonic()
    found = evaluate({"agent": model}, nba, baselines="all")
    assert time.monotonic() - start < PROMISED_S
    return found


def test_every_policy_plays_every_market(evaluated: Evaluation, nba: Tape) -> None:
    assert len(nba.views) == 18
    assert len(evaluated.runs) == 10 * 3
    for run in evaluated.runs:
        assert run.total.markets == 18
        assert run.total.events == 9
        assert run.total.profit_per_market_low_cents is not None
    hold = evaluated.run("hold").total
    assert (hold.profit_cents, hold.fills) == (0, 0)


def test_the_bounds_order_what_a_quoter_gets(evaluated: Evaluation) -> None:
    fills = [
        evaluated.run("join-both-sides", m).total.contracts for m in ("through", "queue", "touch")
    ]
    assert fills == sorted(fills)
    assert fills[0] < fills[2]


def test_the_page_of_a_whole_evening(
    evaluated: Evaluation, nba: Tape, chromium: str, tmp_path: Path
) -> None:
    write_report(evaluated, tmp_path / "nba.html")
    longest = max(range(18), key=lambda i: len(nba.views[i]))
    assert len(nba.views[longest]) > 100_000
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page, complaints = opened(browser, tmp_path / "nba.html")
        choose(page, 0, longest)
        for row in (0, 77_777, len(nba.views[longest]) - 1):
            # The agent may have lost everything before the market's end.
            last = page.evaluate("kalshiReport.episode().rows - 1")
            page.locator("#slider").fill(str(min(row, last)))
            assert ladder(page) == book(nba, longest, min(row, last))
        assert complaints == []
        browser.close()
