"""The book without one's own orders: what a policy was trained on has none of its own in it.

The exchange names the client's order in a change of the book that this order caused, to that
client alone. Such a change becomes a frame that no book reads, and a snapshot loses what rests of
the account's orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from kalshi_sim.ingest.segments import FRAME, frame_of
from kalshi_sim.units import SIZE_SCALE, format_decimal, parse_contracts, parse_dollars

_RAW: Final = b',"raw":'
_OWN: Final = b'"client_order_id"'
_DELTA: Final = b'"orderbook_delta"'
_SNAPSHOT: Final = b'"orderbook_snapshot"'
_PASSED_OVER: Final = b'"fill"'
"""The type of frames that importers count and do not read."""
_SIDE_KEYS: Final = ("yes_dollars_fp", "no_dollars_fp")
PRIVATE: Final = {
    "fill": (b'"fill"', b'"trade_id"'),
    "user_order": (b'"user_order"',),
    "market_position": (b'"market_position"',),
}
"""Types of the frames of an account, and words that they hold."""

Levels = list[list[int]]
"""[side, price in 1/100 cent, size in 1/100 contract] of own orders."""


def private_message(line: bytes) -> tuple[str, Any] | None:
    """What a line says of the account.

    Args:
        line: of a segment.

    Returns:
        The type and message of its frame; None: it is none on the account.
    """
    for kind, words in PRIVATE.items():
        if all(word in line for word in words) and line.startswith(FRAME):
            frame = msgspec.json.decode(frame_of(line) or b"null")
            if isinstance(frame, dict) and frame.get("type") == kind:
                return kind, frame.get("msg")
    return None


def is_own_change(line: bytes) -> bool:
    """Whether a line is a change of a book that an order of the account caused."""
    return _OWN in line and _DELTA in line and line.startswith(FRAME)


def is_snapshot(line: bytes) -> bool:
    """Whether a line is a snapshot of a book."""
    return _SNAPSHOT in line and line.startswith(FRAME)


def without_own(line: bytes, rests: Callable[[str], Levels]) -> tuple[bytes, str, Levels]:
    """A line without what is the account's own.

    Args:
        line: of a segment.
        rests: what rests of the account's orders in a market.

    Returns:
        The line, and of a snapshot its market and what was taken out of it (else "" and nothing).
    """
    if is_own_change(line):
        return line.replace(_DELTA, _PASSED_OVER, 1), "", []
    if not is_snapshot(line):
        return line, "", []
    frame = msgspec.json.decode(frame_of(line) or b"null")
    ticker = frame["msg"]["market_ticker"]
    own = rests(ticker)
    if not own:
        return line, ticker, []
    at = line.find(_RAW) + len(_RAW)
    _take_out(frame["msg"], own)
    return line[:at] + msgspec.json.encode(frame) + b"}\n", ticker, own


def _take_out(message: dict[str, Any], own: Iterable[list[int]]) -> None:
    for side, price, size in own:
        levels = message.get(_SIDE_KEYS[side]) or []
        for level in levels:
            if parse_dollars(level[0]) == price:
                left = max(0, parse_contracts(level[1]) - size)
                level[1] = format_decimal(left, SIZE_SCALE)
        message[_SIDE_KEYS[side]] = [level for level in levels if parse_contracts(level[1])]


def cleaned(
    lines: Iterable[bytes], taken_out: Mapping[int, Levels]
) -> Iterable[tuple[bytes, bytes]]:
    """A recording as a run knew it.

    Args:
        lines: of its segments.
        taken_out: what was taken out of snapshots, by the number of the frame.

    Yields:
        Each line as it was recorded, and as the run knew it.
    """
    frames = 0
    for line in lines:
        frames += line.startswith(FRAME)
        own = taken_out.get(frames, [])
        yield line, without_own(line, lambda ticker, own=own: own)[0]  # type: ignore[misc]  # bound now
