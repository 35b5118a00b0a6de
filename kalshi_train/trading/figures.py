"""What a run came to, by market and fill model."""

from __future__ import annotations

from typing import Any, Final

from kalshi_sim.cli.tables import Layout, print_pairs, print_table
from kalshi_sim.text import dollars
from kalshi_sim.units import PAYOUT_CENT, money_per_cent
from kalshi_train.trading.ordering import OrderingTrader
from kalshi_train.trading.trader import Trader

EXCHANGE: Final = "exchange"
"""Stands beside the fill models for what the exchange itself says."""
_QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def figures(trader: Trader) -> dict[str, Any]:
    """The figures of a run, as JSON has them; money in cents.

    Args:
        trader: as it stands.
    """
    markets = []
    start = trader.config.cash_start
    for market in trader.markets.values():
        if market.band is None:
            continue
        found: dict[str, Any] = {
            "market": market.ticker,
            "rows": market.band.row + 1,
            "orders": market.orders,
            "blocked": dict(market.blocked),
            "halted": market.halted,
            "models": {},
        }
        for number, model in enumerate(trader.models):
            state = trader.state(market, number)
            found["models"][model] = {
                "position": state["position"],
                "fills": state["fills"],
                "open": [_open(trader, state, side) for side in ("yes", "no")],
                "profit_cents": trader.equity_cents(market, number) - start,
            }
        if isinstance(trader, OrderingTrader):
            state = trader.state(market)
            found["models"][EXCHANGE] = {
                "position": state["position"],
                "fills": trader.fills_of[market.ticker],
                "open": [_open(trader, state, side) for side in ("yes", "no")],
                "profit_cents": trader.real_profit_cents(market),
            }
        markets.append(found)
    names: list[str] = [*trader.models]
    more: dict[str, Any] = {}
    if isinstance(trader, OrderingTrader):
        names.append(EXCHANGE)
        more = {
            "sent": trader.desk.counts["sent"],
            "refused": trader.desk.counts["refused"],
            "resting": trader.left,
        }
    return {
        "why": trader.stopping,
        "decisions": trader.decisions,
        "latency_ms": {name: trader.latency_ms(q) for name, q in _QUANTILES.items()},
        "chosen": trader.config.fill_model,
        "profit_cents": {
            name: sum(m["models"][name]["profit_cents"] for m in markets) for name in names
        },
        "markets": markets,
    } | more


def _open(trader: Trader, state: dict[str, int], side: str) -> dict[str, float] | None:
    """The order that rests on a side, at the price of that side; None: none does."""
    if state[f"{side}_size"] == 0:
        return None
    cent = money_per_cent(trader.following.payout or PAYOUT_CENT)
    return {"contracts": state[f"{side}_size"], "cents": state[f"{side}_price"] / cent}


def show(found: dict[str, Any], layout: Layout | None = None) -> None:
    """Print the figures of a run as tables.

    Args:
        found: as `figures` gives them.
        layout: which columns are shown.
    """
    in_all = found["profit_cents"]
    shown = EXCHANGE if EXCHANGE in in_all else found["chosen"]
    models = list(in_all)
    rows = [
        [
            market["market"],
            f"{market['rows']:,}",
            f"{market['orders']:,}",
            f"{market['models'][shown]['position']:,}",
            *(f"{market['models'][model]['fills']:,}" for model in models),
            *(dollars(market["models"][model]["profit_cents"], signed=True) for model in models),
            market["halted"] or ", ".join(f"{n} x {why}" for why, n in market["blocked"].items()),
        ]
        for market in found["markets"]
    ]
    columns = ["market", "rows", "orders", "position"]
    fills = [f"fills {model}" for model in models]
    columns += fills + [f"profit {model}" for model in models] + ["limits"]
    least = [*fills, "rows", "orders", "limits", "position"]
    title = "trading" if "sent" in found else "paper trading"
    print_table(title, columns, rows, layout=layout, least=least)
    latency = found["latency_ms"]
    print_pairs(
        "",
        [
            (
                "profit",
                ", ".join(f"{m} {dollars(c, signed=True)}" for m, c in in_all.items()),
            ),
            ("decisions", f"{found['decisions']:,}"),
            ("latency", ", ".join(f"{n} {_ms(v)}" for n, v in latency.items())),
            *_orders(found),
            ("ended", str(found["why"])),
        ],
    )


def _orders(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What became of orders that were sent; of a run that sends none, nothing."""
    if "sent" not in found:
        return []
    said = f"{found['sent']:,} sent, {found['refused']:,} refused"
    return [("orders", f"{said}, {_left(found['resting'])} rest at the exchange")]


def _left(resting: int | None) -> str:
    return "it is not known how many" if resting is None else f"{resting:,}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"
