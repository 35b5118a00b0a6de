"""Commands of the WebSocket API: every documented one is answered as documented, or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.accounts import Account, Keys
from kalshi_sim.live.interface import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WS_PATH
from kalshi_sim.live.keys import new_private_key, request_headers
from kalshi_sim.synthetic.session import generate_session
from tests.support.exchange_client import Client, Socket, client_of

NAMES = (
    "CPI-22DEC-TN0.1",
    "FED-23DEC-T3.00",
    "CORIVER-2024-T1030",
    "TSLA-23DEC-T200",
    "NEW-MARKET-1",
    "NEW-MARKET-2",
)
_made = generate_session(3, markets=len(NAMES), minutes=1, seed=5)
SESSION = replace(
    _made,
    markets=tuple(
        replace(m, ticker=name, event_ticker=None)
        for m, name in zip(_made.markets, NAMES, strict=True)
    ),
)


def at_exchange(work: Callable[[Client, Socket], Awaitable[None]], **options: Any) -> None:
    """Run work with a client and an open socket, after all has happened in the session."""

    async def run() -> None:
        exchange = LocalExchange(SESSION, speed=0, begin="now", **options)
        async with client_of(exchange) as client, client.socket() as socket:
            await exchange.finished()
            await work(client, socket)

    asyncio.run(run())


def test_each_documented_command_is_answered() -> None:
    """The commands of the interface's description, in its words, on one connection."""

    async def work(client: Client, socket: Socket) -> None:
        async def answers(command: dict[str, Any], n: int = 1) -> list[dict[str, Any]]:
            await socket.send(command)
            found: list[dict[str, Any]] = []
            while len(found) < n:
                frame = await socket.next()
                if frame["type"] in ("subscribed", "ok", "unsubscribed", "error"):
                    found.append(frame)
            return found

        def subscribe(number: int, channels: list[str], **params: Any) -> dict[str, Any]:
            return {"id": number, "cmd": "subscribe", "params": {"channels": channels, **params}}

        (ack,) = await answers(subscribe(1, ["orderbook_delta"], market_ticker="CPI-22DEC-TN0.1"))
        message = {"channel": "orderbook_delta", "sid": 1}
        assert ack == {"id": 1, "type": "subscribed", "msg": message}
        snapshot = await socket.next()
        assert snapshot["type"] == "orderbook_snapshot"
        assert (snapshot["sid"], snapshot["seq"]) == (1, 1)
        assert set(snapshot) == {"type", "sid", "seq", "msg", "sending_ts_ms"}

        both = ["FED-23DEC-T3.00", "CORIVER-2024-T1030"]
        # The second subscription to a channel is merged into the first, and answered by ok.
        merged, ticker = await answers(
            subscribe(2, ["orderbook_delta", "ticker"], market_tickers=both), 2
        )
        assert (merged["type"], merged["id"], merged["sid"], merged["seq"]) == ("ok", 2, 1, 2)
        assert merged["msg"] == {"market_tickers": ["CPI-22DEC-TN0.1", *both]}
        assert ticker["msg"] == {"channel": "ticker", "sid": 2}
        assert socket.raw[-2].startswith('{"type":"orderbook_snapshot","sid":1,"seq":4')

        (fill,) = await answers(subscribe(3, ["fill"]))
        assert fill["msg"] == {"channel": "fill", "sid": 3}
        four = ["orderbook_delta", "ticker", "trade", "market_lifecycle_v2"]
        found = await answers(subscribe(4, four, market_ticker="TSLA-23DEC-T200"), 4)
        assert [f["type"] for f in found] == ["ok", "ok", "subscribed", "subscribed"]
        assert [f["msg"].get("sid") for f in found[2:]] == [4, 5]
        (again,) = await answers(subscribe(5, ["market_lifecycle_v2"]))
        assert (again["type"], again["sid"]) == ("ok", 5)
        command = subscribe(7, ["ticker"], market_tickers=["NEW-MARKET-1"])
        command["params"]["send_initial_snapshot"] = True
        (ok,) = await answers(command)
        assert ok["id"] == 7
        initial = await socket.next()
        assert (initial["type"], initial["sid"], "seq" in initial) == ("ticker", 2, False)
        assert initial["msg"]["market_ticker"] == "NEW-MARKET-1"
        (orders,) = await answers(subscribe(8, ["user_orders"], market_tickers=both))
        assert orders["msg"] == {"channel": "user_orders", "sid": 6}

        (listed,) = await answers({"id": 3, "cmd": "list_subscriptions"})
        assert (listed["type"], "sid" in listed) == ("ok", False)
        assert {"channel": "fill", "sid": 3} in listed["msg"]

        def update(number: int, action: str, tickers: list[str]) -> dict[str, Any]:
            params = {"sids": [1], "market_tickers": tickers, "action": action}
            return {"id": number, "cmd": "update_subscription", "params": params}

        new = ["NEW-MARKET-1", "NEW-MARKET-2"]
        (added,) = await answers(update(124, "add_markets", new))
        everything = ["CPI-22DEC-TN0.1", *both, "TSLA-23DEC-T200", *new]
        assert added["msg"] == {"market_tickers": everything}
        assert [(await socket.next())["msg"]["market_ticker"] for _ in new] == new
        (left,) = await answers(update(125, "delete_markets", both))
        assert left["msg"]["market_tickers"] == [t for t in everything if t not in both]
        await socket.send(update(127, "get_snapshot", new))
        shots = [await socket.next() for _ in new]
        assert [(s["type"], s["id"], s["sid"]) for s in shots] == [
            ("orderbook_snapshot", 127, 1)
        ] * 2
        assert shots[1]["seq"] == shots[0]["seq"] + 1 == left["seq"] + 2
        one = {"sid": 1, "market_tickers": new[:1], "action": "get_snapshot"}
        await socket.send({"cmd": "update_subscription", "params": one})
        assert "id" not in await socket.next()

        first, second = await answers(
            {"id": 124, "cmd": "unsubscribe", "params": {"sids": [1, 2]}}, 2
        )
        assert first == {
            "id": 124,
            "sid": 1,
            "seq": shots[1]["seq"] + 2,
            "type": "unsubscribed",
            "sending_ts_ms": first["sending_ts_ms"],
        }
        assert (second["sid"], second["type"]) == (2, "unsubscribed")
        (gone,) = await answers({"id": 123, "cmd": "unsubscribe", "params": {"sids": [1]}})
        text = {"code": 7, "msg": "Unknown subscription ID"}
        assert gone == {"id": 123, "type": "error", "msg": text}

    at_exchange(work)


