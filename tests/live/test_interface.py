"""All that the exchange's interface documents: each frame is read, each error known, by name.

The lists here are taken from the exchange's documentation of October 2026, apart from the code.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from kalshi_sim import LiveMarket
from kalshi_sim.ingest.batch import CONTROL, LIFECYCLE, OTHER
from kalshi_sim.ingest.decoding import FrameDecoder
from kalshi_sim.live.interface import CHANNELS, ENDING_CODES, RETIRED_CHANNELS, ErrorCode
from kalshi_sim.live.recorder.commands import (
    AuthenticationError,
    CommandRefusedError,
    Commands,
    ConnectionLostError,
)
from kalshi_sim.live.recorder.sequence import Tracker, head_of
from kalshi_sim.session import EventKind, MarketInfo
from tests.live.exchange import test_messages as documented
from tests.live.exchange.test_openings import CREATED, EVENT

SNAPSHOT, TRADE = int(EventKind.SNAPSHOT), int(EventKind.TRADE)
TYPES: Final = {
    "orderbook_delta": ("orderbook_snapshot", "orderbook_delta"),
    "trade": ("trade",),
    "ticker": ("ticker",),
    "fill": ("fill",),
    "user_orders": ("user_order",),
    "market_positions": ("market_position",),
    "market_lifecycle_v2": ("market_lifecycle_v2", "event_lifecycle", "event_fee_update"),
    "multivariate_market_lifecycle": ("multivariate_market_lifecycle", "event_lifecycle"),
    "communications": ("rfq_created", "rfq_deleted", "quote_created", "quote_accepted"),
    "order_group_updates": ("order_group_updates",),
    "cfbenchmarks_value": ("cfbenchmarks_value", "cfbenchmarks_value_indexlist"),
    "cfbenchmarks_value_5hz": ("cfbenchmarks_value_5hz", "cfbenchmarks_value_5hz_indexlist"),
    "pyth_value": ("pyth_value", "pyth_value_underlying_list"),
}
SEQUENCED: Final = set(TYPES) - {"ticker", "fill", "user_orders", "market_positions"}
METADATA: Final = {
    "event_type": "metadata_updated",
    "market_ticker": "KXBTC-25APR30-T0915-B95000",
    "strike_type": "between",
    "floor_strike": 95000,
    "cap_strike": 95250,
}
INDEX: Final = {
    "index_id": "BRTI",
    "received_at": 1710000000123,
    "data": '{"type":"value","id":"BRTI","time":1710000000123,"value":"68000.12"}',
    "avg_60s_data": {
        "value": "68000.12000000",
        "window_size": 3,
        "window_start_ts_ms": 1709999940123,
        "window_end_ts_exclusive": 1710000000123,
    },
}
GROUP: Final = {
    "event_type": "limit_updated",
    "order_group_id": "og_123",
    "contracts_limit_fp": "150.00",
    "ts_ms": 1733047200000,
}
MULTIVARIATE: Final = {
    **CREATED,
    "market_ticker": "KXMVE-TEST-EVENT-M1",
    "additional_metadata": {"event_ticker": "KXMVE-TEST-EVENT"},
}
FRAMES: Final[list[tuple[str, dict[str, Any], int]]] = [
    ("orderbook_snapshot", documented.SNAPSHOT, SNAPSHOT),
    ("orderbook_delta", documented.DELTA, int(EventKind.DELTA)),
    ("trade", documented.TRADE, TRADE),
    ("ticker", documented.TICKER_MESSAGE, OTHER),
    ("fill", documented.FILL, OTHER),
    ("user_order", documented.ORDER, OTHER),
    ("market_position", documented.POSITION, OTHER),
    ("market_lifecycle_v2", CREATED, LIFECYCLE),
    ("market_lifecycle_v2", documented.LIFE, LIFECYCLE),
    ("market_lifecycle_v2", METADATA, LIFECYCLE),
    ("event_lifecycle", EVENT, OTHER),
    ("event_fee_update", documented.FEES, LIFECYCLE),
    ("multivariate_market_lifecycle", MULTIVARIATE, LIFECYCLE),
    ("order_group_updates", GROUP, OTHER),
    ("cfbenchmarks_value", INDEX, OTHER),
    ("cfbenchmarks_value_indexlist", {"index_ids": ["BRTI"]}, OTHER),
    ("cfbenchmarks_value_5hz", INDEX, OTHER),
    ("cfbenchmarks_value_5hz_indexlist", {"index_ids": ["BRTI"]}, OTHER),
    ("pyth_value", {"underlying_ticker": "WTI", "value": "60.1"}, OTHER),
    ("pyth_value_underlying_list", {"underlying_tickers": ["WTI"]}, OTHER),
    ("rfq_created", {"id": "a", "market_ticker": "KXA-26-B", "creator_id": ""}, OTHER),
    ("rfq_deleted", {"id": "a", "market_ticker": "KXA-26-B", "creator_id": ""}, OTHER),
    ("quote_created", {"quote_id": "b", "rfq_id": "a", "market_ticker": "KXA-26-B"}, OTHER),
    ("quote_accepted", {"quote_id": "b", "rfq_id": "a", "market_ticker": "KXA-26-B"}, OTHER),
]
REPLIES: Final = [
    ('{"id":1,"type":"subscribed","msg":{"channel":"orderbook_delta","sid":1}}', OTHER),
    ('{"id":102,"sid":2,"seq":7,"type":"unsubscribed"}', CONTROL),
    ('{"id":123,"sid":456,"seq":222,"type":"ok","msg":{"market_tickers":["M-1","M-2"]}}', CONTROL),
    ('{"id":3,"type":"ok","msg":[{"channel":"orderbook_delta","sid":1}]}', OTHER),
    ('{"id":123,"type":"error","msg":{"code":7,"msg":"Unknown subscription ID"}}', OTHER),
    ('{"id":127,"type":"error","msg":{"code":14,"msg":"Market Ticker required"}}', OTHER),
    ('{"sid":2,"seq":9,"type":"error","msg":{"code":10,"msg":"Channel error"}}', CONTROL),
    ('{"sid":2,"seq":9,"type":"error","msg":{"code":25,"msg":"Buffer overflow"}}', CONTROL),
]
CODES: Final = [*range(1, 6), *range(7, 16), *range(18, 29)]
RETIRED_CODES: Final = (6, 16, 17)


def wire(kind: str, message: dict[str, Any]) -> bytes:
    frame = {"type": kind, "sid": 5, "seq": 8, "msg": message, "sending_ts_ms": 1773862566000}
    return json.dumps(frame, separators=(",", ":")).encode()


def test_the_channels_are_those_that_are_documented() -> None:
    assert set(CHANNELS) == set(TYPES)
    assert set(RETIRED_CHANNELS) == {"ticker_v2", "multivariate"}
    for name, types in TYPES.items():
        assert set(types) <= set(CHANNELS[name].types), name
        assert CHANNELS[name].sequenced == (name in SEQUENCED), name
    assert {kind for kind, _, _ in FRAMES} == {t for types in TYPES.values() for t in types}


@pytest.mark.parametrize(("kind", "message", "read_as"), FRAMES)
def test_every_frame_is_read_or_counted_by_its_name(
    kind: str, message: dict[str, Any], read_as: int
) -> None:
    line = wire(kind, message)
    head = head_of(line)  # by a recorder, for numbers and times
    assert (head.type, head.sid, head.seq) == (kind, 5, 8)
    tracker = Tracker()
    assert tracker.take(head, 1) is None
    assert kind in CHANNELS[tracker.by_sid[5].channel].types
    decoder = FrameDecoder()  # by an import
    batch = decoder.decode(line)
    assert batch.kind.tolist() == [read_as]
    assert (batch.sid.tolist(), batch.seq.tolist()) == ([5], [8])
    assert batch.other_types == ((kind,) if read_as >= OTHER else ())
    assert len(batch.lifecycles) == (read_as == LIFECYCLE)
    market = LiveMarket(MarketInfo("KXHAND-26-A"))  # and by a live market of another ticker
    assert market.feed_frame(line, recv_ms=1773862566000) == 0


def test_a_type_that_is_new_is_counted_by_its_name_too() -> None:
    line = wire("orderbook_v3", {"anything": 1})
    assert FrameDecoder().decode(line).other_types == ("orderbook_v3",)
    assert Tracker().take(head_of(line), 1) is None


@pytest.mark.parametrize(("line", "read_as"), REPLIES)
def test_every_reply_is_read(line: str, read_as: int) -> None:
    batch = FrameDecoder().decode(line.encode())
    assert batch.kind.tolist() == [read_as]
    assert head_of(line.encode()).type == json.loads(line)["type"]


def test_the_error_codes_are_those_that_are_documented() -> None:
    assert sorted(ErrorCode) == CODES
    assert not set(RETIRED_CODES) & set(ErrorCode)
    assert set(ENDING_CODES) == {10, 25}


@pytest.mark.parametrize("code", [*CODES, *RETIRED_CODES, 99])
def test_a_recorder_knows_what_each_refusal_of_a_command_means(code: int) -> None:
    sent: list[str] = []

    async def run() -> None:
        async def send(text: str) -> None:
            sent.append(text)
            number = json.loads(text)["id"]
            error = {"id": number, "type": "error", "msg": {"code": code, "msg": "said so"}}
            commands.answer(head_of(json.dumps(error).encode()))

        commands = Commands(send, lambda text: None, 5)
        commands.wait_s = 0.001
        await commands.ask("subscribe", {"channels": ["trade"]})

    if code == 9:
        expected: type[Exception] = AuthenticationError
    elif code in (18, 27):  # tried again, for a while
        expected = ConnectionLostError
    else:
        expected = CommandRefusedError
    with pytest.raises(expected, match=r"said so|too many") as caught:
        asyncio.run(run())
    assert type(caught.value) is expected
    assert len(sent) == (5 if code in (18, 27) else 1)
    if expected is CommandRefusedError:
        assert f"code {code}" in str(caught.value)


@pytest.mark.parametrize("code", CODES)
def test_only_the_errors_that_end_a_subscription_end_it(code: int) -> None:
    tracker = Tracker()
    tracker.subscribed(5, "orderbook_delta", {"M-1"}, 1)
    error = {"type": "error", "sid": 5, "seq": 1, "msg": {"code": code, "msg": "x"}}
    gap = tracker.take(head_of(json.dumps(error).encode()), 2)
    assert tracker.by_sid[5].ended == (gap is not None) == (code in (10, 25))
