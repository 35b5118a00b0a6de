"""One WebSocket connection: its outbox, its pings, its subscriptions and their numbers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from kalshi_sim.live.exchange.faults import FRAME_FAULTS, Fault
from kalshi_sim.live.exchange.subscriptions import Subscription
from kalshi_sim.live.exchange.wire import Message, envelope
from kalshi_sim.live.interface import (
    ERROR_TEXTS,
    HEARTBEAT,
    MAX_MESSAGE_BYTES,
    ErrorCode,
)

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.core import Exchange

MAX_WAITING: Final = 100_000
"""Frames that may wait for a client that reads slowly; beyond it a subscription overflows."""
ROOM: Final = 2_000
"""Waiting frames below which a feed without a speed goes on."""


class Connection:
    """One client's socket."""

    def __init__(self, exchange: Exchange, account: Account, number: int) -> None:
        """Make a connection that was accepted.

        Args:
            exchange: which accepted it.
            account: of the key that opened it.
            number: it has among all connections of this exchange, from 1.
        """
        self.exchange = exchange
        self.account = account
        self.number = number
        self.subscriptions: dict[int, Subscription] = {}
        self.socket = web.WebSocketResponse(
            autoping=False, max_msg_size=MAX_MESSAGE_BYTES, compress=True
        )
        self._outbox: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._held: bytes | None = None
        self._silent_until = 0.0
        self._unanswered = 0
        self._sids = 0
        self._transport: asyncio.Transport | None = None
        self.closing = False
        self._close_code = int(WSCloseCode.GOING_AWAY)

    def next_sid(self) -> int:
        """A number for a new subscription."""
        self._sids += 1
        return self._sids

    def channel_subscription(self, name: str) -> Subscription | None:
        """The subscription to a channel; a connection has at most one."""
        return next((s for s in self.subscriptions.values() if s.channel.name == name), None)

    # Sending.

    def reply(self, message: Message) -> None:
        """Send a frame of no subscription."""
        self._put(msgspec.json.encode(message))

    def control(self, subscription: Subscription, kind: str, command: int, **rest: Any) -> None:
        """Send a control frame of a subscription, which uses one of its numbers.

        Args:
            subscription: whose.
            kind: its type.
            command: id of the command it answers; 0: none.
            rest: `msg`, if it has one.
        """
        frame: Message = {"id": command} if command else {}
        frame |= {"sid": subscription.sid, "seq": subscription.next_number(), "type": kind}
        frame["sending_ts_ms"] = self.exchange.now_ms()
        self._put(msgspec.json.encode({**frame, **rest}))

    def deliver(
        self,
        subscription: Subscription,
        kind: str,
        message: bytes,
        sending_ms: int,
        command: int = 0,
    ) -> None:
        """Send a frame of a subscription, unless a fault happens to it.

        Args:
            subscription: whose.
            kind: its type.
            message: its `msg`, encoded.
            sending_ms: when, in the exchange's time.
            command: id of the command it answers; 0: none.
        """
        if len(self._outbox) >= MAX_WAITING:
            self.end(subscription, ErrorCode.BUFFER_OVERFLOW)
            return
        seq = subscription.next_number() if subscription.channel.sequenced else None
        frame = envelope(kind, subscription.sid, seq, sending_ms, message)
        if command:
            frame = b'{"id":%d,' % command + frame[1:]
        faults = self.exchange.faults
        if not faults.waiting:
            self._put(frame)
            return
        where = {"connection": self.number, "sid": subscription.sid, "seq": seq}
        fault = faults.take(FRAME_FAULTS, where, channel=subscription.channel.name)
        if fault is None:
            self._put(frame)
        else:
            self._spoil(fault, subscription, frame)

    def _spoil(self, fault: Fault, subscription: Subscription, frame: bytes) -> None:
        """Let a fault happen to a frame."""
        match fault.fault:
            case "skip_seq":
                self._lose(frame)
            case "repeat_seq":
                self._put(frame)
                self._put(frame)
            case "reorder_seq":
                self._held = frame
            case "error_10" | "error_25":
                self._put(frame)
                self.end(subscription, ErrorCode(int(fault.fault.removeprefix("error_"))))
            case "big_frame":
                padding = max(0, fault.bytes - len(frame))
                self._put(frame[:-1] + b" " * padding + b"}")
            case "silence":
                self._silent_until = asyncio.get_running_loop().time() + fault.seconds
                self._lose(frame)
            case "half_close":
                self._put(frame)
                self._when_sent(self._half_close)
            case "abort":
                self._put(frame)
                self._when_sent(self._abort)
            case "close":
                self._put(frame)
                self.close()
            case "maintenance":
                self._put(frame)
                self.exchange.faults.away_until = asyncio.get_running_loop().time() + fault.seconds
                for connection in self.exchange.hub.connections:
                    connection.close(WSCloseCode.TRY_AGAIN_LATER)

    def end(self, subscription: Subscription, code: ErrorCode) -> None:
        """End a subscription with an error.

        Args:
            subscription: which.
            code: 10 or 25.
        """
        self.control(subscription, "error", 0, msg={"code": code, "msg": ERROR_TEXTS[code]})
        self.drop(subscription)

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription that is over."""
        self.subscriptions.pop(subscription.sid, None)
        self.exchange.hub.forget(subscription, None)

    def _lose(self, frame: bytes) -> None:
        self.exchange.note_sent(self.number, frame, lost=True)

    def _put(self, frame: bytes) -> None:
        if self._silent_until and asyncio.get_running_loop().time() < self._silent_until:
            self._lose(frame)
            return
        self._outbox.append(frame)
        if self._held is not None:
            self._outbox.append(self._held)
            self._held = None
        self._filled.set()
        if len(self._outbox) > ROOM:
            self._roomy.clear()

    async def room(self) -> None:
        """Wait until few frames wait to be sent, or the connection is over."""
        await self._roomy.wait()

    # The socket.

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the connection until it ends."""
        await self.socket.prepare(request)
        self._transport = request.transport
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._ping())]
        try:
            async for received in self.socket:
                if received.type == WSMsgType.PING:
                    if not self._pongs_stopped():
                        await self.socket.pong(received.data)
                elif received.type == WSMsgType.PONG:
                    self._unanswered = 0
                elif received.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self.exchange.commands.handle(self, received.data)
                    await asyncio.sleep(0)
        finally:
            self._roomy.set()
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
            for subscription in list(self.subscriptions.values()):
                self.drop(subscription)
        return self.socket

    async def _write(self) -> None:
        """Send what waits, in order."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await self._filled.wait()
                while self._outbox:
                    frame = self._outbox.popleft()
                    # Noted first: a connection that breaks meanwhile may still have sent it.
                    self.exchange.note_sent(self.number, frame)
                    await self.socket.send_str(frame.decode())
                    if len(self._outbox) <= ROOM:
                        self._roomy.set()
                self._filled.clear()
                if self.closing:
                    await self.socket.close(code=self._close_code, message=b"maintenance")
                    break
        self._roomy.set()

    async def _ping(self) -> None:
        """Ping, and leave a client that does not answer."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(self.exchange.ping_seconds)
                if self._unanswered >= 3:
                    self._abort()
                if not self._pongs_stopped():
                    self._unanswered += 1
                    await self.socket.ping(HEARTBEAT)

    def _pongs_stopped(self) -> bool:
        now = asyncio.get_running_loop().time()
        return now < max(self.exchange.faults.pongs_stopped_until, self._silent_until)

    def _when_sent(self, action: Any) -> None:
        async def wait() -> None:
            while self._outbox:
                await asyncio.sleep(0)
            action()

        self.exchange.spawn(wait())

    def _half_close(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close the socket in order, once what waits was sent.

        Args:
            code: of the close frame.
        """
        self.closing = True
        self._close_code = code
        self._filled.set()
