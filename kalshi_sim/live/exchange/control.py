"""The control endpoint: faults, the beginning of time, pauses; for tests, on this machine alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from kalshi_sim.errors import DataError
from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.faults import read_faults
from kalshi_sim.live.interface import STATE_PATH

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.core import Exchange


class _Activity(msgspec.Struct, forbid_unknown_fields=True):
    exchange_active: bool | None = None
    trading_active: bool | None = None


class Control:
    """POST and GET below /control, which need no key.

    Only JSON is taken, so that no page in a browser can send it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.post("/control/begin", self.begin),
            web.post("/control/faults", self.add_faults),
            web.get("/control/faults", self.faults),
            web.post("/control/exchange", self.change),
            web.get(STATE_PATH, self.state),
        ]

    async def _json(self, request: web.Request) -> bytes:
        if request.content_type != "application/json":
            raise RestError(415, "content_type", "send application/json")
        return await request.read()

    async def begin(self, request: web.Request) -> web.Response:
        """Let the exchange's time begin."""
        await self._json(request)
        self._exchange.begin()
        return web.json_response({})

    async def add_faults(self, request: web.Request) -> web.Response:
        """Let faults wait or begin: one, or a list.

        Raises:
            RestError: the body is none.
        """
        try:
            faults = read_faults(await self._json(request), "faults")
        except DataError as error:
            raise RestError(400, "invalid_fault", str(error)) from error
        for fault in faults:
            self._exchange.faults.add(fault, asyncio.get_running_loop().time())
        return web.json_response({"added": len(faults)})

    async def faults(self, request: web.Request) -> web.Response:
        """Faults that wait, and those that have happened."""
        faults = self._exchange.faults
        return web.json_response(
            {
                "waiting": [{"fault": f.fault, "after": f.after} for f in faults.waiting],
                "happened": [{"fault": h.fault, **h.at} for h in faults.happened],
            }
        )

    async def change(self, request: web.Request) -> web.Response:
        """Set `exchange_active` and `trading_active`.

        Raises:
            RestError: the body says something else.
        """
        try:
            wanted = msgspec.json.decode(await self._json(request), type=_Activity)
        except msgspec.MsgspecError as error:
            raise RestError(400, "invalid_parameters", str(error)) from error
        if wanted.exchange_active is not None:
            self._exchange.exchange_active = wanted.exchange_active
        if wanted.trading_active is not None:
            self._exchange.trading_active = wanted.trading_active
        return web.json_response({})

    async def state(self, request: web.Request) -> web.Response:
        """The exchange's time, and whether everything has happened."""
        exchange = self._exchange
        return web.json_response(
            {
                "now_ms": exchange.now_ms(),
                "begun": exchange.clock.running,
                "finished": exchange.finished.is_set(),
                "connections": len(exchange.hub.connections),
            }
        )
