"""What happens in a session that is replayed, in order, each with its time.

Frames keep the order of their arrival; the clock stands at the latest time reached where one
states an earlier time. Changes of markets' lives come at the times at which they were known.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.exchange.markets import SETTLEMENT_TIMER_S
from kalshi_sim.session import (
    NO_TIME,
    EventFlag,
    EventKind,
    FeeUpdate,
    PriceRanges,
    Session,
)
from kalshi_sim.units import MS_PER_SECOND

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.flow import FlowOrder

_LIFE_FIRST: Final = 0
_FRAME: Final = 1


@dataclass(frozen=True, slots=True)
class BookFrame:
    """A snapshot, a delta or a trade of a recorded market."""

    market: int
    kind: EventKind
    side: int = 0
    price: int = 0
    size: int = 0
    traded: int = 0
    """Of a removal: what a trade took."""
    ts_ms: int | None = None
    """The time it states; None: none."""
    whole_second: bool = False
    levels: tuple[tuple[int, int, int], ...] = ()
    """(side, price, size) of a snapshot."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change in a market's life."""

    market: int
    kind: str
    """created, activated, deactivated, close_date_updated, price_level_structure_updated,
    event_fee_update, determined or settled; opened and closed, of which no frame is sent."""
    close_ms: int | None = None
    ranges: PriceRanges | None = None
    fees: FeeUpdate | None = None
    value: int | None = None


Happening = tuple[int, "BookFrame | Change | FlowOrder"]


def check_session(session: Session) -> None:
    """Refuse a session whose events no exchange can send.

    Raises:
        ConfigError: it has no events, or levels of unknown size.
    """
    if not len(session.events):
        raise ConfigError(f"session {session.session_id} has no events to replay")
    if (session.events.kind == EventKind.DROP_LEVEL).any():
        raise ConfigError(
            f"session {session.session_id} has levels of unknown size (a kalshiflow recording of "
            "era B), which no exchange sends; replay another session"
        )


def first_ms(session: Session) -> int:
    """When the session begins, in ms since 1970 UTC."""
    return session.first_book_ms if session.started_ms is None else session.started_ms


def replay(session: Session, openings: Sequence[tuple[int, Change]] = ()) -> Iterator[Happening]:
    """Everything that happens in a recorded session, with times that never run backwards.

    Args:
        session: the recorded session.
        openings: markets that come to be while time runs (time in ms since 1970 UTC, change).

    Returns:
        (time in ms since 1970 UTC, what happens).
    """
    return in_order_of_time(session, [lives(session, openings), _frames(session)])


def in_order_of_time(
    session: Session, streams: Iterable[Iterable[tuple[int, int, BookFrame | Change | FlowOrder]]]
) -> Iterator[Happening]:
    """Streams merged by time; of the same time, the first stream's comes first.

    Args:
        session: it begins not before its first time.
        streams: of (time in ms, order within it, what happens), each ascending.

    Yields:
        (time, what happens); times never run backwards.
    """
    latest = first_ms(session)
    for ms, _, what in heapq.merge(*streams, key=lambda item: item[:2]):
        latest = max(latest, ms)
        yield latest, what


def _frames(session: Session) -> Iterator[tuple[int, int, BookFrame]]:
    events, offsets = session.events, session.market_offsets
    market_of = np.repeat(np.arange(len(session.markets)), np.diff(offsets))
    heads = np.flatnonzero(events.kind != EventKind.LEVEL)
    n = len(events)
    at = np.where(events.kind != EventKind.LEVEL, np.arange(n), n)
    ends = np.append(np.minimum.accumulate(at[::-1])[::-1][1:], n)
    heads = heads[np.argsort(events.frame[heads], kind="stable")]
    latest = first_ms(session)
    columns = (
        heads,
        market_of[heads],
        events.kind[heads],
        events.side[heads],
        events.price[heads],
        events.size[heads],
        events.traded[heads],
        events.ts_ms[heads],
        events.flags[heads],
    )
    for row, market, kind, side, price, size, traded, ts_ms, flags in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if ts_ms != NO_TIME:
            latest = max(latest, ts_ms)
        if kind == EventKind.GAP:
            yield latest, _FRAME, BookFrame(market, EventKind.GAP)
            continue
        levels: tuple[tuple[int, int, int], ...] = ()
        if kind == EventKind.SNAPSHOT:
            own = slice(row + 1, int(ends[row]))
            levels = tuple(
                zip(
                    events.side[own].tolist(),
                    events.price[own].tolist(),
                    events.size[own].tolist(),
                    strict=True,
                )
            )
        untimed = ts_ms == NO_TIME or bool(flags & EventFlag.TIME_INFERRED)
        yield (
            latest,
            _FRAME,
            BookFrame(
                market,
                EventKind(kind),
                side,
                price,
                size,
                traded,
                None if untimed and kind != EventKind.SNAPSHOT else ts_ms,
                bool(flags & EventFlag.WHOLE_SECOND),
                levels,
            ),
        )


def lives(
    session: Session, openings: Sequence[tuple[int, Change]] = ()
) -> list[tuple[int, int, Change]]:
    """All changes of markets' lives by time; what holds from the start has no time.

    Args:
        session: the session.
        openings: markets that come to be while time runs (time in ms since 1970 UTC, change).
    """
    found = list(openings)
    start = first_ms(session)
    fees_of_event: set[tuple[str, int]] = set()
    for i, market in enumerate(session.markets):
        for known, close in market.close_updates:
            found.append((known, Change(i, "close_date_updated", close_ms=close)))
        for grid in market.grid_updates:
            change = Change(i, "price_level_structure_updated", ranges=grid.price_ranges)
            found.append((grid.known_ms, change))
        for fees in market.fee_updates:
            if (market.event, fees.known_ms) not in fees_of_event:
                fees_of_event.add((market.event, fees.known_ms))
                found.append((fees.known_ms, Change(i, "event_fee_update", fees=fees)))
        for pause in market.pauses:
            found.append((pause.start_ms, Change(i, "deactivated")))
            if pause.end_ms is not None:
                found.append((pause.end_ms, Change(i, "activated")))
        found += _ending(i, market.close_time_ms, market.close_updates, session)
        known_ms = market.settlement_known_ms
        if market.settlement_value is not None and known_ms is not None:
            found.append((known_ms, Change(i, "determined", value=market.settlement_value)))
            paid = known_ms + SETTLEMENT_TIMER_S * MS_PER_SECOND
            found.append((paid, Change(i, "settled")))
    # A result or a close beyond the recording's end is not known to it.
    found = [item for item in found if item[0] <= session.last_message_ms]
    return [
        (max(start, ms), _LIFE_FIRST, change)
        for ms, change in sorted(found, key=lambda item: item[0])
    ]


def _ending(
    market: int, close_ms: int | None, updates: tuple[tuple[int, int], ...], session: Session
) -> Iterator[tuple[int, Change]]:
    """When the market closes, which no frame says: the close time known at that time."""
    for known, close in (*updates, (session.last_message_ms + 1, 0)):
        if close_ms is not None and close_ms < known:
            yield close_ms, Change(market, "closed")
            return
        close_ms = close
