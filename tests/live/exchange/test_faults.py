"""Faults on demand, seen by a plain client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from kalshi_sim.errors import DataError
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import FAULTS, Fault, load_faults
from kalshi_sim.live.interface import MAX_MESSAGE_BYTES
from kalshi_sim.synthetic.session import generate_session
from tests.support.exchange_client import Client, client_of

SESSION = generate_session(3, markets=3, minutes=1, seed=5)
TICKERS = [m.ticker for m in SESSION.markets]
SUBSCRIBE = {
    "id": 1,
    "cmd": "subscribe",
    "params": {"channels": ["orderbook_delta"], "market_tickers": TICKERS},
}


async def seen(*faults: Fault) -> list[dict[str, Any]]:
    """All frames of the book with these faults."""
    import json

    exchange = LocalExchange(SESSION, speed=0, faults=faults)
    async with client_of(exchange) as client, client.socket() as socket:
        await socket.send(SUBSCRIBE)
        await socket.rest_of_it(exchange)
        assert len((await client_faults(client))["waiting"]) == 0
        return [f for raw in socket.raw if (f := json.loads(raw)).get("sid") == 1]


async def client_faults(client: Client) -> Any:
    async with client.http.get(f"{client.exchange.url}/control/faults") as response:
        return await response.json()


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    return [f["seq"] for f in frames if "seq" in f]


def test_numbers_are_skipped_repeated_and_reordered() -> None:
    plain = numbers(asyncio.run(seen()))
    assert plain == list(range(1, len(plain) + 1))
    skipped = numbers(asyncio.run(seen(Fault(fault="skip_seq", after=5, count=2))))
    assert skipped == [n for n in plain if n not in (6, 7)]
    repeated = numbers(asyncio.run(seen(Fault(fault="repeat_seq", after=5))))
    assert repeated[:8] == [1, 2, 3, 4, 5, 6, 6, 7]
    assert len(repeated) == len(plain) + 1
    turned = numbers(asyncio.run(seen(Fault(fault="reorder_seq", after=5))))
    assert turned[:8] == [1, 2, 3, 4, 5, 7, 6, 8]
    assert sorted(turned) == plain


@pytest.mark.parametrize("code", [10, 25])
def test_a_subscription_ends_with_an_error(code: int) -> None:
    frames = asyncio.run(seen(Fault(fault=f"error_{code}", after=4)))
    assert [f["type"] for f in frames[-2:]] == ["orderbook_delta", "error"] or len(frames) == 6
    assert frames[-1]["msg"]["code"] == code
    assert frames[-1]["seq"] == 6


def test_a_frame_of_64_mib_arrives() -> None:
    async def run() -> None:
        fault = Fault(fault="big_frame", after=2)
        exchange = LocalExchange(SESSION, speed=0, faults=[fault])
        async with client_of(exchange) as client, client.socket(compress=0) as socket:
            await socket.send(SUBSCRIBE)
            await socket.until(lambda frame: frame.get("seq") == 3)
            assert len(socket.raw[-1]) == MAX_MESSAGE_BYTES
            assert (await socket.next())["seq"] == 4

    asyncio.run(run())


def test_a_subscribe_is_never_answered_once() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control")
        async with client_of(exchange) as client, client.socket() as socket:
            await client.control("/faults", {"fault": "ignore_subscribe"})
            await socket.send(SUBSCRIBE)
            listed = await socket.ask({"id": 2, "cmd": "list_subscriptions"})
            assert (listed["id"], listed["msg"]) == (2, [])
            assert (await socket.ask({**SUBSCRIBE, "id": 3}))["id"] == 3

    asyncio.run(run())


async def ended(fault: str) -> Any:
    """How a connection ends with a fault."""
    exchange = LocalExchange(SESSION, speed=0, faults=[Fault(fault=fault, after=5)])
    async with client_of(exchange) as client, client.socket() as socket:
        await socket.send(SUBSCRIBE)
        received = await socket.socket.receive(10)
        while received.type == WSMsgType.TEXT:
            received = await socket.socket.receive(10)
        return received.type, socket.socket.close_code


def test_connections_break_half_close_and_close() -> None:
    assert asyncio.run(ended("close"))[1] == 1001
    for fault in ("abort", "half_close"):
        kind, code = asyncio.run(ended(fault))
        assert kind in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert code == 1006


def test_maintenance_closes_all_and_lets_nobody_in_for_a_while() -> None:
    async def run() -> None:
        fault = Fault(fault="maintenance", after=5, seconds=0.6)
        exchange = LocalExchange(SESSION, speed=0, faults=[fault])
        async with (
            client_of(exchange) as client,
            client.socket() as socket,
            client.socket() as other,
        ):
            await socket.send(SUBSCRIBE)
            for one in (socket, other):
                received = await one.socket.receive(10)
                while received.type == WSMsgType.TEXT:
                    received = await one.socket.receive(10)
                assert one.socket.close_code == 1013
            with pytest.raises(WSServerHandshakeError, match="503"):
                async with client.socket():
                    pass
            status, body = await client.rest("GET", "/exchange/status")
            assert (status, body["code"]) == (503, "service_unavailable")
            await asyncio.sleep(0.7)
            assert (await client.rest("GET", "/exchange/status"))[0] == 200
            async with client.socket() as again:
                assert (await again.ask(SUBSCRIBE))["type"] == "subscribed"

    asyncio.run(run())


@pytest.mark.parametrize("code", [1, 9, 18, 23, 26, 27])
def test_a_command_is_refused_with_any_code(code: int) -> None:
    """The codes that no command of a client alone makes it say."""

    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control")
        async with client_of(exchange) as client, client.socket() as socket:
            await client.control("/faults", {"fault": "refuse_command", "code": code})
            refused = await socket.ask(SUBSCRIBE)
            assert (refused["id"], refused["msg"]["code"]) == (1, code)
            assert len(refused["msg"]["msg"]) > 5
            assert (await socket.ask({**SUBSCRIBE, "id": 2}))["type"] == "subscribed"

    asyncio.run(run())


def test_silence_loses_what_would_be_sent(tmp_path: Path) -> None:
    async def run() -> None:
        log = tmp_path / "sent.jsonl"
        exchange = LocalExchange(SESSION, speed=0, begin="control", log=log)
        async with client_of(exchange) as client, client.socket() as socket:
            await socket.ask(SUBSCRIBE)
            exchange.add_fault(Fault(fault="silence", seconds=0.4))
            exchange.begin()
            with pytest.raises(TimeoutError):
                await socket.next(0.2)
            await exchange.finished()
        assert b'"lost":true' in log.read_bytes()

    asyncio.run(run())


def test_pongs_stop() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control", ping_seconds=0.05)
        async with client_of(exchange) as client, client.socket(autoping=False) as socket:
            await client.control("/faults", {"fault": "stop_pongs", "seconds": 30})
            received = []
            await socket.socket.ping(b"me")
            loop = asyncio.get_running_loop()
            end = loop.time() + 0.3
            with contextlib.suppress(TimeoutError):
                while loop.time() < end:
                    received.append(await socket.socket.receive(0.1))
            assert all(r.type == WSMsgType.PING for r in received)

    asyncio.run(run())


def test_the_clock_is_off_and_calls_fail() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control")
        async with client_of(exchange) as client:
            http = {"fault": "http", "status": 429, "path": "/markets", "count": 2}
            faults = [http, {"fault": "http", "status": 503, "path": "/exchange"}]
            await client.control("/faults", faults)
            for _ in range(2):
                assert await client.rest("GET", "/markets") == (
                    429,
                    {"error": "too many requests"},
                )
            status, body = await client.rest("GET", "/exchange/status")
            assert (status, set(body)) == (503, {"code", "message", "details"})
            assert (await client.rest("GET", "/markets"))[0] == 200
            await client.control("/faults", {"fault": "clock_skew", "ms": 60_000})
            async with client.call("GET", "/exchange/status") as response:
                date = parsedate_to_datetime(response.headers["Date"]).timestamp()
                assert 55 < date - time.time() < 65

    asyncio.run(run())


def test_a_script_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"fault": "skip_seq", "after": 3}]')
    assert load_faults(path) == [Fault(fault="skip_seq", after=3)]
    for text, named in (
        ('[{"fault": "fire"}]', "no fault 'fire'; there are skip_seq"),
        ('[{"fault": "http", "status": 403}]', "status 403: allowed are 404, 429 and 500 to 599"),
        ('[{"fault": "skip_seq", "afer": 1}]', "unknown field `afer`"),
        ('{"fault": "skip_seq", "count": 0}', "count 1 or more"),
        ("fire", "Input data"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=r"faults\.json: .*" + named):
            load_faults(path)
    assert len(FAULTS) == 17


def test_control_takes_json_alone() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control")
        async with client_of(exchange) as client:
            url = f"{exchange.url}/control/begin"
            async with client.http.post(url, data=b"{}") as response:
                assert response.status == 415
            async with client.http.post(f"{exchange.url}/control/faults", json={"fault": "x"}) as r:
                assert r.status == 400
                assert "no fault 'x'" in (await r.json())["message"]
            assert not exchange.exchange.clock.running
            await client.control("/begin", {})
            await client.control("/exchange", {"trading_active": False})
            _, status = await client.rest("GET", "/exchange/status")
            assert (status["exchange_active"], status["trading_active"]) == (True, False)

    asyncio.run(run())
