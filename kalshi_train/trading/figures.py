"""What a run came to, by market and fill model."""

from __future__ import annotations

from typing import Any, Final

from kalshi_sim.cli.tables import print_pairs, print_table
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


def show(found: dict[str, Any]) -> None:
    """Print the figures of a run as tables.

    Args:
        found: as `figures` gives them.
    """
    models = list(found["profit_cents"])
    rows = [
        [
            market["market"],
            f"{market['rows']:,}",
            f"{market['orders']:,}",
            f"{market['models'][found['chosen']]['position']:+,}",
            *(f"{market['models'][model]['fills']:,}" for model in models),
            *(dollars(market["models"][model]["profit_cents"]) for model in models),
            market["halted"] or ", ".join(f"{n} x {why}" for why, n in market["blocked"].items()),
        ]
        for market in found["markets"]
    ]
    columns = ["market", "rows", "orders", "position"]
    columns += [f"fills {model}" for model in models] + [f"profit {model}" for model in models]
    print_table("paper trading", [*columns, "limits"], rows)
    latency = found["latency_ms"]
    print_pairs(
        "",
        [
            ("profit", ", ".join(f"{m} {dollars(c)}" for m, c in found["profit_cents"].items())),
            ("decisions", f"{found['decisions']:,}"),
            ("latency", ", ".join(f"{n} {_ms(v)}" for n, v in latency.items())),
            ("ended", str(found["why"])),
        ],
    )


def dollars(cents: float) -> str:
    """A profit in dollars with its sign.

    Args:
        cents: the profit.
    """
    return f"{cents / PAYOUT_CENT:+,.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"
