"""What a reader of the page does: compare, search, save, follow links, choose a time zone."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from stable_baselines3 import PPO

from kalshi_sim import Tape
from kalshi_train.evaluation import Evaluation
from tests.report.browsing import book, choose, details, ladder, opened


def test_it_says_when_there_is_no_further_fill(
    page: Page, evaluation: Evaluation, model: PPO
) -> None:
    choose(page, 0, 1)
    rows = np.unique(details(evaluation, model, 1).fills[:, 0]).tolist()
    page.locator("#slider").fill(str(rows[-1]))
    assert page.locator("#next-fill").is_disabled()
    page.locator("#slider").focus()
    page.keyboard.press("n")
    assert page.locator("#said").text_content() == "no further fill"
    assert page.evaluate("kalshiReport.episode().row") == rows[-1]
    page.locator("#slider").fill(str(rows[0]))
    assert page.locator("#said").text_content() == ""
    assert page.locator("#previous-fill").is_disabled()
    page.keyboard.press("p")
    assert page.locator("#said").text_content() == "no earlier fill"


def test_a_link_leads_to_a_row(browser: Browser, page: Page, page_file: Path, tape: Tape) -> None:
    choose(page, 1, 0)
    page.locator("#slider").fill("41")
    page.wait_for_function("location.hash === '#replay=1,0,42'")
    shown, complaints = opened(browser, page_file)
    shown.goto(f"{page_file.as_uri()}#replay=1,2,7")
    shown.wait_for_function("kalshiReport.shown() === '1-2' && kalshiReport.episode().row === 6")
    assert ladder(shown) == book(tape, 2, 6)
    fresh = shown.context.new_page()
    fresh.goto(f"{page_file.as_uri()}#replay=0,1,3")
    fresh.evaluate("kalshiReport.ready")
    assert fresh.evaluate("[kalshiReport.shown(), kalshiReport.episode().row]") == ["0-1", 2]
    for nonsense in ("9,0,1", "0,999", "x", "0,1,99999999"):
        fresh.goto(f"{page_file.as_uri()}#replay={nonsense}")
        fresh.reload()
        fresh.evaluate("kalshiReport.ready")
        assert fresh.evaluate("kalshiReport.episode().row") >= 0
    assert complaints == []
    shown.context.close()


def test_a_market_leads_into_its_replay(page: Page) -> None:
    page.fill("#market-search", "")
    page.select_option("#market-policy", "other")
    page.locator("#markets tbody th a").nth(3).click()
    page.wait_for_function("kalshiReport.shown() === '1-3'")
    page.select_option("#market-policy", "random")
    assert page.locator("#markets tbody th a").count() == 0


def test_one_time_zone_is_chosen_for_all(page: Page, tape: Tape) -> None:
    choose(page, 0, 0)
    page.locator("#slider").fill("4")
    at = int(tape.ts_ms[tape.views[0].start + 4])
    for zone, name in (("America/New_York", "US Eastern"), ("UTC", "UTC")):
        page.select_option("#zone", zone)
        when = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).isoformat(timespec="milliseconds")
        assert page.locator("#clock").text_content() == f"{when[11:23]} {name}"
        captions = page.locator(".chart figcaption").all_text_contents()
        assert sum(f"({name})" in c for c in captions) == 3
        first = page.locator("#chart-equity .xtick text").first.text_content()
        begin = datetime.fromtimestamp(int(tape.ts_ms.min()) / 1000, ZoneInfo(zone))
        assert str(first).startswith(begin.strftime("%H:%M"))


def test_a_policy_has_one_row_with_its_bounds(page: Page, evaluation: Evaluation) -> None:
    rows = page.locator("#summary tbody tr")
    assert rows.count() == len(evaluation.policies)
    for i, policy in enumerate(evaluation.policies):
        row = rows.nth(i)
        profit = {m: evaluation.run(policy.name, m).total for m in evaluation.fill_models}
        shown = row.locator("td[data-figure='profit_per_market_cents']").get_attribute("data-value")
        assert float(str(shown)) == profit["queue"].profit_per_market_cents
        values = [t.profit_per_market_cents for t in profit.values()]
        title = str(row.locator("td.banded").get_attribute("title")).replace("−", "-")
        found = [
            float(v.replace("$", "").replace(",", "")) for v in title.split(": ")[1].split(" to ")
        ]
        assert found == pytest.approx([min(values) / 100, max(values) / 100], abs=0.006)
        place = row.locator(".band .bounds").evaluate(
            "b => [parseFloat(b.style.left), parseFloat(b.style.width)]"
        )
        assert 0 <= place[0] <= place[0] + place[1] <= 100
    assert page.locator("#summary small").all_text_contents() == ["no evidence"] * 2
    good = page.locator("#summary td.good, #forest td.good, #forest .up")
    assert good.count() == 0, "generated markets prove nothing"


def test_comparisons_are_those_of_the_json(page: Page, evaluation: Evaluation) -> None:
    expected = [
        [c.first, c.second, float(c.difference_cents)]
        for c in evaluation.comparisons
        if c.fill_model == "queue"
    ]
    cells = page.eval_on_selector_all(
        "#forest td[data-first]",
        "all => all.map(c => [c.dataset.first, c.dataset.second, Number(c.dataset.value)])",
    )
    assert cells == expected
    assert page.locator("#sentences li").count() == len(expected)


def test_the_page_says_what_it_rests_on(page: Page, evaluation: Evaluation) -> None:
    shown = page.eval_on_selector_all("#rests > *", "all => all.map(e => e.textContent)")
    lines = evaluation.provenance.lines()
    assert shown == [text for line in lines for text in line]


def test_markets_are_searched_and_saved(page: Page, evaluation: Evaluation) -> None:
    page.select_option("#market-policy", "random")
    page.select_option("#market-fills", "queue")
    episodes = evaluation.run("random").episodes
    ticker = episodes[2].view.market_ticker
    page.fill("#market-search", ticker.lower())
    assert page.locator("#markets tbody tr").count() == 1
    assert page.locator("#market-count").text_content() == f"1 of {len(episodes)} markets"
    with page.expect_download() as found:
        page.click("#market-csv")
    text = Path(found.value.path()).read_text("utf-8-sig")
    (row,) = csv.DictReader(text.splitlines())
    assert row["market_ticker"] == ticker
    assert float(row["profit_cents"]) == episodes[2].figures.profit_cents
    value = episodes[2].view.settlement_value
    assert row["result"] == ("open" if value is None else "YES" if value else "NO")
    page.fill("#market-search", "")


def test_a_formula_in_a_name_stays_text(page: Page) -> None:
    cells = page.evaluate("['=1+1', '@x', '-2', 'a\"b,c', 3, null, -2.5].map(csvCell)")
    assert cells == ["'=1+1", "'@x", "'-2", '"a""b,c"', "3", "", "-2.5"]


def test_the_first_column_stays_in_sight_on_a_phone(browser: Browser, page_file: Path) -> None:
    shown, _ = opened(browser, page_file, viewport={"width": 390, "height": 844})
    for table in ("summary", "forest", "markets", "stress-table"):
        box = shown.locator(f"#{table}").locator("xpath=..")
        assert box.evaluate("b => b.scrollWidth > b.clientWidth")
        box.evaluate("b => { b.scrollLeft = 300; }")
        for cell in ("tbody th", "thead th"):
            left = shown.locator(f"#{table} {cell}").first.evaluate(
                "c => c.getBoundingClientRect().left"
                " - c.closest('.scroll').getBoundingClientRect().left"
            )
            assert abs(left) < 1, (table, cell)
        wide = shown.locator(f"#{table} tbody th").first.evaluate("c => c.offsetWidth")
        assert wide <= 0.4 * 390
    shown.context.close()
