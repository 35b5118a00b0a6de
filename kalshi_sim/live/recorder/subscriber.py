"""The subscriptions of one connection: kept as wanted, their books known or asked for again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.commands import (
    CommandRefusedError,
    Commands,
    ConnectionLostError,
    UnansweredError,
    chunks,
)
from kalshi_sim.live.recorder.sequence import Head, Subscription, Tracker
from kalshi_sim.live.recorder.tape import FrameTape

_MANY_AT_A_TIME: Final = 500
_BOOKS_AT_A_TIME: Final = 50
"""Each market that is added makes a snapshot; too many at once overflow the exchange's buffer."""
_RESYNC_S: Final = 0.25
"""Between two rounds of asking for snapshots."""


@dataclass(frozen=True)
class Timing:
    """Deadlines of a connection, in seconds."""

    connect: float = 15.0
    command: float = 10.0
    """A command without an answer by then means that the connection is dead."""
    snapshots: float = 10.0
    ping: float = 20.0
    """A ping is sent so often if nothing arrives; the pong must come in half of it."""
    check: float = 60.0
    """How often the exchange is asked which subscriptions it has."""
    backoff: float = 30.0
    """The longest wait before connecting again."""
    dark: float = 60.0
    """How often a market is tried again that was refused or sent no snapshot."""


@dataclass
class Want:
    """What a connection is to be subscribed to; changed while it lives."""

    markets: set[str] = field(default_factory=set)
    market_channels: tuple[str, ...] = (names.ORDERBOOK.name, names.TRADE.name)
    other_channels: tuple[str, ...] = ()
    """Channels that take no markets."""
    use_yes_price: bool = False
    index_ids: tuple[str, ...] = ()


