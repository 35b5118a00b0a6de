"""A recorder: markets found and found again, connections kept up, everything on tape."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from kalshi_sim.ingest.segments import LISTED, connection_number
from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.audit import Audit, Books
from kalshi_sim.live.recorder.commands import AuthenticationError, ConnectionLostError
from kalshi_sim.live.recorder.connection import Connection
from kalshi_sim.live.recorder.discovery import GIVE_KEY, ExchangeError, KeyRefusedError, Rest
from kalshi_sim.live.recorder.listing import Listings
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions, signer
from kalshi_sim.live.recorder.placement import Placement, Slot
from kalshi_sim.live.recorder.sequence import Head
from kalshi_sim.live.recorder.status import Rate, Status
from kalshi_sim.live.recorder.tape import FrameTape
from kalshi_sim.live.recorder.writer import SegmentWriter

_BACKOFF_S: Final = 0.5
_STABLE_S: Final = 60.0
"""A connection that lived so long makes the next failure the first again."""
_AUTHENTICATION_TRIES: Final = 3
_AUDIT_WINDOW_S: Final = 1.0
_FULL: Final = "the disk is full: frames are dropped until there is room"
_OVER: Final = ("determined", "settled")
"""Changes of a market's life after which it sends nothing more."""
_NS: Final = 1_000_000_000
_MS: Final = 1_000


