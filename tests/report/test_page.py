"""The report in a real browser: no error, figures as in the JSON, and a replay that moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from stable_baselines3 import PPO

from kalshi_sim import SimConfig, Tape
from kalshi_train.evaluation import Evaluation, evaluate
from kalshi_train.evaluation.explain import lines
from kalshi_train.report import write_report
from kalshi_train.report.replay import standing_out
from tests.report.browsing import book, choose, details, ladder, opened

# Pairs of texts of a chart (axis labels, title, legend) that lie on each other, by their text.
OVERLAPS = """[...document.querySelectorAll(".chart")].flatMap(chart => {
  const texts = [...chart.querySelectorAll("figcaption, .xtick text, .xtitle, .names button")]
    .map(t => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([name, a], i) => texts.slice(i + 1).filter(([, b]) => a.width && b.width &&
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1).map(([other]) => [name, other]));
})"""
# Charts beside which at least 300 px of their row are empty.
EMPTY = """(() => {
  const right = document.getElementById("chart-grid").getBoundingClientRect().right;
  const boxes = [...document.querySelectorAll(".chart")].map(c => c.getBoundingClientRect());
  return boxes.filter(a => right - Math.max(...boxes.filter(b => b.top === a.top).map(b => b.right))
    >= 300).map(a => a.top);
})()"""


def lookup(figures: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        figures = figures[name]
    return figures


def same(shown: str, value: Any) -> bool:
    return shown == "null" if value is None else float(shown) == float(value)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)], ids=["desk", "phone"])
def test_it_opens_without_a_complaint(
    browser: Browser, page_file: Path, scheme: str, width: int, height: int
) -> None:
    shown, complaints = opened(
        browser, page_file, viewport={"width": width, "height": height}, color_scheme=scheme
    )
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(c) for c in background[4:-1].split(",")) < 3 * 128
    assert dark == (scheme == "dark")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.locator(".chart .main-svg").count() > 0
    assert shown.evaluate(OVERLAPS) == []
    assert shown.evaluate(EMPTY) == []
    assert complaints == []
    shown.context.close()


def test_figures_are_those_of_the_json(page: Page, evaluation: Evaluation) -> None:
    policies = {p["name"]: p["fill_models"] for p in evaluation.to_json()["policies"]}
    cells = page.eval_on_selector_all(
        "#totals td[data-figure], #trading td[data-figure]",
        "cells => cells.map(c => ({...c.dataset, text: c.textContent}))",
    )
    assert len(cells) == len(policies) * 3 * (12 + 12)
    for cell in cells:
        value = lookup(policies[cell["policy"]][cell["fills"]]["total"], cell["figure"])
        assert same(cell["value"], value), cell
    shown = {(c["policy"], c["fills"], c["figure"]): c["text"] for c in cells}
    for (name, fills, path), text in shown.items():
        value = lookup(policies[name][fills]["total"], path)
        number = text.replace("−", "-").replace("–", "").strip("$+ ¢%").replace(",", "")
        number = number.replace("-$", "-").replace("+$", "")
        if value is None:
            assert number == ""
        elif path.endswith("_cents") and "¢" not in text:
            assert float(number) == pytest.approx(value / 100, abs=0.006)
        elif "%" in text:
            assert float(number) == pytest.approx(100 * value, abs=0.06)
        else:
            assert float(number) == pytest.approx(value, abs=0.06)


def test_why_it_trades_is_said(page: Page, evaluation: Evaluation) -> None:
    expected = [
        [f"{d.policy}: {label}", text] for d in evaluation.diagnoses for label, text in lines(d)
    ]
    shown = [
        page.eval_on_selector_all(f"#why {kind}", "all => all.map(e => e.textContent)")
        for kind in ("dt", "dd")
    ]
    assert [list(pair) for pair in zip(*shown, strict=True)] == expected
    assert not page.locator("#why").is_hidden()
    said = page.eval_on_selector_all("#verdicts li", "all => all.map(e => e.textContent)")
    assert all(d.sentence in said for d in evaluation.diagnoses)


def test_markets_are_those_of_the_json(page: Page, evaluation: Evaluation) -> None:
    page.select_option("#market-policy", "random")
    page.select_option("#market-fills", "touch")
    markets = {
        e.figures.market_ticker: e.figures.to_json()
        for e in evaluation.run("random", "touch").episodes
    }
    cells = page.eval_on_selector_all(
        "#markets td[data-figure]", "cells => cells.map(c => ({...c.dataset}))"
    )
    assert {c["market"] for c in cells} == set(markets)
    for cell in cells:
        assert same(cell["value"], lookup(markets[cell["market"]], cell["figure"])), cell


def test_markets_sort_by_a_column(page: Page, evaluation: Evaluation) -> None:
    page.select_option("#market-policy", "random")
    page.select_option("#market-fills", "queue")
    fees = sorted(e.figures.fees_cents for e in evaluation.run("random").episodes)
    for expected in (fees[::-1], fees):
        page.click("#markets thead th:has-text('fees')")
        cells = page.locator("#markets td[data-figure='fees_cents']")
        shown = cells.evaluate_all("cells => cells.map(c => Number(c.dataset.value))")
        assert shown == expected


def test_stress_is_that_of_the_json(page: Page, evaluation: Evaluation) -> None:
    expected = {
        (s.policy, s.condition, s.fill_model): s.profit_per_market_cents for s in evaluation.stress
    }
    cells = page.eval_on_selector_all(
        "#stress-table td[data-condition]", "cells => cells.map(c => ({...c.dataset}))"
    )
    assert len(cells) == len(expected)
    for cell in cells:
        assert same(cell["value"], expected[cell["policy"], cell["condition"], cell["fills"]])


def test_the_slider_moves_the_book(page: Page, tape: Tape) -> None:
    for view in (0, len(tape.views) - 1):
        choose(page, 0, view)
        last = len(tape.views[view]) - 1
        for row in (0, 1, last // 2, last):
            page.locator("#slider").fill(str(row))
            assert ladder(page) == book(tape, view, row)
            assert page.locator("#row-number").text_content() == f"row {row + 1} of {last + 1}"


def test_keys_scrub(page: Page, tape: Tape) -> None:
    choose(page, 0, 0)
    page.locator("#slider").fill("5")
    page.locator("#slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("kalshiReport.episode().row") == 6
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("kalshiReport.episode().row") == 106
    page.keyboard.press("ArrowLeft")
    assert ladder(page) == book(tape, 0, 105)
    page.keyboard.press("Home")
    assert page.evaluate("kalshiReport.episode().row") == 0


def test_replay_shows_what_the_agent_held_and_said(
    page: Page, evaluation: Evaluation, model: PPO
) -> None:
    from kalshi_sim.features import FEATURES
    from kalshi_train.evaluation import kernels

    choose(page, 0, 1)
    played = details(evaluation, model, 1)
    assert len(played.fills) > 0
    top, _ = standing_out(played.observations)
    names = ["hold", "buy YES", "sell YES", "buy NO", "sell NO"]
    rows = {0, len(played.equity2) - 2, *np.unique(played.fills[:3, 0]).tolist()}
    rows |= set(np.flatnonzero(played.position)[:3].tolist())
    for row in sorted(rows):
        page.locator("#slider").fill(str(row))
        state = page.eval_on_selector_all(
            "#state dd", "all => Object.fromEntries(all.map(d => [d.dataset.name, d.textContent]))"
        )
        assert state["action"] == names[played.actions[row]]
        held = int(played.position[row])
        assert state["position"] == f"{abs(held)}{' YES' if held > 0 else ' NO' if held else ''}"
        cash = int(played.detail[row, kernels.D_CASH])
        assert state["cash"] == f"${cash / 100:,.2f}"
        chosen = page.locator("#policy-says .chosen span").first.text_content()
        assert chosen == names[played.actions[row]]
        shown = page.eval_on_selector_all(
            "#standing-out div span:first-child", "all => all.map(s => s.textContent)"
        )
        assert shown == [FEATURES[k].name for k in top[row]]


def test_fills_can_be_walked_through(page: Page, evaluation: Evaluation, model: PPO) -> None:
    choose(page, 0, 1)
    rows = np.unique(details(evaluation, model, 1).fills[:, 0]).tolist()
    page.locator("#slider").fill("0")
    wanted = [r for r in rows if r > 0][:3]
    found = []
    for _ in wanted:
        page.click("#next-fill")
        found.append(page.evaluate("kalshiReport.episode().row"))
    assert found == wanted


def test_the_timeline_draws_and_zooms(page: Page) -> None:
    choose(page, 1, 0)

    def drawn() -> str:
        return str(page.evaluate("document.getElementById('timeline').toDataURL()"))

    whole = drawn()
    assert len(set(whole)) > 10
    page.locator("#slider").fill("50")
    assert drawn() == whole, "only the cursor moves"
    page.click("#zoom-in")
    page.click("#zoom-in")
    assert drawn() != whole
    page.click("#zoom-all")
    assert drawn() == whole


def test_it_plays(page: Page) -> None:
    choose(page, 0, 0)
    page.locator("#slider").fill("0")
    page.click("#play")
    page.wait_for_function("kalshiReport.episode().row > 5")
    page.click("#play")


def test_a_name_cannot_become_markup(page: Page) -> None:
    assert page.locator("#totals b").count() == 0
    assert "agent <b>" in str(page.locator("#totals").text_content())
    assert page.locator("#summary b, #forest b, .names b, .chart svg [style*='bold']").count() == 0
    names = page.locator("#chart-equity .names button").all_text_contents()
    assert names[:2] == ["agent <b>", "other"]


def test_pages_of_equal_evaluations_are_equal(
    tape: Tape, page_file: Path, tmp_path: Path, model: PPO
) -> None:
    again = evaluate(
        {"agent <b>": model, "other": model},
        tape,
        SimConfig(pricing="join"),
        baselines=["hold", "random"],
        stress=True,
    )
    write_report(again, str(tmp_path / "again.html"))
    same = (tmp_path / "again.html").read_bytes() == page_file.read_bytes()
    assert same  # the difference of two pages would take minutes to print


def test_rows_for_replay_can_be_limited(browser: Browser, tape: Tape, tmp_path: Path) -> None:
    evaluation = evaluate("random", tape)
    shortest = min(len(v) for v in tape.views)
    for rows, count in ((0, 0), (shortest, 1)):
        write_report(evaluation, tmp_path / "page.html", replay_rows=rows)
        shown, complaints = opened(browser, tmp_path / "page.html")
        assert shown.locator("#replay-market option").count() == count
        assert shown.locator("#replay-empty").is_visible() == (count == 0)
        assert complaints == []
        shown.context.close()


def test_baselines_alone_are_drawn(browser: Browser, tape: Tape, tmp_path: Path) -> None:
    """Beside a model they are drawn on demand; on a page of their own at once."""
    file = tmp_path / "baselines.html"
    write_report(
        evaluate({}, tape, baselines=["join-both-sides", "always-buy"], resamples=100), file
    )
    shown, complaints = opened(browser, file)
    assert shown.locator(".chart .names button[aria-pressed=true]").count() > 0
    assert shown.locator(".chart .names button[aria-pressed=false]").count() == 0
    for name in ("equity", "hours", "distribution"):
        shown.locator(f"#chart-{name} .trace").first.wait_for()
    assert complaints == []
    shown.context.close()
