"""A plain client of the exchange's interface, for tests: signs, sends commands, reads frames."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.interface import REST_ROOT, WS_PATH
from kalshi_sim.live.keys import request_headers

Frame = dict[str, Any]
WAIT_S = 20


class Client:
    """One account at a local exchange."""

    def __init__(self, exchange: LocalExchange, http: ClientSession) -> None:
        self.exchange = exchange
        self.http = http

    def headers(self, method: str, path: str) -> dict[str, str]:
        key = self.exchange.private_key
        assert key is not None
        return request_headers(self.exchange.key_id, key, method, path, time.time_ns() // 1_000_000)

    @asynccontextmanager
    async def call(self, method: str, path: str, **options: Any) -> AsyncIterator[ClientResponse]:
        path = f"{REST_ROOT}{path}"
        headers = self.headers(method, path)
        url = self.exchange.url + path
        async with self.http.request(method, url, headers=headers, **options) as response:
            yield response

    async def rest(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.call(method, path, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def control(self, path: str, body: Any) -> Any:
        async with self.http.post(f"{self.exchange.url}/control{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[Socket]:
        headers = self.headers("GET", WS_PATH)
        options = {"max_msg_size": 0, **options}
        async with self.http.ws_connect(self.exchange.ws_url, headers=headers, **options) as socket:
            yield Socket(socket)


class Socket:
    """A WebSocket that keeps all it received, raw."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.raw: list[str] = []

    async def send(self, command: Frame | str) -> None:
        await self.socket.send_str(command if isinstance(command, str) else json.dumps(command))

    async def next(self, wait_s: float = WAIT_S) -> Frame:
        received = await asyncio.wait_for(self.socket.receive(), wait_s)
        assert received.type == WSMsgType.TEXT, received
        self.raw.append(received.data)
        frame: Frame = json.loads(received.data)
        return frame

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """All frames up to the wanted one."""
        found = [await self.next()]
        while not wanted(found[-1]):
            found.append(await self.next())
        return found

    async def ask(self, command: Frame | str) -> Frame:
        """The reply to a command, with frames of channels before it passed over."""
        await self.send(command)
        replies = ("subscribed", "unsubscribed", "ok", "error")
        return (await self.until(lambda frame: frame["type"] in replies))[-1]

    async def rest_of_it(self, exchange: LocalExchange) -> None:
        """Read until everything has happened and was received."""
        await asyncio.wait_for(exchange.finished(), WAIT_S)
        await self.send({"id": 999_999, "cmd": "list_subscriptions"})
        await self.until(lambda frame: frame.get("id") == 999_999)


@asynccontextmanager
async def client_of(exchange: LocalExchange) -> AsyncIterator[Client]:
    async with exchange, ClientSession() as http:
        yield Client(exchange, http)
