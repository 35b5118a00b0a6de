"""Reads of REST: filters and cursors of the markets, and every documented call by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.openings import Opening
from kalshi_sim.live.exchange.schedule import first_ms
from kalshi_sim.synthetic.session import generate_session
from tests.live.exchange.test_orders import ORDERS, TICKER, Desk, at_desk
from tests.support.exchange_client import Client, client_of

_made = generate_session(3, markets=6, minutes=1, seed=5)
NAMES = ("KXA-26-A", "KXA-26-B", "KXA-27-A", "KXB-26-A", "KXB-26-B", "KXMVEX-26-A")
START = first_ms(_made)
SESSION = replace(
    _made,
    markets=tuple(
        replace(m, ticker=name, event_ticker=None, close_time_ms=START + 3_600_000 * (i + 1))
        for i, (m, name) in enumerate(zip(_made.markets, NAMES, strict=True))
    ),
)
A26, B26, A27, BA, BB, MVE = NAMES
SECOND = START // 1000


def at_rest(work: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        # One market is not open yet, and time has not begun.
        opening = [Opening(ticker=BB, opens=30)]
        exchange = LocalExchange(SESSION, begin="control", openings=opening)
        async with client_of(exchange) as client:
            await work(client)

    asyncio.run(run())


async def listed(client: Client, query: str) -> list[str]:
    """The tickers of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        _, body = await client.rest("GET", f"/markets?{query}&cursor={cursor}")
        found += [market["ticker"] for market in body["markets"]]
        cursor = body["cursor"]
        if not cursor:
            return found


LISTINGS = {
    "": [*NAMES],
    "limit=2": [*NAMES],
    "limit=1&status=open": [A26, B26, A27, BA, MVE],
    "status=unopened": [BB],
    "status=paused": [],
    "status=closed": [],
    "status=settled": [],
    "event_ticker=KXA-26": [A26, B26],
    "event_ticker=KXA-26,KXA-27&limit=2": [A26, B26, A27],
    "series_ticker=KXB": [BA, BB],
    f"tickers={BB},{A27},KXNO-26-A": [A27, BB],
    "mve_filter=only": [MVE],
    "mve_filter=exclude&series_ticker=KXA": [A26, B26, A27],
    f"status=unopened&max_created_ts={SECOND}": [BB],
    f"min_created_ts={SECOND + 1}": [],
    f"max_close_ts={SECOND + 2 * 3600}": [A26, B26],
    f"min_close_ts={SECOND + 3 * 3600}&max_close_ts={SECOND + 4 * 3600 + 1}": [A27, BA],
    f"min_updated_ts={SECOND + 1}": [],
    f"min_updated_ts={SECOND - 9}&series_ticker=KXB": [BA, BB],
}
REFUSED = (
    "status=asleep",
    "status=open,closed",
    "limit=0",
    "limit=1001",
    "mve_filter=maybe",
    "cursor=none-that-was-given",
    "status=closed&min_created_ts=1",
    "status=open&min_close_ts=1",
    "status=open&min_settled_ts=1",
    "status=open&min_updated_ts=1",
    "tickers=A&min_updated_ts=1",
)


def test_markets_are_filtered_and_come_in_pages() -> None:
    async def work(client: Client) -> None:
        for query, expected in LISTINGS.items():
            assert await listed(client, query) == expected, query
        for query in REFUSED:
            status, body = await client.rest("GET", f"/markets?{query}")
            assert (status, body["code"]) == (400, "invalid_parameters"), query
            assert body["details"], query

    at_rest(work)


def test_books_come_up_to_a_hundred_at_once() -> None:
    async def work(client: Client) -> None:
        client.exchange.begin()
        await asyncio.sleep(0.1)
        _, body = await client.rest("GET", f"/markets/orderbooks?tickers={A26},{BA}&depth=1")
        assert [book["ticker"] for book in body["orderbooks"]] == [A26, BA]
        for book in body["orderbooks"]:
            assert all(len(side) <= 1 for side in book["orderbook_fp"].values())
        many = ",".join(f"M-{i}" for i in range(101))
        for query, expected in ((f"tickers={many}", 400), ("", 400), ("tickers=KXNO-1", 404)):
            status, _ = await client.rest("GET", f"/markets/orderbooks?{query}")
            assert status == expected, query

    at_rest(work)


READS = (
    *("/markets", f"/markets/{TICKER}", f"/markets/{TICKER}/orderbook"),
    *(f"/markets/orderbooks?tickers={TICKER}", "/exchange/status", "/exchange/schedule"),
    *("/account/limits", "/account/endpoint_costs", "/portfolio/orders", "/portfolio/fills"),
    *("/portfolio/orders/queue_positions", "/portfolio/positions", "/portfolio/balance"),
    "/portfolio/settlements",
)
NOT_THERE = (
    *("/historical/cutoff", "/historical/fills", "/historical/orders"),
    *("/exchange/user_data_timestamp", "/exchange/announcements"),
)


def test_every_documented_read_is_answered_or_refused_by_name() -> None:
    async def work(desk: Desk) -> None:
        for path in READS:
            assert (await desk.client.rest("GET", path))[0] == 200, path
        for path in NOT_THERE:
            status, body = await desk.client.rest("GET", path)
            assert (status, body["code"]) == (404, "not_found"), path
        placed = await desk.place("bid", "0.4000", "2.00", client_order_id="a")
        one = f"/portfolio/orders/{placed['order_id']}"
        for path in (one, f"{one}/queue_position"):
            assert (await desk.client.rest("GET", path))[0] == 200, path
        batch = {"orders": [{"order_id": placed["order_id"]}, {"order_id": "no-such"}]}
        status, body = await desk.client.rest("DELETE", f"{ORDERS}/batched", json=batch)
        assert status == 200
        assert body["orders"][0]["order"]["reduced_by"] == "2.00"
        assert body["orders"][1]["error"]["code"] == "not_found"
        for method, path in (("POST", "/portfolio/orders"), ("DELETE", one)):
            status, body = await desk.client.rest(method, path, json={})
            assert (status, body["message"]) == (400, "Please switch to the V2 endpoints")

    at_desk(work)


@pytest.mark.parametrize(
    ("path", "key", "name"),
    [("orders", "orders", "order_id"), ("fills", "fills", "trade_id")],
)
def test_own_orders_and_fills_come_in_pages(path: str, key: str, name: str) -> None:
    async def work(desk: Desk) -> None:
        for n in range(5):
            await desk.place("bid", "0.5500", "1.00", client_order_id=f"n{n}")
        whole = [row[name] for row in (await desk.get(f"/portfolio/{path}"))[key]]
        found: list[Any] = []
        cursor = ""
        while len(found) < 10:
            body = await desk.get(f"/portfolio/{path}?limit=2&ticker={TICKER}&cursor={cursor}")
            found += [row[name] for row in body[key]]
            cursor = body["cursor"]
            if not cursor:
                break
        assert found == whole
        assert len(set(whole)) == 5
        assert (await desk.get(f"/portfolio/{path}?ticker=KXNO-1"))[key] == []

    at_desk(work)
