"""Messages have the keys of the interface's documented examples."""

from __future__ import annotations

import json
from typing import Any

from kalshi_sim.grid import SUB_PENNY_GRID
from kalshi_sim.session import FeeUpdate
from tests.live.exchange.test_orders import TICKER, Desk, at_desk

SNAPSHOT = {
    "market_ticker": "FED-23DEC-T3.00",
    "market_id": "9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1",
    "yes_dollars_fp": [["0.0800", "300.00"], ["0.2200", "333.00"]],
    "no_dollars_fp": [["0.5400", "20.00"], ["0.5600", "146.00"]],
}
DELTA = {
    "market_ticker": "FED-23DEC-T3.00",
    "market_id": "9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1",
    "price_dollars": "0.9600",
    "delta_fp": "-54.00",
    "side": "yes",
    "ts": "2022-11-22T20:44:01Z",
    "ts_ms": 1669149841000,
}
TRADE = json.loads(
    '{"trade_id":"d91bc706-ee49-470d-82d8-11418bda6fed","market_ticker":"HIGHNY-22DEC23-B53.5",'
    '"yes_price_dollars":"0.3600","no_price_dollars":"0.6400","count_fp":"136.00",'
    '"taker_side":"no","taker_outcome_side":"no","taker_book_side":"ask","is_block_trade":false,'
    '"ts":1669149841,"ts_ms":1669149841000}'
)
TICKER_MESSAGE = json.loads(
    '{"market_id":"9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1","market_ticker":"FED-23DEC-T3.00",'
    '"price_dollars":"0.4800","yes_bid_dollars":"0.4500","yes_ask_dollars":"0.5300",'
    '"volume_fp":"33896.00","open_interest_fp":"20422.00","dollar_volume":16948,'
    '"dollar_open_interest":10211,"yes_bid_size_fp":"300.00","yes_ask_size_fp":"150.00",'
    '"last_trade_size_fp":"25.00","ts":1669149841,"ts_ms":1669149841000,'
    '"time":"2022-11-22T20:44:01Z"}'
)
FILL = json.loads(
    '{"trade_id":"d91bc706-ee49-470d-82d8-11418bda6fed",'
    '"order_id":"ee587a1c-8b87-4dcf-b721-9f6f790619fa","client_order_id":"my-order-1",'
    '"market_ticker":"HIGHNY-22DEC23-B53.5","exchange_index":2,"is_taker":true,"side":"yes",'
    '"yes_price_dollars":"0.7500","count_fp":"278.00","fee_cost":"0.010000","action":"buy",'
    '"ts":1671899397,"ts_ms":1671899397000,"post_position_fp":"500.00","purchased_side":"yes",'
    '"outcome_side":"yes","book_side":"bid","subaccount":3}'
)
ORDER = json.loads(
    '{"order_id":"ee587a1c-8b87-4dcf-b721-9f6f790619fa",'
    '"user_id":"a1b2c3d4-e5f6-7890-abcd-ef1234567890","ticker":"FED-23DEC-T3.00",'
    '"exchange_index":2,"status":"resting","side":"yes","is_yes":true,"outcome_side":"yes",'
    '"book_side":"bid","yes_price_dollars":"0.3500","fill_count_fp":"0.00",'
    '"remaining_count_fp":"10.00","initial_count_fp":"10.00",'
    '"taker_fill_cost_dollars":"0.000000","maker_fill_cost_dollars":"0.000000",'
    '"taker_fees_dollars":"0.000000","maker_fees_dollars":"0.000000",'
    '"client_order_id":"my-order-1","order_group_id":"og_123",'
    '"self_trade_prevention_type":"taker_at_cross","created_time":"2024-12-01T10:00:00Z",'
    '"created_ts_ms":1733047200000,"expiration_time":"2024-12-01T11:00:00Z",'
    '"expiration_ts_ms":1733050800000,"subaccount_number":0}'
)
POSITION = json.loads(
    '{"user_id":"user123","market_ticker":"FED-23DEC-T3.00","position_fp":"100.00",'
    '"position_cost_dollars":"50.0000","realized_pnl_dollars":"10.0000",'
    '"fees_paid_dollars":"1.0000","position_fee_cost_dollars":"0.5000","volume_fp":"15.00"}'
)
LIFE = {
    "market_ticker": "INXD-23SEP14-B4487",
    "event_type": "price_level_structure_updated",
    "price_level_structure": "deci_cent",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
}
FEES = {
    "event_ticker": "KXBTCD-26MAY2018",
    "fee_type_override": "quadratic",
    "fee_multiplier_override": 1,
}


def test_each_message_has_the_documented_keys() -> None:
    async def work(desk: Desk) -> None:
        for channel in ("ticker", "market_lifecycle_v2"):
            params = {"channels": [channel]}
            await desk.socket.send({"id": 2, "cmd": "subscribe", "params": params})
        shot = {"sid": 1, "market_tickers": [TICKER], "action": "get_snapshot"}
        await desk.socket.send({"id": 3, "cmd": "update_subscription", "params": shot})
        await desk.messages()
        seen: dict[str, dict[str, Any]] = {}
        for raw in desk.socket.raw:
            frame = json.loads(raw)
            seen[frame["type"]] = frame["msg"]
        expiry = desk.ms // 1_000 + 3_600
        await desk.place(
            "bid", "0.4000", "1.00", client_order_id="a", order_group_id="g", expiration_time=expiry
        )
        seen |= {kind: m for kind, m in await desk.messages() if kind == "user_order"}
        desk.delta(0, 4_500, -1_000)
        seen |= {kind: m for kind, m in await desk.messages() if kind == "orderbook_delta"}
        await desk.place("bid", "0.5500", "1.00", client_order_id="b")
        seen |= {
            kind: m
            for kind, m in await desk.messages()
            if kind in ("trade", "fill", "market_position", "ticker")
        }
        desk.change("price_level_structure_updated", ranges=SUB_PENNY_GRID)
        desk.change("event_fee_update", fees=FeeUpdate(desk.ms, 10_000, None))
        seen |= dict(await desk.messages())
        for kind, documented in (
            ("orderbook_snapshot", SNAPSHOT),
            ("orderbook_delta", DELTA),
            ("trade", TRADE),
            ("ticker", TICKER_MESSAGE),
            ("fill", FILL),
            ("market_position", POSITION),
            ("market_lifecycle_v2", LIFE),
            ("event_fee_update", FEES),
        ):
            assert set(seen[kind]) == set(documented), kind
            for key, value in documented.items():
                same = type(value) is type(seen[kind][key])
                assert same or key == "fee_multiplier_override", (kind, key)
        assert set(seen["user_order"]) == set(ORDER)
        # Each frame also says when it was sent.
        data = [json.loads(raw) for raw in desk.socket.raw]
        assert all("sending_ts_ms" in f for f in data if "sid" in f)

    at_desk(work)
