"""What becomes of clients' orders: create, cancel, amend, decrease."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.markets import ACTIVE, Market
from kalshi_sim.live.exchange.matching import Matching
from kalshi_sim.live.exchange.order_requests import (
    FOK,
    GTC,
    OrderRequest,
    bad_request,
    check_words,
    side_price,
    size_of,
)
from kalshi_sim.live.exchange.orders import OwnOrder
from kalshi_sim.live.exchange.wire import contracts, dollars
from kalshi_sim.live.interface import SIDES
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE, SIZE_SCALE, mirror

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.core import Exchange


class Trading:
    """Does what accounts ask of their orders."""

    def __init__(self, exchange: Exchange, matching: Matching) -> None:
        """Trade at an exchange.

        Args:
            exchange: its markets and time.
            matching: puts orders into books.
        """
        self._exchange = exchange
        self._matching = matching

    def found(self, account: Account, order_id: str) -> OwnOrder:
        """An account's order.

        Args:
            order_id: its id.

        Returns:
            The order.

        Raises:
            RestError: it has none of that id.
        """
        order = account.orders.get(order_id)
        if order is None:
            raise RestError(404, "not_found", "not found", f"no order {order_id[:80]!r}")
        return order

    def create(self, account: Account, wanted: OrderRequest) -> dict[str, Any]:
        """Place an order.

        Args:
            wanted: its body.

        Returns:
            The answer's body.

        Raises:
            RestError: it is refused.
        """
        check_words(wanted)
        market = self._exchange.markets.get(wanted.ticker)
        if market is None:
            raise RestError(404, "not_found", "not found", f"no market {wanted.ticker[:80]!r}")
        side = SIDES.index(wanted.side)
        price = side_price(market, side, wanted.price)
        count = size_of(wanted.count, "count")
        self._check_open(market)
        known = account.client_ids
        if wanted.client_order_id and wanted.client_order_id in known:
            raise RestError(409, "order_already_exists", "duplicate client_order_id")
        now = self._exchange.now_ms()
        order = OwnOrder(
            order_id=str(uuid.uuid4()),
            client_order_id=wanted.client_order_id,
            account=account,
            market=market,
            side=side,
            price=price,
            count=count,
            created_ms=now,
            post_only=wanted.post_only,
            cancel_on_pause=wanted.cancel_order_on_pause,
            self_trade_prevention=wanted.self_trade_prevention_type,
            subaccount=wanted.subaccount,
            order_group_id=wanted.order_group_id,
        )
        if wanted.expiration_time is not None:
            order.expiration_ms = wanted.expiration_time * MS_PER_SECOND
            if order.expiration_ms <= now:
                raise bad_request("invalid_parameters", "expiration_time has passed")
            self._matching.expiring.add(order)
        reason = self._stops(order, wanted)
        account.check_cash(order, count, self._matching.terms(market))
        account.orders[order.order_id] = order
        known.add(wanted.client_order_id)
        if reason is not None:
            order.status, order.last_update_reason = "canceled", reason
            self._matching.announce(order)
        else:
            self._matching.enter(order, rests=wanted.time_in_force == GTC)
        return self._answer(order)

    def _check_open(self, market: Market) -> None:
        if not self._exchange.exchange_active or not self._exchange.trading_active:
            raise bad_request("trading_paused", "trading is paused")
        if market.status != ACTIVE or not market.known:
            raise bad_request("MARKET_INACTIVE", f"{market.ticker} is {market.status}")

    def _stops(self, order: OwnOrder, wanted: OrderRequest) -> str | None:
        """Why an order is cancelled at once; None: it is not."""
        meets = sum(
            resting.size
            for resting in order.market.book.crossing(order.side, order.price)
            if resting.own is None or resting.own.account is not order.account
        )
        if order.post_only and order.market.book.best(1 - order.side) >= mirror(
            order.price, PRICE_SCALE
        ):
            return "PostOnlyCrossCancel"
        if wanted.time_in_force == FOK and meets < order.count:
            return "Unfilled"
        if wanted.reduce_only:
            held = order.account.position(order.market.ticker).size
            opposite = max(0, -held if order.side == 0 else held)
            order.count = min(order.count, opposite)
            if opposite == 0:
                return "ReduceOnlyCancel"
        return None

    def cancel(self, account: Account, order_id: str, ticker: str | None = None) -> dict[str, Any]:
        """Cancel an order.

        Args:
            order_id: its id.
            ticker: of its market, if the call says it.

        Returns:
            The answer's body.

        Raises:
            RestError: there is no such order that rests.
        """
        order = self._resting(account, order_id)
        if ticker is not None and ticker != order.market.ticker:
            raise bad_request("order_ticker_mismatch", f"the order is in {order.market.ticker}")
        reduced = self._matching.cancel(order, "")
        return {
            "order_id": order.order_id,
            "client_order_id": order.client_order_id,
            "reduced_by": contracts(reduced),
            "ts_ms": self._exchange.now_ms(),
        }

    def cancel_all(self, account: Account, subaccount: int | None) -> None:
        """Cancel all orders of an account.

        Args:
            subaccount: only those of this one; None: all.
        """
        for order in list(account.orders.values()):
            if order.resting is not None and subaccount in (None, order.subaccount):
                self._matching.cancel(order, "")

    def decrease(
        self, account: Account, order_id: str, reduce_by: str | None, reduce_to: str | None
    ) -> dict[str, Any]:
        """Make an order smaller; it keeps its place.

        Args:
            order_id: its id.
            reduce_by: by so many contracts; or
            reduce_to: to so many.

        Returns:
            The answer's body.

        Raises:
            RestError: neither or both are given, or there is no such order that rests.
        """
        if (reduce_by is None) == (reduce_to is None):
            raise bad_request("invalid_parameters", "give reduce_by or reduce_to")
        order = self._resting(account, order_id)
        if reduce_by is not None:
            size = size_of(reduce_by, "reduce_by")
        else:
            size = max(0, order.remaining - size_of(reduce_to or "", "reduce_to", least=0))
        reduced = self._matching.cancel(order, "Decrease", size)
        return {**self._answer(order), "reduced_by": contracts(reduced)}

    def amend(
        self,
        account: Account,
        order_id: str,
        *,
        ticker: str,
        side: str,
        price: str,
        count: str,
        client_order_id: str | None = None,
        updated_client_order_id: str | None = None,
        expiration_time: int | None = None,
    ) -> dict[str, Any]:
        """Change an order; its place is kept if the price stays and the size does not grow.

        Args:
            order_id: its id.
            ticker: of its market, as a check.
            side: as a check.
            price: the new one.
            count: what was filled and what is to rest.
            client_order_id: as a check.
            updated_client_order_id: the new one.
            expiration_time: unix seconds; 0: none; None: as it is.

        Returns:
            The answer's body.

        Raises:
            RestError: it is refused.
        """
        order = self._resting(account, order_id)
        if ticker != order.market.ticker:
            raise bad_request("order_ticker_mismatch", f"the order is in {order.market.ticker}")
        if side != SIDES[order.side]:
            raise bad_request("order_side_mismatch", f"the order is a {SIDES[order.side]}")
        if client_order_id not in (None, order.client_order_id):
            raise bad_request("order_id_and_client_order_id_mismatch", "of another order")
        new_price = side_price(order.market, order.side, price)
        rest = size_of(count, "count") - order.filled
        if rest <= 0:
            raise bad_request("invalid_order_size", "count must be more than was filled")
        self._check_open(order.market)
        if new_price != order.price or rest > order.remaining:
            self._move(order, new_price, rest)
        else:
            order.count = order.filled + rest
            self._matching.cancel(order, "Amend", order.remaining - rest)
        if updated_client_order_id:
            order.client_order_id = updated_client_order_id
        if expiration_time is not None:
            order.expiration_ms = expiration_time * MS_PER_SECOND or None
            self._matching.expiring.add(order)
        return self._answer(order)

    def _move(self, order: OwnOrder, price: int, rest: int) -> None:
        """Take an order out of its queue and put it to the back of another."""
        before = order.price, order.count
        self._matching.take_out(order)
        order.price, order.count = price, order.filled + rest
        try:
            order.account.check_cash(order, rest, self._matching.terms(order.market))
        except RestError:
            size = before[1] - order.filled
            order.price, order.count = before
            self._matching.put_back(order, size)
            raise
        order.last_update_reason = "Amend"
        self._matching.enter(order, rests=True)

    def _resting(self, account: Account, order_id: str) -> OwnOrder:
        order = self.found(account, order_id)
        if order.resting is None:
            raise RestError(404, "not_found", "not found", f"the order is {order.status}")
        if not self._exchange.exchange_active:
            raise bad_request("exchange_paused", "the exchange is paused")
        return order

    def _answer(self, order: OwnOrder) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "order_id": order.order_id,
            "client_order_id": order.client_order_id,
            "fill_count": contracts(order.filled),
            "remaining_count": contracts(order.remaining),
            "ts_ms": self._exchange.now_ms(),
        }
        if order.filled:
            cost, fees = order.taker_cost + order.maker_cost, order.taker_fees + order.maker_fees
            own = cost * SIZE_SCALE // order.filled
            yes = own if order.side == 0 else mirror(own, PRICE_SCALE)
            answer["average_fill_price"] = dollars(yes)
            answer["average_fee_paid"] = dollars(fees * SIZE_SCALE // order.filled)
        return answer
