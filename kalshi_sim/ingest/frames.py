"""Frames of captures: their typed wire shapes, in all three generations of keys."""

from __future__ import annotations

from typing import Any

import msgspec

from kalshi_sim.ingest.wire_time import WireNumber

Levels = list[tuple[str | int | float, str | int | float]]


class PriceRange(msgspec.Struct, gc=False):
    """One band of a market's grid, in dollars."""

    start: WireNumber
    end: WireNumber
    step: WireNumber


class Message(msgspec.Struct, gc=False):
    """The `msg` of every frame that is read, all three generations of keys together."""

    market_ticker: str | None = None
    price: WireNumber = None
    price_dollars: WireNumber = None
    yes_price: WireNumber = None
    yes_price_dollars: WireNumber = None
    no_price: WireNumber = None
    no_price_dollars: WireNumber = None
    delta: WireNumber = None
    delta_fp: WireNumber = None
    count: WireNumber = None
    count_fp: WireNumber = None
    side: str | None = None
    taker_outcome_side: str | None = None
    taker_book_side: str | None = None
    taker_side: str | None = None
    ts: WireNumber = None
    ts_ms: WireNumber = None
    is_block_trade: bool | int | str | None = None
    yes_dollars_fp: Levels | None = None
    no_dollars_fp: Levels | None = None
    yes_dollars: Levels | None = None
    no_dollars: Levels | None = None
    yes: Levels | None = None
    no: Levels | None = None
    event_type: str | None = None
    close_ts: WireNumber = None
    result: str | None = None
    settlement_value: WireNumber = None
    determination_ts: WireNumber = None
    price_ranges: list[PriceRange] | None = None
    price_level_structure: str | None = None
    event_ticker: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: WireNumber = None
    channel: str | None = None
    trade_id: str | int | None = None
    sid: Any = None
    code: Any = None
    market_tickers: Any = None


class Frame(msgspec.Struct, gc=False):
    """One line: a frame of the wire, an envelope around one, or a REST order book."""

    type: str | None = None
    sid: int | str | None = None
    seq: int | str | None = None
    msg: Message | list[Any] | str | None = None
    raw: str | Frame | None = None
    recv_ts_ns: WireNumber = None
    recv_ts_us: WireNumber = None
    recv_ts_ms: WireNumber = None
    recv_ts: WireNumber = None
    received_at: WireNumber = None
    sending_ts_ms: WireNumber = None
    market_ticker: str | None = None
    ticker: str | None = None
    orderbook_fp: Message | None = None
    orderbook: Message | None = None

    @property
    def book(self) -> Message | list[Any] | str | None:
        """The message of a snapshot, or a REST order book."""
        return self.msg if self.type else self.orderbook_fp or self.orderbook

    @property
    def lacks_a_side(self) -> bool:
        """Whether a snapshot has no levels under the known keys of one side, or of both."""
        m = self.book
        if not isinstance(m, Message):
            return False
        yes, no = (
            m.yes_dollars_fp or m.yes_dollars or m.yes,
            m.no_dollars_fp or m.no_dollars or m.no,
        )
        return not yes or not no


class FrameHead(msgspec.Struct, gc=False):
    """What is read of a frame whose message is none of ours."""

    type: str | None = None
    sid: Any = None
    seq: Any = None
    raw: str | FrameHead | None = None
    recv_ts_ns: WireNumber = None
    recv_ts_us: WireNumber = None
    recv_ts_ms: WireNumber = None
    recv_ts: WireNumber = None
    received_at: WireNumber = None
    orderbook_fp: Any = None
    orderbook: Any = None
