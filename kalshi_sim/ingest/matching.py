"""Which recorded trade caused which recorded removal (docs/contract.md#2-book-and-events)."""

from __future__ import annotations

from dataclasses import replace

from kalshi_sim.kernels.recorded import match_market
from kalshi_sim.session import EventKind, Events, Int64Array


def match_trades(events: Events, offsets: Int64Array) -> Events:
    """`events` with `traded` set on matched trades and on the removals they caused.

    `events` are grouped by market, market i in rows `offsets[i]:offsets[i + 1]`, each in stream
    order with times as recorded. A trade takes the latest earlier unused removal of its side and
    price with exactly its count, else the latest earlier one of at least its count, else the next
    later one of at least its count; one trade a removal, at most 2 s apart, a time in whole
    seconds standing for that whole second.
    """
    traded = events.traded.copy()
    trade_rows = events.kind == EventKind.TRADE
    for first, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if not trade_rows[first:stop].any():
            continue
        rows = slice(first, stop)
        part = events[rows]
        match_market(
            part.kind, part.side, part.price, part.size, part.ts_ms, part.flags, traded[rows]
        )
    return replace(events, traded=traded)