ONE = {"market_ticker": "FED-23DEC-T3.00"}
REFUSED: list[tuple[int, Any]] = [
    (1, "no json"),
    (1, "[1]"),
    (1, {"id": "a", "cmd": "subscribe"}),
    (2, {"cmd": "subscribe"}),
    (2, {"cmd": "unsubscribe", "params": {}}),
    (3, {"cmd": "subscribe", "params": {"channels": [], **ONE}}),
    (3, {"cmd": "subscribe", "params": ONE}),
    (4, {"cmd": "unsubscribe", "params": {"sids": []}}),
    (5, {"cmd": "resubscribe", "params": ONE}),
    (7, {"cmd": "unsubscribe", "params": {"sids": [99]}}),
    (7, {"cmd": "update_subscription", "params": {"sids": [99], "action": "add_markets", **ONE}}),
    (8, {"cmd": "subscribe", "params": {"channels": ["ticker_v2"], **ONE}}),
    (8, {"cmd": "subscribe", "params": {"channels": ["multivariate"]}}),
    (11, {"cmd": "subscribe", "params": {"channels": ["trade"], "market_ticker": "NO-SUCH"}}),
    (
        11,
        {
            "cmd": "subscribe",
            "params": {"channels": ["trade"], **ONE, "market_tickers": ["FED-23DEC-T3.00"]},
        },
    ),
    (11, {"cmd": "subscribe", "params": {"channels": ["trade"], "use_yes_price": True}}),
    (11, {"cmd": "subscribe", "params": {"channels": ["ticker"], "send_initial_snapshot": 1}}),
    (12, {"cmd": "update_subscription", "params": {"sids": [1, 2], "action": "add_markets"}}),
    (12, {"cmd": "update_subscription", "params": {"action": "add_markets"}}),
    (13, {"cmd": "update_subscription", "params": {"sid": 1, "action": "replace", **ONE}}),
    (14, {"cmd": "subscribe", "params": {"channels": ["orderbook_delta"]}}),
    (14, {"cmd": "update_subscription", "params": {"sid": 1, "action": "get_snapshot"}}),
    (15, {"cmd": "update_subscription", "params": {"sid": 1, **ONE}}),
    (19, {"cmd": "subscribe", "params": {"channels": ["communications"], "shard_key": 0}}),
    (20, {"cmd": "subscribe", "params": {"channels": ["communications"], "shard_factor": 2}}),
    (
        21,
        {
            "cmd": "subscribe",
            "params": {"channels": ["communications"], "shard_factor": 0, "shard_key": 0},
        },
    ),
    (
        22,
        {
            "cmd": "subscribe",
            "params": {"channels": ["communications"], "shard_factor": 2, "shard_key": 2},
        },
    ),
    (24, {"cmd": "subscribe", "params": {"channels": ["cfbenchmarks_value"]}}),
    (28, {"cmd": "subscribe", "params": {"channels": ["pyth_value"]}}),
]


