"""What the tests of the page share: the page opened in a browser, and what a row of it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page
from stable_baselines3 import PPO

from kalshi_sim import Tape
from kalshi_train.evaluation import Evaluation
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import policy_from_model

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def opened(browser: Browser, file: Path, **settings: Any) -> tuple[Page, list[str]]:
    """The page, ready, and what it complains about or asks the network for."""
    context = browser.new_context(**settings)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on(
        "request",
        lambda r: (
            None if r.url.startswith(("file:", "data:", "blob:")) else complaints.append(r.url)
        ),
    )
    page.goto(file.as_uri())
    page.evaluate("kalshiReport.ready")
    return page, complaints


def ladder(page: Page) -> dict[str, list[list[int]]]:
    """Prices of YES and sizes shown, from top to bottom, without own orders' empty levels."""
    rows = page.eval_on_selector_all(
        "#ladder tr[data-price]",
        "rows => rows.map(r => [r.className, Number(r.dataset.price), Number(r.dataset.size)])",
    )
    return {
        kind: [[price, size] for c, price, size in rows if c == kind and size]
        for kind in ("bid", "ask")
    }


def book(tape: Tape, view: int, row: int) -> dict[str, list[list[int]]]:
    at = tape.views[view].start + row
    sides = [
        [[int(p), int(q)] for p, q in zip(tape.px[at, s], tape.qty[at, s], strict=True) if q]
        for s in (0, 1)
    ]
    return {"bid": sides[0], "ask": [[tape.payout - p, q] for p, q in reversed(sides[1])]}


def choose(page: Page, policy: int, view: int) -> None:
    page.select_option("#replay-policy", str(policy))
    page.select_option("#replay-market", str(view))
    page.wait_for_function(f"kalshiReport.shown() === '{policy}-{view}'")


def details(evaluation: Evaluation, model: PPO, view: int) -> Played:
    def keep(played: Played) -> Played:
        return played

    policy = policy_from_model(model, "agent")
    config = evaluation.config
    return play_all(evaluation.tape, config, policy, keep, views=[view], detail=True)[0]
