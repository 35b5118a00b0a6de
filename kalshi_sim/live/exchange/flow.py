"""The order flow of generated markets: the orders of a price-time queue, one by one.

The generator's log says who placed, withdrew and took what; here its lines become orders again,
so that they meet clients' orders in the queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kalshi_sim.live.exchange.schedule import Change, Happening, in_order_of_time, lives
from kalshi_sim.session import Session
from kalshi_sim.synthetic.queue_book import (
    ADD,
    CANCEL,
    CLEAR,
    FILL,
    LOG_KIND,
    LOG_LEVEL,
    LOG_NUMBER,
    LOG_SIDE,
    LOG_SIZE,
    LOG_TIME,
    OPENING,
    STATE,
    UNFILLED,
)
from kalshi_sim.synthetic.truth import MarketLog

_AFTER_LIVES: Final = 1
_BLOCK: Final = 1_024
"""Lines that are made into Python numbers at a time."""


class FlowKind(IntEnum):
    """What happens in the order flow."""

    PLACE = 0
    """A new bid; what it meets on the other side trades first, the rest of it rests."""
    WITHDRAW = 1
    """An order is withdrawn until `size` of it is left."""
    TAKE = 2
    """Somebody takes bids of `side` at `price` or better, `size` in all."""
    SNAPSHOT = 3
    """The exchange sends the whole book again."""


@dataclass(frozen=True, slots=True)
class FlowOrder:
    """One order, or withdrawal, of a generated market's flow."""

    market: int
    """Index of the market in its session."""
    kind: FlowKind
    side: int = 0
    """0 YES, 1 NO."""
    price: int = 0
    """Of that side, in 1/100 cent."""
    size: int = 0
    """In 1/100 contract."""
    number: int = -1
    """Of the order that is placed or withdrawn, within its market."""
    opening: bool = False
    """It rests before the first snapshot."""
    left: tuple[tuple[int, int], ...] = ()
    """(number, size) of what a taker leaves of the orders it hits where no client trades."""


def flow(
    session: Session, logs: Mapping[str, MarketLog], openings: Sequence[tuple[int, Change]] = ()
) -> Iterator[Happening]:
    """All orders of a generated session and the changes of its markets' lives, by time.

    Args:
        session: the session.
        logs: of its markets, by ticker.
        openings: markets that come to be while time runs (time in ms since 1970 UTC, change).

    Yields:
        (time in ms since 1970 UTC, what happens); times never run backwards.
    """
    streams = [_orders(i, logs[market.ticker]) for i, market in enumerate(session.markets)]
    return in_order_of_time(session, [lives(session, openings), *streams])


def _orders(market: int, log: MarketLog) -> Iterator[tuple[int, int, FlowOrder]]:
    """The log of a market as orders, with the time of each."""
    prices = log.grid.tolist()
    rests: dict[int, int] = {}
    """Size of each order that rests where no client trades."""
    taker: _Taker | None = None
    for line in _lines(log):
        kind, side, number, size = line[LOG_KIND], line[LOG_SIDE], line[LOG_NUMBER], line[LOG_SIZE]
        ts_ms, price = line[LOG_TIME], prices[line[LOG_LEVEL]]
        if taker is not None and not taker.goes_on(kind, side, ts_ms):
            yield taker.ts_ms, _AFTER_LIVES, taker.order(market, rests)
            taker = None
        if kind in (FILL, UNFILLED):
            if taker is None:
                taker = _Taker(ts_ms, side)
            taker.hit(kind, price, size, number)
            if kind == FILL:
                rests[number] -= size
        elif kind in (OPENING, ADD):
            rests[number] = size
            place = FlowOrder(
                market, FlowKind.PLACE, side, price, size, number, opening=kind == OPENING
            )
            yield ts_ms, _AFTER_LIVES, place
        elif kind == CANCEL:
            rests[number] -= size
            yield (
                ts_ms,
                _AFTER_LIVES,
                FlowOrder(market, FlowKind.WITHDRAW, side, price, rests[number], number),
            )
        elif kind == CLEAR:
            yield ts_ms, _AFTER_LIVES, FlowOrder(market, FlowKind.SNAPSHOT)
        else:
            assert kind == STATE  # a level of the snapshot, which the exchange's book has
    if taker is not None:
        yield taker.ts_ms, _AFTER_LIVES, taker.order(market, rests)


def _lines(log: MarketLog) -> Iterator[list[int]]:
    for start in range(0, len(log.lines), _BLOCK):
        yield from log.lines[start : start + _BLOCK].tolist()


class _Taker:
    """Hits in a row are one taker's; what nobody gave it is the end of it."""

    def __init__(self, ts_ms: int, side: int) -> None:
        self.ts_ms, self._side = ts_ms, side
        self._limit, self._size = 0, 0
        self._hit: dict[int, None] = {}
        self._ended = False

    def goes_on(self, kind: int, side: int, ts_ms: int) -> bool:
        """Whether the next line is of the same taker."""
        same = kind in (FILL, UNFILLED) and (side, ts_ms) == (self._side, self.ts_ms)
        return same and not self._ended

    def hit(self, kind: int, price: int, size: int, number: int) -> None:
        """One of its lines."""
        self._limit = price
        self._size += size
        self._ended = kind == UNFILLED
        if kind == FILL:
            self._hit[number] = None

    def order(self, market: int, rests: Mapping[int, int]) -> FlowOrder:
        """What it asked for."""
        left = tuple((number, rests[number]) for number in self._hit)
        return FlowOrder(market, FlowKind.TAKE, self._side, self._limit, self._size, left=left)
