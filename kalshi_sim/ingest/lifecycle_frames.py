"""Frames of a market's life as changes: grid, fees, pauses, close times and results.

They are `market_lifecycle_v2`, `market_lifecycle`, `multivariate_market_lifecycle` and
`event_fee_update`; `kalshi_sim.ingest.lifecycle` folds the changes into a market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from kalshi_sim.fees import MAX_MULTIPLIER
from kalshi_sim.ingest.frames import Message
from kalshi_sim.ingest.price_ranges import read_price_ranges
from kalshi_sim.ingest.wire_time import scalar_ms
from kalshi_sim.session import NO_TIME, PriceRanges
from kalshi_sim.units import MULTIPLIER_SCALE, PRICE_SCALE, parse_decimal, parse_dollars

LIFECYCLE_TYPES: Final = (
    "market_lifecycle_v2",
    "market_lifecycle",
    "multivariate_market_lifecycle",
    "event_fee_update",
)
FEE_UPDATE: Final = "event_fee_update"
_RESULTS: Final = {"yes": PRICE_SCALE, "no": 0, "YES": PRICE_SCALE, "NO": 0}


@dataclass(frozen=True)
class FeeChange:
    """An override of the fees; multipliers in 1/10 000, None: back to the schedule."""

    fee_type: str | None
    multiplier: int | None


@dataclass(frozen=True)
class Lifecycle:
    """A change in a market's life; `known_ms` is NO_TIME if its frame did not say when."""

    market: int
    """-1: it concerns all markets of `event_ticker`."""
    event_type: str
    known_ms: int
    close_ms: int | None = None
    value: int | None = None
    price_ranges: PriceRanges | None = None
    structure: str | None = None
    event_ticker: str | None = None
    fees: FeeChange | None = None

    @property
    def content(self) -> tuple[str, ...]:
        """What it says, apart from when and of which market; orders and compares."""
        parts = (self.event_type, self.close_ms, self.value, self.price_ranges, self.fees)
        return tuple(map(repr, parts))


def decode_lifecycle(
    frame_type: str, message: Message, known_ms: int, market_number: Callable[[str | None], int]
) -> Lifecycle:
    """Decode a lifecycle or fee frame.

    Args:
        frame_type: its `type`.
        message: its body.
        known_ms: when it was known, in ms since 1970 UTC; NO_TIME if unknown.
        market_number: gives a ticker its number.

    Returns:
        The change, with fields None that the frame does not have.

    Raises:
        ValueError: a value in it cannot be right.
    """
    fees = _fee_change(frame_type, message)
    if frame_type == FEE_UPDATE:
        if message.market_ticker is None and not message.event_ticker:
            _bad("event_ticker is missing")
        market = -1 if message.market_ticker is None else market_number(message.market_ticker)
        return Lifecycle(market, FEE_UPDATE, known_ms, event_ticker=message.event_ticker, fees=fees)
    value = None if message.settlement_value in (None, "") else _dollars(message.settlement_value)
    if value is None and message.result is not None:
        value = _RESULTS.get(message.result)
    if value is not None and not 0 <= value <= PRICE_SCALE:
        _bad(f"settlement value {message.settlement_value!r} is not between 0 and 1 dollar")
    if known_ms == NO_TIME and message.determination_ts is not None:
        known_ms = scalar_ms(message.determination_ts)[0]
    return Lifecycle(
        market=market_number(message.market_ticker),
        event_type=message.event_type or "",
        known_ms=known_ms,
        close_ms=None if message.close_ts is None else scalar_ms(message.close_ts)[0],
        value=value,
        price_ranges=read_price_ranges(message.price_ranges) if message.price_ranges else None,
        structure=message.price_level_structure,
        fees=fees,
    )


def _bad(why: str) -> NoReturn:
    raise ValueError(why)


def _dollars(text: str | int | float | None) -> int:
    return parse_dollars("" if text is None else text)


def _fee_change(frame_type: str, message: Message) -> FeeChange | None:
    fee_type, stated = message.fee_type_override, message.fee_multiplier_override
    if frame_type != FEE_UPDATE and fee_type is None:
        return None
    multiplier = None if stated is None else parse_decimal(stated, MULTIPLIER_SCALE)
    if multiplier is not None and not 0 <= multiplier <= MAX_MULTIPLIER:
        _bad(f"fee multiplier {stated!r} is not between 0 and {MAX_MULTIPLIER // MULTIPLIER_SCALE}")
    return FeeChange(fee_type, multiplier)
