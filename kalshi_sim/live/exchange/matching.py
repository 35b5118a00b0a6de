"""Matching: clients' orders and the replayed market in one price-time queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeTerms
from kalshi_sim.live.exchange.books import Resting
from kalshi_sim.live.exchange.markets import Market
from kalshi_sim.live.exchange.messages import delta_message, trade_message, trade_name
from kalshi_sim.live.exchange.money import fill_fee
from kalshi_sim.live.exchange.orders import OwnOrder
from kalshi_sim.live.exchange.schedule import BookFrame
from kalshi_sim.live.exchange.wire import (
    BOOK_SIDES,
    SIDE_NAMES,
    Message,
    contracts,
    dollars,
)
from kalshi_sim.live.interface import FILL, POSITIONS, USER_ORDERS
from kalshi_sim.session import EventKind
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE, mirror

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.core import Exchange


class Matching:
    """What orders do to books and accounts, and the messages of it."""

    def __init__(self, exchange: Exchange) -> None:
        """Match orders of an exchange.

        Args:
            exchange: its markets and subscribers.
        """
        self._exchange = exchange
        self._terms: dict[str, FeeTerms] = {}
        self.expiring: set[OwnOrder] = set()
        """Orders with an expiration, and some that are over."""

    def terms(self, market: Market) -> FeeTerms:
        """The fees of a market."""
        if market.ticker not in self._terms:
            first = self._exchange.session.first_book_ms
            self._terms[market.ticker] = DEFAULT_SCHEDULE.terms(market.info, first)
        return self._terms[market.ticker]

    # Clients' orders.

    def enter(self, order: OwnOrder, *, rests: bool) -> None:
        """Let an order trade with what it meets; what is left rests or is cancelled.

        Args:
            rests: whether it may rest.
        """
        market, ms = order.market, self._exchange.now_ms()
        market.altered = True
        left = order.count - order.filled
        for other in market.book.crossing(order.side, order.price):
            if left == 0:
                break
            if other.own is not None and other.own.account is order.account:
                if order.self_trade_prevention == "maker":
                    self.cancel(other.own, "SelfTradeCancel")
                    continue
                order.last_update_reason = "SelfTradeCancel"
                rests, left = False, 0
                break
            part = min(left, other.size)
            self._trade(market, other, part, order, ms)
            left -= part
        if left and rests:
            order.resting = Resting(order.side, order.price, left, order)
            order.maker_multiplier = self.terms(market).maker_multiplier
            market.book.add(order.resting)
            self.send_delta(market, order.side, order.price, left, ms, order)
        else:
            order.status = "executed" if order.filled == order.count else "canceled"
        self._send_order(order)
        self._exchange.hub.publish_ticker(market, ms)

    def cancel(self, order: OwnOrder, reason: str, size: int | None = None) -> int:
        """Cancel an order or a part of it; returns how much.

        Args:
            reason: its `last_update_reason`.
            size: how much; None: all.
        """
        resting = order.resting
        if resting is None or resting.size == 0:
            return 0
        part = resting.size if size is None else min(size, resting.size)
        order.market.book.reduce(resting, part)
        order.last_update_reason = reason
        if resting.size == 0:
            order.resting, order.status = None, "canceled"
        ms = self._exchange.now_ms()
        self.send_delta(order.market, order.side, order.price, -part, ms, order)
        self._send_order(order)
        return part

    def announce(self, order: OwnOrder) -> None:
        """Send an order's state to its account."""
        self._send_order(order)

    def take_out(self, order: OwnOrder) -> None:
        """Take an order out of its queue, without an end of its own."""
        if order.resting is not None:
            size = order.resting.size
            order.market.book.reduce(order.resting, size)
            order.resting = None
            ms = self._exchange.now_ms()
            self.send_delta(order.market, order.side, order.price, -size, ms, order)

    def put_back(self, order: OwnOrder, size: int) -> None:
        """Put an order to the back of its queue."""
        order.resting = Resting(order.side, order.price, size, order)
        order.market.book.add(order.resting)
        ms = self._exchange.now_ms()
        self.send_delta(order.market, order.side, order.price, size, ms, order)

    # The replayed market.

    def recorded_delta(self, market: Market, what: BookFrame, ms: int) -> None:
        """A recorded change of a book in which clients' orders stand or stood.

        Trades meet clients' orders in their place in the queue; what else is removed comes from
        behind them first. What arrives at a price that meets clients' orders trades with them.

        Args:
            what: the change.
        """
        book, side, price = market.book, what.side, what.price
        before = self._others(market, side, price)
        left = min(what.traded, max(0, -what.size))
        for resting in book.queue(side, price):
            if left == 0:
                break
            if resting.own is None and resting.price != price:
                continue
            part = min(left, resting.size)
            left -= part
            if resting.own is None:
                book.reduce(resting, part)
            else:
                self.fill_maker(market, resting, part, ms, public=False)
        target = max(0, before + what.size)
        now = self._others(market, side, price)
        if now > target:
            book.withdraw_others(side, price, now - target)
        elif what.size > 0:
            book.add_others(side, price, what.size)
        change = self._others(market, side, price) - before
        if change:
            self.send_delta(market, side, price, change, ms)
        if what.size > 0:
            self.meet(market, side, price, what.size, ms)

    def meet_all(self, market: Market, ms: int) -> None:
        """Let clients' orders trade with a new snapshot that meets them."""
        for side in (0, 1):
            for price, _ in market.book.ladder(side)[::-1]:
                self.meet(market, side, price, self._others(market, side, price), ms)

    def meet(self, market: Market, side: int, price: int, size: int, ms: int) -> None:
        """Let clients' orders on the other side trade with size that has just arrived.

        Args:
            size: at most so much.
        """
        for resting in market.book.crossing(side, price):
            if size == 0:
                break
            if resting.own is None:
                continue
            part = min(size, resting.size)
            size -= part
            market.book.withdraw_others(side, price, part)
            self.send_delta(market, side, price, -part, ms)
            self.fill_maker(market, resting, part, ms, public=True)

    def _others(self, market: Market, side: int, price: int) -> int:
        level = market.book.levels[side].get(price)
        return 0 if level is None else level.others

    # Trades.

    def _trade(self, market: Market, maker: Resting, size: int, taker: OwnOrder, ms: int) -> None:
        """A client takes from a resting order."""
        side, price = maker.side, maker.price
        if maker.own is None:
            market.book.reduce(maker, size)
            self.send_delta(market, side, price, -size, ms)
            number = self.send_trade(market, side, price, size, ms)
        else:
            number = self.fill_maker(market, maker, size, ms, public=True)
        own_price = mirror(price, PRICE_SCALE)
        fee = fill_fee(size, own_price, self.terms(market), maker=False)
        taker.filled += size
        taker.taker_cost += taker.account.fill(market, taker.side, own_price, size, fee, ms)
        taker.taker_fees += fee
        taker.last_update_reason = "Trade"
        self._send_fill(taker, own_price, size, fee, number, ms, is_taker=True)

    def fill_maker(
        self, market: Market, maker: Resting, size: int, ms: int, *, public: bool
    ) -> int:
        """A client's resting order is hit; returns the trade's number.

        Args:
            maker: the order in its queue.
            public: whether the trade is still to be sent to all.
        """
        order = maker.own
        assert order is not None
        market.book.reduce(maker, size)
        terms = self.terms(market)
        held = FeeTerms(terms.taker_multiplier, order.maker_multiplier, terms.fee_unit)
        fee = fill_fee(size, maker.price, held, maker=True)
        order.filled += size
        order.maker_cost += order.account.fill(market, maker.side, maker.price, size, fee, ms)
        order.maker_fees += fee
        order.last_update_reason = "Trade"
        if maker.size == 0:
            order.resting, order.status = None, "executed"
        self.send_delta(market, maker.side, maker.price, -size, ms, order)
        if public:
            number = self.send_trade(market, maker.side, maker.price, size, ms)
        else:
            number = self._exchange.next_trade()
        self._send_fill(order, maker.price, size, fee, number, ms, is_taker=False)
        self._send_order(order)
        return number

    # Messages.

    def send_delta(
        self,
        market: Market,
        side: int,
        price: int,
        size: int,
        ms: int,
        order: OwnOrder | None = None,
    ) -> None:
        """Send a change of a book.

        Args:
            order: of a client, if it is its doing.
        """
        what = BookFrame(0, EventKind.DELTA, side, price, size, ts_ms=ms)
        mine: Message = {}
        if order is not None:
            mine = {"client_order_id": order.client_order_id, "subaccount": order.subaccount}
        self._exchange.hub.publish_book(
            "orderbook_delta",
            market,
            lambda yes: delta_message(market, what, yes),
            ms,
            None if order is None else (order.account, mine),
        )

    def send_trade(self, market: Market, side: int, price: int, size: int, ms: int) -> int:
        """Send a trade; returns its number."""
        what = BookFrame(0, EventKind.TRADE, side, price, size, ts_ms=ms)
        market.record_trade(side, price, size)
        number = self._exchange.next_trade()
        hub = self._exchange.hub
        hub.publish_trade(market, lambda: trade_message(market, what, number), ms)
        return number

    def _send_order(self, order: OwnOrder) -> None:
        ms = self._exchange.now_ms()
        order.updated_ms = ms
        self._exchange.hub.publish(
            USER_ORDERS,
            "user_order",
            order.market.ticker,
            lambda: order.shown(websocket=True),
            ms,
            lambda connection: connection.account is order.account,
        )

    def _send_fill(
        self,
        order: OwnOrder,
        price: int,
        size: int,
        fee: int,
        number: int,
        ms: int,
        *,
        is_taker: bool,
    ) -> None:
        yes_price = price if order.side == 0 else mirror(price, PRICE_SCALE)
        account, market = order.account, order.market
        position = account.position(market.ticker)
        fill: Message = {
            "trade_id": trade_name(market, number),
            "order_id": order.order_id,
            "client_order_id": order.client_order_id,
            "market_ticker": market.ticker,
            "exchange_index": market.exchange_index,
            "is_taker": is_taker,
            "side": SIDE_NAMES[order.side],
            "yes_price_dollars": dollars(yes_price),
            "count_fp": contracts(size),
            "fee_cost": dollars(fee),
            "action": "buy",
            "ts": ms // MS_PER_SECOND,
            "ts_ms": ms,
            "post_position_fp": contracts(position.size),
            "purchased_side": SIDE_NAMES[order.side],
            "outcome_side": SIDE_NAMES[order.side],
            "book_side": BOOK_SIDES[order.side],
            "subaccount": order.subaccount,
        }
        account.fills.append(fill)
        hub = self._exchange.hub
        hub.publish(FILL, "fill", market.ticker, lambda: fill, ms, lambda c: c.account is account)
        self.send_position(order.account, market, ms)

    def send_position(self, account: Account, market: Market, ms: int) -> None:
        """Send an account's position to its subscribers."""
        position = account.position(market.ticker)
        self._exchange.hub.publish(
            POSITIONS,
            "market_position",
            market.ticker,
            lambda: position.message(account.user_id),
            ms,
            lambda connection: connection.account is account,
        )