class Recorder:
    """Records until it is stopped."""

    def __init__(
        self,
        options: RecorderOptions,
        credentials: Credentials | None,
        writer: SegmentWriter,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Not begun yet.

        Args:
            options: what to record.
            credentials: for the handshakes; a local exchange may need none.
            writer: takes what is recorded.
            say: called with sentences for a log.
        """
        self.options = options
        self.tape = FrameTape(writer)
        self.at_end: Status | None = None
        """The status when it was stopped; None before."""
        self.audit = Audit()
        self._signed = signer(credentials)
        self._say = say
        self._placement = Placement(options, self._open)
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._books = Books()
        self._lost: dict[Slot, dict[str, int]] = {}
        self._listed: dict[str, dict[str, Any]] = {}
        self._rate = Rate()
        self._begun = time.monotonic()
        self._last_ns: int | None = None
        self._lag_s: float | None = None
        self._unknown_ns = 0
        self._problems: dict[str, str] = {}
        self._rest: Rest | None = None
        self._listings = Listings(options.selection, options.discover_every_s)

    def stop(self) -> None:
        """End in order, soon; from any thread, or a signal's handler."""
        if self._loop is None:
            self._stop.set()
        else:
            self._loop.call_soon_threadsafe(self._stop.set)

    def ask_for_snapshots(self, why: str) -> None:
        """Have the exchange send every book anew.

        Args:
            why: for the recording.
        """
        for slot in self._placement.slots:
            if slot.connection is not None:
                slot.connection.forget_books(why)

    async def run(self) -> None:
        """Record until `stop`.

        Raises:
            ConfigError: the key is not accepted, or no market is chosen that exists.
            ExchangeError: the list of markets cannot be read at the start.
        """
        self._loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as http:
            self._rest = Rest(http, self.options.rest, self._signed, self._say)
            self._apply(await self._first_listing(self._rest))
            work = [self._discover(), self._watch_clock()]
            if self.options.audit_every_s > 0:
                work.append(self._audit_now_and_then())
            for coroutine in work:
                self._start(coroutine)
            try:
                await self._stop.wait()
            finally:
                self.at_end = self.status()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failed is not None:
            raise self._failed

    async def _first_listing(self, rest: Rest) -> dict[str, dict[str, Any]]:
        """The markets to begin with; a stop ends the waiting for them.

        Raises:
            ConfigError: none of the named markets exists.
            ExchangeError: the list cannot be read, or not before the stop.
        """
        listing = asyncio.create_task(rest.markets(self.options.selection))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({listing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not listing.done():
                raise ExchangeError(f"stopped before the markets were listed: {rest.waiting_for}")
            found = listing.result()
        finally:
            for task in (listing, stopped):
                task.cancel()
            await asyncio.gather(listing, stopped, return_exceptions=True)
        for text in rest.not_found(self.options.selection, found):
            self._say(text)
        return found

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = self._failed or error
            self._stop.set()

    # which markets, on which connection

    async def _discover(self) -> None:
        assert self._rest is not None
        while True:
            await self._listings.wait()
            try:
                found = await self._rest.markets(self.options.selection)
            except ExchangeError as error:  # what is recorded goes on
                self._problems["discovery"] = str(error)
                self._say(str(error))
                continue
            self._problems.pop("discovery", None)
            self._apply(found)

    def _apply(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for ticker in sorted(found):
            listed = {key: found[ticker].get(key) for key in LISTED}
            if self._listed.get(ticker) != listed:
                self._listed[ticker] = listed
                self.tape.marker(0, "market", **listed)
        new, leaving = self._placement.apply(found)
        for ticker in leaving:
            self._books.forget(ticker)
        if new or leaving:
            self._say(f"{new} markets added, {len(leaving)} let go")

    # connections

    def _open(self, slot: Slot) -> None:
        self._start(self._keep_connected(slot))

    async def _keep_connected(self, slot: Slot) -> None:
        """One connection after the other; only a refused key, several times, ends that."""
        assert self._rest is not None
        failures = refusals = 0
        lost: dict[str, int] = {}
        while True:
            self._connections += 1
            began_ns = time.monotonic_ns()
            number = connection_number(self.tape.writer.run, self._connections)
            connection = Connection(number, slot.want, self.tape, self._seen, self.options.timing)
            connection.tracker.lost = lost
            slot.connection = connection
            try:
                headers = self._signed("GET", names.WS_PATH)
                url = self.options.websocket + names.WS_PATH
                await connection.live(self._rest.http, url, headers)
            except AuthenticationError as error:
                if not headers:
                    raise KeyRefusedError(f"the exchange wants a key; {GIVE_KEY}") from None
                refusals += 1
                why = str(error)
                if refusals >= _AUTHENTICATION_TRIES:
                    with contextlib.suppress(ExchangeError):
                        await self._rest.get("/exchange/status")
                    raise KeyRefusedError(
                        f"the exchange refuses the key ({why}); check --key-id-file and "
                        "--key-file, and that both are of this environment"
                        f"{self._rest.clock_advice()}"
                    ) from None
            except ConnectionLostError as error:
                refusals = 0
                why = str(error)
            finally:
                self._unknown_ns += connection.tracker.unknown_ns
                since = connection.tracker.all_lost(time.monotonic_ns())
                lost = {ticker: since.get(ticker, began_ns) for ticker in slot.want.markets}
                slot.ended += slot.connected
                for ticker in slot.want.markets:
                    self._books.forget(ticker)
                slot.connection = None
            lived = connection.opened_ns and time.monotonic_ns() - connection.opened_ns
            failures = 1 if lived > _STABLE_S * _NS else failures + 1
            longest = min(_BACKOFF_S * 2 ** min(failures, 10), self.options.timing.backoff)
            wait = random.uniform(_BACKOFF_S / 2, longest)
            self._problems["connection"] = why
            self._say(f"connection {self._connections}: {why}; again in {wait:.1f} s")
            self._placement.move_what_is_too_much(slot, connection)
            self._lost[slot] = lost
            await asyncio.sleep(wait)
            self._lost.pop(slot)

    def _seen(self, data: bytes, head: Head) -> None:
        self._last_ns = time.monotonic_ns()
        sent_ms = head.sending_ts_ms or head.message.ts_ms
        if sent_ms:
            self._lag_s = time.time() - sent_ms / _MS
        message = head.message
        if self.options.audit_every_s > 0:
            try:
                self._books.take(head.type, data)
            except (ValueError, KeyError):
                self._books.forget(message.market_ticker or "")
        if message.event_type == "created":
            self._listings.created(data, sent_ms)
        if message.event_type in _OVER and message.market_ticker is not None:
            self._placement.over.add(message.market_ticker)

    # now and then

    async def _watch_clock(self) -> None:
        full = False
        while True:
            await asyncio.sleep(1.0)
            if self.tape.writer.full != full:
                full = not full
                self._say(_FULL if full else "the disk has room again: frames are written")
            jump = self.tape.check_clock()
            if jump:
                self._say(f"the wall clock was set by {jump / _NS:+.1f} s")
            if self.tape.writer.error is not None:
                self._stop.set()
            for slot in list(self._placement.slots):
                if slot.connection is not None:
                    self._placement.move_what_is_too_much(slot, slot.connection)

    async def _audit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.options.audit_every_s)
            try:
                self.audit = await self._compare()
            except ExchangeError as error:
                self._problems["audit"] = str(error)
                self._say(str(error))
                continue
            self._problems.pop("audit", None)
            if self.audit.compared:
                differing = self.audit.differing[:20]
                self.tape.marker(
                    0,
                    "audit",
                    compared=self.audit.compared,
                    agreed=self.audit.agreed,
                    differing=differing,
                )

    async def _compare(self) -> Audit:
        """Compare the books that are known with REST, within a second around its answer."""
        assert self._rest is not None
        audit = Audit()
        known = [
            ticker
            for slot in self._placement.slots
            if slot.connection is not None
            for sub in slot.connection.tracker.by_sid.values()
            if sub.has_books and not sub.ended
            for ticker in sorted(sub.markets - sub.unknown.keys())
        ]
        for at in range(0, len(known), names.MAX_ORDERBOOKS):
            some = known[at : at + names.MAX_ORDERBOOKS]
            self._books.watch(some)
            polled = await self._rest.orderbooks(some)
            await asyncio.sleep(_AUDIT_WINDOW_S)
            self._books.compare(polled, audit)
        return audit

    def status(self) -> Status:
        """What there is to say now."""
        writer = self.tape.writer
        slots = self._placement.slots
        live = [slot.connection for slot in slots if slot.connection is not None]
        connected = sum(slot.connected for slot in slots)
        if connected == len(slots):
            self._problems.pop("connection", None)
        now = time.monotonic_ns()
        unknown_ns = self._unknown_ns + sum(c.tracker.unknown_ns for c in live)
        for slot in slots:
            unknown = self._lost.get(slot, {})
            if slot.connection is not None:
                unknown = slot.connection.tracker.all_unknown()
            unknown_ns += sum(now - unknown[t] for t in unknown.keys() & slot.want.markets)
        problems = list(self._problems.values())
        if writer.full:
            problems.insert(0, _FULL)
        age = None if self._last_ns is None else (now - self._last_ns) / _NS
        return Status(
            connections=connected,
            connections_wanted=len(slots),
            markets_wanted=sum(len(slot.want.markets) for slot in slots),
            markets_acknowledged=sum(c.acknowledged for c in live),
            books_unknown=sum(len(slot.want.markets - slot.known_books) for slot in slots),
            frames=self.tape.frames,
            frames_per_second=self._rate.at(self.tape.frames),
            last_frame_age_s=age,
            lag_s=self._lag_s,
            gaps=self.tape.markers["gap"] + sum(slot.ended for slot in slots),
            gap_market_seconds=unknown_ns / _NS,
            connections_lost=sum(slot.ended for slot in slots),
            reconnects=sum(max(0, slot.ended + slot.connected - 1) for slot in slots),
            refused_frames=self.tape.markers["refused"],
            dropped_frames=writer.written.dropped,
            queue_bytes=writer.waiting_bytes,
            disk_full=writer.full,
            disk_free_bytes=writer.free_bytes(),
            segments=len(writer.written.segments),
            bytes_written=writer.written.bytes_out,
            audited=self.audit.compared,
            audited_share=self.audit.share,
            uptime_s=time.monotonic() - self._begun,
            problem="; ".join(problems) or None,
        )

    @property
    def segments(self) -> list[Path]:
        """Of this run."""
        return list(self.tape.writer.written.segments)
