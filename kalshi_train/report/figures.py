"""Charts of an evaluation, as Plotly figures: the page's and a notebook's are the same."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from kalshi_sim.actions import ACTIONS
from kalshi_sim.kernels import layout
from kalshi_sim.text import printable
from kalshi_sim.units import CENTS_PER_DOLLAR, money_per_cent
from kalshi_train.evaluation.marks import HORIZONS_S, mark_out2, spread_capture2
from kalshi_train.evaluation.measure import (
    ACTION_PERIOD_MS,
    Episode,
    total_curve,
)

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.result import Evaluation, Run

COLOURS: Final = (
    "#2f6fde",
    "#d9822b",
    "#3a9d5d",
    "#b0483f",
    "#7d5bbe",
    "#8a6d4b",
    "#c2529d",
    "#5f6b7a",
    "#a3a12c",
    "#2aa5b8",
)
ACTION_COLOURS: Final = ("#8b95a3", "#2f6fde", "#8fb4f2", "#d9822b", "#f0bf8c")
SECONDS_PER_HOUR: Final = 3600
LONGEST_LABEL: Final = 60
"""Characters of a ticker in a chart."""
MARKETS_DRAWN: Final = 40
"""Bars of a chart by market; of more, those with the largest profit or loss."""
CURVE_POINTS: Final = 2_000
"""Points of a curve that is drawn; highs and lows between them are kept."""
EDGE_BINS: Final = (-8.0, -4.0, -2.0, -1.0, -0.25, 0.25, 1.0, 2.0, 4.0, 8.0)


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


def shown_first(evaluation: Evaluation) -> tuple[str, ...]:
    """What charts of one policy show: the models, or all policies if there is no model."""
    return evaluation.models or tuple(p.name for p in evaluation.policies)


def colour_of(evaluation: Evaluation, name: str) -> str:
    """The colour of a policy in every chart."""
    names = [p.name for p in evaluation.policies]
    return COLOURS[names.index(name) % len(COLOURS)]


def _figure(title: str, x: str, y: str, **layout_settings: Any) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        title={"text": title},
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}},
        template="none",
        margin={"l": 60, "r": 16, "t": 40, "b": 84},
        legend={"orientation": "h", "y": -0.24, "yanchor": "top"},
        **layout_settings,
    )
    return figure


def thin(values: npt.NDArray[Any], points: int = CURVE_POINTS) -> npt.NDArray[np.int64]:
    """Rows of a curve to draw: each of `points / 2` stretches keeps its lowest and highest."""
    if len(values) <= points:
        return np.arange(len(values), dtype=np.int64)
    bounds = np.linspace(0, len(values), points // 2 + 1).astype(np.int64)
    kept = [0, len(values) - 1]
    for begin, end in itertools.pairwise(bounds.tolist()):
        part = values[begin:end]
        kept += [int(begin + part.argmin()), int(begin + part.argmax())]
    return np.unique(np.array(kept, np.int64))


def _stamps(ts_ms: npt.NDArray[np.int64]) -> list[str]:
    return [str(s) for s in np.datetime_as_string(ts_ms.astype("datetime64[ms]"), unit="ms")]


def equity(evaluation: Evaluation) -> go.Figure:
    """Profit of all markets together over time, the bounds dotted."""
    tape = evaluation.tape
    cent2 = 2 * money_per_cent(tape.payout)
    figure = _figure("Profit of all markets over time (UTC)", "", "dollars")
    for run in evaluation.runs:
        ts, profit2 = total_curve(tape, run.episodes)
        rows = thin(profit2)
        name = run.policy.name
        chosen = run.fill_model == evaluation.config.fill_model
        figure.add_scatter(
            x=_stamps(ts[rows]),
            y=(profit2[rows] / cent2 / CENTS_PER_DOLLAR).tolist(),
            mode="lines",
            name=name if chosen else f"{name} ({run.fill_model})",
            legendgroup=name,
            showlegend=chosen,
            visible=True if chosen or name in evaluation.models else "legendonly",
            line={
                "color": colour_of(evaluation, name),
                "width": 2 if chosen else 1,
                "dash": "solid" if chosen else "dot",
                "shape": "hv",
            },
        )
    return figure


def profit_by_market(evaluation: Evaluation) -> go.Figure:
    """Profit in each market; the whiskers reach from one bound to the other."""
    figure = _figure("Profit by market", "dollars", "", barmode="group")
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
            y=_distinct(tickers),
            name=name,
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


def _label(ticker: str) -> str:
    """A ticker as plain text: plotly takes tags and links in labels for what they are."""
    return html.escape(printable(ticker, LONGEST_LABEL))


def _distinct(tickers: Sequence[str]) -> list[str]:
    """Names of markets; of one that several sessions hold, numbered."""
    seen: dict[str, int] = {}
    names = []
    for ticker in tickers:
        seen[ticker] = seen.get(ticker, 0) + 1
        label = _label(ticker)
        names.append(label if seen[ticker] == 1 else f"{label} ({seen[ticker]})")
    return names


def _profits(run: Run) -> npt.NDArray[np.float64]:
    """Profit in each market, in dollars."""
    return np.array([e.figures.profit_cents / CENTS_PER_DOLLAR for e in run.episodes])


def profit_by_hour(evaluation: Evaluation) -> go.Figure:
    """Profit made in each hour of US Eastern time."""
    figure = _figure("Profit by hour (US Eastern)", "", "dollars", barmode="group")
    runs = [evaluation.run(name) for name in shown_first(evaluation)]
    known = sorted({hour for run in runs for e in run.episodes for hour in e.hours})
    for name in shown_first(evaluation):
        hours: dict[int, float] = {}
        for episode in evaluation.run(name).episodes:
            for hour, cents in episode.hours.items():
                hours[hour] = hours.get(hour, 0.0) + cents
        ordered = sorted(hours)
        figure.add_bar(
            x=[_hour_name(h) for h in ordered],
            y=[hours[h] / CENTS_PER_DOLLAR for h in ordered],
            name=name,
            marker={"color": colour_of(evaluation, name)},
        )
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=[_hour_name(h) for h in known]
    )
    return figure


def _hour_name(hour: int) -> str:
    """A category of its own, so that nights without a row take no room."""
    return datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC).strftime("%b %d, %H h")


def distribution(evaluation: Evaluation) -> go.Figure:
    """How profit is spread over markets: every market a point, under the chosen fill model."""
    figure = _figure("Distribution over markets", "", "profit in dollars", showlegend=False)
    for policy in evaluation.policies:
        run = evaluation.run(policy.name)
        figure.add_box(
            y=_profits(run).tolist(),
            name=policy.name,
            text=[_label(e.view.market_ticker) for e in run.episodes],
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker={"color": colour_of(evaluation, policy.name), "size": 4},
        )
    return figure


def actions_over_time(evaluation: Evaluation) -> go.Figure:
    """Share of each action by quarter of an hour, of the first model."""
    name = shown_first(evaluation)[0]
    figure = _figure(
        f"Actions over time (US Eastern): {name}", "", "share of steps", barmode="stack"
    )
    counts: dict[int, npt.NDArray[np.int64]] = {}
    for episode in evaluation.run(name).episodes:
        for period, numbers in episode.action_counts.items():
            before = counts.get(period, np.zeros(layout.N_ACTIONS, np.int64))
            counts[period] = before + np.array(numbers)
    periods = sorted(counts)
    stamps = _stamps(np.array(periods, np.int64) * ACTION_PERIOD_MS)
    for i, action in enumerate(ACTIONS):
        figure.add_bar(
            x=stamps,
            y=[float(counts[p][i] / counts[p].sum()) for p in periods],
            name=action.replace("_", " "),
            marker={"color": ACTION_COLOURS[i]},
        )
    figure.update_layout(bargap=0)
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    return figure


def mark_outs(evaluation: Evaluation) -> go.Figure:
    """What a contract gained at the fill and afterwards, under each fill model."""
    figure = _figure(
        "Gain of a contract after its fill", "seconds after the fill", "cents a contract"
    )
    places = ["at the fill", *(f"{s} s" for s in HORIZONS_S)]
    for run in evaluation.runs:
        name, total = run.policy.name, run.total
        if not total.contracts:
            continue
        chosen = run.fill_model == evaluation.config.fill_model
        marks = [total.markout_1s_cents, total.markout_10s_cents, total.markout_60s_cents]
        figure.add_scatter(
            x=places,
            y=[total.spread_capture_cents, *marks],
            mode="lines+markers",
            name=name if chosen else f"{name} ({run.fill_model})",
            legendgroup=name,
            showlegend=chosen,
            visible=True if chosen or name in evaluation.models else "legendonly",
            line={
                "color": colour_of(evaluation, name),
                "dash": "solid" if chosen else "dot",
                "width": 2 if chosen else 1,
            },
        )
    figure.update_xaxes(type="category")
    return figure


def calibration(evaluation: Evaluation) -> go.Figure:
    """Edge at the fill against the mark-out a minute later; on the diagonal it was all kept."""
    figure = _figure(
        "Edge at the fill, and what was left after 60 s",
        "edge at the fill, cents a contract",
        "gain after 60 s, cents a contract",
    )
    bins = np.array(EDGE_BINS)
    figure.add_scatter(
        x=[bins[0], bins[-1]],
        y=[bins[0], bins[-1]],
        mode="lines",
        name="all kept",
        line={"color": "#888", "dash": "dot", "width": 1},
    )
    for name in shown_first(evaluation):
        edge, gain, qty = _edges(evaluation.tape, evaluation.run(name).episodes)
        if not len(edge):
            continue
        index = np.digitize(edge, bins)
        weight = np.bincount(index, weights=qty, minlength=len(bins) + 1)
        used = np.flatnonzero(weight)
        x = np.bincount(index, weights=edge * qty, minlength=len(bins) + 1)[used] / weight[used]
        y = np.bincount(index, weights=gain * qty, minlength=len(bins) + 1)[used] / weight[used]
        figure.add_scatter(
            x=x.tolist(),
            y=y.tolist(),
            mode="lines+markers",
            name=name,
            text=[f"{int(w):,} contracts" for w in weight[used]],
            marker={"size": (6 + 18 * np.sqrt(weight[used] / weight.max())).tolist()},
            line={"color": colour_of(evaluation, name), "width": 1},
        )
    return figure


def _edges(
    tape: Tape, episodes: Sequence[Episode]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Edge at the fill and gain after a minute in cents a contract, and contracts, by fill."""
    cent2 = 2 * money_per_cent(tape.payout)
    parts = []
    for episode in episodes:
        gained2, known = mark_out2(tape, episode.view, episode.fills, HORIZONS_S[-1])
        edge2 = spread_capture2(tape, episode.view, episode.fills)
        qty = episode.fills[:, layout.R_QTY]
        parts.append((edge2[known] / cent2, gained2[known] / cent2, qty[known]))
    edge, gain, contracts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return edge, gain, contracts
