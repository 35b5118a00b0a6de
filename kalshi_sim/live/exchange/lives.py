"""Markets' lives: created, opened, paused, closed, determined, paid, and the frames that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalshi_sim.live.exchange.markets import (
    ACTIVE,
    CLOSED,
    DETERMINED,
    FINALIZED,
    INACTIVE,
    INITIALIZED,
    Market,
)
from kalshi_sim.live.exchange.messages import event_message, fee_message, life_message
from kalshi_sim.live.exchange.schedule import Change

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.core import Exchange


class Lives:
    """Changes the states of markets, with what that does to clients' orders and positions."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def change(self, market: Market, what: Change, ms: int) -> None:
        """Let one change happen, and send the frame that says so, if one does.

        Args:
            market: whose.
            what: the change.
            ms: the exchange's time.
        """
        market.updated_ms = ms
        hub = self._exchange.hub
        if what.fees is not None:
            hub.publish_life("event_fee_update", fee_message(market, what.fees), ms)
            return
        if what.kind == "created":
            self._create(market, ms)
        if not self._apply(market, what, ms):
            return
        if market.ticker in self._exchange.markets:
            hub.publish_life("market_lifecycle_v2", life_message(market, what, ms), ms)

    def _create(self, market: Market, ms: int) -> None:
        """The exchange has a new market, and with the first of an event the event."""
        markets = self._exchange.markets
        market.created_ms = ms
        if all(other.info.event != market.info.event for other in markets.values()):
            self._exchange.hub.publish_life("event_lifecycle", event_message(market), ms)
        markets[market.ticker] = market

    def _apply(self, market: Market, what: Change, ms: int) -> bool:
        """Change the state; whether the exchange sends a frame of it."""
        match what.kind:
            case "opened":
                if market.status == INITIALIZED:
                    market.open(ms)
                    if market.known:
                        self._exchange.send_snapshot(market, ms)
                return False
            case "closed":
                market.status = CLOSED
                self._cancel_orders(market, "CloseCancel")
                return False
            case "deactivated" | "activated" if market.status == INITIALIZED:
                return False  # there is no trading yet that could pause
            case "deactivated":
                market.status = INACTIVE
                self._cancel_orders(market, "HaltCancel", pausing=True)
            case "activated":
                market.status = ACTIVE
                self._cancel_orders(market, "HaltCancel")
            case "close_date_updated":
                market.close_ms = what.close_ms
            case "price_level_structure_updated" if what.ranges is not None:
                market.ranges = what.ranges
            case "determined":
                market.status, market.value = DETERMINED, what.value
                self._cancel_orders(market, "CloseCancel")
            case "settled":
                market.status, market.settled_ms = FINALIZED, ms
                self._pay(market, ms)
        return True

    def _cancel_orders(self, market: Market, reason: str, *, pausing: bool = False) -> None:
        """Cancel clients' orders in a market, all or those that a pause cancels."""
        for account in self._exchange.keys.accounts:
            for order in list(account.orders.values()):
                if order.market is market and (order.cancel_on_pause or not pausing):
                    self._exchange.matching.cancel(order, reason)

    def _pay(self, market: Market, ms: int) -> None:
        """Pay all positions in a market out."""
        for account in self._exchange.keys.accounts:
            if market.value is not None and account.settle(
                market.ticker, market.info.event, market.value, ms
            ):
                self._exchange.matching.send_position(account, market, ms)