def test_each_wrong_command_is_refused_with_its_code() -> None:
    async def work(client: Client, socket: Socket) -> None:
        params = {"channels": ["orderbook_delta"], "market_ticker": "CPI-22DEC-TN0.1"}
        await socket.ask({"id": 1, "cmd": "subscribe", "params": params})
        await socket.next()
        for number, (code, command) in enumerate(REFUSED, start=50):
            if isinstance(command, dict) and "id" not in command:
                command = {"id": number, **command}
            answer = await socket.ask(command)
            assert (answer["type"], answer["msg"]["code"]) == ("error", code), (command, answer)
            assert answer["msg"]["msg"]
            scoped = code in (13, 14) and "sid" in str(command)
            assert ("sid" in answer) == ("seq" in answer) == scoped, answer
            if isinstance(command, dict) and isinstance(command["id"], int):
                assert answer["id"] == command["id"]
        # The connection lives on, and errors within the subscription have used its numbers.
        shot = {"sid": 1, "action": "get_snapshot", "market_tickers": ["CPI-22DEC-TN0.1"]}
        await socket.send({"id": 9, "cmd": "update_subscription", "params": shot})
        assert (await socket.next())["seq"] == 4

    at_exchange(work)


def test_a_channel_without_markets_follows_all() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, speed=0)
        async with client_of(exchange) as client, client.socket() as socket:
            await socket.send({"id": 1, "cmd": "subscribe", "params": {"channels": ["trade"]}})
            await socket.rest_of_it(exchange)
            trades = [raw for raw in socket.raw if raw.startswith('{"type":"trade"')]
            expected = sum(m.trades for m in SESSION.quality.markets.values())
            assert len(trades) == expected > 0

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_handshake_needs_a_good_signature(kind: str) -> None:
    async def run() -> None:
        private = new_private_key(kind)
        keys = Keys()
        keys.add("mine", private.public_key())
        portfolio = Account("p", scopes=frozenset({"read::portfolio_balance"}))
        keys.add("balance", private.public_key(), portfolio)
        exchange = LocalExchange(SESSION, keys=keys, begin="control")
        exchange.key_id, exchange.private_key = "mine", private
        async with client_of(exchange) as client:
            now = time.time_ns() // 1_000_000

            async def opened(changes: dict[str, str], ms: int = now) -> int:
                headers = request_headers("mine", private, "GET", WS_PATH, ms) | changes
                try:
                    async with client.http.ws_connect(exchange.ws_url, headers=headers):
                        return 101
                except WSServerHandshakeError as error:
                    return error.status

            assert await opened({}) == 101
            assert await opened({KEY_HEADER: "other"}) == 401
            assert await opened({SIGNATURE_HEADER: "AAAA"}) == 401
            assert await opened({SIGNATURE_HEADER: ""}) == 401
            assert await opened({TIMESTAMP_HEADER: str(now + 1)}) == 401
            assert await opened({TIMESTAMP_HEADER: "now"}) == 401
            assert await opened({}, now - 30_000) == 401
            exchange.exchange.faults.skew_ms = -30_000
            assert await opened({}, now - 30_000) == 101
            exchange.exchange.faults.skew_ms = 0
            exchange.key_id = "balance"
            async with client.socket() as socket:
                refused = await socket.ask(
                    {"id": 1, "cmd": "subscribe", "params": {"channels": ["fill"]}}
                )
                assert refused["msg"]["code"] == 9

    asyncio.run(run())


def test_the_server_pings_with_its_heartbeat_and_answers_pings() -> None:
    async def run() -> None:
        exchange = LocalExchange(SESSION, begin="control", ping_seconds=0.05)
        async with client_of(exchange) as client, client.socket(autoping=False) as socket:
            ping = await socket.socket.receive(5)
            assert (ping.type, ping.data) == (WSMsgType.PING, b"heartbeat")
            await socket.socket.ping(b"me")
            pong = await socket.socket.receive(5)
            while pong.type == WSMsgType.PING:
                pong = await socket.socket.receive(5)
            assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"me")
            # A client that never answers is left.
            while pong.type in (WSMsgType.PING, WSMsgType.PONG):
                pong = await socket.socket.receive(5)
            assert pong.type in (WSMsgType.CLOSED, WSMsgType.ERROR)

    asyncio.run(run())
