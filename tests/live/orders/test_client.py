"""The client of orders at the local exchange: nothing is sent twice, whatever is not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.orders.client import NewOrder, OrderClient, OrderError, client_order_id
from kalshi_sim.live.recorder.options import Credentials
from kalshi_sim.synthetic.session import generate_with_truth

SESSION, TRUTH = generate_with_truth(3, markets=2, minutes=5.0, seed=4)
TICKER = SESSION.markets[0].ticker
PRICE = "0.0100"
"""Far from any offer."""


def at_the_exchange(work: Callable[[OrderClient], Awaitable[Any]], *faults: Fault) -> Any:
    """What `work` gives back, at a true queue."""

    async def go() -> Any:
        async with LocalExchange(SESSION, truth=TRUTH, begin="now", faults=faults) as exchange:
            assert exchange.private_key is not None
            credentials = Credentials(exchange.key_id, exchange.private_key)
            async with OrderClient(exchange.url, credentials, deadline_s=0.5) as client:
                while not exchange.exchange.markets[TICKER].known:
                    await asyncio.sleep(0.02)
                return await work(client)

    return asyncio.run(go())


def order(name: str = "one", price: str = PRICE) -> NewOrder:
    return NewOrder(TICKER, "bid", "5.00", price, client_order_id("run", TICKER, 7, len(name)))


def test_an_order_rests_in_its_queue_and_is_cancelled() -> None:
    async def work(client: OrderClient) -> None:
        made = await client.create(order())
        assert made["remaining_count"] == "5.00"
        assert (await client.queue_positions([TICKER])).keys() == {made["order_id"]}
        assert [o["order_id"] for o in await client.orders(TICKER, "resting")] == [made["order_id"]]
        assert (await client.cancel(made["order_id"], TICKER))["reduced_by"] == "5.00"
        assert await client.orders(status="resting") == []
        with pytest.raises(OrderError, match="404"):
            await client.cancel(made["order_id"], TICKER)

    at_the_exchange(work)


def test_an_order_that_takes_is_a_fill_and_a_position() -> None:
    async def work(client: OrderClient) -> None:
        made = await client.create(order(price="0.9900"))
        assert made["fill_count"] == "5.00"
        fills = await client.fills(TICKER)
        assert sum(float(fill["count_fp"]) for fill in fills) == 5
        held = {p["ticker"]: p["position_fp"] for p in await client.positions()}
        assert held == {TICKER: "5.00"}

    at_the_exchange(work)


def test_the_same_decision_is_the_same_order() -> None:
    async def work(client: OrderClient) -> None:
        first = await client.create(order())
        again = await client.create(order())
        assert again["order_id"] == first["order_id"]
        other = await client.create(order("another"))
        assert other["order_id"] != first["order_id"]
        assert len(await client.orders(TICKER)) == 2

    at_the_exchange(work)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(fault="http", status=503, path="/events/orders", count=2),
        Fault(fault="http", status=429, path="/events/orders"),
        Fault(fault="fill_before_order", seconds=1.0),
    ],
)
def test_an_order_without_an_answer_is_there_once(fault: Fault) -> None:
    async def work(client: OrderClient) -> None:
        made = await client.create(order())
        assert [o["order_id"] for o in await client.orders(TICKER)] == [made["order_id"]]

    at_the_exchange(work, fault)


def test_all_orders_are_cancelled_at_once() -> None:
    async def work(client: OrderClient) -> None:
        for name in ("a", "bb", "ccc"):
            await client.create(order(name))
        assert len(await client.orders(status="resting")) == 3
        await client.cancel_all()
        assert await client.orders(status="resting") == []

    at_the_exchange(work)


def test_a_refused_order_says_why() -> None:
    async def work(client: OrderClient) -> None:
        with pytest.raises(OrderError, match="invalid price") as refused:
            await client.create(order(price="1.5000"))
        assert (refused.value.status, refused.value.code) == (400, "invalid_price")

    at_the_exchange(work)
