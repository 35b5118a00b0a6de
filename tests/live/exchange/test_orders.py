"""Orders of clients at a replayed market: queue, fills, money, messages, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.exchange.schedule import BookFrame, Change
from kalshi_sim.session import EventKind, Events, MarketInfo, Session
from tests.support.exchange_client import Client, Socket, client_of

TICKER = "KXTEST-26JAN01-A"
START = 1_790_000_000_000
ORDERS = "/portfolio/events/orders"


def session() -> Session:
    """A market with bids of 45 cents and offers of 55, both 100, and 44 and 56 behind them."""
    levels = [(0, 4_500, 10_000), (0, 4_400, 5_000), (1, 4_500, 10_000), (1, 4_400, 5_000)]
    n = len(levels)
    events = Events.from_columns(
        kind=[EventKind.SNAPSHOT] + [EventKind.LEVEL] * n,
        side=[0] + [side for side, _, _ in levels],
        price=[0] + [price for _, price, _ in levels],
        size=[n] + [size for _, _, size in levels],
        ts_ms=[START] * (n + 1),
        frame=[0] * (n + 1),
    )
    return Session(
        session_id=1,
        markets=(MarketInfo(TICKER, close_time_ms=START + 3_600_000),),
        events=events,
        market_offsets=np.array([0, n + 1]),
        first_book_ms=START,
        last_message_ms=START,
        trades_recorded=True,
    )


class Desk:
    """A client with its own channels open, and hands on the market's events."""

    def __init__(self, client: Client, socket: Socket) -> None:
        self.client, self.socket = client, socket
        self.exchange = client.exchange.exchange
        self.ms = START

    def order(self, side: str, price: str, count: str, **more: Any) -> dict[str, Any]:
        return {
            "ticker": TICKER,
            "side": side,
            "price": price,
            "count": count,
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
            **more,
        }

    async def place(self, side: str, price: str, count: str, **more: Any) -> dict[str, Any]:
        order = self.order(side, price, count, **more)
        status, answer = await self.client.rest("POST", ORDERS, json=order)
        assert status == 201, answer
        found: dict[str, Any] = answer
        return found

    async def refused(self, order: dict[str, Any], status: int, code: str) -> None:
        found, answer = await self.client.rest("POST", ORDERS, json=order)
        assert (found, answer["code"]) == (status, code), answer
        assert set(answer) == {"code", "message", "details"}

    async def get(self, path: str) -> Any:
        status, answer = await self.client.rest("GET", path)
        assert status == 200, answer
        return answer

    async def ahead(self, order: dict[str, Any]) -> str:
        path = f"/portfolio/orders/{order['order_id']}/queue_position"
        return str((await self.get(path))["queue_position_fp"])

    def delta(self, side: int, price: int, size: int, traded: int = 0) -> None:
        self.ms += 1_000
        self.exchange.clock.reach(self.ms, None)
        frame = BookFrame(0, EventKind.DELTA, side, price, size, traded, self.ms)
        self.exchange.happen(frame, self.ms)

    def change(self, kind: str, **more: Any) -> None:
        self.ms += 1_000
        self.exchange.clock.reach(self.ms, None)
        self.exchange.happen(Change(0, kind, **more), self.ms)

    async def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """What came over the socket since the last time, by type."""
        await self.socket.send({"id": 77, "cmd": "list_subscriptions"})
        found = await self.socket.until(lambda f: f.get("id") == 77)
        return [(f["type"], f["msg"]) for f in found[:-1]]


def at_desk(work: Callable[[Desk], Awaitable[None]], tier: str = "premier", **options: Any) -> None:
    async def run() -> None:
        exchange = LocalExchange(session(), speed=0, begin="now", **options)
        exchange.keys.accounts[0].tier_name = tier
        async with client_of(exchange) as client, client.socket() as socket:
            await exchange.finished()
            channels = ["orderbook_delta", "trade", "fill", "user_orders", "market_positions"]
            params = {"channels": channels, "market_tickers": [TICKER]}
            await socket.send({"id": 1, "cmd": "subscribe", "params": params})
            desk = Desk(client, socket)
            await desk.messages()
            await work(desk)

    asyncio.run(run())


