"""One socket: from its handshake to its end, every frame to the tape and through the tracker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

import aiohttp

from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.commands import (
    AuthenticationError,
    CommandRefusedError,
    Commands,
    ConnectionLostError,
)
from kalshi_sim.live.recorder.sequence import DROPPED, REFUSED, Gap, Head, Tracker, head_of
from kalshi_sim.live.recorder.subscriber import Subscriber, Timing, Want
from kalshi_sim.live.recorder.tape import FrameTape

_FAIR: Final = 64
"""Frames taken before other tasks have a turn."""
_NS: Final = 1_000_000_000
_UNAUTHORIZED: Final = (401, 403)


FrameSeen = Callable[[bytes, Head], None]
"""Called with every frame that could be read."""


class Connection:
    """A connection from its handshake to its end."""

    def __init__(
        self, number: int, want: Want, tape: FrameTape, seen: FrameSeen, timing: Timing
    ) -> None:
        """Not connected yet.

        Args:
            number: in the recording.
            want: what to subscribe to; `changed` is to be called when it changes.
            tape: takes every frame.
            seen: called with every frame that could be read.
            timing: deadlines.
        """
        self.number = number
        self.want = want
        self.tracker = Tracker()
        self.opened_ns = 0
        """When it was connected (monotonic clock); 0: it is not yet."""
        self.subscriber = Subscriber(number, want, self.tracker, tape, timing)
        self._tape = tape
        self._seen = seen
        self._timing = timing
        self._dropping = False

    def changed(self) -> None:
        """`want` has changed."""
        self.subscriber.wake()

    def forget_books(self, why: str) -> None:
        """Ask for all books again, as if frames were lost.

        Args:
            why: for the recording.
        """
        self._lose(why, time.monotonic_ns())

    @property
    def acknowledged(self) -> int:
        """Markets whose order book subscription the exchange has confirmed."""
        books = self.tracker.of_channel(names.ORDERBOOK.name)
        return len(books.markets) if books else 0

    @property
    def known_books(self) -> set[str]:
        """Markets subscribed to whose book is known."""
        books = self.tracker.of_channel(names.ORDERBOOK.name)
        return books.markets - books.unknown.keys() if books else set()

    async def live(self, http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
        """Connect, subscribe and record until the connection ends; never returns otherwise.

        Args:
            http: opens the socket.
            url: of the WebSocket.
            headers: that authenticate the handshake.

        Raises:
            ConnectionLostError: it ended, and why.
            AuthenticationError: the exchange refuses the key.
        """
        reason = "stopped"
        try:
            ws = await self._connect(http, url, headers)
            async with ws:
                self.opened_ns = time.monotonic_ns()
                self._tape.marker(self.number, "open", url=url)
                await self._both(ws)
        except (ConnectionLostError, AuthenticationError) as error:
            reason = str(error)
            raise
        finally:
            if self.opened_ns:
                for sub in self.tracker.by_sid.values():
                    if not sub.ended:
                        self._tape.marker(self.number, "end", sid=sub.sid, channel=sub.channel)
                self._tape.marker(self.number, "close", reason=reason)

    async def _connect(
        self, http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientWebSocketResponse[Literal[False]]:
        try:
            async with asyncio.timeout(self._timing.connect):
                return await http.ws_connect(
                    url,
                    headers=headers,
                    heartbeat=self._timing.ping,
                    max_msg_size=names.MAX_MESSAGE_BYTES + 1,
                    decode_text=False,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in _UNAUTHORIZED:
                raise AuthenticationError(f"the handshake was refused ({error.status})") from None
            raise ConnectionLostError(f"the handshake failed ({error.status})") from None
        except TimeoutError:
            raise ConnectionLostError(f"no connection in {self._timing.connect:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"cannot connect: {error}") from None

    async def _both(self, ws: aiohttp.ClientWebSocketResponse[Literal[False]]) -> None:
        self._commands = Commands(
            lambda text: self._send(ws, text),
            lambda text: self._tape.command(self.number, text),
            self._timing.command,
        )
        tasks = [
            asyncio.create_task(self._receive(ws)),
            asyncio.create_task(self.subscriber.keep(self._commands)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except CommandRefusedError as refused:
            raise ConnectionLostError(str(refused)) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _send(ws: aiohttp.ClientWebSocketResponse[Literal[False]], text: str) -> None:
        try:
            await ws.send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"cannot send: {error}") from None

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse[Literal[False]]) -> None:
        taken = 0
        while True:
            message = await ws.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                data = message.data
                self._take(data if isinstance(data, bytes) else data.encode())
                taken += 1
                if taken % _FAIR == 0:
                    await asyncio.sleep(0)
            elif message.type == aiohttp.WSMsgType.ERROR:
                raise ConnectionLostError(f"the connection broke: {ws.exception()}")
            else:
                broken = ws.exception()
                why = f"broke: {broken}" if broken else f"was closed (code {ws.close_code})"
                raise ConnectionLostError(f"the connection {why}")

    def _take(self, data: bytes) -> None:
        kept = self._tape.frame(self.number, data)
        now = time.monotonic_ns()
        if not kept:
            self._dropping = True
        elif self._dropping:  # what was dropped is missing in the recording, whatever we saw
            self._dropping = False
            self._lose(DROPPED, now)
        try:
            head = head_of(data)
        except ValueError as error:
            self._tape.marker(self.number, "refused", why=str(error))
            self._lose(REFUSED, now)
            return
        gap = self.tracker.take(head, now)
        if gap is not None:
            self._mark(gap)
            self.subscriber.suspect()
        if head.type == names.ERROR and head.message.code in names.ENDING_CODES:
            if head.sid is None and head.message.sid is None:
                raise ConnectionLostError(f"a channel ended: {head.message.msg}")
            self.subscriber.wake()
        if head.type == "orderbook_snapshot":
            self.subscriber.snapshot_came()
        self._commands.answer(head)
        self._seen(data, head)

    def _mark(self, gap: Gap) -> None:
        sub = self.tracker.by_sid[gap.sid]
        self._tape.marker(
            self.number,
            "gap",
            sid=gap.sid,
            channel=sub.channel,
            reason=gap.reason,
            expected=gap.expected,
            got=gap.got,
            markets=len(sub.markets),
        )

    def _lose(self, reason: str, now_ns: int) -> None:
        for sub in self.tracker.by_sid.values():
            if not sub.ended:
                self.tracker.lose(sub, now_ns)
                self._mark(Gap(sub.sid, reason, 0, sub.last or 0))
        self.subscriber.wake()
