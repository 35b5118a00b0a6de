"""The commands of a WebSocket client: subscribe, unsubscribe, update and list subscriptions."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from kalshi_sim.live.exchange.command_params import (
    RefusedError,
    check_channel,
    decoded,
    sids_of,
    tickers_of,
)
from kalshi_sim.live.exchange.faults import COMMAND_FAULTS, REFUSALS
from kalshi_sim.live.exchange.subscriptions import Subscription
from kalshi_sim.live.exchange.wire import Message, encoded
from kalshi_sim.live.interface import (
    ACTIONS,
    ADD_MARKETS,
    CHANNELS,
    GET_SNAPSHOT,
    LIST_SUBSCRIPTIONS,
    MAX_COMMANDS_PER_SECOND,
    MAX_MARKETS_PER_SESSION,
    ORDERBOOK,
    SUBSCRIBE,
    TICKER,
    UNSUBSCRIBE,
    UPDATE_SUBSCRIPTION,
    Channel,
    ErrorCode,
)

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.connection import Connection
    from kalshi_sim.live.exchange.core import Exchange


class Commands:
    """Does what clients' commands ask for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._recent: dict[int, deque[float]] = {}

    def handle(self, connection: Connection, data: str | bytes) -> None:
        """Do one command and answer it.

        Args:
            connection: whence it came.
            data: as received.
        """
        number = 0
        try:
            command = decoded(data)
            number = command["id"]
            self._check_rate(connection)
            self._do(connection, command)
        except RefusedError as refused:
            answer: Message = {"id": number} if number else {}
            message = {"code": int(refused.code), "msg": str(refused)}
            connection.reply({**answer, "type": "error", "msg": message})

    def _check_rate(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        recent = self._recent.setdefault(connection.number, deque())
        while recent and recent[0] < now - 1:
            recent.popleft()
        if len(recent) >= MAX_COMMANDS_PER_SECOND:
            raise RefusedError(ErrorCode.TOO_MANY_REQUESTS)
        recent.append(now)

    def _do(self, connection: Connection, command: Message) -> None:
        name, number = command["cmd"], command["id"]
        where = {"connection": connection.number, "id": number}
        refusal = self._exchange.faults.take(REFUSALS, where)
        if refusal is not None:
            raise RefusedError(ErrorCode(refusal.code))
        if name == LIST_SUBSCRIPTIONS:
            listed = [
                {"channel": s.channel.name, "sid": s.sid} for s in connection.subscriptions.values()
            ]
            answer: Message = {"id": number} if number else {}
            connection.reply({**answer, "type": "ok", "msg": listed})
            return
        if name not in (SUBSCRIBE, UNSUBSCRIBE, UPDATE_SUBSCRIPTION):
            raise RefusedError(ErrorCode.UNKNOWN_COMMAND, str(name))
        params = command["params"]
        if not isinstance(params, dict) or not params:
            raise RefusedError(ErrorCode.PARAMS_REQUIRED)
        if name == SUBSCRIBE:
            self._subscribe(connection, number, params)
        elif name == UNSUBSCRIBE:
            self._unsubscribe(connection, number, params)
        else:
            self._update(connection, number, params)

    # Subscribing.

    def _subscribe(self, connection: Connection, number: int, params: Message) -> None:
        names = params.get("channels")
        if not isinstance(names, list) or not names:
            raise RefusedError(ErrorCode.CHANNELS_REQUIRED)
        where = {"connection": connection.number, "id": number}
        if self._exchange.faults.take(COMMAND_FAULTS, where) is not None:
            return
        chosen = []
        for name in names:
            if name not in CHANNELS:
                raise RefusedError(ErrorCode.UNKNOWN_CHANNEL, str(name))
            chosen.append(CHANNELS[name])
        for channel in chosen:
            check_channel(channel, chosen, params)
            if not connection.account.may_read(channel):
                raise RefusedError(ErrorCode.AUTH_REQUIRED, f"the key may not read {channel.name}")
        tickers = tickers_of(params, self._exchange.markets)
        for channel in chosen:
            if channel.needs_markets and not tickers:
                raise RefusedError(ErrorCode.TICKER_REQUIRED)
        total = sum(len(s.markets or ()) for s in connection.subscriptions.values())
        if total + len(tickers or ()) * len(chosen) > MAX_MARKETS_PER_SESSION:
            raise RefusedError(ErrorCode.MARKET_LIMIT)
        for channel in chosen:
            self._open(connection, number, channel, tickers, params)
        self._exchange.subscribed(chosen)

    def _open(
        self,
        connection: Connection,
        number: int,
        channel: Channel,
        tickers: list[str] | None,
        params: Message,
    ) -> None:
        """Open a subscription, or merge into the one that the connection has."""
        if not channel.takes_markets:
            tickers = None
        subscription = connection.channel_subscription(channel.name)
        if subscription is None:
            subscription = Subscription(
                sid=connection.next_sid(),
                channel=channel,
                markets=None if tickers is None else dict.fromkeys(tickers),
                use_yes_price=channel == ORDERBOOK and bool(params.get("use_yes_price")),
                lists_markets=not params.get("skip_ticker_ack", False),
            )
            connection.subscriptions[subscription.sid] = subscription
            answer: Message = {"id": number} if number else {}
            message = {"channel": channel.name, "sid": subscription.sid}
            connection.reply({**answer, "type": "subscribed", "msg": message})
            self._exchange.hub.watch(connection, subscription, tickers)
            new = list(subscription.markets or ())
        else:
            new = self._widen(connection, subscription, tickers)
            self._ok(connection, subscription, number)
        if channel == ORDERBOOK:
            self._send_snapshots(connection, subscription, new, 0)
        elif channel == TICKER and params.get("send_initial_snapshot"):
            self._send_tickers(connection, subscription, new)

    def _widen(
        self, connection: Connection, subscription: Subscription, tickers: list[str] | None
    ) -> list[str]:
        """Add markets to a subscription; returns those that are new to it."""
        if subscription.markets is None:
            return []
        hub = self._exchange.hub
        if tickers is None:
            hub.forget(subscription, list(subscription.markets))
            subscription.markets = None
            hub.watch(connection, subscription, None)
            return []
        new = [ticker for ticker in tickers if ticker not in subscription.markets]
        subscription.markets.update(dict.fromkeys(new))
        hub.watch(connection, subscription, new)
        return new

    def _ok(self, connection: Connection, subscription: Subscription, number: int) -> None:
        message: Message = {}
        if subscription.lists_markets and subscription.markets is not None:
            message = {"market_tickers": list(subscription.markets)}
        connection.control(subscription, "ok", number, msg=message)

    def _send_snapshots(
        self, connection: Connection, subscription: Subscription, tickers: list[str], number: int
    ) -> None:
        """Send the books of markets; that of one whose book is not known follows when it is.

        The book of a market that has not opened is empty.
        """
        for ticker in tickers:
            market = self._exchange.markets[ticker]
            if market.known or not market.opened:
                message = market.snapshot(use_yes_price=subscription.use_yes_price)
                connection.deliver(
                    subscription,
                    "orderbook_snapshot",
                    encoded(message),
                    self._exchange.now_ms(),
                    command=number,
                )

    def _send_tickers(
        self, connection: Connection, subscription: Subscription, tickers: list[str]
    ) -> None:
        ms = self._exchange.now_ms()
        for ticker in tickers or self._exchange.markets:
            message = self._exchange.markets[ticker].ticker_message(ms)
            connection.deliver(subscription, "ticker", encoded(message), ms)

    # Ending and changing.

    def _unsubscribe(self, connection: Connection, number: int, params: Message) -> None:
        sids = sids_of(params)
        if not sids:
            raise RefusedError(ErrorCode.SIDS_REQUIRED)
        for sid in sids:
            if sid not in connection.subscriptions:
                raise RefusedError(ErrorCode.UNKNOWN_SID)
        for sid in dict.fromkeys(sids):
            subscription = connection.subscriptions[sid]
            connection.control(subscription, "unsubscribed", number)
            connection.drop(subscription)

    def _update(self, connection: Connection, number: int, params: Message) -> None:
        sids = sids_of(params)
        if len(sids) != 1:
            raise RefusedError(ErrorCode.EXACTLY_ONE_SID)
        subscription = connection.subscriptions.get(sids[0])
        if subscription is None:
            raise RefusedError(ErrorCode.UNKNOWN_SID)
        action = params.get("action")
        if not action:
            raise RefusedError(ErrorCode.ACTION_REQUIRED)
        try:
            self._change(connection, subscription, number, action, params)
        except RefusedError as refused:
            message = {"code": int(refused.code), "msg": str(refused)}
            connection.control(subscription, "error", number, msg=message)

    def _change(
        self,
        connection: Connection,
        subscription: Subscription,
        number: int,
        action: Any,
        params: Message,
    ) -> None:
        if action not in ACTIONS or not subscription.channel.takes_markets:
            raise RefusedError(ErrorCode.UNSUPPORTED_ACTION, str(action))
        if action == GET_SNAPSHOT and subscription.channel != ORDERBOOK:
            raise RefusedError(
                ErrorCode.UNSUPPORTED_ACTION, f"{action} of {subscription.channel.name}"
            )
        if action == GET_SNAPSHOT and "market_ticker" in params:
            raise RefusedError(ErrorCode.INVALID_PARAMETER, "get_snapshot takes market_tickers")
        tickers = tickers_of(params, self._exchange.markets)
        if not tickers:
            raise RefusedError(ErrorCode.TICKER_REQUIRED)
        if subscription.markets is None:
            raise RefusedError(ErrorCode.INVALID_PARAMETER, "the subscription is to all markets")
        if action == GET_SNAPSHOT:
            for ticker in tickers:
                if ticker not in subscription.markets:
                    raise RefusedError(
                        ErrorCode.INVALID_PARAMETER, f"{ticker} is not subscribed to"
                    )
            self._send_snapshots(connection, subscription, tickers, number)
        elif action == ADD_MARKETS:
            new = self._widen(connection, subscription, tickers)
            self._ok(connection, subscription, number)
            if subscription.channel == ORDERBOOK:
                self._send_snapshots(connection, subscription, new, 0)
        else:
            for ticker in tickers:
                subscription.markets.pop(ticker, None)
            self._exchange.hub.forget(subscription, tickers)
            self._ok(connection, subscription, number)
