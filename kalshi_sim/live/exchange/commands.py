"""The commands of a WebSocket client: subscribe, unsubscribe, update and list subscriptions."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kalshi_sim.live.exchange.faults import COMMAND_FAULTS
from kalshi_sim.live.exchange.subscriptions import Subscription
from kalshi_sim.live.exchange.wire import Message, encoded
from kalshi_sim.live.interface import (
    ACTIONS,
    ADD_MARKETS,
    CHANNELS,
    COMMUNICATIONS,
    ERROR_TEXTS,
    GET_SNAPSHOT,
    INDEX_VALUES,
    INDEX_VALUES_5HZ,
    LIST_SUBSCRIPTIONS,
    MAX_COMMANDS_PER_SECOND,
    MAX_MARKETS_PER_SESSION,
    ORDERBOOK,
    PYTH_VALUES,
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

_ONLY_ON: Final = {
    "use_yes_price": (ORDERBOOK, bool),
    "send_initial_snapshot": (TICKER, bool),
    "skip_ticker_ack": (None, bool),
    "market_id": (TICKER, str),
    "market_ids": (TICKER, list),
    "user_filter": (COMMUNICATIONS, str),
}
"""Parameters of `subscribe`: the channel that takes them (None: any), and their type."""


class RefusedError(Exception):
    """A command cannot be done; says why with a code."""

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        """Make the refusal.

        Args:
            code: of the interface.
            detail: what is wrong, if the code's own words do not say it.
        """
        text = ERROR_TEXTS.get(code, code.name.replace("_", " ").capitalize())
        super().__init__(f"{text}: {detail}" if detail else text)
        self.code = code


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
            command = _decoded(data)
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
            self._check(channel, chosen, params)
            if not connection.account.may_read(channel):
                raise RefusedError(ErrorCode.AUTH_REQUIRED, f"the key may not read {channel.name}")
        tickers = self._tickers(params)
        for channel in chosen:
            if channel.needs_markets and not tickers:
                raise RefusedError(ErrorCode.TICKER_REQUIRED)
        total = sum(len(s.markets or ()) for s in connection.subscriptions.values())
        if total + len(tickers or ()) * len(chosen) > MAX_MARKETS_PER_SESSION:
            raise RefusedError(ErrorCode.MARKET_LIMIT)
        for channel in chosen:
            self._open(connection, number, channel, tickers, params)
        self._exchange.subscribed(chosen)

    def _check(self, channel: Channel, chosen: list[Channel], params: Message) -> None:
        """Refuse parameters that a channel does not take, or that it lacks."""
        for name, (only, kind) in _ONLY_ON.items():
            if name not in params:
                continue
            if only is not None and only not in chosen:
                raise RefusedError(ErrorCode.INVALID_PARAMETER, f"{name} is for {only.name}")
            if not isinstance(params[name], kind):
                raise RefusedError(ErrorCode.INVALID_PARAMETER, f"{name}={params[name]!r}")
        if channel in (INDEX_VALUES, INDEX_VALUES_5HZ) and not params.get("index_ids"):
            raise RefusedError(ErrorCode.INDEX_IDS, "index_ids required")
        if channel == PYTH_VALUES and not params.get("underlying_tickers"):
            raise RefusedError(ErrorCode.UNDERLYINGS, "underlying_tickers required")
        if channel == COMMUNICATIONS:
            _check_shards(params)

    def _tickers(self, params: Message) -> list[str] | None:
        """The markets that a command names; None: it names none.

        Raises:
            RefusedError: it names them twice, or some that are not there.
        """
        one, many = params.get("market_ticker"), params.get("market_tickers")
        if one is not None and many is not None:
            raise RefusedError(
                ErrorCode.INVALID_PARAMETER, "either market_ticker or market_tickers"
            )
        ids = params.get("market_ids") or ([params["market_id"]] if "market_id" in params else [])
        if ids:
            by_id = {market.market_id: ticker for ticker, market in self._exchange.markets.items()}
            many = [by_id.get(name, str(name)) for name in ids] + (many or [])
        found = many if one is None else [one]
        if not found:
            return None
        if not isinstance(found, list):
            raise RefusedError(ErrorCode.INVALID_PARAMETER, f"market_tickers={found!r}")
        for ticker in found:
            if not isinstance(ticker, str) or ticker not in self._exchange.markets:
                raise RefusedError(ErrorCode.INVALID_PARAMETER, f"no market {ticker!r}")
        return list(dict.fromkeys(found))

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
        """Send the books of markets; that of one whose book is not known follows when it is."""
        for ticker in tickers:
            market = self._exchange.markets[ticker]
            if market.known:
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
        sids = _sids(params)
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
        sids = _sids(params)
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
        tickers = self._tickers(params)
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


def _decoded(data: str | bytes) -> Message:
    """A command with an id (0: none), a name and parameters.

    Raises:
        RefusedError: it is none.
    """
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RefusedError(ErrorCode.PROCESS_MESSAGE) from None
    if not isinstance(found, dict):
        raise RefusedError(ErrorCode.PROCESS_MESSAGE)
    number = found.get("id", 0)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise RefusedError(ErrorCode.PROCESS_MESSAGE, "id must be a whole number")
    return {"id": number, "cmd": found.get("cmd"), "params": found.get("params")}


def _sids(params: Message) -> list[int]:
    sids = params.get("sids", [params["sid"]] if "sid" in params else [])
    if not isinstance(sids, list) or not all(type(sid) is int for sid in sids):
        raise RefusedError(ErrorCode.INVALID_PARAMETER, f"sids={sids!r}")
    return sids


def _check_shards(params: Message) -> None:
    """Refuse half of a shard, or one that cannot be."""
    factor, key = params.get("shard_factor"), params.get("shard_key")
    if factor is None and key is None:
        return
    if factor is None:
        raise RefusedError(ErrorCode.SHARD_FACTOR_REQUIRED)
    if key is None:
        raise RefusedError(ErrorCode.SHARD_KEY_REQUIRED)
    if type(factor) is not int or factor < 1:
        raise RefusedError(ErrorCode.SHARD_FACTOR_INVALID, str(factor))
    if type(key) is not int or not 0 <= key < factor:
        raise RefusedError(ErrorCode.SHARD_KEY_INVALID, str(key))