def test_an_order_rests_waits_its_turn_and_is_filled() -> None:
    async def work(desk: Desk) -> None:
        placed = await desk.place("bid", "0.4500", "10.00", client_order_id="mine")
        assert (placed["fill_count"], placed["remaining_count"]) == ("0.00", "10.00")
        assert placed["client_order_id"] == "mine"
        assert await desk.ahead(placed) == "100.00"
        kinds = dict(await desk.messages())
        assert kinds["orderbook_delta"]["client_order_id"] == "mine"
        assert kinds["orderbook_delta"]["delta_fp"] == "10.00"
        assert kinds["user_order"]["status"] == "resting"

        desk.delta(0, 4_500, 2_000)  # comes behind it
        assert await desk.ahead(placed) == "100.00"
        desk.delta(0, 4_500, -5_000)  # withdrawn: from behind first
        assert await desk.ahead(placed) == "70.00"
        await desk.messages()
        desk.delta(0, 4_500, -6_000, traded=6_000)
        assert await desk.ahead(placed) == "10.00"
        await desk.messages()
        desk.delta(0, 4_500, -1_500, traded=1_500)
        found = await desk.messages()
        (fill,) = [m for kind, m in found if kind == "fill"]
        assert (fill["count_fp"], fill["is_taker"]) == ("5.00", False)
        assert (fill["yes_price_dollars"], fill["post_position_fp"]) == ("0.4500", "5.00")
        deltas = [(m.get("client_order_id"), m["delta_fp"]) for k, m in found if "delta" in k]
        assert sorted(deltas, key=str) == [("mine", "-5.00"), (None, "-10.00")]
        assert [m["remaining_count_fp"] for k, m in found if k == "user_order"] == ["5.00"]
        assert [m["position_cost_dollars"] for k, m in found if k == "market_position"] == [
            "2.2500"
        ]
        # A seller at 45 cents arrives on the other side: what rests of the order meets him.
        desk.delta(1, 5_500, 3_000)
        (fill,) = [m for kind, m in await desk.messages() if kind == "fill"]
        assert fill["count_fp"] == "5.00"
        order = (await desk.get(f"/portfolio/orders/{placed['order_id']}"))["order"]
        assert (order["status"], order["fill_count_fp"]) == ("executed", "10.00")
        assert order["maker_fill_cost_dollars"] == "4.5000"
        assert (await desk.get("/portfolio/balance"))["balance"] == 1_000_000 - 450
        assert len((await desk.get("/portfolio/fills?ticker=" + TICKER))["fills"]) == 2
        (position,) = (await desk.get("/portfolio/positions"))["market_positions"]
        assert (position["position_fp"], position["market_exposure_dollars"]) == ("10.00", "4.5000")

    at_desk(work)


def test_a_taker_walks_the_book_pays_fees_and_is_paid_at_settlement() -> None:
    async def work(desk: Desk) -> None:
        placed = await desk.place("bid", "0.5600", "120.00", time_in_force="immediate_or_cancel")
        assert placed["fill_count"] == "120.00"
        assert placed["average_fill_price"] == "0.5516"  # (100 x 55 + 20 x 56) / 120, rounded down
        fees = 174 + 35  # ceil(7 % x 100 x .55 x .45), ceil(7 % x 20 x .56 x .44), in cents
        assert (await desk.get("/portfolio/balance"))["balance"] == 1_000_000 - 6_620 - fees
        found = await desk.messages()
        trades = [(m["yes_price_dollars"], m["count_fp"]) for k, m in found if k == "trade"]
        assert trades == [("0.5500", "100.00"), ("0.5600", "20.00")]
        assert {m["taker_side"] for k, m in found if k == "trade"} == {"yes"}
        book = await desk.get(f"/markets/{TICKER}/orderbook")
        assert book["orderbook_fp"]["no_dollars"] == [["0.4400", "30.00"]]

        sold = await desk.place("ask", "0.4500", "20.00", time_in_force="fill_or_kill")
        assert sold["fill_count"] == "20.00"
        sale_fee = 35  # ceil(7 % x 20 x .45 x .55)
        cash = 1_000_000 - 6_620 - fees + 900 - sale_fee
        assert (await desk.get("/portfolio/balance"))["balance"] == cash
        unfilled = await desk.place("bid", "0.5600", "31.00", time_in_force="fill_or_kill")
        assert (unfilled["fill_count"], unfilled["remaining_count"]) == ("0.00", "0.00")

        desk.change("closed")
        await desk.refused(desk.order("bid", "0.4000", "1.00"), 400, "MARKET_INACTIVE")
        desk.change("determined", value=10_000)
        desk.change("settled")
        assert (await desk.get("/portfolio/balance"))["balance"] == cash + 10_000
        (paid,) = (await desk.get("/portfolio/settlements"))["settlements"]
        assert (paid["market_result"], paid["yes_count_fp"]) == ("yes", "100.00")
        assert paid["revenue_dollars"] == "100.0000"
        assert (await desk.get("/portfolio/positions"))["market_positions"] == []
        settled = await desk.get("/portfolio/positions?settlement_status=settled")
        assert settled["market_positions"][0]["position_fp"] == "0.00"

    at_desk(work)


