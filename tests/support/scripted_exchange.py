"""An exchange on a loopback socket that does what a script says: subscriptions, numbers, faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

BOOKS = "orderbook_delta"


@dataclass
class Sub:
    sid: int
    channel: str
    markets: set[str] = field(default_factory=set)
    seq: int = 0


@dataclass
class ScriptedExchange:
    """Sends a snapshot for each market that is added or asked for; `change` sends deltas."""

    markets: list[str]
    status: int = 101
    unanswered: set[str] = field(default_factory=set)
    """Commands, or actions, that get no answer."""
    merges: bool = True
    market_limit: int = 10_000
    address: str = ""
    commands: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    authorizations: list[str | None] = field(default_factory=list)
    true_books: dict[str, dict[str, int]] = field(default_factory=dict)
    """Contracts at 0.4000 YES of each market, under 'yes'."""
    sockets: list[tuple[web.WebSocketResponse, dict[int, Sub]]] = field(default_factory=list)

    async def ws(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("KALSHI-ACCESS-SIGNATURE"))
        if self.status != 101:
            return web.Response(status=self.status)
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self.connections += 1
        subs: dict[int, Sub] = {}
        self.sockets.append((socket, subs))
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await self.command(socket, subs, json.loads(message.data))
        return socket

    async def command(
        self, socket: web.WebSocketResponse, subs: dict[int, Sub], what: dict[str, Any]
    ) -> None:
        self.commands.append(what)
        params = what.get("params", {})
        if {what["cmd"], params.get("action")} & self.unanswered:
            return
        number, tickers = what["id"], params.get("market_tickers", [])
        if what["cmd"] == "list_subscriptions":
            listed = [{"channel": s.channel, "sid": s.sid} for s in subs.values()]
            await socket.send_json({"id": number, "type": "ok", "msg": listed})
        elif what["cmd"] == "subscribe":
            (channel,) = params["channels"]
            sub = next((s for s in subs.values() if s.channel == channel), None)
            if sub is None:
                sub = subs[len(self.commands)] = Sub(len(self.commands), channel)
                message = {"channel": channel, "sid": sub.sid}
                await socket.send_json({"id": number, "type": "subscribed", "msg": message})
                sub.markets |= set(tickers)
            else:
                sub.markets |= set(tickers)
                await self.ok(socket, sub, number)
            await self.snapshots(socket, sub, tickers)
        elif what["cmd"] == "unsubscribe":
            for sid in params["sids"]:
                sub = subs.pop(sid)
                await self.send(socket, sub, "unsubscribed", None, number)
        else:
            sub = subs[params["sids"][0]]
            if params["action"] == "add_markets":
                if len(sub.markets | set(tickers)) > self.market_limit:
                    text = {"code": 26, "msg": "Subscription market limit exceeded"}
                    await socket.send_json({"id": number, "type": "error", "msg": text})
                    return
                sub.markets |= set(tickers)
                await self.ok(socket, sub, number)
                await self.snapshots(socket, sub, tickers)
            elif params["action"] == "delete_markets":
                sub.markets -= set(tickers)
                await self.ok(socket, sub, number)
            else:
                await self.snapshots(socket, sub, tickers, number)

    async def ok(self, socket: web.WebSocketResponse, sub: Sub, number: int) -> None:
        await self.send(socket, sub, "ok", {"market_tickers": sorted(sub.markets)}, number)

    async def send(
        self,
        socket: web.WebSocketResponse,
        sub: Sub,
        kind: str,
        message: dict[str, Any] | None,
        number: int | None = None,
    ) -> None:
        sub.seq += 1
        frame = {"type": kind, "sid": sub.sid, "seq": sub.seq, "msg": message, "id": number}
        await socket.send_json({k: v for k, v in frame.items() if v is not None})

    async def snapshots(
        self,
        socket: web.WebSocketResponse,
        sub: Sub,
        tickers: list[str],
        number: int | None = None,
    ) -> None:
        for ticker in tickers if sub.channel == BOOKS else ():
            size = self.true_books.setdefault(ticker, {"yes": 100})["yes"]
            levels = {
                "yes_dollars_fp": [["0.4000", f"{size}.00"]],
                "no_dollars_fp": [["0.5500", "80.00"]],
            }
            await self.send(
                socket, sub, "orderbook_snapshot", {"market_ticker": ticker, **levels}, number
            )

    async def change(self, ticker: str, lost: bool = False) -> None:
        """One contract more, on every connection; `lost`: its number is used and nothing sent."""
        self.true_books[ticker]["yes"] += 1
        for socket, sub in self.books():
            if ticker not in sub.markets:
                continue
            if lost:
                sub.seq += 1
                continue
            message = {
                "market_ticker": ticker,
                "price_dollars": "0.4000",
                "delta_fp": "1.00",
                "side": "yes",
                "ts_ms": time.time_ns() // 1_000_000,
            }
            await self.send(socket, sub, "orderbook_delta", message)

    def books(self) -> list[tuple[web.WebSocketResponse, Sub]]:
        return [
            (socket, sub)
            for socket, subs in self.sockets
            if not socket.closed
            for sub in subs.values()
            if sub.channel == BOOKS
        ]

    async def end_books(self, code: int) -> None:
        """End the order book subscriptions with an error."""
        for socket, subs in self.sockets:
            for sid, sub in list(subs.items()):
                if sub.channel == BOOKS and not socket.closed:
                    await self.send(socket, sub, "error", {"code": code, "msg": "over"})
                    del subs[sid]

    async def list_markets(self, request: web.Request) -> web.Response:
        named = request.query.get("tickers")
        chosen = named.split(",") if named else self.markets
        found = [
            {"ticker": t, "title": t, "volume_fp": "10.00", "close_time": "2026-03-20T00:00:00Z"}
            for t in chosen
            if t in self.markets
        ]
        start = int(request.query.get("cursor", 0))
        page = found[start : start + 2]
        cursor = str(start + 2) if start + 2 < len(found) else ""
        return web.json_response({"markets": page, "cursor": cursor})

    async def orderbooks(self, request: web.Request) -> web.Response:
        books = [
            {
                "ticker": t,
                "orderbook_fp": {
                    "yes_dollars": [["0.4000", f"{self.true_books[t]['yes']}.00"]],
                    "no_dollars": [["0.5500", "80.00"]],
                },
            }
            for t in request.query["tickers"].split(",")
        ]
        return web.json_response({"orderbooks": books})


@contextlib.asynccontextmanager
async def scripted(exchange: ScriptedExchange) -> AsyncIterator[ScriptedExchange]:
    application = web.Application()
    application.router.add_get("/trade-api/ws/v2", exchange.ws)
    application.router.add_get("/trade-api/v2/markets", exchange.list_markets)
    application.router.add_get("/trade-api/v2/markets/orderbooks", exchange.orderbooks)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    exchange.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield exchange
    finally:
        for socket, _ in exchange.sockets:
            await socket.close()
        await runner.cleanup()


async def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
