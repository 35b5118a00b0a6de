"""Frames of a market's life, made by chance in the shapes of the wire."""

from __future__ import annotations

import random
from typing import Any

GRIDS = (
    [("0.0000", "1.0000", "0.0100")],
    [("0.0000", "1.0000", "0.0010")],
    [("0", "0.1", "0.001"), ("0.1", "0.9", "0.01"), ("0.9", "1", "0.001")],
    [("0.0400", "0.6000", "0.0200")],
)
"""(start, end, step) in dollars."""


def ranges(*bands: tuple[str, str, str]) -> list[dict[str, str]]:
    """Bands as the exchange writes them."""
    return [{"start": a, "end": b, "step": c} for a, b, c in bands]


def life_frame(ticker: str, event_type: str, **told: Any) -> dict[str, Any]:
    """A frame of a market's life."""
    message = {"market_ticker": ticker, "event_type": event_type, **told}
    return {"type": "market_lifecycle_v2", "sid": 7, "msg": message}


def fee_frame(kind: str | None, multiplier: Any, **told: Any) -> dict[str, Any]:
    """A change of the fees of an event, or of one market."""
    fees = {"fee_type_override": kind, "fee_multiplier_override": multiplier}
    return {"type": "event_fee_update", "sid": 7, "msg": {**told, **fees}}


def random_life(draw: random.Random, ticker: str, ms: int) -> dict[str, Any]:
    """Any frame of a market's life, known at about `ms`; now and then it does not say so."""
    time = {} if draw.random() < 0.2 else {"ts_ms": ms + draw.choice((-1, 0, 0, 1, 900))}
    kind = draw.choice(
        ("pause", "pause", "resume", "resume", "grid", "grid", "fee", "fee", "close", "result")
    )
    if kind == "pause":
        out = life_frame(ticker, "deactivated", **time)
    elif kind == "resume":
        out = life_frame(ticker, "activated", **time)
    elif kind == "grid":
        event_type = draw.choice(("created", "price_level_structure_updated"))
        out = life_frame(ticker, event_type, price_ranges=ranges(*draw.choice(GRIDS)), **time)
    elif kind == "fee":
        names = (None, "quadratic", "quadratic", "quadratic_with_maker_fees", "flat")
        concerns = draw.choice(
            ({"market_ticker": ticker}, {"event_ticker": ticker.rpartition("-")[0]})
        )
        multiplier = draw.choice((None, 0, 1, 0.5, "1.25", 2))
        out = fee_frame(draw.choice(names), multiplier, **concerns, **time)
    elif kind == "close":
        out = life_frame(ticker, "close_date_updated", close_ts=ms // 1_000 + 3_600, **time)
    else:
        event_type = draw.choice(("determined", "determined", "settled"))
        value = draw.choice(({"result": "yes"}, {"result": "no"}, {"settlement_value": "0.3755"}))
        out = life_frame(ticker, event_type, **value, **time)
    if draw.random() < 0.2 and out["type"] == "market_lifecycle_v2":
        out["type"] = "multivariate_market_lifecycle"
    return out
