"""A run: the recorder's connection feeds the trader, and both are shown."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from kalshi_sim.config import FillModel, SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.fees import chosen_schedule
from kalshi_sim.ingest.segments import Header
from kalshi_sim.interrupts import deferred
from kalshi_sim.live import interface as names
from kalshi_sim.live.following import Following
from kalshi_sim.live.orders.account import Account
from kalshi_sim.live.orders.hosts import OrderPlace
from kalshi_sim.live.recorder.discovery import is_replay, list_markets
from kalshi_sim.live.recorder.heard import HeardWriter
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions, signer
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_sim.live.recorder.selection import Selection
from kalshi_sim.live.recorder.writer import WriterOptions
from kalshi_train.evaluation.policies import Policy
from kalshi_train.trading.legs import Earlier, earlier
from kalshi_train.trading.limits import Limits
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.ordering import PRIVATE_CHANNELS, OrderingTrader
from kalshi_train.trading.places import Ordering, check_key, ordering
from kalshi_train.trading.recording import SEGMENTS
from kalshi_train.trading.rows import RowWriter
from kalshi_train.trading.trader import Trader
from kalshi_train.trading.warm import warm_up

QUIET_S: Final = 0.001
"""A row is closed where its market has sent nothing for so long."""
STOP_FILE: Final = "STOP"
"""A file of this name in the run's folder ends the run."""
_WATCH_S: Final = 0.1
_SYNC_S: Final = 1.0
_PATIENCE_S: Final = 2.0
"""After so long it is said what is waited for."""
_FEED_S: Final = 2.0
"""Seconds between two lines of the log that show the health of the feed."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class RunOptions:
    """What a run is to do."""

    policy: Policy
    config: SimConfig
    tape: TapeOptions
    selection: Selection
    environment: names.Environment
    credentials: Credentials | None
    out: Path
    limits: Limits
    orders: OrderPlace | None = None
    """Where orders go; None: they are filled by simulation alone."""
    words: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, as it is needed to go on after a restart."""
    resume: bool = False
    """Go on with the run that is in `out`."""
    queue_every_s: float = 1.0
    """Between two looks at the places of orders in their queues."""
    seed: int = 0
    duration_s: float | None = None
    disk_floor_mib: int = 1024
    show: Callable[[Trader, Recorder], Coroutine[Any, Any, None]] | None = None
    """Runs beside the trading and shows it."""
    say: Callable[[str], None] = lambda text: None


def band_of(config: SimConfig) -> tuple[FillModel, ...]:
    """The fill models a run is simulated under.

    Args:
        config: its fill model is the chosen one.

    Returns:
        Both bounds and the chosen one, from pessimistic to optimistic.
    """
    models: tuple[FillModel, ...] = ("through", config.fill_model, "touch")
    return tuple(dict.fromkeys(models))


def trade(options: RunOptions) -> tuple[Trader, HeardWriter]:
    """Trade until the run is stopped.

    Args:
        options: what to do.

    Returns:
        The trader as it ended, and what wrote its recording.

    Raises:
        ConfigError: an option is wrong, or no market is chosen.
        KalshiSimError: the exchange does not answer, or the disk fails.
    """
    _on_one_thread()
    waiting = threading.Timer(
        _PATIENCE_S, options.say, ("compiling, which the first run waits for",)
    )
    waiting.daemon = True
    waiting.start()
    try:
        warm_up(options.policy, options.config, options.tape)
    finally:
        waiting.cancel()
    replay = asyncio.run(is_replay(options.environment.rest))
    found = asyncio.run(
        list_markets(
            options.environment.rest, signer(options.credentials), options.selection, options.say
        )
    )
    if not found:
        raise ConfigError("the selection matches no market now; choose others")
    if options.orders is not None:
        asyncio.run(check_key(options.orders, options.credentials))
    following = Following(
        sorted(found),
        replay=replay,
        depth=options.tape.depth,
        row_interval_ms=options.tape.row_interval_ms,
        fee_schedule=chosen_schedule(None, options.tape.fee_schedule),
    )
    models = band_of(options.config)
    if options.resume:  # the recording's lock first: the log may be that of a run that goes on yet
        recorder, writer = _recorder(options, sorted(found), replay)
        before = earlier(options.out)
        log = DecisionLog(options.out, resume=True)
    else:
        before = Earlier()
        log = DecisionLog(options.out)
        recorder, writer = _recorder(options, sorted(found), replay)
    log.write(
        {
            "t": "start",
            "policy": options.policy.name,
            "config": asdict(options.config),
            "tape": asdict(options.tape)
            | {"fee_schedule": options.tape.fee_schedule and str(options.tape.fee_schedule)},
            "models": list(models),
            "limits": asdict(options.limits),
            "markets": sorted(found),
            "replay": replay,
            "version": version("kalshi-sim"),
            "orders": "paper" if options.orders is None else options.orders.kind,
            "place": options.orders and options.orders.root,
            "run": before.run,
            "leg": before.legs,
            "segments": writer.run,
            "words": dict(options.words),
        }
    )
    log.sync()
    rest: tuple[Any, ...] = (following, options.policy, options.config, models, options.limits, log)
    trader: Trader
    rows = RowWriter(options.out, before.legs)
    if options.orders is None:
        trader = Trader(*rest, seed=options.seed, rows=rows)
    else:
        trader = OrderingTrader(*rest, account=Account(before.fills), seed=options.seed, rows=rows)
        trader.run, trader.leg = before.run, before.legs
    work = _Run(options, trader, recorder, writer, log, before.sent)
    with deferred(lambda signum: work.stop("a signal came")):
        try:
            asyncio.run(work.run())
        finally:
            writer.close()
            trader.finish()
            rows.close()
            log.close()
    if rows.error is not None:
        options.say(f"rows for the page could not be kept to the end: {rows.error.strerror}")
    return trader, writer


