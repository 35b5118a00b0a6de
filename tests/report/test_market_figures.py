"""Figures of a book, a market and an episode show the tape's numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kalshi_sim import Tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_train.evaluation import Evaluation
from kalshi_train.report import plot_book, plot_episode, plot_view


def test_a_book_shows_the_levels_of_a_row(tape: Tape) -> None:
    view = tape.views[1]
    for row in (0, 5, -1):
        at = view.start + row % len(view)
        bids, asks = plot_book(tape, 1, row).data
        shown = tape.qty[at] > 0
        assert list(bids.x) == tape.qty[at, 0][shown[0]].tolist()
        assert list(bids.y) == tape.px[at, 0][shown[0]].tolist()
        assert list(asks.y) == (tape.payout - tape.px[at, 1][shown[1]]).tolist()
        assert list(asks.x) == tape.qty[at, 1][shown[1]].tolist()
    with pytest.raises(ConfigError, match="view"):
        plot_book(tape, len(tape.views))
    with pytest.raises(ConfigError, match="row"):
        plot_book(tape, 1, len(view))


def test_a_market_over_time_has_holes_where_a_side_is_empty(tape: Tape) -> None:
    short = min(range(len(tape.views)), key=lambda i: len(tape.views[i]))
    view = tape.views[short]
    figure = plot_view(tape, short)
    bid, ask, mark = figure.data
    best = tape.px[view.rows, :, 0]
    assert [v or 0 for v in bid.y] == best[:, 0].tolist()
    assert [tape.payout - v if v else 0 for v in ask.y] == best[:, 1].tolist()
    assert list(mark.y) == (tape.mark2[view.rows] / 2).tolist()
    json.loads(figure.to_json())


def test_an_episode_shows_its_fills_and_profit(evaluation: Evaluation) -> None:
    episode = evaluation.run("agent <b>").episodes[1]
    *_, yes, no, profit = plot_episode(evaluation.tape, episode).data
    sides = episode.fills[:, layout.R_SIDE]
    prices = episode.fills[:, layout.R_PRICE]
    assert list(yes.y) == prices[sides == 0].tolist()
    assert list(no.y) == (evaluation.tape.payout - prices[sides == 1]).tolist()
    assert profit.y[0] == 0.0
    assert profit.y[-1] == pytest.approx(episode.figures.profit_cents / 100)


def test_an_evaluation_is_a_table_of_episodes(evaluation: Evaluation) -> None:
    frame = evaluation.to_pandas()
    assert len(frame) == len(evaluation.runs) * len(evaluation.tape.views)
    profits = [e.figures.profit_cents for r in evaluation.runs for e in r.episodes]
    assert np.array_equal(frame["profit_cents"], profits)
