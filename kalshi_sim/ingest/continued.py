"""A market that was recorded in several sessions, one after the other, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from kalshi_sim.errors import DataError
from kalshi_sim.events import EventKind, Events
from kalshi_sim.session import MarketInfo, Session

_FIXED = ("event_ticker", "sub_penny", "taker_multiplier", "maker_multiplier", "fee_unit")
"""What two recordings of a market have to agree on."""

Part = tuple[int, MarketInfo, Events]
"""Number of the session, and what it has of the market."""


def continued(sessions: Sequence[Session], ticker: str) -> tuple[MarketInfo, Events]:
    """A market's events of all sessions, each part going on from the one before.

    A later part begins with its own snapshot, which clears the book; nothing in between is known.

    Args:
        sessions: those that have the market.
        ticker: the market.

    Returns:
        What is known of the market, and its events.

    Raises:
        DataError: parts lie over each other in time, a later one does not begin with a snapshot,
            the market was paused when one ended, or they say different things of the market.
    """
    parts = [
        (session.session_id, market, session.market_events(ticker))
        for session in sessions
        for market in session.markets
        if market.ticker == ticker
    ]
    parts.sort(key=lambda part: (int(part[2].ts_ms[0]) if len(part[2]) else 0, part[0]))
    known = parts[0][1]
    for before, after in pairwise(parts):
        _check_order(ticker, before, after)
        known = _joined(known, before, after)
    return known, Events.concatenate([events for _, _, events in parts])


def _check_order(ticker: str, before: Part, after: Part) -> None:
    """Be sure that one part is over when the next begins, with a book of its own.

    Raises:
        DataError: it is not.
    """
    (first, _, earlier), (second, _, later) = before, after
    if not len(earlier) or not len(later):
        return
    if earlier.ts_ms.max() >= later.ts_ms.min():
        raise DataError(
            f"{ticker}: recorded at the same time in sessions {first} and {second}; import their "
            "recordings together, so that what was recorded twice is read once"
        )
    if later.kind[0] != EventKind.SNAPSHOT:
        raise DataError(
            f"{ticker}: session {second} goes on after session {first} without a snapshot of the "
            "book; import their recordings together"
        )


def _joined(known: MarketInfo, before: Part, after: Part) -> MarketInfo:
    """What is known of a market after its next part.

    Raises:
        DataError: the parts contradict each other.
    """
    (first, earlier, _), (second, later, events) = before, after
    ticker = known.ticker
    values: list[tuple[str, object, object]] = [
        ("its grid", earlier.price_ranges, later.starting_ranges)
    ]
    values += [(name, getattr(known, name), getattr(later, name)) for name in _FIXED]
    values.append(("its result", known.settlement_value, later.settlement_value))
    for name, one, other in values:
        if one is not None and other is not None and one != other:
            raise DataError(
                f"{ticker}: sessions {first} and {second} differ in {name} ({one}, {other}); "
                "import their recordings together"
            )
    if known.pauses and known.pauses[-1].end_ms is None:
        raise DataError(
            f"{ticker}: trading was paused when session {first} ended, and session {second} does "
            "not say until when; import their recordings together"
        )
    moved = later.close_time_ms not in (None, _close_time(known))
    at = int(events.ts_ms[0]) if len(events) else 0
    closes = ((at, int(later.close_time_ms or 0)),) if moved and known.close_time_ms else ()
    return replace(
        known,
        event_ticker=known.event_ticker or later.event_ticker,
        close_time_ms=known.close_time_ms or later.close_time_ms,
        close_updates=(*known.close_updates, *closes, *later.close_updates),
        settlement_value=_either(known.settlement_value, later.settlement_value),
        settlement_known_ms=(
            later.settlement_known_ms
            if known.settlement_value is None
            else known.settlement_known_ms
        ),
        price_ranges=later.price_ranges or known.price_ranges,
        first_price_ranges=known.starting_ranges,
        grid_updates=(*known.grid_updates, *later.grid_updates),
        fee_updates=(*known.fee_updates, *later.fee_updates),
        pauses=(*known.pauses, *later.pauses),
        taker_multiplier=_either(known.taker_multiplier, later.taker_multiplier),
        maker_multiplier=_either(known.maker_multiplier, later.maker_multiplier),
        fee_unit=_either(known.fee_unit, later.fee_unit),
    )


def _close_time(market: MarketInfo) -> int | None:
    """The close time as last known."""
    return market.close_updates[-1][1] if market.close_updates else market.close_time_ms


def _either(one: int | None, other: int | None) -> int | None:
    return other if one is None else one
