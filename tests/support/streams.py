"""Writing small streams by hand: prices in cents, sizes in contracts, times from `T0`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from kalshi_sim.session import EventKind, MarketInfo, Session
from kalshi_sim.units import SIZE_SCALE, STORED_PER_CENT
from tests.support.random_markets import make_session

T0 = 1_773_864_000_000
"""2026-03-18 20:00:00 UTC, 16:00 in New York."""
YES, NO = 0, 1
Number = int | str | Fraction
EventRow = tuple[int, int, int, int, int, int]


def _exact(value: Number, scale: int) -> int:
    scaled = Fraction(value) * scale
    assert scaled.denominator == 1
    return int(scaled)


def snapshot(
    at: int, yes: Mapping[Any, Number] | None = None, no: Mapping[Any, Number] | None = None
) -> list[EventRow]:
    """A snapshot: {price in cents: contracts} a side."""
    rows: list[EventRow] = [(EventKind.SNAPSHOT, 0, 0, 0, 0, T0 + at)]
    for side, ladder in ((YES, yes or {}), (NO, no or {})):
        for price, size in ladder.items():
            stored = (_exact(price, STORED_PER_CENT), _exact(size, SIZE_SCALE))
            rows.append((EventKind.LEVEL, side, *stored, 0, T0 + at))
    return rows


def delta(at: int, side: int, price: Number, change: Number, traded: Number = 0) -> list[EventRow]:
    """A signed change at a price, of which so many contracts were known trades."""
    size, known = _exact(change, SIZE_SCALE), _exact(traded, SIZE_SCALE)
    return [(EventKind.DELTA, side, _exact(price, STORED_PER_CENT), size, known, T0 + at)]


def gap(at: int) -> list[EventRow]:
    """Messages missing from here to the next snapshot."""
    return [(EventKind.GAP, 0, 0, 0, 0, T0 + at)]


def quiet(at: int, rows: int = 2, side: int = YES) -> list[EventRow]:
    """Rows in which nothing of interest happens: one contract more, far from the best price."""
    return [event for i in range(rows) for event in delta(at + i, side, 1, 1)]


def session_of(*events: list[EventRow], trades_recorded: bool = True, **market: Any) -> Session:
    """A session of one market."""
    info = MarketInfo(ticker="KXHAND-26-A", **market)
    rows = [row for part in events for row in part]
    return make_session([(info, rows)], trades_recorded=trades_recorded)
