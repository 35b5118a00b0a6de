"""Charts of an evaluation, as Plotly figures: the page's and a notebook's are the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from kalshi_sim.units import CENTS_PER_DOLLAR, MS_PER_SECOND, money_per_cent
from kalshi_train.evaluation.measure import ACTION_PERIOD_MS, MS_PER_HOUR, total_curve
from kalshi_train.report.drawing import (
    SessionAxis,
    colour_of,
    distinct_labels,
    empty_figure,
    policy_label,
    run_style,
    shown_first,
    thin,
    ticker_label,
)
from kalshi_train.report.fill_figures import calibration, mark_outs

if TYPE_CHECKING:
    from kalshi_train.evaluation.result import Evaluation, Run

ACTION_COLOURS: Final = ("#8b95a3", "#2f6fde", "#8fb4f2", "#d9822b", "#f0bf8c")
MARKETS_DRAWN: Final = 40
"""Bars of a chart by market; of more, those with the largest profit or loss."""


def make_figures(evaluation: Evaluation) -> dict[str, go.Figure]:
    """All charts by name."""
    return {
        "equity": equity(evaluation),
        "markets": profit_by_market(evaluation),
        "hours": profit_by_hour(evaluation),
        "distribution": distribution(evaluation),
        "actions": actions_over_time(evaluation),
        "markouts": mark_outs(evaluation),
        "calibration": calibration(evaluation),
    }


def equity(evaluation: Evaluation) -> go.Figure:
    """Profit of all markets together over time, the bounds dotted."""
    tape = evaluation.tape
    cent2 = 2 * money_per_cent(tape.payout)
    axis = SessionAxis(tape)
    figure = empty_figure("Profit of all markets over time (UTC)", "", "dollars")
    for run in evaluation.runs:
        ts, profit2 = total_curve(tape, run.episodes)
        rows = thin(profit2)
        figure.add_scatter(
            **axis.trace(ts[rows]),
            y=(profit2[rows] / cent2 / CENTS_PER_DOLLAR).tolist(),
            mode="lines",
            **run_style(evaluation, run, shape="hv"),
        )
    axis.apply(figure)
    return figure


def profit_by_market(evaluation: Evaluation) -> go.Figure:
    """Profit in each market; the whiskers reach from one bound to the other."""
    figure = empty_figure("Profit by market", "dollars", "", barmode="group")
    pessimistic, *_, optimistic = evaluation.fill_models
    first = _profits(evaluation.run(shown_first(evaluation)[0]))
    rows = np.sort(np.argsort(-np.abs(first), kind="stable")[:MARKETS_DRAWN])
    if len(rows) < len(first):
        figure.update_layout(title={"text": f"Profit by market: the {len(rows)} largest"})
    for name in shown_first(evaluation):
        chosen = _profits(evaluation.run(name))[rows]
        bounds = [_profits(evaluation.run(name, m))[rows] for m in (pessimistic, optimistic)]
        tickers = [evaluation.tape.views[i].market_ticker for i in rows]
        figure.add_bar(
            orientation="h",
            x=chosen.tolist(),
            y=distinct_labels(tickers),
            name=policy_label(name),
            legendgroup=policy_label(name),
            marker={"color": colour_of(evaluation, name)},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (np.maximum.reduce([chosen, *bounds]) - chosen).tolist(),
                "arrayminus": (chosen - np.minimum.reduce([chosen, *bounds])).tolist(),
                "thickness": 1,
                "color": "#888",
            },
        )
    figure.update_layout(
        height=max(320, 18 * len(rows) * min(3, len(shown_first(evaluation))) + 120)
    )
    figure.update_yaxes(automargin=True, autorange="reversed")
    return figure


def _profits(run: Run) -> npt.NDArray[np.float64]:
    """Profit in each market, in dollars."""
    return np.array([e.figures.profit_cents / CENTS_PER_DOLLAR for e in run.episodes])


def profit_by_hour(evaluation: Evaluation) -> go.Figure:
    """Profit made in each hour; hours without a row take no room."""
    figure = empty_figure("Profit by hour (UTC)", "", "dollars", barmode="group")
    names = shown_first(evaluation)
    sums = {name: _by_hour(evaluation.run(name)) for name in names}
    known = sorted({ms for hours in sums.values() for ms in hours})
    for name in names:
        ordered = sorted(sums[name])
        figure.add_bar(
            x=[_hour_name(ms) for ms in ordered],
            y=[sums[name][ms] / CENTS_PER_DOLLAR for ms in ordered],
            meta={"ms": ordered, "hours": True},
            name=policy_label(name),
            legendgroup=policy_label(name),
            marker={"color": colour_of(evaluation, name)},
        )
    figure.update_layout(meta={"hours": known})
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=[_hour_name(ms) for ms in known]
    )
    return figure


def _by_hour(run: Run) -> dict[int, float]:
    """Profit in cents by the first millisecond (UTC) of each hour of US Eastern time."""
    sums: dict[int, float] = {}
    for episode in run.episodes:
        for hour, cents in episode.hours.items():
            ms = hour * MS_PER_HOUR - episode.view.utc_offset_ms
            sums[ms] = sums.get(ms, 0.0) + cents
    return sums


def _hour_name(ms: int) -> str:
    """A category of its own, so that nights without a row take no room."""
    return datetime.fromtimestamp(ms / MS_PER_SECOND, UTC).strftime("%b %d, %H:%M")


def distribution(evaluation: Evaluation) -> go.Figure:
    """How profit is spread over markets: every market a point, under the chosen fill model."""
    figure = empty_figure("Distribution over markets", "", "profit in dollars")
    for policy in evaluation.policies:
        run = evaluation.run(policy.name)
        figure.add_box(
            y=_profits(run).tolist(),
            name=policy_label(policy.name),
            legendgroup=policy_label(policy.name),
            text=[ticker_label(e.view.market_ticker) for e in run.episodes],
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker={"color": colour_of(evaluation, policy.name), "size": 4},
        )
    figure.update_xaxes(showticklabels=False)
    return figure


def actions_over_time(evaluation: Evaluation) -> go.Figure:
    """Share of each action by quarter of an hour, of the first model."""
    name = shown_first(evaluation)[0]
    figure = empty_figure(
        f"Actions over time (UTC): {policy_label(name)}", "", "share of steps", barmode="stack"
    )
    counts: dict[int, npt.NDArray[np.int64]] = {}
    run = evaluation.run(name)
    actions = run.config.table.names
    for episode in run.episodes:
        counted = zip(episode.quarters.tolist(), episode.action_counts, strict=True)
        for quarter, numbers in counted:
            period = quarter * ACTION_PERIOD_MS - episode.view.utc_offset_ms
            before = counts.get(period, np.zeros(len(actions), np.int64))
            counts[period] = before + numbers
    periods = sorted(counts)
    times = [_hour_name(ms) for ms in periods]
    for i, action in enumerate(actions):
        figure.add_bar(
            x=times,
            meta={"ms": periods, "hours": True},
            y=[float(counts[p][i] / counts[p].sum()) for p in periods],
            name=action.replace("_", " "),
            marker={"color": ACTION_COLOURS[i % len(ACTION_COLOURS)]},
        )
    figure.update_layout(bargap=0)
    figure.update_layout(meta={"hours": periods})
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=times, nticks=12)
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    return figure
