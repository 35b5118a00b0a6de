"""What connects markets and connections: who gets which message, and the numbers of the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kalshi_sim.live.exchange.subscriptions import Subscription
from kalshi_sim.live.exchange.wire import Message, encoded
from kalshi_sim.live.interface import LIFECYCLE, ORDERBOOK, TICKER, TRADE, Channel

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.connection import Connection
    from kalshi_sim.live.exchange.markets import Market

Subscriber = tuple["Connection", Subscription]


class Hub:
    """All connections of an exchange, and which of them wants what."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self._of_market: dict[tuple[str, str], dict[Subscription, Connection]] = {}
        self._of_all: dict[str, dict[Subscription, Connection]] = {}

    def watch(
        self, connection: Connection, subscription: Subscription, tickers: Iterable[str] | None
    ) -> None:
        """A subscription begins to be about markets; None: all."""
        name = subscription.channel.name
        if tickers is None:
            self._of_all.setdefault(name, {})[subscription] = connection
            return
        for ticker in tickers:
            self._of_market.setdefault((name, ticker), {})[subscription] = connection

    def forget(self, subscription: Subscription, tickers: Iterable[str] | None) -> None:
        """A subscription is no longer about markets; None: about any."""
        name = subscription.channel.name
        if tickers is None:
            self._of_all.get(name, {}).pop(subscription, None)
            tickers = list(subscription.markets or ())
        for ticker in tickers:
            self._of_market.get((name, ticker), {}).pop(subscription, None)

    def subscribers(self, channel: Channel, ticker: str | None) -> list[Subscriber]:
        """All who want a channel's messages about a market; None: about something else.

        Args:
            channel: on which.
            ticker: of the market.
        """
        found = [*self._of_all.get(channel.name, {}).items()]
        if ticker is not None:
            found += self._of_market.get((channel.name, ticker), {}).items()
        return [(connection, subscription) for subscription, connection in found]

    def publish(
        self,
        channel: Channel,
        kind: str,
        ticker: str | None,
        message: Callable[[], Message],
        sending_ms: int,
        only: Callable[[Connection], bool] | None = None,
    ) -> None:
        """Send a message to all who want it.

        Args:
            channel: on which.
            kind: its type.
            ticker: the market it is about; None: none.
            message: makes it; not called if nobody wants it.
            sending_ms: when, in the exchange's time.
            only: which connections may have it; None: all.
        """
        chosen = [
            (connection, subscription)
            for connection, subscription in self.subscribers(channel, ticker)
            if only is None or only(connection)
        ]
        if chosen:
            data = encoded(message())
            for connection, subscription in chosen:
                connection.deliver(subscription, kind, data, sending_ms)

    def publish_book(
        self,
        kind: str,
        market: Market,
        message: Callable[[bool], Message],
        sending_ms: int,
        mine: tuple[Account, Message] | None = None,
    ) -> None:
        """Send a message on a book to all who follow it, in the prices they asked for.

        Nobody gets one of a market that has not opened.

        Args:
            kind: its type.
            market: whose book.
            message: makes it; its argument is whether NO is priced in YES terms.
            sending_ms: when, in the exchange's time.
            mine: an account, and what it alone sees besides.
        """
        if not market.opened:
            return
        made: dict[tuple[bool, bool], bytes] = {}
        for connection, subscription in self.subscribers(ORDERBOOK, market.ticker):
            own = mine is not None and connection.account is mine[0]
            wanted = subscription.use_yes_price, own
            if wanted not in made:
                extra = mine[1] if mine is not None and own else {}
                made[wanted] = encoded(message(wanted[0]) | extra)
            connection.deliver(subscription, kind, made[wanted], sending_ms)

    def publish_trade(self, market: Market, message: Callable[[], Message], ms: int) -> None:
        """Send a trade, and the ticker it changes."""
        if not market.opened:
            return
        self.publish(TRADE, "trade", market.ticker, message, ms)
        self.publish_ticker(market, ms)

    def publish_ticker(self, market: Market, ms: int) -> None:
        """Send a market's ticker."""
        if not market.opened:
            return
        self.publish(TICKER, "ticker", market.ticker, lambda: market.ticker_message(ms), ms)

    def publish_life(self, kind: str, message: Message, ms: int) -> None:
        """Send a message on the life of a market or an event.

        Args:
            kind: its type.
        """
        self.publish(LIFECYCLE, kind, None, lambda: message, ms)
