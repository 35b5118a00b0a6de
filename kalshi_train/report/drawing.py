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
from kalshi_sim.units import MS_PER_MINUTE

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
        "name": policy_label(name) if chosen else f"{policy_label(name)} ({run.fill_model})",
        "legendgroup": policy_label(name),
        "showlegend": chosen,
        "visible": True if name in shown_first(evaluation) else "legendonly",
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


DEAD_MS: Final = 60 * MS_PER_MINUTE
"""Longer without a row, and the time is left out of charts."""
ROOM_MS: Final = MS_PER_MINUTE
"""What stands between two sessions instead."""
MOST_TICKS: Final = 8
TICK_STEPS_MS: Final = tuple(m * MS_PER_MINUTE for m in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480))


def stamps(ts_ms: npt.NDArray[np.int64]) -> list[str]:
    """Times int64 [n] (ms UTC) as the text that plotly reads."""
    return [str(s) for s in np.datetime_as_string(ts_ms.astype("datetime64[ms]"), unit="ms")]


class SessionAxis:
    """Time with the sessions side by side: what lies between them takes no room.

    x counts minutes from the first row on, without the hours in which no market has a row.
    """

    def __init__(self, tape: Tape) -> None:
        spans = sorted(tape.spans_ms().tolist())
        self._spans = [list(spans[0])]
        for begin, end in spans[1:]:
            if begin - self._spans[-1][1] > DEAD_MS:
                self._spans.append([begin, end])
            self._spans[-1][1] = max(self._spans[-1][1], end)
        lengths = [end - begin + ROOM_MS for begin, end in self._spans]
        self._begins = np.array([begin for begin, _ in self._spans], np.int64)
        self._places = np.concatenate([[0], np.cumsum(lengths[:-1])]).astype(np.int64)
        self._total = int(sum(lengths))

    def place(self, ts_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """x of times int64 [n] (ms UTC), float64 [n]."""
        span = np.maximum(0, np.searchsorted(self._begins, ts_ms, side="right") - 1)
        return (ts_ms - self._begins[span] + self._places[span]) / MS_PER_MINUTE

    def trace(self, ts_ms: npt.NDArray[np.int64]) -> dict[str, Any]:
        """x and hover text of a curve; in `meta` the ms that the page shows in its zone."""
        return {
            "x": self.place(ts_ms).tolist(),
            "text": stamps(ts_ms),
            "hovertemplate": "%{text}<br>%{y:.2f}",
            "meta": {"ms": ts_ms.tolist()},
        }

    def ticks(self) -> list[tuple[float, int, bool]]:
        """(x, ms UTC, whether a session begins) of the ticks."""
        found = []
        begins = self._spans[:: -(-len(self._spans) // MOST_TICKS)]
        room = self._total / MOST_TICKS
        step = next((s for s in TICK_STEPS_MS if s >= room), TICK_STEPS_MS[-1])
        for begin, end in begins:
            found.append((begin, True))
            if len(begins) < MOST_TICKS / 2:
                inner = range(-(-begin // step) * step, end, step)
                found += [(ms, False) for ms in inner if ms - begin > 0.7 * room]
        places = self.place(np.array([ms for ms, _ in found], np.int64)).tolist()
        return [(x, ms, first) for x, (ms, first) in zip(places, found, strict=True)]

    def apply(self, figure: go.Figure) -> None:
        """Ticks of a chart, and a line where two sessions meet."""
        ticks = self.ticks()
        texts = stamps(np.array([ms for _, ms, _ in ticks], np.int64))
        figure.update_layout(meta={"ticks": [list(tick) for tick in ticks]})
        figure.update_xaxes(
            range=[0.0, self._total / MS_PER_MINUTE],
            tickvals=[x for x, _, _ in ticks],
            ticktext=[
                f"{text[11:16]}<br>{text[5:10]}" if first else text[11:16]
                for text, (_, _, first) in zip(texts, ticks, strict=True)
            ],
        )
        for x in (self._places[1:] - ROOM_MS // 2) / MS_PER_MINUTE:
            figure.add_vline(x=float(x), line={"color": "#888", "width": 1, "dash": "dot"})


def ticker_label(ticker: str) -> str:
    """A ticker as plain text: plotly takes tags and links in labels for what they are."""
    return html.escape(printable(ticker, LONGEST_LABEL))


policy_label = ticker_label
"""The name of a policy, likewise."""


def distinct_labels(tickers: Sequence[str]) -> list[str]:
    """Names of markets; of one that several sessions hold, numbered."""
    seen: dict[str, int] = {}
    names = []
    for ticker in tickers:
        seen[ticker] = seen.get(ticker, 0) + 1
        label = ticker_label(ticker)
        names.append(label if seen[ticker] == 1 else f"{label} ({seen[ticker]})")
    return names
