"""The page of a study: its history, what explains the differences, and its trials."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go

from kalshi_sim.files import write_whole
from kalshi_sim.text import dollars, printable
from kalshi_sim.units import CENTS_PER_DOLLAR
from kalshi_train.report.drawing import COLOURS, empty_figure

if TYPE_CHECKING:
    from kalshi_train.tune.result import TrialSummary, TuneResult

_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1200px;
  padding: 0 16px; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: 2px 10px; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #999; }
tr.best { font-weight: 600; }
</style><script>$plotly</script></head><body>
<h1>$title</h1>
$sentences
$charts
<h2>Trials</h2>
$table
</body></html>
""")


def write_tune_page(result: TuneResult, path: Path) -> None:
    """Write the page of a study, whole or not at all.

    Args:
        result: what to show.
        path: where the HTML file goes.

    Raises:
        ConfigError: the file cannot be written.
    """
    from plotly.offline import get_plotlyjs

    from kalshi_train.tune.result import final_sentence

    sentences = [] if result.selection is None else [result.selection.sentence()]
    if result.final is not None:
        sentences.append(final_sentence(result.final))
    charts = [
        figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{name}")
        for name, figure in make_tune_figures(result).items()
    ]
    page = _PAGE.substitute(
        title=_safe(f"Study {result.folder.name}"),
        plotly=get_plotlyjs(),
        sentences="\n".join(f"<p>{_safe(text)}</p>" for text in sentences),
        charts="\n".join(charts),
        table=_table(result),
    )
    write_whole(path, page.encode())


def make_tune_figures(result: TuneResult) -> dict[str, go.Figure]:
    """The charts of a study, for the page or a notebook.

    Args:
        result: what to show.

    Returns:
        history, importance (where there is any), evaluations, and a chart for each setting.
    """
    figures = {"history": _history(result.trials)}
    if result.importance:
        figures["importance"] = _importance(result.importance)
    figures["evaluations"] = _evaluations(result.trials)
    for dimension in result.space.dimensions:
        figures[dimension.name] = _by_setting(result.trials, dimension.name, log=dimension.log)
    return figures


def _history(trials: Sequence[TrialSummary]) -> go.Figure:
    """The value of each trial, and the best so far."""
    figure = empty_figure("History", "trial", "held-out profit an event, dollars")
    for i, state in enumerate(("complete", "pruned")):
        chosen = [t for t in trials if t.state == state and t.value is not None]
        figure.add_trace(
            go.Scatter(
                x=[t.number for t in chosen],
                y=[_dollars(t) for t in chosen],
                mode="markers",
                name=state,
                marker={"color": COLOURS[i], "symbol": "circle" if i == 0 else "x-thin-open"},
            )
        )
    done = [t for t in trials if t.state == "complete" and t.value is not None]
    best: list[float] = []
    for trial in done:
        best.append(max([*best[-1:], _dollars(trial)]))
    figure.add_trace(
        go.Scatter(
            x=[t.number for t in done],
            y=best,
            mode="lines",
            name="best so far",
            line={"color": COLOURS[2], "shape": "hv"},
        )
    )
    return figure


def _importance(importance: dict[str, float]) -> go.Figure:
    """The share of each setting in what trials differ by."""
    figure = empty_figure("What explains the differences (PED-ANOVA)", "share", "")
    names = list(importance)[::-1]
    figure.add_trace(
        go.Bar(
            x=[importance[n] for n in names],
            y=names,
            orientation="h",
            marker={"color": COLOURS[0]},
            showlegend=False,
        )
    )
    figure.update_layout(margin={"l": 160})
    return figure


def _evaluations(trials: Sequence[TrialSummary]) -> go.Figure:
    """The value of each trial after each held-out evaluation."""
    figure = empty_figure("Evaluations of each trial", "evaluation", "profit an event, dollars")
    for trial in trials:
        values = [v / CENTS_PER_DOLLAR for v in trial.evaluations.values()]
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(values) + 1)),
                y=values,
                mode="lines+markers",
                name=f"trial {trial.number}",
                line={"color": COLOURS[trial.number % len(COLOURS)], "width": 1},
                showlegend=False,
            )
        )
    return figure


def _by_setting(trials: Sequence[TrialSummary], name: str, *, log: bool) -> go.Figure:
    """The value of completed trials by one setting."""
    figure = empty_figure(name, name, "profit an event, dollars")
    done = [t for t in trials if t.state == "complete" and t.value is not None]
    values = [t.settings[name] for t in done]
    words = any(not isinstance(v, (int, float)) or isinstance(v, bool) for v in values)
    figure.add_trace(
        go.Scatter(
            x=[str(v) for v in values] if words else values,
            y=[_dollars(t) for t in done],
            text=[f"trial {t.number}" for t in done],
            mode="markers",
            marker={"color": COLOURS[0]},
            showlegend=False,
        )
    )
    if log:
        figure.update_xaxes(type="log")
    return figure


def _dollars(trial: TrialSummary) -> float:
    assert trial.value is not None
    return trial.value / CENTS_PER_DOLLAR


def _table(result: TuneResult) -> str:
    names = [d.name for d in result.space.dimensions]
    head = "".join(f"<th>{_safe(n)}</th>" for n in ("trial", "state", "profit an event", *names))
    best = None if result.best is None else result.best.number
    rows = []
    for trial in result.trials:
        settings = [trial.settings.get(name, "") for name in names]
        cells = [str(trial.number), trial.state, dollars(trial.value, signed=True)]
        cells += [_short(value) for value in settings]
        kind = ' class="best"' if trial.number == best else ""
        rows.append(f"<tr{kind}>" + "".join(f"<td>{_safe(c)}</td>" for c in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _safe(text: str) -> str:
    return html.escape(printable(text))
