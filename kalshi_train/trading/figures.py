"""What a run came to, by market and fill model."""

from __future__ import annotations

from typing import Any, Final

from kalshi_sim.cli.tables import Layout, print_pairs, print_table
from kalshi_sim.text import dollars
from kalshi_sim.units import PAYOUT_CENT, money_per_cent
from kalshi_train.trading.trader import Trader

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
        markets.append(found)
    return {
        "why": trader.stopping,
        "decisions": trader.decisions,
        "latency_ms": {name: trader.latency_ms(q) for name, q in _QUANTILES.items()},
        "chosen": trader.config.fill_model,
        "profit_cents": {
            model: sum(m["models"][model]["profit_cents"] for m in markets)
            for model in trader.models
        },
        "markets": markets,
    }


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
    models = list(in_all)
    rows = [
        [
            market["market"],
            f"{market['rows']:,}",
            f"{market['orders']:,}",
            f"{market['models'][found['chosen']]['position']:,}",
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
    print_table("paper trading", columns, rows, layout=layout, least=least)
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
            ("ended", str(found["why"])),
        ],
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"
