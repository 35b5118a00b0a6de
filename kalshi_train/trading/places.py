"""The part of a run that reaches the exchange with orders: begun before its feed, ended first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.orders.client import OrderClient, OrderError
from kalshi_sim.live.orders.hosts import OrderPlace
from kalshi_sim.live.recorder.options import Credentials
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_train.trading.desk import FORBIDDEN, Desk
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.ordering import OrderingTrader

_LAST_FRAMES_S: Final = 0.3
"""So long the frames of the last fills may take."""


class Ordering:
    """Ends the sending of orders before the feed ends, so that what comes of it is recorded."""

    def __init__(self, trader: OrderingTrader, recorder: Recorder) -> None:
        """Work on.

        Args:
            trader: whose desk is closed.
            recorder: is stopped after it.
        """
        self._trader = trader
        self._recorder = recorder
        self._closing: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Cancel everything at the exchange, then end the recording; once."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def closed(self) -> None:
        """Have ended."""
        self.end()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        trader = self._trader
        try:
            trader.left = await trader.desk.close(trader.stopping or "the run ends")
            await asyncio.sleep(_LAST_FRAMES_S)
        finally:
            self._recorder.stop()


def _no_right(error: OrderError) -> ConfigError:
    return ConfigError(f"{error}; orders need a key of this environment with the right to trade")


async def check_key(place: OrderPlace, credentials: Credentials | None) -> None:
    """Refuse a key that the account is not shown to, before anything is begun.

    Args:
        place: where orders go.
        credentials: the account's key.

    Raises:
        ConfigError: the key is not accepted; an exchange that does not answer is waited for later.
    """
    async with OrderClient(place.root, credentials) as client:
        try:
            await client.cash()
        except OrderError as error:
            if error.status in FORBIDDEN:
                raise _no_right(error) from None


@asynccontextmanager
async def ordering(
    trader: OrderingTrader,
    recorder: Recorder,
    log: DecisionLog,
    place: OrderPlace,
    credentials: Credentials | None,
    sent: Collection[str],
    queue_every_s: float,
    say: Callable[[str], None],
    fail: Callable[[Exception], None],
) -> AsyncIterator[Ordering]:
    """Orders reach the exchange inside the block; at its end none of them rests.

    Args:
        trader: decides them.
        recorder: of the run.
        log: of the run.
        place: where they go.
        credentials: the account's key.
        sent: client order ids of the run before.
        queue_every_s: between two looks at the places of orders in their queues.
        say: called with sentences.
        fail: called with what ends the run.

    Yields:
        What ends it.
    """
    async with OrderClient(place.root, credentials) as client:
        desk = Desk(client, trader.account, log, trader.markets, sent, say)
        trader.desk = desk
        desk.on_fill = trader.note_fill

        def certain(tickers: list[str]) -> None:
            trader.ask_again(recorder.ask_for_snapshots)

        desk.on_certain = certain
        desk.on_forbidden = lambda error: fail(_no_right(error))
        desk.doubt(desk.tickers, "the run begins")
        looking = asyncio.create_task(_look(trader, recorder, queue_every_s))
        work = Ordering(trader, recorder)
        try:
            yield work
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await work.closed()


async def _look(trader: OrderingTrader, recorder: Recorder, every_s: float) -> None:
    """Note where orders stand in their queues, now and then."""
    while True:
        await asyncio.sleep(every_s)
        trader.ask_again(recorder.ask_for_snapshots)
        try:
            trader.note_places(await trader.desk.queue())
        except OrderError:
            continue  # the next look may find them
