"""Which recorded trade caused which recorded removal (docs/contract.md#2-book-and-events)."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import pairwise

from kalshi_sim.kernels.recorded import match_market
from kalshi_sim.parallel import in_order
from kalshi_sim.session import EventKind, Events, Int64Array
from kalshi_sim.threads import usable_cpus


def match_trades(events: Events, offsets: Int64Array) -> Events:
    """Match trades to the removals they caused, and set `traded` on both.

    A trade takes the latest earlier unused removal of its side and price with exactly its count,
    else the latest earlier one of at least its count, else the next later one of at least its
    count; one trade a removal, at most 2 s apart, a time in whole seconds standing for that whole
    second.

    Args:
        events: grouped by market, each in stream order with times as recorded.
        offsets: int64 [n_markets + 1], market i has rows `offsets[i]:offsets[i + 1]`.

    Returns:
        The events with another column `traded`.
    """
    traded = events.traded.copy()

    def match(rows: slice) -> None:
        part = events[rows]
        if (part.kind == EventKind.TRADE).any():
            match_market(
                part.kind, part.side, part.price, part.size, part.ts_ms, part.flags, traded[rows]
            )

    markets = [slice(first, stop) for first, stop in pairwise(offsets.tolist())]
    deque(in_order(markets, match, usable_cpus()), maxlen=0)
    return replace(events, traded=traded)
