"""A session as rows of the kalshiflow recorder's tables, in the form of its era C.

The tables hold whole cents and whole contracts, no trades, no gaps and no results. A market with
a finer price or size is left out as a whole; changes while its book is unknown are left out too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from kalshi_sim.session import NO_TIME, EventKind, Events, Session
from kalshi_sim.store.kalshiflow.rows import MAX_SIZE
from kalshi_sim.text import numbered
from kalshi_sim.units import CENTS_PER_DOLLAR, SIZE_SCALE, STORED_PER_CENT, mirror

SIDES: Final = ("yes", "no")
MAX_TICKER: Final = 100
"""Characters that the tables have room for."""
SNAPSHOT_COLUMNS: Final = (
    "session_id",
    "market_ticker",
    "timestamp_ms",
    "sequence_number",
    "yes_bids",
    "yes_asks",
    "no_bids",
    "no_asks",
    "yes_spread",
    "no_spread",
    "yes_mid_price",
    "no_mid_price",
    "total_volume",
)
DELTA_COLUMNS: Final = (
    "session_id",
    "market_ticker",
    "timestamp_ms",
    "sequence_number",
    "side",
    "action",
    "price",
    "old_size",
    "new_size",
)
_Ladder = dict[int, int]


@dataclass
class MarketRows:
    """The rows of one market, in the order of their columns."""

    snapshots: list[tuple[Any, ...]]
    deltas: list[tuple[Any, ...]]


def fits(events: Events) -> bool:
    """Whether the tables can hold a market's prices and sizes.

    Args:
        events: of the market.
    """
    book = (events.kind == EventKind.LEVEL) | (events.kind == EventKind.DELTA)
    return not (
        np.any(events.price[book] % STORED_PER_CENT)
        or np.any(events.size[book] % SIZE_SCALE)
        or np.any(abs(events.size[book]) > MAX_SIZE * SIZE_SCALE)
        or np.any(events.kind == EventKind.DROP_LEVEL)
    )


def left_out(session: Session) -> str | None:
    """What of a session the tables cannot hold, in one sentence; None: they hold all.

    Args:
        session: which is to be written.
    """
    trades = int((session.events.kind == EventKind.TRADE).sum())
    unfit = [
        m.ticker
        for m in session.markets
        if len(m.ticker) > MAX_TICKER or not fits(session.market_events(m.ticker))
    ]
    parts = []
    if unfit:
        parts.append(
            f"{numbered(len(unfit), 'market')} with prices finer than a cent, parts of contracts "
            f"or a ticker of more than {MAX_TICKER} characters ({', '.join(unfit[:3])}"
            f"{', ...' if len(unfit) > 3 else ''})"
        )
    if trades:
        parts.append(numbered(trades, "trade"))
    if not parts:
        return None
    return f"the kalshiflow tables have no room for {' and '.join(parts)}: left out"


def rows_of(session: Session) -> Iterator[tuple[str, MarketRows]]:
    """The rows of every market that fits, market by market.

    A row's number is the place of its frame in the session: unique, and in the order of arrival.

    Args:
        session: any.

    Yields:
        The ticker, and its rows.
    """
    for market in session.markets:
        events = session.market_events(market.ticker)
        if len(market.ticker) <= MAX_TICKER and fits(events):
            yield market.ticker, _rows(session.session_id, market.ticker, events)


def _rows(session_id: int, ticker: str, events: Events) -> MarketRows:
    out = MarketRows([], [])
    book: tuple[_Ladder, _Ladder] | None = None
    latest = 0
    pending: tuple[int, int] | None = None
    columns = ("kind", "side", "price", "size", "ts_ms", "frame")
    for kind, side, price, size, ts_ms, frame in zip(
        *(getattr(events, name).tolist() for name in columns), strict=True
    ):
        if ts_ms != NO_TIME:
            latest = max(latest, ts_ms)
        if pending is not None and kind != EventKind.LEVEL:
            assert book is not None
            out.snapshots.append((session_id, ticker, *pending, *_snapshot(book)))
            pending = None
        if kind == EventKind.SNAPSHOT:
            book, pending = ({}, {}), (latest, frame + 1)
        elif kind == EventKind.GAP:
            book = None
        elif book is None:
            continue
        elif kind == EventKind.LEVEL:
            book[side][price // STORED_PER_CENT] = size // SIZE_SCALE
        elif kind == EventKind.DELTA:
            cents = price // STORED_PER_CENT
            old = book[side].get(cents, 0)
            new = max(0, old + size // SIZE_SCALE)
            book[side][cents] = new
            action = "add" if old == 0 else "remove" if new == 0 else "update"
            where = (session_id, ticker, latest, frame + 1)
            out.deltas.append((*where, SIDES[side], action, cents, old, new))
    if pending is not None:
        assert book is not None
        out.snapshots.append((session_id, ticker, *pending, *_snapshot(book)))
    return out


def _snapshot(book: tuple[_Ladder, _Ladder]) -> tuple[Any, ...]:
    """The columns of a snapshot from its bids: asks are the other side's bids, mirrored."""
    bids = [{p: s for p, s in sorted(ladder.items()) if s > 0} for ladder in book]
    asks = [{mirror(p, CENTS_PER_DOLLAR): s for p, s in bids[1 - side].items()} for side in (0, 1)]
    ladders = (bids[0], asks[0], bids[1], asks[1])
    spreads: list[int | None] = []
    mids: list[Decimal | None] = []
    for own, other in zip(bids, asks, strict=True):
        both = bool(own and other)
        spreads.append(min(other) - max(own) if both else None)
        mids.append(Decimal(min(other) + max(own)) / 2 if both else None)
    total = sum(map(sum, (ladder.values() for ladder in bids)))
    return (*(msgspec.json.encode(ladder).decode() for ladder in ladders), *spreads, *mids, total)
