"""The server: sockets of the local exchange, and the way to run it inside a program."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.live.exchange.accounts import Keys
from kalshi_sim.live.exchange.auth import RestError, authenticated
from kalshi_sim.live.exchange.connection import Connection
from kalshi_sim.live.exchange.control import Control
from kalshi_sim.live.exchange.core import Begin, Exchange
from kalshi_sim.live.exchange.faults import REST_FAULTS, Fault
from kalshi_sim.live.exchange.gate import Gate
from kalshi_sim.live.exchange.log import SentLog
from kalshi_sim.live.exchange.openings import Opening
from kalshi_sim.live.exchange.rest import MarketReads
from kalshi_sim.live.exchange.rest_orders import OrderCalls
from kalshi_sim.live.exchange.rest_portfolio import PortfolioReads
from kalshi_sim.live.exchange.trading import Trading
from kalshi_sim.live.interface import PING_SECONDS, REST_ROOT, WS_PATH
from kalshi_sim.live.keys import PrivateKey, new_private_key
from kalshi_sim.session import Session
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.units import MS_PER_DAY
from kalshi_sim.validated import Within, check_value

LOOPBACK: Final = "127.0.0.1"
TEST_KEY: Final = "local-test-key"


class LocalExchange:
    """A local exchange; runs while its `async with` block does.

    `url` is its address (http://127.0.0.1:PORT), `ws_url` that of its WebSocket API. `key_id` and
    `private_key` open an account of it, unless keys were given.
    """

    def __init__(
        self,
        session: Session,
        *,
        speed: float = 1.0,
        begin: Begin = "subscription",
        host: str = LOOPBACK,
        port: int = 0,
        keys: Keys | None = None,
        faults: Iterable[Fault] = (),
        log: str | Path | None = None,
        ping_seconds: float = PING_SECONDS,
        truth: TrueQueue | None = None,
        skip_ms: int = 0,
        openings: Iterable[Opening] = (),
    ) -> None:
        """Make an exchange that replays a session.

        Args:
            session: what it replays.
            speed: exchange's seconds in one of the wall clock; 0: as fast as clients read.
            begin: when time begins: "subscription" (the first to order books, or half a second
                after the first to another channel of markets), "now", or "control" (`begin()`, or
                POST /control/begin).
            host: address to listen at.
            port: to listen at; 0: any free one.
            keys: API keys; None: a new Ed25519 key.
            faults: which wait from the start.
            log: a file for every frame that is sent, as JSON lines.
            ping_seconds: time between pings.
            truth: the queues behind a generated session (`generate_with_truth`): its orders then
                come one by one, and clients' orders stand among them.
            skip_ms: so long after the session's start time begins; what came earlier has happened.
            openings: markets that are created, or open, later than the session starts.

        Raises:
            ConfigError: the session cannot be replayed, `truth` is of another one, or an argument
                is outside its range.
        """
        check_value("speed", speed, float, Within(0, 1_000_000))
        check_value("skip_ms", skip_ms, int, Within(0, 10 * MS_PER_DAY))
        check_value("port", port, int, Within(0, 65_535))
        check_value("ping_seconds", ping_seconds, float, Within(0.01, 3_600))
        self.key_id = TEST_KEY
        self.private_key: PrivateKey | None = None
        if keys is None:
            self.private_key = new_private_key()
            keys = Keys()
            keys.add(self.key_id, self.private_key.public_key())
        self.keys = keys
        self._log = None if log is None else SentLog(Path(log))
        self.exchange = Exchange(
            session,
            keys,
            speed=speed,
            begin=begin,
            ping_seconds=ping_seconds,
            log=self._log,
            faults=faults,
            truth=truth,
            skip_ms=skip_ms,
            openings=openings,
        )
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the server, without a path."""
        return f"http://{self._host}:{self._port}"

    @property
    def rest_url(self) -> str:
        """Address of the REST API."""
        return f"{self.url}{REST_ROOT}"

    @property
    def ws_url(self) -> str:
        """Address of the WebSocket API."""
        return f"ws://{self._host}:{self._port}{WS_PATH}"

    def add_fault(self, fault: Fault) -> None:
        """Let a fault wait, or begin."""
        self.exchange.faults.add(fault, asyncio.get_running_loop().time())

    def begin(self) -> None:
        """Let the exchange's time begin."""
        self.exchange.begin()

    @property
    def log_error(self) -> StoreError | None:
        """Why the log of frames is not whole; None: it is, or there is none."""
        return None if self._log is None else self._log.error

    async def log_failed(self) -> None:
        """Wait until the log of frames can no more be written; for ever if there is none."""
        await (asyncio.Event() if self._log is None else self._log.failed).wait()

    async def finished(self) -> None:
        """Wait until everything has happened."""
        await self.exchange.finished.wait()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._middleware])
        app.add_routes([web.get(WS_PATH, self._websocket)])
        app.add_routes(MarketReads(self.exchange).routes(REST_ROOT))
        gate = Gate(self.keys, self.exchange.faults)
        trading = Trading(self.exchange, self.exchange.matching)
        app.add_routes(OrderCalls(trading, gate).routes(REST_ROOT))
        app.add_routes(PortfolioReads(self.exchange, gate).routes(REST_ROOT))
        app.add_routes(Control(self.exchange).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await self.exchange.skip()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen at {self._host}:{self._port} ({error.strerror}); "
                "choose another --port"
            ) from error
        self._port = self._runner.addresses[0][1]
        self.exchange.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.exchange.stop()
        for connection in list(self.exchange.hub.connections):
            connection.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._log is not None:
            self._log.close()
            if self._log.error is not None and kind is None:
                raise self._log.error

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        account = authenticated(request, self.keys, self.exchange.faults.skew_ms)
        connection = Connection(self.exchange, account, self.exchange.next_connection())
        self.exchange.hub.connections.append(connection)
        try:
            return await connection.run(request)
        finally:
            self.exchange.hub.connections.remove(connection)

    @property
    def _middleware(self) -> Middleware:
        @web.middleware
        async def refused(request: web.Request, handler: Handler) -> web.StreamResponse:
            """Refusals as bodies, the server's time, and faults of REST."""
            try:
                response = self._faulty(request) or await handler(request)
            except RestError as error:
                response = error.response()
            except web.HTTPException as error:
                code = error.reason.lower().replace(" ", "_")
                response = RestError(error.status, code, error.reason).response()
            if not response.prepared:
                now = time.time() + self.exchange.faults.skew_ms / 1000
                response.headers["Date"] = formatdate(now, usegmt=True)
            return response

        return refused

    def _faulty(self, request: web.Request) -> web.Response | None:
        """The answer of a fault; None: there is none."""
        away = asyncio.get_running_loop().time() < self.exchange.faults.away_until
        if away and not request.path.startswith("/control/"):
            return RestError(
                503, "service_unavailable", "the exchange is under maintenance"
            ).response()
        if not request.path.startswith(REST_ROOT) or request.path == WS_PATH:
            return None
        where = {"method": request.method, "path": request.path}
        kinds = {"http": REST_FAULTS["http"]}
        fault = self.exchange.faults.take(kinds, where, path=request.path)
        if fault is None:
            return None
        code, message = "internal_error", "internal server error"
        if fault.status == 404:
            code = message = "not found"
        return RestError(fault.status, code.replace(" ", "_"), message).response()
