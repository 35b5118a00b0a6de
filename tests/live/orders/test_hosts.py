"""Orders reach the demo environment and this machine, however another place is named."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.orders.client import NewOrder, OrderClient, OrderError
from kalshi_sim.live.orders.hosts import OnePlace, order_place

PRODUCTION = "external-api.kalshi.com"
DEMO = "external-api.demo.kalshi.co"
REFUSED = [
    "production",
    "prod",
    f"https://{PRODUCTION}",
    f"https://{PRODUCTION}/trade-api/v2",
    "https://api.elections.kalshi.com",
    f"https://{PRODUCTION.upper()}",
    f"https://{DEMO.upper()}",
    f"https://{PRODUCTION}.",
    f"https://{DEMO}.",
    f"https://{PRODUCTION}:443",
    f"https://{DEMO}:8443",
    f"https://{DEMO}@{PRODUCTION}",
    f"https://user:secret@{DEMO}",
    f"https://{DEMO}.{PRODUCTION}",
    f"https://{DEMO}#@{PRODUCTION}",
    f"https://{DEMO}\\@{PRODUCTION}",
    f"https://{PRODUCTION}?{DEMO}",
    f"https://{DEMO}\n",
    f" https://{DEMO}",
    "https://external-api.demo.k\u0430lshi.co",
    "https://xn--klshi-3ve.co",
    "https://104.18.1.1",
    "http://2130706433:8765",
    "http://0x7f000001:8765",
    "http://127.1:8765",
    "http://127.0.0.2:8765",
    "http://0.0.0.0:8765",
    "http://[::ffff:104.18.1.1]:8765",
    "http://localhost.kalshi.com:8765",
    "http://127.0.0.1:8765@external-api.kalshi.com",
    "http://127.0.0.1:8765/../@external-api.kalshi.com",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:8765/trade-api/v2/../..",
    "http://localhost:\u0668765",
    f"http://{DEMO}",
    f"wss://{DEMO}",
    "https://127.0.0.1:8765",
    "http://LOCALHOST:8765",
    "",
]

_watching: list[list[tuple[str, Any]]] = []


def _audit(event: str, arguments: Any) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        for seen in _watching:
            seen.append((event, arguments))


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """Every name that is looked up and every connection that is made inside the block."""
    seen: list[tuple[str, Any]] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


@pytest.mark.parametrize("address", REFUSED)
def test_another_place_is_refused_before_any_connection(address: str) -> None:
    with watched() as seen, pytest.raises(ConfigError, match="orders are not sent to"):
        OrderClient(address, None)
    assert seen == []


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("demo", f"https://{DEMO}"),
        (f"https://{DEMO}", f"https://{DEMO}"),
        ("https://demo-api.kalshi.co/trade-api/v2", "https://demo-api.kalshi.co"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("http://localhost:8765/trade-api/v2", "http://localhost:8765"),
        ("http://[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_the_places_that_are_listed_are_taken(address: str, root: str) -> None:
    assert order_place(address).root == root


def test_the_client_looks_no_other_name_up() -> None:
    async def ask(host: str, port: int) -> Any:
        return await OnePlace(order_place("http://localhost:8765")).resolve(host, port)

    with watched() as seen:
        assert asyncio.run(ask("localhost", 8765))[0]["host"] == "127.0.0.1"
        for host, port in ((PRODUCTION, 443), ("localhost", 8766), ("localhost.", 8765)):
            with pytest.raises(ConfigError, match="alone"):
                asyncio.run(ask(host, port))
    assert [event for event, _ in seen if event == "socket.getaddrinfo"] == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    calls: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        calls.append(f"elsewhere {request.method}")
        return web.json_response({})

    async def tried() -> None:
        other = web.Application()
        other.router.add_route("*", "/{any:.*}", elsewhere)
        async with TestServer(other) as target:

            async def send_on(request: web.Request) -> web.Response:
                calls.append(request.method)
                return web.Response(status=status, headers={"Location": str(target.make_url("/"))})

            first = web.Application()
            first.router.add_route("*", "/{any:.*}", send_on)
            async with (
                TestServer(first, host="127.0.0.1") as server,
                OrderClient(f"http://127.0.0.1:{server.port}", None) as client,
            ):
                with pytest.raises(OrderError, match="never sent elsewhere"):
                    await client.create(NewOrder("KXONE-26-A", "bid", "1.00", "0.5000", "one"))

    asyncio.run(tried())
    assert calls == ["POST"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def server(name: str) -> TestServer:
        async def answer(request: web.Request) -> web.Response:
            calls.append(name)
            return web.json_response({}, status=201)

        app = web.Application()
        app.router.add_route("*", "/{any:.*}", answer)
        return TestServer(app, host="127.0.0.1")

    async def tried() -> None:
        servers = [server("proxy"), server("exchange")]
        proxy, exchange = servers
        async with proxy, exchange:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            async with OrderClient(f"http://127.0.0.1:{exchange.port}", None) as client:
                await client.create(NewOrder("KXONE-26-A", "bid", "1.00", "0.5000", "one"))

    asyncio.run(tried())
    assert calls == ["exchange"]
