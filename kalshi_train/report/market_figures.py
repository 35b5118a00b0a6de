"""A book, a market and an episode as Plotly figures, for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from kalshi_sim import gate
from kalshi_sim.kernels import layout
from kalshi_sim.units import CENTS_PER_DOLLAR, mirror, money_per_cent
from kalshi_train.report.drawing import empty_figure, stamps, thin, ticker_label

if TYPE_CHECKING:
    from kalshi_sim.tape import MarketSessionView, Tape
    from kalshi_train.evaluation.measure import Episode

BID_COLOUR: Final = "#2f6fde"
ASK_COLOUR: Final = "#d9822b"


def plot_book(tape: Tape, view: int = 0, row: int = 0) -> go.Figure:
    """The levels that a row shows: contracts by price of YES, bids below asks.

    Args:
        tape: the markets.
        view: index of a view.
        row: row of it, from its first; negative ones count from its end.

    Returns:
        The figure.

    Raises:
        ConfigError: there is no such view or row.
    """
    market = _view(tape, view)
    row = gate.check_int("row", row, -len(market), len(market) - 1) % len(market)
    px, qty = tape.book(slice(market.start + row, market.start + row + 1))
    figure = empty_figure(
        f"{ticker_label(market.market_ticker)}, row {row}: {_clock(tape, market, row)}",
        "contracts",
        "price of YES in cents",
        barmode="overlay",
    )
    for side, name, colour in ((0, "YES bids", BID_COLOUR), (1, "YES asks (NO bids)", ASK_COLOUR)):
        shown = qty[0, side] > 0
        figure.add_bar(
            orientation="h",
            x=qty[0, side, shown].tolist(),
            y=_of_yes(px[0, side, shown], side, tape.payout).tolist(),
            name=name,
            marker={"color": colour},
        )
    return figure


def plot_view(tape: Tape, view: int = 0) -> go.Figure:
    """A market over time: best bid, best ask and mark of YES.

    Args:
        tape: the markets.
        view: index of a view.

    Returns:
        The figure.

    Raises:
        ConfigError: there is no such view.
    """
    market = _view(tape, view)
    figure = empty_figure(ticker_label(market.market_ticker), "", "cents")
    _add_prices(figure, tape, market)
    return figure


def plot_episode(tape: Tape, episode: Episode) -> go.Figure:
    """An episode: the market's prices with the fills on them, and the profit below.

    Args:
        tape: what it was played on.
        episode: as `evaluation.run(name).episodes` has them.

    Returns:
        The figure.
    """
    market, cent = episode.view, money_per_cent(tape.payout)
    figure = empty_figure(ticker_label(market.market_ticker), "", "cents")
    _add_prices(figure, tape, market)
    fills = episode.fills
    for side, name, symbol in ((0, "bought YES", "triangle-up"), (1, "bought NO", "triangle-down")):
        mine = fills[fills[:, layout.R_SIDE] == side]
        figure.add_scatter(
            x=stamps(tape.ts_ms[market.start + mine[:, layout.R_ROW]]),
            y=_of_yes(mine[:, layout.R_PRICE], side, tape.payout).tolist(),
            text=[f"{int(q):,} contracts" for q in mine[:, layout.R_QTY]],
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 9, "color": (BID_COLOUR, ASK_COLOUR)[side]},
        )
    start2 = int(episode.curve_equity2[0])
    kept = thin(episode.curve_equity2)
    figure.add_scatter(
        x=stamps(tape.ts_ms[market.start + episode.curve_rows[kept]]),
        y=((episode.curve_equity2[kept] - start2) / (2 * cent * CENTS_PER_DOLLAR)).tolist(),
        mode="lines",
        name="profit",
        yaxis="y2",
        line={"color": "#3a9d5d", "shape": "hv"},
    )
    figure.update_layout(
        yaxis={"domain": [0.34, 1.0]},
        yaxis2={"domain": [0.0, 0.26], "title": {"text": "profit in dollars"}, "anchor": "x"},
        xaxis={"anchor": "y2"},
    )
    return figure


def _view(tape: Tape, view: int) -> MarketSessionView:
    return tape.views[gate.check_int("view", view, 0, len(tape.views) - 1)]


def _clock(tape: Tape, market: MarketSessionView, row: int) -> str:
    at = market.start + row
    return stamps(tape.ts_ms[at : at + 1])[0].replace("T", " ") + " UTC"


def _of_yes(price: Any, side: int, payout: int) -> npt.NDArray[np.float64]:
    """Prices int64 [n] of a side as prices of YES in cents, float64 [n]."""
    shown: Any = mirror(price, payout) if side else price
    cents: npt.NDArray[np.float64] = shown / money_per_cent(payout)
    return cents


def _add_prices(figure: go.Figure, tape: Tape, market: MarketSessionView) -> None:
    """Best prices and mark of a market; holes where a side is empty."""
    best = tape.best_bids(market.rows)
    prices = [_of_yes(best[:, side], side, tape.payout) for side in range(2)]
    bid, ask = (np.where(best[:, side] > 0, prices[side], np.nan) for side in range(2))
    lines = (
        ("best bid", BID_COLOUR, bid),
        ("best ask", ASK_COLOUR, ask),
        ("mark", "#8b95a3", tape.marks2(market.rows) / (2 * money_per_cent(tape.payout))),
    )
    ts = tape.ts_ms[market.rows]
    for name, colour, values in lines:
        kept = thin(np.nan_to_num(values, nan=-1.0))
        figure.add_scatter(
            x=stamps(ts[kept]),
            y=[None if np.isnan(v) else v for v in values[kept].tolist()],
            mode="lines",
            name=name,
            line={"color": colour, "shape": "hv", "width": 1.5},
        )