class Subscriber:
    """Subscribes a connection to what is wanted, and to nothing else."""

    def __init__(
        self, number: int, want: Want, tracker: Tracker, tape: FrameTape, timing: Timing
    ) -> None:
        """Nothing is subscribed to yet.

        Args:
            number: of the connection in the recording.
            want: what to subscribe to; `wake` is to be called when it changes.
            tracker: knows the subscriptions from their frames.
            tape: takes markers.
            timing: deadlines.
        """
        self.number = number
        self.want = want
        self.tracker = tracker
        self.market_limit: int | None = None
        """How many markets the exchange took before it said that there are too many."""
        self._tape = tape
        self._timing = timing
        self._work = asyncio.Event()
        self._snapshot = asyncio.Event()
        self._refused: dict[tuple[str, str], float] = {}
        self._dark: dict[str, float] = {}
        self._suspect = False

    def wake(self) -> None:
        """There is something to do: what is wanted has changed, or a subscription has."""
        self._work.set()

    def suspect(self) -> None:
        """Frames were lost: the end of a subscription may be among them, so they are asked for."""
        self._suspect = True
        self._work.set()

    def snapshot_came(self) -> None:
        """A snapshot has arrived, for which somebody may wait."""
        self._snapshot.set()

    async def keep(self, commands: Commands) -> None:
        """Keep the subscriptions as they are wanted, and the books known; never returns.

        Args:
            commands: asks the exchange.

        Raises:
            CommandRefusedError: the exchange refuses what cannot be done without.
            ConnectionLostError: it no longer answers as it should.
        """
        self._commands = commands
        checked = time.monotonic()
        while True:
            self._work.clear()
            for channel in self.want.other_channels:
                if self.tracker.of_channel(channel) is None:
                    await self._subscribe_alone(channel)
            for channel in sorted(self.want.market_channels, key=names.ORDERBOOK.name.__eq__):
                await self._follow(channel)  # books last: their snapshots are waited for
            books = self.tracker.of_channel(names.ORDERBOOK.name)
            if books is not None and self._missing(books):
                await self._resync(books)
            if self._suspect or time.monotonic() - checked > self._timing.check:
                self._suspect, checked = False, time.monotonic()
                await self._check()
            try:
                async with asyncio.timeout(min(1.0, self._timing.check)):
                    await self._work.wait()
            except TimeoutError:
                pass

    async def _subscribe(self, channel: str, tickers: list[str]) -> None:
        params: dict[str, Any] = {"channels": [channel]}
        if tickers:
            params["market_tickers"] = tickers
        if channel == names.ORDERBOOK.name:
            params["use_yes_price"] = self.want.use_yes_price
        if channel in (names.INDEX_VALUES.name, names.INDEX_VALUES_5HZ.name):
            params["index_ids"] = list(self.want.index_ids)
        answer = await self._commands.ask(names.SUBSCRIBE, params)
        sid = answer.sid if answer.sid is not None else answer.message.sid
        if sid is None:
            raise ConnectionLostError(f"a subscription to {channel} was answered without a number")
        if answer.type == names.OK:  # merged into the subscription that was there
            tickers = answer.message.market_tickers or tickers
        self.tracker.subscribed(sid, channel, set(tickers), time.monotonic_ns())

    async def _subscribe_alone(self, channel: str) -> None:
        if "" in self._waiting_for(channel):
            return
        try:
            await self._subscribe(channel, [])
        except CommandRefusedError as refused:
            self._refuse(channel, [""], str(refused))

    async def _follow(self, channel: str) -> None:
        """Subscribe a channel to the markets that are wanted, and to no others."""
        size = _BOOKS_AT_A_TIME if channel == names.ORDERBOOK.name else _MANY_AT_A_TIME
        sub = self.tracker.of_channel(channel)
        if sub is not None and sub.markets - self.want.markets:
            if not self.want.markets:
                await self._ask_of(sub, names.UNSUBSCRIBE, {"sids": [sub.sid]})
                return
            for some in chunks(sub.markets - self.want.markets, _MANY_AT_A_TIME):
                await self._update(sub, names.DELETE_MARKETS, some)
        have = sub.markets if sub is not None else set()
        for some in chunks(self.want.markets - have - self._waiting_for(channel), size):
            await self._add(channel, some)

    def _waiting_for(self, channel: str) -> set[str]:
        """Markets that were refused a short while ago."""
        now = time.monotonic()
        return {
            ticker for (of, ticker), until in self._refused.items() if of == channel and until > now
        }

    async def _add(self, channel: str, tickers: list[str]) -> None:
        """Add markets; those that are refused are found by halves and tried again later."""
        sub = self.tracker.of_channel(channel)
        try:
            if sub is None:
                await self._subscribe(channel, tickers)
            else:
                answer = await self._update(sub, names.ADD_MARKETS, tickers)
                if answer is not None and answer.message.market_tickers is None:
                    self.tracker.acknowledge(sub, sub.markets | set(tickers), time.monotonic_ns())
        except CommandRefusedError as refused:
            if refused.code == names.ErrorCode.MARKET_LIMIT:
                self.market_limit = len(sub.markets) if sub is not None else 0
            elif len(tickers) > 1:
                half = len(tickers) // 2
                await self._add(channel, tickers[:half])
                await self._add(channel, tickers[half:])
                return
            self._refuse(channel, tickers, str(refused))
            return
        sub = self.tracker.of_channel(channel)
        if sub is None:
            return
        if dark := set(tickers) - sub.markets:
            self._refuse(channel, sorted(dark), "not acknowledged")
        if sub.has_books:
            await self._until_known(sub, set(tickers))

    def _refuse(self, channel: str, tickers: list[str], why: str) -> None:
        self._tape.marker(self.number, "refused-markets", channel=channel, markets=tickers, why=why)
        until = time.monotonic() + self._timing.dark
        for ticker in tickers:
            self._refused[channel, ticker] = until

    async def _update(self, sub: Subscription, action: str, tickers: list[str]) -> Head | None:
        params = {"sids": [sub.sid], "market_tickers": tickers, "action": action}
        return await self._ask_of(sub, names.UPDATE_SUBSCRIPTION, params)

    async def _ask_of(self, sub: Subscription, command: str, params: dict[str, Any]) -> Head | None:
        """Ask something of a subscription; None if the exchange no longer has it."""
        try:
            answer = await self._commands.ask(command, params)
        except CommandRefusedError as refused:
            if refused.code != names.ErrorCode.UNKNOWN_SID:
                raise
            self._gone(sub)
            return None
        return answer

    def _gone(self, sub: Subscription) -> None:
        """The exchange no longer has a subscription: it is made anew."""
        sub.ended = True
        self._tape.marker(self.number, "end", sid=sub.sid, channel=sub.channel)
        self._work.set()

    def _missing(self, sub: Subscription) -> set[str]:
        """Markets to ask snapshots for: those unknown, but for some that sent none a while ago."""
        now = time.monotonic()
        return {t for t in sub.unknown if self._dark.get(t, 0.0) <= now}

    async def _resync(self, sub: Subscription) -> None:
        """Snapshots on the same socket, else a new subscription, else a new connection."""
        failed: set[str] = set()
        for some in chunks(self._missing(sub), _BOOKS_AT_A_TIME):
            if not await self._ask_snapshots(sub, some):
                failed |= sub.unknown.keys() & set(some)
        await asyncio.sleep(_RESYNC_S)
        if sub.ended or not failed:
            return
        if not failed >= sub.markets:
            until = time.monotonic() + self._timing.dark
            self._dark.update(dict.fromkeys(failed, until))
            return
        await self._ask_of(sub, names.UNSUBSCRIBE, {"sids": [sub.sid]})
        await self._follow(sub.channel)
        anew = self.tracker.of_channel(sub.channel)
        if anew is not None and anew.markets and anew.unknown.keys() >= anew.markets:
            raise ConnectionLostError("no snapshot came, also after subscribing anew")

    async def _ask_snapshots(self, sub: Subscription, tickers: list[str]) -> bool:
        """Ask for snapshots, of which each is an answer; whether all came in time."""
        try:
            await self._update(sub, names.GET_SNAPSHOT, tickers)
        except (CommandRefusedError, UnansweredError):
            return False
        return await self._until_known(sub, set(tickers))

    async def _until_known(self, sub: Subscription, tickers: set[str]) -> bool:
        """Wait for the snapshots of markets; whether all came in time."""
        try:
            async with asyncio.timeout(self._timing.snapshots):
                while tickers & sub.unknown.keys() and not sub.ended:
                    self._snapshot.clear()
                    await self._snapshot.wait()
        except TimeoutError:
            return False
        return True

    async def _check(self) -> None:
        """Ask the exchange which subscriptions it has: silence alone says nothing."""
        answer = await self._commands.ask(names.LIST_SUBSCRIPTIONS)
        listed = answer.msg if isinstance(answer.msg, list) else []
        sids = {entry.get("sid") for entry in listed if isinstance(entry, dict)}
        for sub in self.tracker.by_sid.values():
            if not sub.ended and sub.sid not in sids:
                self._gone(sub)
