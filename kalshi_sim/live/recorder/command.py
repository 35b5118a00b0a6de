"""The work of `kalshi-sim record`: set up, show its status, end in order, summarise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.gaps import gaps_text
from kalshi_sim.ingest.segments import Header
from kalshi_sim.interrupts import deferred
from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.access import KEY_FILE, KEY_ID, credentials_of, environment_of
from kalshi_sim.live.recorder.discovery import ExchangeError, Rest, is_replay
from kalshi_sim.live.recorder.into import STORE_VARIABLE, Per, Tables, check_target, store_segments
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions, signer
from kalshi_sim.live.recorder.output import Output, print_json
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_sim.live.recorder.selection import Selection
from kalshi_sim.live.recorder.status import Status, as_json, prometheus
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.store.urls import without_password
from kalshi_sim.text import numbered, printable

_MIB: Final = 2**20
_TABLE_S: Final = 1.0
_LISTED: Final = 1000
_ASKED_S: Final = 5.0
"""Whether it is a local exchange is asked at most so long."""


@dataclass(frozen=True)
class RecordCommand:
    """What the command was asked for, as its options name it."""

    selection: Selection
    environment: str
    key_id_file: Path | None
    key_file: Path | None
    out: Path
    into: str | None
    per: Per
    session: int | None
    tables: Tables
    channels: tuple[str, ...]
    index_ids: tuple[str, ...]
    use_yes_price: bool
    markets_per_connection: int
    discover_every_s: float
    audit_every_s: float
    disk_floor_mib: int
    segment_seconds: int
    queue_mib: int
    duration_s: float | None
    status_every_s: float
    prometheus_port: int | None
    as_json: bool

    def run(self) -> int:
        """Record; 0 if it was stopped as asked.

        Returns:
            The exit code.

        Raises:
            ConfigError: an option is wrong, or the exchange refuses the key.
            KalshiSimError: the exchange does not answer, or the disk fails or was full.
        """
        options = self._options()
        ends_at = None if self.duration_s is None else time.monotonic() + self.duration_s
        if self.into is not None:
            check_target(self.out, self.into, self.per, self.session, self.tables)
        elif self.session is not None:
            raise ConfigError(f"--session {self.session}: nothing is stored without --into STORE")
        credentials = credentials_of(self.key_id_file, self.key_file)
        if credentials is None and options.websocket.startswith("wss:"):
            raise ConfigError(
                f"the exchange wants a key for every recording; set {KEY_ID} and {KEY_FILE}, or "
                "give --key-id-file and --key-file (docs/recording.md: how to make a read-only key)"
            )
        with contextlib.closing(Output()) as output:
            output.say(f"looking for markets at {options.rest}")
            asked_s = _ASKED_S if self.duration_s is None else min(_ASKED_S, self.duration_s)
            replay = asyncio.run(is_replay(options.rest, asked_s))
            writer = self._writer(options, replay=replay)
            recorder = Recorder(options, credentials, writer, output.say)
            with deferred(lambda signum: recorder.stop()):
                try:
                    asyncio.run(self._record(recorder, output, ends_at))
                finally:
                    writer.close()
                output.close()
                self._conclude(recorder, recorder.at_end or recorder.status())
                writer.check_whole()
        return 0

    def _writer(self, options: RecorderOptions, *, replay: bool) -> SegmentWriter:
        return SegmentWriter(
            self.out,
            Header(
                run=0,
                number=0,
                began_ns=0,
                url=options.websocket + names.WS_PATH,
                use_yes_price=self.use_yes_price,
                channels=[*options.market_channels, *options.other_channels],
                replay=replay,
                version=version("kalshi-sim"),
                libraries={"aiohttp": version("aiohttp"), "python": sys.version.split()[0]},
            ),
            WriterOptions(
                segment_seconds=self.segment_seconds,
                queue_bytes=self.queue_mib * _MIB,
                floor_bytes=self.disk_floor_mib * _MIB,
            ),
        )

    def dry_run(self) -> int:
        """List the markets that would be recorded.

        Returns:
            The exit code.

        Raises:
            KalshiSimError: the exchange does not answer, or refuses the key.
        """
        options = self._options()
        credentials = credentials_of(self.key_id_file, self.key_file)
        with contextlib.closing(Output()) as output:
            found = asyncio.run(self._listed(options, credentials, output))
        if self.as_json:
            print_json({"markets": len(found), "tickers": sorted(found)})
            return 0
        for ticker in sorted(found)[:_LISTED]:
            print(f"{printable(ticker)}  {printable(str(found[ticker].get('title') or ''))}")
        if len(found) > _LISTED:
            print(f"and {len(found) - _LISTED:,} more")
        connections = -(-len(found) // self.markets_per_connection)
        print(
            f"{numbered(len(found), 'market')} on {numbered(connections, 'connection')}; "
            "nothing was recorded"
        )
        return 0

    def store_only(self) -> int:
        """Store the segments that are there.

        Returns:
            The exit code.

        Raises:
            ConfigError: no store is named, or there are no segments.
        """
        if self.into is None:
            raise ConfigError("--store-only: say which store, with --into STORE")
        if not self.out.is_dir():
            raise ConfigError(f"there is no folder {self.out}; name one with segments by --out")
        self._store(self.into)
        return 0

    def _options(self) -> RecorderOptions:
        environment = environment_of(self.environment)
        channels = [names.CHANNELS.get(name) for name in self.channels]
        for name, channel in zip(self.channels, channels, strict=True):
            if channel is None:
                gone = " (retired)" if name in names.RETIRED_CHANNELS else ""
                known = ", ".join(names.CHANNELS)
                raise ConfigError(f"--channel {name}: there is none{gone}; known are {known}")
        chosen = [channel for channel in channels if channel is not None]
        if names.ORDERBOOK not in chosen:
            raise ConfigError("--channel: orderbook_delta must be one, else there are no books")
        other = [c.name for c in chosen if not c.takes_markets or c.private]
        if self.index_ids and names.INDEX_VALUES.name not in other:
            other.append(names.INDEX_VALUES.name)
        return RecorderOptions(
            websocket=environment.websocket,
            rest=environment.rest,
            selection=self.selection,
            market_channels=tuple(c.name for c in chosen if c.name not in other),
            other_channels=tuple(other),
            index_ids=self.index_ids,
            use_yes_price=self.use_yes_price,
            markets_per_connection=self.markets_per_connection,
            discover_every_s=self.discover_every_s,
            audit_every_s=self.audit_every_s,
        )

    async def _listed(
        self, options: RecorderOptions, credentials: Credentials | None, output: Output
    ) -> dict[str, dict[str, Any]]:
        async with aiohttp.ClientSession() as http:
            rest = Rest(http, options.rest, signer(credentials), output.say)
            try:
                async with asyncio.timeout(self.duration_s):
                    found = await rest.markets(self.selection)
            except TimeoutError:
                raise ExchangeError(
                    f"--duration {self.duration_s:g} ended before the markets were listed: "
                    f"{rest.waiting_for}"
                ) from None
        for text in rest.not_found(self.selection, found):
            output.say(text)
        return found

    async def _record(self, recorder: Recorder, output: Output, ends_at: float | None) -> None:
        loop = asyncio.get_running_loop()
        shown = output.show(recorder.status, self.status_every_s, json=self.as_json)
        tasks = [asyncio.create_task(shown)]
        if self.into is not None:
            tasks.append(asyncio.create_task(self._store_now_and_then(recorder, output, self.into)))
        if ends_at is not None:
            loop.call_later(max(0.0, ends_at - time.monotonic()), recorder.stop)
        try:
            async with _served(recorder, self.prometheus_port):
                await recorder.run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _store_now_and_then(self, recorder: Recorder, output: Output, store: str) -> None:
        """Store finished segments while recording, in a process of its own."""
        stored = 1
        while True:
            await asyncio.sleep(1.0)
            if len(recorder.segments) <= stored:
                continue
            stored = len(recorder.segments)
            session = [] if self.session is None else [str(self.session)]
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kalshi_sim.live.recorder.into",
                str(self.out),
                self.per,
                self.tables,
                *session,
                env={**os.environ, STORE_VARIABLE: store},
                stdout=asyncio.subprocess.DEVNULL,
            )
            try:
                code = await child.wait()
            except asyncio.CancelledError:
                child.terminate()
                await child.wait()
                raise
            if code != 0:
                output.say("the segments could not be stored now; they are tried again")

    def _conclude(self, recorder: Recorder, status: Status) -> None:
        """Say what was recorded, and store it."""
        written = recorder.tape.writer.written
        if self.as_json:
            print_json(
                {
                    "recorded": as_json(status) | {"segments": [str(p) for p in written.segments]},
                },
                indent=0,
            )
        else:
            print(
                f"recorded {numbered(status.frames, 'frame')} of "
                f"{numbered(status.markets_wanted, 'market')} in "
                f"{numbered(len(written.segments), 'segment')} in {printable(str(self.out))}: "
                f"{numbered(status.gaps, 'gap')} ({status.gap_market_seconds:,.1f} market-seconds "
                f"unknown), {numbered(written.dropped, 'frame')} dropped, "
                f"{numbered(status.connections_lost, 'connection')} lost, {status.reconnects:,} "
                "made anew"
            )
        if self.into is None:
            if not self.as_json:
                out = printable(str(self.out))
                print(f"store it with: kalshi-sim record --store-only --out {out} --into STORE")
            return
        try:
            self._store(self.into)
        except KalshiSimError as error:
            raise type(error)(
                f"{error}. What was recorded is kept; store it again with kalshi-sim record "
                f"--store-only --out {self.out} --into STORE"
            ) from error

    def _store(self, store: str) -> None:
        for stored in store_segments(self.out, store, self.per, self.session, self.tables):
            total = stored.session.quality.total
            if self.as_json:
                print_json(
                    {
                        "stored": stored.session.session_id,
                        "segments": stored.segments,
                        "snapshots": total.snapshots,
                        "deltas": total.deltas,
                        "trades": total.trades,
                        "gaps": total.gaps,
                        "note": stored.note,
                    },
                    indent=0,
                )
                continue
            if stored.note is not None:
                print(stored.note)
            print(
                f"session {stored.session.session_id} in {printable(without_password(store))}: "
                f"{numbered(len(stored.session.markets), 'market')}, "
                f"{numbered(total.snapshots, 'snapshot')}, {numbered(total.deltas, 'delta')}, "
                f"{numbered(total.trades, 'trade')}, gaps: {gaps_text(stored.session)}"
            )


@contextlib.asynccontextmanager
async def _served(recorder: Recorder, port: int | None) -> Any:
    """The text endpoint of Prometheus, on the loopback address alone."""
    if port is None:
        yield
        return

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=prometheus(recorder.status()), content_type="text/plain")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise ConfigError(
                f"--prometheus-port {port}: {error.strerror}; choose another port"
            ) from error
        yield
    finally:
        await runner.cleanup()


__all__ = ["RecordCommand", "Selection"]
