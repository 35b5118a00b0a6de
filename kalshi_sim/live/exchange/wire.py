"""Values and messages as the exchange writes them on the wire."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kalshi_sim.session import PriceRanges
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE, SIZE_SCALE, format_decimal, mirror

Message = dict[str, Any]
SIDE_NAMES: Final = ("yes", "no")
BOOK_SIDES: Final = ("bid", "ask")
"""Sides of the YES book by whose bids they are: YES bids, and NO bids seen as offers of YES."""
_NAMESPACE: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
_encode = msgspec.json.encode


def dollars(price: int) -> str:
    """A price or an amount in 1/100 cent as the text of dollars: "0.4200"."""
    return format_decimal(price, PRICE_SCALE)


def contracts(size: int) -> str:
    """A size in 1/100 contract as text: "13.00"."""
    return format_decimal(size, SIZE_SCALE)


def iso(ms: int) -> str:
    """A time as RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(ms // MS_PER_SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % MS_PER_SECOND:03d}Z"


def name_of(kind: str, text: str) -> str:
    """An identifier that is the same for the same text.

    Args:
        kind: of thing that is named.
        text: which of them.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{text}"))


def bands(ranges: PriceRanges) -> list[dict[str, str]]:
    """A grid as `price_ranges`."""
    names = ("start", "end", "step")
    return [dict(zip(names, map(dollars, band), strict=True)) for band in ranges]


def shown_price(side: int, price: int, *, use_yes_price: bool) -> str:
    """A price of a side as a subscription states it.

    Args:
        side: 0 YES, 1 NO.
        price: of that side, in 1/100 cent.
        use_yes_price: whether NO bids are priced in YES terms.
    """
    return dollars(mirror(price, PRICE_SCALE) if side == 1 and use_yes_price else price)


def encoded(message: Message) -> bytes:
    """A message as JSON."""
    return _encode(message)


def envelope(kind: str, sid: int, seq: int | None, sending_ms: int, message: bytes) -> bytes:
    """A frame of a subscription.

    Args:
        kind: its type.
        sid: number of the subscription.
        seq: the frame's number in it; None on channels without numbers.
        sending_ms: when it is sent, in the exchange's time.
        message: the `msg`, encoded.
    """
    number = b"" if seq is None else b',"seq":%d' % seq
    return b'{"type":"%s","sid":%d%s,"sending_ts_ms":%d,"msg":%s}' % (
        kind.encode(),
        sid,
        number,
        sending_ms,
        message,
    )
