"""The local exchange itself: markets, connections and time, apart from the sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from typing import Any, Final, Literal

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.exchange.accounts import Keys
from kalshi_sim.live.exchange.clock import ExchangeClock
from kalshi_sim.live.exchange.commands import Commands
from kalshi_sim.live.exchange.faults import Fault, Faults
from kalshi_sim.live.exchange.flow import FlowOrder, flow
from kalshi_sim.live.exchange.hub import Hub
from kalshi_sim.live.exchange.lives import Lives
from kalshi_sim.live.exchange.log import SentLog
from kalshi_sim.live.exchange.markets import INITIALIZED, Market
from kalshi_sim.live.exchange.matching import Matching
from kalshi_sim.live.exchange.messages import delta_message, trade_message
from kalshi_sim.live.exchange.openings import Opening, opening_changes
from kalshi_sim.live.exchange.queue import TrueQueueFlow
from kalshi_sim.live.exchange.schedule import (
    BookFrame,
    Change,
    Happening,
    check_session,
    first_ms,
    replay,
)
from kalshi_sim.live.interface import ORDERBOOK, PING_SECONDS, Channel
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.units import MS_PER_MINUTE

Begin = Literal["subscription", "now", "control"]
_BATCH: Final = 200
"""Events after which other tasks get their turn."""
_BOOKS_WITHIN_S: Final = 0.5
"""So long a client that subscribes to other channels first has to subscribe to order books."""


class Exchange:
    """Markets that are replayed, and the connections that follow them."""

    def __init__(
        self,
        session: Session,
        keys: Keys,
        *,
        speed: float = 1.0,
        begin: Begin = "subscription",
        ping_seconds: float = PING_SECONDS,
        log: SentLog | None = None,
        faults: Iterable[Fault] = (),
        truth: TrueQueue | None = None,
        skip_ms: int = 0,
        openings: Iterable[Opening] = (),
    ) -> None:
        """Make an exchange whose markets are those of a session.

        Args:
            session: what is replayed.
            keys: whose accounts trade.
            speed: exchange's seconds in one of the wall clock; 0: as fast as clients read.
            begin: when time begins: at the first subscription to order books (half a second after
                the first to another channel of markets, if none came by then), at once, or by
                `begin` (the control endpoint).
            ping_seconds: time between pings.
            log: notes every frame that is sent.
            faults: which wait from the start.
            truth: the queues behind a generated session, whose orders then come one by one; None:
                the frames of the session are replayed.
            skip_ms: so long after the session's start time begins; what came earlier has happened.
            openings: markets that are created, or open, later than the session starts.

        Raises:
            ConfigError: the session cannot be replayed, is not longer than `skip_ms`, or `truth`
                is of another one.
        """
        check_session(session)
        if truth is not None and not {m.ticker for m in session.markets} <= truth.logs.keys():
            raise ConfigError(f"truth is not that of session {session.session_id}")
        lasts_ms = session.last_message_ms - first_ms(session)
        if skip_ms > lasts_ms:
            raise ConfigError(
                f"nothing is left after the first {skip_ms / MS_PER_MINUTE:,.1f} minutes: session "
                f"{session.session_id} lasts {lasts_ms / MS_PER_MINUTE:,.1f}"
            )
        self.session = session
        self.clock = ExchangeClock(first_ms(session), speed)
        self._ordered = [Market(m, first_ms(session)) for m in session.markets]
        coming = opening_changes(session, openings)
        for ms, change in coming:
            market = self._ordered[change.market]
            if change.kind == "created":
                market.created_ms = ms
            else:
                market.status, market.open_ms = INITIALIZED, ms
        there = (m for m in self._ordered if m.created_ms <= first_ms(session))
        self.markets = {m.ticker: m for m in there}
        """Those that the exchange has now, by ticker."""
        self.hub = Hub()
        self.faults = Faults()
        self.commands = Commands(self)
        self.keys = keys
        self.matching = Matching(self)
        self._lives = Lives(self)
        self.ping_seconds = ping_seconds
        self.exchange_active = True
        self.trading_active = True
        self.finished = asyncio.Event()
        """Set once everything has happened."""
        self._flow = TrueQueueFlow(self, self.matching)
        self._begin_ms = first_ms(session) + skip_ms
        self._happenings = (
            replay(session, coming) if truth is None else flow(session, truth.logs, coming)
        )
        self._following: Happening | None = None
        self._speed = speed
        self._faults = tuple(faults)
        self._log = log
        self._begin: Begin = begin
        self._begun = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._trades = 0
        self._connections = 0

    def now_ms(self) -> int:
        """The exchange's time, in ms since 1970 UTC."""
        return self.clock.now_ms()

    def start(self) -> None:
        """Run the feed in the running event loop; time begins as `begin` says."""
        now = asyncio.get_running_loop().time()
        for fault in self._faults:
            self.faults.add(fault, now)
        self.spawn(self._feed())
        if self._begin == "now":
            self.begin()

    def begin(self) -> None:
        """Let time begin."""
        self._begun.set()

    def subscribed(self, channels: Collection[Channel]) -> None:
        """A client has subscribed to channels."""
        if self._begin != "subscription" or self._begun.is_set():
            return
        if ORDERBOOK in channels:
            self._begun.set()
        elif any(c.takes_markets for c in channels):
            asyncio.get_running_loop().call_later(_BOOKS_WITHIN_S, self._begun.set)

    def next_connection(self) -> int:
        """A number for a new connection."""
        self._connections += 1
        return self._connections

    def next_trade(self) -> int:
        """A number for a new trade."""
        self._trades += 1
        return self._trades

    def note_sent(self, connection: int, frame: bytes, *, lost: bool = False) -> None:
        """Note a frame in the log, if there is one.

        Args:
            connection: number of the connection.
            frame: as it was sent.
            lost: whether a fault kept it back.
        """
        if self._log is not None:
            self._log.write(connection, frame, lost=lost)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside all else; it ends with the exchange."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End all that runs beside the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What happens.

    async def _feed(self) -> None:
        """Let everything happen at its time."""
        await self._begun.wait()
        self.clock.start()
        happenings, following = self._happenings, self._following
        since_pause = 0
        while following is not None:
            ms, what = following
            wait = self.clock.seconds_until(ms)
            since_pause += 1
            if wait > 0 or since_pause >= _BATCH:
                since_pause = 0
                await asyncio.sleep(wait)
                await self._wait_for_readers()
            following = next(happenings, None)
            self.clock.reach(ms, None if following is None else following[0])
            self.happen(what, ms)
        await self._wait_for_readers()
        self.finished.set()

    async def skip(self) -> None:
        """Let happen what comes before time begins; nobody is connected yet."""
        for n, (ms, what) in enumerate(self._happenings):
            if ms >= self._begin_ms:
                self._following = ms, what
                break
            self.clock.reach(ms, ms)
            self.happen(what, ms)
            if n % _BATCH == 0:
                await asyncio.sleep(0)
        self.clock.reach(self._begin_ms, self._begin_ms)

    async def _wait_for_readers(self) -> None:
        """Without a speed nobody is left behind."""
        if self._speed == 0:
            for connection in list(self.hub.connections):
                await connection.room()

    def happen(self, what: BookFrame | Change | FlowOrder, ms: int) -> None:
        """Let one thing happen.

        Args:
            what: it.
            ms: the exchange's time.
        """
        market = self._ordered[what.market]
        self.expire()
        if isinstance(what, Change):
            self._lives.change(market, what, ms)
        elif isinstance(what, FlowOrder):
            self._flow.apply(market, what, ms)
        elif what.kind == EventKind.GAP:
            # What the recorder missed cannot be sent: the book stays until its next snapshot.
            market.known = False
        elif what.kind == EventKind.SNAPSHOT:
            market.known = True
            market.book.replace_others(what.levels)
            self.send_snapshot(market, ms if what.ts_ms is None else what.ts_ms)
            if market.altered:
                self.matching.meet_all(market, ms)
        elif what.kind == EventKind.DELTA:
            if market.known:
                self._delta(market, what, ms)
        else:
            self._trade(market, what, ms)

    def send_snapshot(self, market: Market, ms: int) -> None:
        """Send the whole book of a market."""
        self.hub.publish_book(
            "orderbook_snapshot", market, lambda yes: market.snapshot(use_yes_price=yes), ms
        )

    def expire(self) -> None:
        """Cancel the orders whose time is over."""
        now = self.now_ms()
        for order in list(self.matching.expiring):
            if order.resting is None or order.expiration_ms is None:
                self.matching.expiring.discard(order)
            elif order.expiration_ms <= now:
                self.matching.cancel(order, "ExpiryCancel")

    def _delta(self, market: Market, what: BookFrame, ms: int) -> None:
        before = market.book.best(0), market.book.best(1)
        if market.altered:
            self.matching.recorded_delta(market, what, ms)
            if (market.book.best(0), market.book.best(1)) != before:
                self.hub.publish_ticker(market, ms)
            return
        if what.size > 0:
            market.book.add_others(what.side, what.price, what.size)
        else:
            market.book.withdraw_others(what.side, what.price, -what.size)
        self.hub.publish_book(
            "orderbook_delta", market, lambda yes: delta_message(market, what, yes), ms
        )
        if (market.book.best(0), market.book.best(1)) != before:
            self.hub.publish_ticker(market, ms)

    def _trade(self, market: Market, what: BookFrame, ms: int) -> None:
        market.record_trade(what.side, what.price, what.size)
        number = self.next_trade()
        self.hub.publish_trade(market, lambda: trade_message(market, what, number), ms)
