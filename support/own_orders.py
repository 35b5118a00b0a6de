"""Own orders at an exchange whose latency, trade share and queue power are known.

In each of many markets one order rests at one level. Whatever leaves the level is a
trade with the chance of the trade share, else a cancellation that falls in front of the order with
the chance front^k / (front^k + back^k). Written as the exchange and the user would: frames of the
wire, and a file of the orders.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_START_MS = 1_790_000_000_000
_PRICE, _OTHER = "0.4000", "0.5500"
_OWN = 10
_CHANGES = 90


@dataclass
class OwnOrders:
    """What happened, as two files."""

    capture: Path
    log: Path
    filled: int
    latencies: list[int]


@dataclass
class _Level:
    market: str = ""
    now: int = _START_MS
    front: int = 0
    back: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list)

    def frame(self, kind: str, **message: Any) -> None:
        message = {"market_ticker": self.market, **message}
        if kind != "orderbook_snapshot":
            message["ts_ms"] = self.now
        frame = {"type": kind, "sid": 2 if kind == "trade" else 1, "msg": message}
        self.frames.append({"recv_ts_ns": self.now * 1_000_000, "raw": frame})

    def delta(self, change: int) -> None:
        self.frame("orderbook_delta", price_dollars=_PRICE, delta_fp=f"{change}.00", side="yes")

    def trade(self, count: int) -> None:
        self.delta(-count)
        self.frame(
            "trade",
            trade_id=f"t{len(self.frames)}",
            yes_price_dollars=_PRICE,
            no_price_dollars="0.6000",
            count_fp=f"{count}.00",
            taker_side="no",
        )


def make_own_orders(
    folder: Path,
    seed: int,
    *,
    orders: int = 60,
    trade_share: float = 0.15,
    queue_power: float = 2.0,
    latency: Callable[[np.random.Generator], int] = lambda rng: 40 + int(rng.exponential(15.0)),
    places: bool = True,
) -> OwnOrders:
    """Let orders rest, one a market, and write what was seen of them.

    Args:
        folder: for the files.
        seed: of all chances.
        orders: how many.
        trade_share: chance that a removal is a trade.
        queue_power: where cancellations fall.
        latency: milliseconds from a decision to the order's acceptance.
        places: the exchange is asked for the place in the queue now and then.

    Returns:
        The files.
    """
    rng = np.random.default_rng(seed)
    level = _Level()
    rows: list[dict[str, Any]] = []
    took: list[int] = []
    filled_orders = 0
    for number in range(orders):
        level.now += 5_000
        level.market = f"KXOWN-26-{number}"
        level.front, level.back = int(rng.integers(15, 60)), 0
        level.frame(
            "orderbook_snapshot",
            yes_dollars_fp=[[_PRICE, f"{level.front}.00"]],
            no_dollars_fp=[[_OTHER, "500.00"]],
        )
        decided = level.now
        took.append(latency(rng))
        level.now += took[-1]
        name = f"own-{number}"
        rows.append(
            {
                "event": "order",
                "id": name,
                "time_ms": level.now,
                "market": level.market,
                "side": "yes",
                "price_cents": 40,
                "contracts": _OWN,
                "decided_ms": decided,
            }
        )
        level.delta(_OWN)
        filled = _rest(level, rng, name, rows, trade_share, queue_power, places=places)
        filled_orders += filled > 0
        if filled < _OWN:
            level.now += 50
            level.delta(filled - _OWN)
            rows.append({"event": "end", "id": name, "time_ms": level.now})
    capture, log = folder / "frames.jsonl", folder / "orders.csv"
    first = [{"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}}]
    capture.write_text("".join(json.dumps(line) + "\n" for line in [*first, *level.frames]))
    names = ["event", "id", "time_ms", "market", "side", "price_cents", "contracts"]
    with log.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*names, "decided_ms", "ahead"])
        writer.writeheader()
        writer.writerows(rows)
    return OwnOrders(capture, log, filled_orders, took)


def _rest(
    level: _Level,
    rng: np.random.Generator,
    name: str,
    rows: list[dict[str, Any]],
    trade_share: float,
    queue_power: float,
    *,
    places: bool,
) -> int:
    """An order rests until it is filled or long enough; how much of it was filled."""
    filled = 0
    for change in range(_CHANGES):
        level.now += int(rng.integers(20, 900))
        if places and change % 15 == 14 and not filled:
            row = {"event": "place", "id": name, "time_ms": level.now, "ahead": level.front}
            rows.append(row)
            level.now += 5
        size = int(rng.integers(1, 9))
        if rng.random() < 0.45:
            level.back += 2 * size
            level.delta(2 * size)
            continue
        if size > max(level.front, level.back):
            continue  # neither a trade nor a cancellation of that size: the share stays what it is
        if rng.random() < trade_share:
            mine = min(max(0, size - level.front), _OWN - filled)
            level.trade(size)
            if mine:
                filled += mine
                fill = {"event": "fill", "id": name, "time_ms": level.now, "contracts": mine}
                rows.append(fill)
            rest = max(0, size - level.front - mine)
            level.front, level.back = max(0, level.front - size), max(0, level.back - rest)
            continue
        f, b = float(level.front) ** queue_power, float(level.back) ** queue_power
        in_front = f + b > 0 and bool(rng.random() < f / (f + b))
        if size > min(level.front, level.back):  # nobody of that size stands where there is less
            in_front = level.front > level.back
        level.front -= size * in_front
        level.back -= size * (not in_front)
        level.delta(-size)
    return filled
