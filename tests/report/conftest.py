"""The page is tested on the evaluation's session and agent, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from stable_baselines3 import PPO

from kalshi_sim import SimConfig, Tape
from kalshi_train.evaluation import Evaluation, evaluate
from kalshi_train.report import write_report
from tests.evaluation.conftest import model, tape
from tests.report.browsing import FLAGS, opened

__all__ = ["model", "tape"]


@pytest.fixture(scope="session")
def evaluation(tape: Tape, model: PPO) -> Evaluation:
    policies = {"agent <b>": model, "other": model}
    config = SimConfig(pricing="join")
    return evaluate(policies, tape, config, baselines=["hold", "random"], stress=True)


@pytest.fixture(scope="session")
def page_file(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "evaluation.html"
    write_report(evaluation, path)
    return path


@pytest.fixture(scope="module")  # while Playwright is on, asyncio cannot run in this thread
def browser(chromium: str) -> Iterator[Browser]:
    # Playwright starts the browser with a fresh folder for its user's data.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(browser: Browser, page_file: Path) -> Iterator[Page]:
    shown, complaints = opened(browser, page_file, viewport={"width": 1280, "height": 900})
    yield shown
    assert complaints == []
    shown.context.close()
