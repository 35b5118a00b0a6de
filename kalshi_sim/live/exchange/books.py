"""The order book of one market: two sides of bids, each a price-time queue.

Prices are in 1/100 cent, sizes in 1/100 contract, sides 0 YES and 1 NO. A bid of one side meets a
bid of the other when their prices come to at least a dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kalshi_sim.units import PRICE_SCALE, mirror

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.orders import OwnOrder

SIDES: Final = (0, 1)


@dataclass(eq=False, slots=True)
class Resting:
    """What rests at a price: an order of a client, or size of the recorded market."""

    side: int
    price: int
    size: int
    own: OwnOrder | None = None


@dataclass(eq=False, slots=True)
class Level:
    """The queue at one price, oldest first."""

    orders: dict[Resting, None] = field(default_factory=dict)
    size: int = 0
    """Of all orders together."""
    others: int = 0
    """Of orders that are no client's."""


class OrderBook:
    """The queues of one market."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, Level], dict[int, Level]] = ({}, {})
        self.own_orders = 0
        """Orders of clients that rest."""

    def best(self, side: int) -> int:
        """The highest bid of a side, 0 if there is none."""
        return max(self.levels[side], default=0)

    def size(self, side: int, price: int) -> int:
        """All that rests at a price."""
        level = self.levels[side].get(price)
        return 0 if level is None else level.size

    def ladder(self, side: int) -> list[tuple[int, int]]:
        """(price, size) of every level of a side, lowest price first."""
        return [(price, self.levels[side][price].size) for price in sorted(self.levels[side])]

    def add(self, order: Resting) -> None:
        """Put an order at the back of its queue."""
        level = self.levels[order.side].get(order.price)
        if level is None:
            level = self.levels[order.side][order.price] = Level()
        level.orders[order] = None
        level.size += order.size
        if order.own is None:
            level.others += order.size
        else:
            self.own_orders += 1

    def reduce(self, order: Resting, size: int) -> None:
        """Take a part or all from an order; an empty one leaves its queue.

        Args:
            order: it rests here.
            size: at most the order's.
        """
        levels = self.levels[order.side]
        level = levels[order.price]
        order.size -= size
        level.size -= size
        if order.own is None:
            level.others -= size
        if order.size == 0:
            del level.orders[order]
            if order.own is not None:
                self.own_orders -= 1
            if not level.orders:
                del levels[order.price]

    def ahead(self, order: Resting) -> int:
        """What stands in front of an order at its price."""
        total = 0
        for other in self.levels[order.side][order.price].orders:
            if other is order:
                break
            total += other.size
        return total

    def queue(self, side: int, limit: int) -> Iterator[Resting]:
        """The orders of a side as a taker meets them; they may be reduced meanwhile.

        Args:
            side: whose bids.
            limit: lowest price.
        """
        for price in sorted((p for p in self.levels[side] if p >= limit), reverse=True):
            yield from list(self.levels[side][price].orders)

    def crossing(self, side: int, price: int) -> Iterator[Resting]:
        """The orders that a bid of `side` at `price` would meet, in their order."""
        return self.queue(1 - side, mirror(price, PRICE_SCALE))

    # Size of a recorded market, of which no single orders are known.

    def add_others(self, side: int, price: int, size: int) -> None:
        """Size that arrives at the back of a queue."""
        level = self.levels[side].get(price)
        if level is not None and level.size == level.others:
            # Without a client's order in the queue its parts need not be distinguished.
            order = next(iter(level.orders))
            order.size += size
            level.size += size
            level.others += size
        else:
            self.add(Resting(side, price, size))

    def withdraw_others(self, side: int, price: int, size: int) -> int:
        """Withdraw size that is no client's, from the back of the queue; returns how much."""
        level = self.levels[side].get(price)
        if level is None:
            return 0
        wanted = left = min(size, level.others)
        for order in reversed(list(level.orders)):
            if left == 0:
                break
            if order.own is None:
                part = min(left, order.size)
                self.reduce(order, part)
                left -= part
        return wanted

    def replace_others(self, levels: Iterable[tuple[int, int, int]]) -> None:
        """Make what is no client's these levels; clients' orders keep their places.

        Args:
            levels: (side, price, size).
        """
        wanted: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, price, size in levels:
            if size > 0:
                wanted[side][price] = size
        for side in SIDES:
            for price in [*self.levels[side], *wanted[side]]:
                level = self.levels[side].get(price)
                change = wanted[side].get(price, 0) - (0 if level is None else level.others)
                if change > 0:
                    self.add_others(side, price, change)
                elif change < 0:
                    self.withdraw_others(side, price, -change)
