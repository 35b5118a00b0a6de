"""Charts of an evaluation's fills: what a contract gained at the fill and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from kalshi_sim.kernels import layout
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.marks import HORIZONS_S, mark_out2, spread_capture2
from kalshi_train.evaluation.measure import Episode
from kalshi_train.report.drawing import (
    colour_of,
    empty_figure,
    policy_label,
    run_style,
    shown_first,
)

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.result import Evaluation

EDGE_BINS: Final = (-8.0, -4.0, -2.0, -1.0, -0.25, 0.25, 1.0, 2.0, 4.0, 8.0)


def mark_outs(evaluation: Evaluation) -> go.Figure:
    """What a contract gained at the fill and afterwards, under each fill model."""
    figure = empty_figure(
        "Gain of a contract after its fill", "seconds after the fill", "cents a contract"
    )
    places = ["at the fill", *(f"{s} s" for s in HORIZONS_S)]
    for run in evaluation.runs:
        total = run.total
        if not total.contracts:
            continue
        marks = [total.markout_1s_cents, total.markout_10s_cents, total.markout_60s_cents]
        figure.add_scatter(
            x=places,
            y=[total.spread_capture_cents, *marks],
            mode="lines+markers",
            **run_style(evaluation, run),
        )
    figure.update_xaxes(type="category")
    return figure


def calibration(evaluation: Evaluation) -> go.Figure:
    """Edge at the fill against the mark-out a minute later; on the diagonal it was all kept."""
    figure = empty_figure(
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
            name=policy_label(name),
            legendgroup=policy_label(name),
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
