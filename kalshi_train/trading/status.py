"""What a person sees of a run at work: a line for a log, a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kalshi_sim.text import dollars, numbered, printable
from kalshi_train.trading.figures import EXCHANGE, figures
from kalshi_train.trading.trader import Trader

if TYPE_CHECKING:
    from kalshi_sim.live.recorder.status import Status


def status_line(trader: Trader, feed: Status) -> str:
    """A run in one line.

    Args:
        trader: of the run.
        feed: of its recorder.
    """
    latency = trader.latency_ms(0.99)
    shown = "none yet" if latency is None else f"{latency:.2f} ms"
    orders = sum(market.orders for market in trader.markets.values())
    age = "none" if feed.last_frame_age_s is None else f"{feed.last_frame_age_s:.1f} s ago"
    return (
        f"{numbered(trader.decisions, 'decision')}, {numbered(orders, 'order')}, latency p99 "
        f"{shown}; {numbered(feed.books_unknown, 'book')} unknown, last frame {age}"
        + (f"; {feed.problem}" if feed.problem else "")
    )


def status_table(trader: Trader, feed: Status) -> Any:
    """A run as a table: a row a market, with orders, position and profit under each fill model.

    Args:
        trader: of the run.
        feed: of its recorder.
    """
    from rich import box
    from rich.table import Table

    found = figures(trader)
    models = list(found["profit_cents"])
    shown = EXCHANGE if EXCHANGE in models else found["chosen"]
    table = Table(box=box.SIMPLE, caption=printable(status_line(trader, feed)))
    table.add_column("market")
    for name in ("orders", "position", "YES order", "NO order", *models):
        table.add_column(name, justify="right")
    table.add_column("limits")
    for market in found["markets"]:
        chosen = market["models"][shown]
        table.add_row(
            printable(market["market"]),
            f"{market['orders']:,}",
            f"{chosen['position']:,}",
            *(_order(order) for order in chosen["open"]),
            *(dollars(market["models"][model]["profit_cents"], signed=True) for model in models),
            market["halted"] or "",
        )
    total = (dollars(found["profit_cents"][model], signed=True) for model in models)
    table.add_row("all", "", "", "", "", *total, "", style="bold")
    return table


def _order(order: dict[str, float] | None) -> str:
    if order is None:
        return "-"
    return f"{order['contracts']:,} at {order['cents']:g}"
