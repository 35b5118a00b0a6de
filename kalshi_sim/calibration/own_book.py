"""One's own orders in a recorded book: where they are in it, and the book without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from kalshi_sim.calibration.own_log import OwnOrder
from kalshi_sim.events import EventKind
from kalshi_sim.session import Session

_NEAR_MS: Final = 1_000
"""What an order did in the book lies at most so far from when the exchange says it did."""


def nearest(events: Iterable[tuple[int, int]], at_ms: int) -> int | None:
    """The event nearest to a time.

    Args:
        events: (number, time) of those that fit.
        at_ms: the time.

    Returns:
        Its number; None if none is near.
    """
    near = [(abs(ts - at_ms), i) for i, ts in events if abs(ts - at_ms) <= _NEAR_MS]
    return min(near)[1] if near else None


def without_own(session: Session, orders: Sequence[OwnOrder]) -> Session:
    """The recording as if one's own orders had rested only for what they filled.

    Args:
        session: the recording.
        orders: one's own.
    """
    events = session.events
    size = events.size.copy()
    tickers = {market.ticker: i for i, market in enumerate(session.markets)}
    for order in orders:
        if order.market not in tickers:
            continue
        begin, end = session.market_offsets[tickers[order.market] :][:2].tolist()
        part = slice(begin, end)
        mine = (events.kind[part] == EventKind.DELTA) & (events.side[part] == order.side)
        mine &= events.price[part] == order.price
        filled = sum(count for _, count in order.fills)
        changes = [(order.rested_ms, order.size, filled)]
        if order.ended_ms is not None and filled < order.size:
            changes.append((order.ended_ms, filled - order.size, 0))
        for at_ms, change, left in changes:
            fit = begin + np.flatnonzero(mine & (size[part] == change))
            found = nearest(zip(fit.tolist(), events.ts_ms[fit].tolist(), strict=True), at_ms)
            if found is not None:
                size[found] = left
    return replace(session, events=replace(events, size=size))
