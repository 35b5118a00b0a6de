"""The page: templates filled with figures, charts and episodes, and nothing from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.files import whole_file
from kalshi_sim.text import numbered
from kalshi_sim.units import CENTS_PER_DOLLAR, money_per_cent
from kalshi_train.evaluation.explain import lines
from kalshi_train.evaluation.measure import event_of
from kalshi_train.evaluation.show import verdict
from kalshi_train.report.figures import make_figures
from kalshi_train.report.html import asset, data_block, escaped, script_json, shown
from kalshi_train.report.replay import make_replays

if TYPE_CHECKING:
    from kalshi_train.evaluation.result import Evaluation

_SCRIPTS: Final = (
    "elements.js",
    "tables.js",
    "zones.js",
    "results.js",
    "markets.js",
    "charts.js",
    "blocks.js",
    "timeline.js",
    "replay.js",
    "report.js",
)
"""In this order: each uses what those before it define."""


def write_report(evaluation: Evaluation, path: str | Path, replay_rows: int | None = None) -> None:
    """Write the page of an evaluation, whole or not at all.

    Args:
        evaluation: what to show.
        path: where the HTML file goes.
        replay_rows: rows of episodes that can be replayed, all together.

    Raises:
        ConfigError: the file cannot be written.
    """
    with whole_file(Path(path)) as temporary:
        temporary.write_text(make_page(evaluation, replay_rows), "utf-8")


def make_page(evaluation: Evaluation, replay_rows: int | None = None) -> str:
    """The page as text; equal evaluations give equal pages.

    Args:
        evaluation: what it shows.
        replay_rows: rows of the replays in all; None for the default.
    """
    from plotly.offline import get_plotlyjs

    charts = {name: json.loads(f.to_json()) for name, f in make_figures(evaluation).items()}
    for chart in charts.values():
        chart["layout"].pop("template", None)
    replays = make_replays(evaluation, replay_rows)
    blocks = [data_block(f"book-{view}", book) for view, book in replays.pop("books").items()]
    for i, agent in enumerate(replays["agents"]):
        blocks += [data_block(f"agent-{i}-{view}", block) for view, block in agent["views"].items()]
    replays["agents"] = [agent["policy"] for agent in replays["agents"]]
    return Template(asset("page.html")).substitute(
        title=escaped(_title(evaluation)),
        style=asset("style.css"),
        episodes=asset("replay.html"),
        evaluation=script_json(shown(evaluation.to_json())),
        charts=script_json(
            {
                "charts": charts,
                "words": shown(_words(evaluation)),
                "markets": shown(_markets(evaluation)),
            }
        ),
        replay=script_json(replays),
        blocks="\n".join(blocks),
        plotly=get_plotlyjs(),
        script="\n".join(asset(name) for name in _SCRIPTS),
    )


def _title(evaluation: Evaluation) -> str:
    names = evaluation.models or tuple(p.name for p in evaluation.policies)
    ids = sorted({v.session_id for v in evaluation.tape.views})
    return f"{', '.join(names)} on session {', '.join(map(str, ids))}"


def _words(evaluation: Evaluation) -> dict[str, Any]:
    """What the page says in sentences."""
    config, tape = evaluation.config, evaluation.tape
    subject = (
        f"{_title(evaluation)} · {numbered(len(tape.views), 'market')}, "
        f"{sum(map(len, tape.views)):,} rows · "
        f"${config.cash_start / CENTS_PER_DOLLAR:,.2f} a market, orders of {config.order_size}, "
        f"pricing {config.pricing}, latency {config.latency_ms} ms, "
        f"fees {'on' if config.fees else 'off'}, fill model {config.fill_model}"
    )
    verdicts = []
    for name in evaluation.models:
        found = evaluation.verdict(name)
        tone = "good" if found.above and not evaluation.caveats_of(name) else ""
        tone = "bad" if found.below else tone
        verdicts.append({"text": verdict(evaluation, name), "tone": tone})
    if not evaluation.models:
        verdicts += [{"text": f"No evidence: {c}", "tone": "bad"} for c in evaluation.caveats]
    sentences = [d.sentence for d in evaluation.diagnoses] + [n.sentence for n in evaluation.nulls]
    verdicts += [{"text": sentence, "tone": ""} for sentence in sentences]
    provenance = [list(line) for line in evaluation.provenance.lines()]
    doubted = [p.name for p in evaluation.policies if evaluation.caveats_of(p.name)]
    return {
        "subject": subject,
        "verdicts": verdicts,
        "provenance": provenance,
        "diagnoses": [
            {"policy": d.policy, "lines": [list(line) for line in lines(d)]}
            for d in evaluation.diagnoses
        ],
        "doubted": doubted,
    }


def _markets(evaluation: Evaluation) -> list[dict[str, str]]:
    """What the figures of a market leave out, by view of the tape."""
    return [
        {"event": event_of(view), "result": _result(view.settlement_value, evaluation.tape.payout)}
        for view in evaluation.tape.views
    ]


def _result(value: int | None, payout: int) -> str:
    """How a market ended, as far as it was known at its last row."""
    if value is None:
        return "open"
    if value in (0, payout):
        return "YES" if value else "NO"
    return f"{value / money_per_cent(payout):g} ¢"