def _on_one_thread() -> None:
    """A network asked for a few observations answers soonest on one thread, and most evenly."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _recorder(
    options: RunOptions, tickers: list[str], replay: bool
) -> tuple[Recorder, HeardWriter]:
    wanted = RecorderOptions(
        websocket=options.environment.websocket,
        rest=options.environment.rest,
        selection=Selection(tickers=tuple(tickers)),
        audit_every_s=0,
        other_channels=(
            *RecorderOptions.other_channels,
            *(PRIVATE_CHANNELS if options.orders is not None else ()),
        ),
    )
    header = Header(
        run=0,
        number=0,
        began_ns=0,
        url=wanted.websocket + names.WS_PATH,
        use_yes_price=False,
        channels=[*wanted.market_channels, *wanted.other_channels],
        replay=replay,
        version=version("kalshi-sim"),
        libraries={"aiohttp": version("aiohttp"), "python": sys.version.split()[0]},
    )
    floor = WriterOptions(floor_bytes=options.disk_floor_mib * 2**20)
    writer = HeardWriter(options.out / SEGMENTS, header, floor)
    return Recorder(wanted, options.credentials, writer, options.say), writer


class _Run:
    """What runs in the event loop."""

    def __init__(
        self,
        options: RunOptions,
        trader: Trader,
        recorder: Recorder,
        writer: HeardWriter,
        log: DecisionLog,
        sent: Collection[str],
    ) -> None:
        self._options = options
        self._trader = trader
        self._recorder = recorder
        self._writer = writer
        self._log = log
        self._sent = sent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: Ordering | None = None
        self._deciding = False
        self._timer: asyncio.TimerHandle | None = None
        self._failed: BaseException | None = None
        self._frame_ns = time.monotonic_ns()
        self._stale = False

    def stop(self, why: str) -> None:
        """End in order, soon."""
        self._trader.stop(why)
        self._end()

    def _end(self) -> None:
        if self._orders is None or self._loop is None:
            self._recorder.stop()
        else:
            self._loop.call_soon_threadsafe(self._orders.end)

    async def run(self) -> None:
        """Trade until the end."""
        self._loop = asyncio.get_running_loop()
        self._writer.heard = self._heard
        work = [self._watch(), self._sync(), self._log_health()]
        if self._options.show is not None:
            work.append(self._options.show(self._trader, self._recorder))
        async with contextlib.AsyncExitStack() as stack:
            if self._options.orders is not None:
                assert isinstance(self._trader, OrderingTrader)
                self._orders = await stack.enter_async_context(
                    ordering(
                        self._trader,
                        self._recorder,
                        self._log,
                        self._options.orders,
                        self._options.credentials,
                        self._sent,
                        self._options.queue_every_s,
                        self._options.say,
                        self._fail,
                    )
                )
            tasks = [asyncio.create_task(coroutine) for coroutine in work]
            if self._options.duration_s is not None:
                self._loop.call_later(self._options.duration_s, self.stop, "its time is over")
            try:
                await self._recorder.run()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                if self._timer is not None:
                    self._timer.cancel()
        if self._failed is not None:
            raise self._failed

    def _heard(self, line: bytes) -> None:
        """Follow a line; decisions come after the frames that are there already."""
        try:
            waiting = self._trader.take(line)
        except Exception as error:
            self._fail(error)
            return
        if line.startswith(b'{"recv_ts_ns":'):
            self._frame_ns, self._stale = time.monotonic_ns(), False
        self._go_on(waiting)

    def _go_on(self, waiting: bool) -> None:
        assert self._loop is not None
        if waiting and not self._deciding:
            self._deciding = True
            self._loop.call_soon(self._decide)
        if self._timer is None and self._trader.following.open_markets:
            self._timer = self._loop.call_later(QUIET_S, self._close_quiet)

    def _decide(self) -> None:
        self._deciding = False
        try:
            self._trader.decide()
        except Exception as error:
            self._fail(error)
        if self._trader.stopping is not None:
            self._end()

    def _close_quiet(self) -> None:
        self._timer = None
        try:
            self._go_on(self._trader.close_rows(round(QUIET_S * _NS)))
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = self._failed or error
        self.stop("an error")

    async def _watch(self) -> None:
        """The kill switch that is a file, and a feed that has gone silent."""
        path = self._options.out / STOP_FILE
        while True:
            await asyncio.sleep(_WATCH_S)
            if path.exists():
                self.stop(f"the file {STOP_FILE} is there")
            silent_s = (time.monotonic_ns() - self._frame_ns) / _NS
            if silent_s > self._options.limits.stale_after and not self._stale:
                self._stale = True
                self._trader.stale()
                self._options.say(f"no frame for {silent_s:.0f} s: orders are taken back")

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_S)
            await asyncio.to_thread(self._log.sync)

    async def _log_health(self) -> None:
        """The health of the feed goes into the log, for whoever looks at the run."""
        while True:
            status = asdict(self._recorder.status())
            self._log.write({"t": "feed", "at": time.time_ns() // 1_000_000, **status})
            await asyncio.sleep(_FEED_S)


def settings_text(config: SimConfig) -> dict[str, Any]:
    """The settings that decide what a policy sees and does, by name.

    Args:
        config: of the run.
    """
    shown = ("fill_model", "latency_ms", "actions", "order_size", "max_position", "cash_start")
    more = ("history", "pricing", "time_in_force", "trade_share", "fees", "valuation")
    return {name: getattr(config, name) for name in (*shown, *more)}