def test_orders_are_cancelled_decreased_and_amended() -> None:
    async def work(desk: Desk) -> None:
        rest = desk.client.rest
        first = await desk.place("bid", "0.4500", "10.00", client_order_id="a")
        second = await desk.place("bid", "0.4500", "10.00", client_order_id="b")
        assert await desk.ahead(second) == "110.00"
        one, two = (f"{ORDERS}/{order['order_id']}" for order in (first, second))
        status, answer = await rest("POST", f"{one}/decrease", json={"reduce_by": "2.00"})
        assert (status, answer["remaining_count"]) == (200, "8.00")
        assert await desk.ahead(second) == "108.00"
        body = {"ticker": TICKER, "side": "bid", "price": "0.4500", "count": "6.00"}
        assert (await rest("POST", f"{one}/amend", json=body))[1]["remaining_count"] == "6.00"
        assert await desk.ahead(first) == "100.00"  # smaller at its price: keeps its place
        await rest("POST", f"{one}/amend", json={**body, "count": "7.00"})
        assert await desk.ahead(first) == "110.00"  # larger: goes to the back
        await rest("POST", f"{one}/amend", json={**body, "price": "0.4600"})
        assert await desk.ahead(first) == "0.00"
        for wrong, code in (
            ({"ticker": "OTHER"}, "order_ticker_mismatch"),
            ({"side": "ask"}, "order_side_mismatch"),
            ({"client_order_id": "b"}, "order_id_and_client_order_id_mismatch"),
        ):
            status, answer = await rest("POST", f"{one}/amend", json={**body, **wrong})
            assert (status, answer["code"]) == (400, code)
        both = {"reduce_by": "1.00", "reduce_to": "1.00"}
        assert (await rest("POST", f"{two}/decrease", json=both))[0] == 400
        status, answer = await rest("DELETE", f"{one}?market_ticker={TICKER}")
        assert (status, answer["reduced_by"]) == (200, "6.00")
        assert (await rest("DELETE", one))[0] == 404
        assert (await rest("DELETE", ORDERS))[0] == 204
        orders = (await desk.get("/portfolio/orders"))["orders"]
        assert {order["status"] for order in orders} == {"canceled"}
        assert (await desk.get("/portfolio/orders/queue_positions"))["queue_positions"] == []
        assert (await rest("POST", "/portfolio/orders", json={}))[1]["message"].startswith(
            "Please switch to the V2 endpoints"
        )

    at_desk(work)


def test_wrong_orders_are_refused_by_name() -> None:
    async def work(desk: Desk) -> None:
        order = desk.order
        await desk.place("bid", "0.4000", "1.00", client_order_id="twice")
        again = order("bid", "0.4000", "1.00", client_order_id="twice")
        await desk.refused(again, 409, "order_already_exists")
        await desk.refused(order("bid", "0.4050", "1.00"), 400, "invalid_price")
        await desk.refused(order("bid", "1.0000", "1.00"), 400, "invalid_price")
        await desk.refused(order("bid", "0.4000", "0.00"), 400, "invalid_order_size")
        await desk.refused(order("bid", "0.4000", "30000.00"), 400, "available_balance_too_low")
        await desk.refused({**order("yes", "0.4000", "1.00")}, 400, "invalid_parameters")
        await desk.refused({"ticker": TICKER}, 400, "invalid_parameters")
        await desk.refused({**order("bid", "0.4000", "1.00"), "ticker": "NO"}, 404, "not_found")

    at_desk(work)


def test_own_orders_do_not_trade_with_each_other() -> None:
    async def work(desk: Desk) -> None:
        await desk.place("bid", "0.5000", "10.00", client_order_id="rests")
        at_cross = await desk.place("ask", "0.5000", "5.00")
        assert (at_cross["fill_count"], at_cross["remaining_count"]) == ("0.00", "0.00")
        maker = await desk.place("ask", "0.5000", "5.00", self_trade_prevention_type="maker")
        assert maker["remaining_count"] == "5.00"
        gone = await desk.get("/portfolio/orders?status=canceled")
        assert {o["client_order_id"] for o in gone["orders"]} == {"rests", ""}
        crossing = await desk.place("bid", "0.5500", "5.00", post_only=True)
        assert (crossing["fill_count"], crossing["remaining_count"]) == ("0.00", "0.00")
        reasons = [
            m.get("last_update_reason") for k, m in await desk.messages() if k == "user_order"
        ]
        assert "PostOnlyCrossCancel" in reasons
        assert reasons.count("SelfTradeCancel") == 2

    at_desk(work)


def test_buckets_empty_and_a_batch_fits_whole_or_not_at_all() -> None:
    async def work(desk: Desk) -> None:
        orders = [desk.order("bid", "0.4000", "1.00"), desk.order("bid", "0.4050", "1.00")]
        batch = f"{ORDERS}/batched"
        status, answer = await desk.client.rest("POST", batch, json={"orders": orders})
        assert status == 201
        assert answer["orders"][0]["order"]["remaining_count"] == "1.00"
        assert answer["orders"][1]["error"]["code"] == "invalid_price"
        many = {"orders": orders[:1] * 11}
        assert await desk.client.rest("POST", batch, json=many) == (
            429,
            {"error": "too many requests"},
        )
        assert len((await desk.get("/portfolio/orders"))["orders"]) == 1
        limits = await desk.get("/account/limits")
        assert limits["usage_tier"] == "basic"
        assert limits["write"] == {"refill_rate": 100, "bucket_capacity": 100}

    at_desk(work, tier="basic")


def test_a_fill_may_come_before_its_orders_answer() -> None:
    async def work(desk: Desk) -> None:
        placing = asyncio.create_task(desk.place("bid", "0.5500", "1.00"))
        fills = await desk.socket.until(lambda frame: frame["type"] == "fill")
        assert not placing.done()
        assert fills[-1]["msg"]["order_id"] == (await placing)["order_id"]

    at_desk(work, faults=[Fault(fault="fill_before_order", seconds=0.3)])
