"""A page of several training runs: held-out and training profit side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kalshi_sim.files import whole_file
from kalshi_sim.text import printable
from kalshi_sim.units import CENTS_PER_DOLLAR
from kalshi_train.report.drawing import COLOURS
from kalshi_train.training.metrics import read_metrics

_CURVES: Final = (
    ("heldout/mean_profit_cents", "held out, a market"),
    ("episode/profit_cents", "training, an episode"),
)


def write_runs_page(folders: Mapping[str, Path], path: Path) -> None:
    """Write a page that opens offline, whole or not at all.

    Args:
        folders: of the runs, by the names they are shown under.
        path: where the HTML file goes.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = make_subplots(rows=1, cols=len(_CURVES), subplot_titles=[t for _, t in _CURVES])
    for i, (name, folder) in enumerate(folders.items()):
        records = read_metrics(folder / "metrics.jsonl")
        for column, (key, _) in enumerate(_CURVES, start=1):
            points = [
                (r["timesteps"], r[key]) for r in records if isinstance(r.get(key), (int, float))
            ]
            figure.add_trace(
                go.Scatter(
                    x=[x for x, _ in points],
                    y=[y / CENTS_PER_DOLLAR for _, y in points],
                    name=printable(name).replace("<", "&lt;"),
                    legendgroup=name,
                    showlegend=column == 1,
                    line={"color": COLOURS[i % len(COLOURS)]},
                ),
                row=1,
                col=column,
            )
    figure.update_xaxes(title_text="steps")
    figure.update_yaxes(title_text="profit in dollars", col=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, template="plotly_white")
    with whole_file(path) as temporary:
        figure.write_html(temporary, include_plotlyjs=True)
