"""Generated markets: others' orders one by one in the same price-time queue as clients' orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalshi_sim.live.exchange.books import Resting
from kalshi_sim.live.exchange.flow import FlowKind, FlowOrder
from kalshi_sim.live.exchange.markets import Market
from kalshi_sim.live.exchange.matching import Matching

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.core import Exchange


class TrueQueueFlow:
    """Puts the orders of a generated flow into books in which clients' orders rest.

    Nobody of the flow reacts to clients. What a client takes is gone for the takers who come
    later; an order behind which a taker stopped, because a client gave what it would have given,
    is withdrawn as far as the taker would have hit it: the book of others is that of the generated
    session, less what clients took.
    """

    def __init__(self, exchange: Exchange, matching: Matching) -> None:
        """Let a generated flow meet clients' orders.

        Args:
            exchange: its subscribers.
            matching: does what trades do to accounts.
        """
        self._exchange = exchange
        self._matching = matching
        self._resting: dict[tuple[int, int], Resting] = {}
        """By index of the market and number of the order."""

    def apply(self, market: Market, order: FlowOrder, ms: int) -> None:
        """Let one thing of the flow happen."""
        best = market.book.best(0), market.book.best(1)
        if order.kind == FlowKind.PLACE:
            self._place(market, order, ms)
        elif order.kind == FlowKind.WITHDRAW:
            self._withdraw(market, order.market, order.number, order.size, ms)
        elif order.kind == FlowKind.TAKE:
            self._sweep(market, order.side, order.price, order.size, ms)
            for number, size in order.left:
                self._withdraw(market, order.market, number, size, ms)
        else:
            market.known = True
            self._exchange.send_snapshot(market, ms)
        if (market.book.best(0), market.book.best(1)) != best and not order.opening:
            self._exchange.hub.publish_ticker(market, ms)

    def _place(self, market: Market, order: FlowOrder, ms: int) -> None:
        left = self._sweep_crossed(market, order, ms)
        if left == 0:
            return
        resting = Resting(order.side, order.price, left)
        self._resting[order.market, order.number] = resting
        market.book.add(resting)
        if not order.opening:
            self._matching.send_delta(market, order.side, order.price, left, ms)

    def _sweep_crossed(self, market: Market, order: FlowOrder, ms: int) -> int:
        """Trade with what a new bid meets; returns what is left of it."""
        left = order.size
        for met in market.book.crossing(order.side, order.price):
            if left == 0:
                break
            left -= self._hit(market, met, left, ms)
        return left

    def _sweep(self, market: Market, side: int, limit: int, size: int, ms: int) -> None:
        """A taker hits bids of a side, best price first, oldest order first."""
        for met in market.book.queue(side, limit):
            if size == 0:
                break
            size -= self._hit(market, met, size, ms)

    def _hit(self, market: Market, met: Resting, size: int, ms: int) -> int:
        """Trade with a resting order; returns how much."""
        part = min(size, met.size)
        if met.own is not None:
            self._matching.fill_maker(market, met, part, ms, public=True)
        else:
            market.book.reduce(met, part)
            self._matching.send_delta(market, met.side, met.price, -part, ms)
            self._matching.send_trade(market, met.side, met.price, part, ms)
        return part

    def _withdraw(self, market: Market, index: int, number: int, size: int, ms: int) -> None:
        """Withdraw an order until at most `size` of it is left."""
        resting = self._resting.get((index, number))
        if resting is None:
            return
        part = max(0, resting.size - size)
        if part:
            market.book.reduce(resting, part)
            self._matching.send_delta(market, resting.side, resting.price, -part, ms)
        if resting.size == 0:
            del self._resting[index, number]
