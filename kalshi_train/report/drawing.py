"""What the charts of an evaluation share: colours, axes, labels, and curves cut to few points."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from kalshi_sim.text import printable

if TYPE_CHECKING:
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
LONGEST_LABEL: Final = 60
"""Characters of a ticker in a chart."""
CURVE_POINTS: Final = 2_000
"""Points of a curve that is drawn; highs and lows between them are kept."""


def shown_first(evaluation: Evaluation) -> tuple[str, ...]:
    """What charts of one policy show: the models, or all policies if there is no model.

    Returns:
        Names of policies.
    """
    return evaluation.models or tuple(p.name for p in evaluation.policies)


def colour_of(evaluation: Evaluation, name: str) -> str:
    """The colour of a policy in every chart.

    Args:
        evaluation: decides the order of its policies.
        name: of one of them.
    """
    names = [p.name for p in evaluation.policies]
    return COLOURS[names.index(name) % len(COLOURS)]


def run_style(evaluation: Evaluation, run: Run, **line: str) -> dict[str, Any]:
    """How the curve of a run is named, shown and drawn: the bounds dotted, baselines on demand.

    Args:
        evaluation: what is drawn.
        run: one of its runs.
    """
    name = run.policy.name
    chosen = run.fill_model == evaluation.config.fill_model
    return {
        "name": name if chosen else f"{name} ({run.fill_model})",
        "legendgroup": name,
        "showlegend": chosen,
        "visible": True if chosen or name in evaluation.models else "legendonly",
        "line": {
            "color": colour_of(evaluation, name),
            "width": 2 if chosen else 1,
            "dash": "solid" if chosen else "dot",
            **line,
        },
    }


def empty_figure(title: str, x: str, y: str, **layout_settings: Any) -> go.Figure:
    """A chart with title and axes, without data.

    Args:
        title: above the chart.
        x, y: titles of the axes.
    """
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
    """Which rows of a long curve to draw, so that no peak is lost.

    Args:
        values: numbers of any dtype [n].
        points: about how many to keep: each of `points / 2` stretches keeps its lowest and highest.

    Returns:
        int64 [k] row numbers, ascending.
    """
    if len(values) <= points:
        return np.arange(len(values), dtype=np.int64)
    bounds = np.linspace(0, len(values), points // 2 + 1).astype(np.int64)
    kept = [0, len(values) - 1]
    for begin, end in itertools.pairwise(bounds.tolist()):
        part = values[begin:end]
        kept += [int(begin + part.argmin()), int(begin + part.argmax())]
    return np.unique(np.array(kept, np.int64))


def stamps(ts_ms: npt.NDArray[np.int64]) -> list[str]:
    """Times int64 [n] (ms UTC) as the text that plotly reads."""
    return [str(s) for s in np.datetime_as_string(ts_ms.astype("datetime64[ms]"), unit="ms")]


def ticker_label(ticker: str) -> str:
    """A ticker as plain text: plotly takes tags and links in labels for what they are."""
    return html.escape(printable(ticker, LONGEST_LABEL))


def distinct_labels(tickers: Sequence[str]) -> list[str]:
    """Names of markets; of one that several sessions hold, numbered."""
    seen: dict[str, int] = {}
    names = []
    for ticker in tickers:
        seen[ticker] = seen.get(ticker, 0) + 1
        label = ticker_label(ticker)
        names.append(label if seen[ticker] == 1 else f"{label} ({seen[ticker]})")
    return names
