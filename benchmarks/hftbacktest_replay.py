"""Replay a file of hftbacktest's events once for every line on standard input (`bench_peers`).

Runs where hftbacktest is installed, and imports nothing of this package.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from numba import njit


def every_event(hbt: Any) -> tuple[int, float, float, float]:
    """Every event of the market, one after the other; what the trader sees last."""
    n = 0
    seen = 0.0
    while hbt.wait_next_feed(False, 10**18) == 2:
        n += 1
        seen += hbt.depth(0).best_bid  # what anybody would look at
    depth = hbt.depth(0)
    return n, depth.best_bid, depth.best_ask, seen


replay = njit(every_event)


def asset(data: Any, tick: float) -> Any:
    """One binary contract without latency or fees."""
    return (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(0.01)
        .last_trades_capacity(0)
    )


def shown(bid: float, ask: float) -> dict[str, float]:
    """The best prices; 0 where a side is empty."""
    return {name: 0.0 if x != x else round(float(x), 6) for name, x in (("bid", bid), ("ask", ask))}


def main() -> None:
    data = np.load(sys.argv[1])["data"]
    tick = float(sys.argv[2])
    for _ in sys.stdin:
        hbt = HashMapMarketDepthBacktest([asset(data, tick)])
        start = time.perf_counter()
        n, bid, ask, _ = replay(hbt)
        seconds = time.perf_counter() - start
        hbt.close()
        found = {"seconds": seconds, "events": n, **shown(bid, ask)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
