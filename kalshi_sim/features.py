"""The 52 features of an observation, as data: docs are printed from it, tests walk over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Feature:
    """One feature: its place in the observation, what it is, and its bounds (float32)."""

    index: int
    name: str
    group: str
    """market, temporal, portfolio or global."""
    definition: str
    """p̂ = price / payout; log(x; r) = min(1, ln(1 + x) / ln(1 + r))."""
    low: float
    high: float = 1.0


_MARKET: Final = (
    ("yes_bid", "best YES bid, p̂ (0 if absent)", 0.0),
    ("yes_ask", "best YES ask, p̂ (1 if absent)", 0.0),
    ("spread", "log(ask - bid in cents; 100)", 0.0),
    ("mid", "mark of YES, p̂", 0.0),
    (
        "microprice_offset",
        "tanh((m3 - mid) / 2 cents), m3 of the three best levels weighted by opposite sizes",
        -1.0,
    ),
    ("bid_size", "log(contracts at the best YES bid; 1e7)", 0.0),
    ("ask_size", "log(contracts at the best YES ask; 1e7)", 0.0),
    ("top_imbalance", "(bid - ask) / (bid + ask) of the best sizes, 0 if empty", -1.0),
    ("bid_depth_5", "log(contracts at most 5 cents from the best bid; 1e7)", 0.0),
    ("ask_depth_5", "log(contracts at most 5 cents from the best ask; 1e7)", 0.0),
    ("depth_imbalance_5", "imbalance of the depths within 5 cents", -1.0),
    ("bid_depth", "log(contracts of all bids; 1e8)", 0.0),
    ("ask_depth", "log(contracts of all asks; 1e8)", 0.0),
    ("depth_imbalance", "imbalance of the whole ladders", -1.0),
    ("bid_levels", "log(number of bid levels; 1000)", 0.0),
    ("ask_levels", "log(number of ask levels; 1000)", 0.0),
    ("bid_concentration", "share of the three best bids in the ladder, 0 if empty", 0.0),
    ("ask_concentration", "share of the three best asks in the ladder, 0 if empty", 0.0),
    ("buy_impact", "log(average price of buying 100 contracts minus mid in cents; 100)", 0.0),
    ("sell_impact", "log(mid minus average price of selling 100 contracts in cents; 100)", 0.0),
    ("two_sided", "1 if both sides are quoted, else 0", 0.0),
)
_TEMPORAL: Final = (
    ("row_gap", "log(ms since the row before; 3.6e6)", 0.0),
    ("quote_age", "log(ms since the best bid or ask changed price; 8.64e7)", 0.0),
    ("updates_1s", "log(rows in the last second; 1e3)", 0.0),
    ("updates_10s", "log(rows in the last 10 s; 1e4)", 0.0),
    ("updates_60s", "log(rows in the last 60 s; 6e4)", 0.0),
    ("burst", "tanh(ln((1 + 6 rows in 10 s) / (1 + rows in 60 s)))", -1.0),
    ("mid_change_1", "tanh(change of mid since the row before / 1 cent)", -1.0),
    ("momentum_10s", "tanh(change of mid over 10 s / 5 cents)", -1.0),
    ("momentum_60s", "tanh(change of mid over 60 s / 10 cents)", -1.0),
    ("momentum_300s", "tanh(change of mid over 300 s / 15 cents)", -1.0),
    ("volatility_60s", "log(root of the summed squared row changes over 60 s in cents; 100)", 0.0),
    (
        "order_flow_10s",
        "bid added + ask removed - bid removed - ask added, over their sum, at the best prices",
        -1.0,
    ),
    ("order_flow_60s", "the same over 60 s", -1.0),
    ("spread_change_60s", "tanh((spread - its mean over 60 s) / 5 cents)", -1.0),
)
_PORTFOLIO: Final = (
    ("cash_ratio", "free cash / cash_start, at most 1", 0.0),
    ("position", "sign(P) log(|P| / order_size; 100)", -1.0),
    ("entry_price", "average cost of the holding, p̂ of its side; 0 flat", 0.0),
    ("unrealized_pnl", "tanh(5 (value by mid - cost) / cash_start)", -1.0),
    ("realized_pnl", "tanh(3 (realized - fees) / cash_start)", -1.0),
    ("drawdown", "(peak equity - equity) / cash_start by mid, at most 1", 0.0),
    ("bid_working", "YES-side order: size left / order_size, at most 1", 0.0),
    ("bid_distance", "tanh((best YES bid - its price) / 5 cents), 0 without one", -1.0),
    ("bid_queue", "log(contracts ahead of it; 1e6), 0 without one", 0.0),
    ("ask_working", "NO-side order: size left / order_size, at most 1", 0.0),
    ("ask_distance", "tanh((best NO bid - its price) / 5 cents), 0 without one", -1.0),
    ("ask_queue", "log(contracts ahead of it; 1e6), 0 without one", 0.0),
)
_GLOBAL: Final = (
    ("session_progress", "log(minutes since the session's first book event; 1440)", 0.0),
    ("time_to_close", "log(seconds to the close time known now; 30 days), unknown 1", 0.0),
    ("time_of_day_sin", "sine of the time of day, US Eastern", -1.0),
    ("time_of_day_cos", "cosine of the time of day, US Eastern", -1.0),
    ("fee_rate", "0.07 M m (1 - m) in cents / 2, m the mid in dollars, at most 1", 0.0),
)

FEATURES: Final[tuple[Feature, ...]] = tuple(
    Feature(index, name, group, definition, low)
    for index, (group, (name, definition, low)) in enumerate(
        (group, row)
        for group, rows in (
            ("market", _MARKET),
            ("temporal", _TEMPORAL),
            ("portfolio", _PORTFOLIO),
            ("global", _GLOBAL),
        )
        for row in rows
    )
)
"""All 52, in the order of the observation."""


_GROUPS: Final = {
    "market": "the book at the row",
    "temporal": "this market's rows up to this one",
    "portfolio": "the agent's own cash, position and orders",
    "global": "clock and fees",
}
_INTRODUCTION: Final = """\
# The 52 features of an observation

`python -m kalshi_sim.features` prints this page from `kalshi_sim.FEATURES`, the table that kernels,
environments and tests share. [The contract](contract.md#9-the-52-features) has the rules behind it.

Every feature is a float32 between its bounds. p̂ is a price divided by the payout; log(x; r) is
min(1, ln(1 + x) / ln(1 + r)). The ask of YES is the payout minus the best NO bid. An absent bid is
price 0, so an absent ask is the payout. A window of length W holds this market's rows with
t - W < time <= t.
"""


def features_markdown() -> str:
    """`docs/features.md`: all features by group, as Markdown."""
    lines = [_INTRODUCTION]
    for group, what in _GROUPS.items():
        lines += [f"## {group.capitalize()}: {what}", ""]
        lines += ["| index | name | definition | bounds |", "|---:|---|---|---|"]
        lines += [
            f"| {f.index} | `{f.name}` | {f.definition.replace('|', '&#124;')} "
            f"| {f.low:g} to {f.high:g} |"
            for f in FEATURES
            if f.group == group
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(features_markdown(), end="")
