"""Polls of the REST order book: a book a line, with its market and the time of the poll."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kalshi_sim.ingest.readers.protocol import (
    MARKET_KEYS,
    TIME_KEYS,
    Block,
    Head,
    ReadOptions,
    convert_lines,
    json_object,
    receive_time,
)
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import RECEIVE_KEYS

_BOOK_KEYS: Final = ("orderbook_fp", "orderbook")
_AROUND: Final = ("response", "data", "body", "result")
"""Fields in which pollers keep the answer of the exchange."""


class PollsReader:
    """Every poll is a snapshot; nothing is known of what happened between two of them."""

    name = "polls"
    record = "line"

    def knows(self, head: Head) -> bool:
        """By an order book in the first line, outside of any frame."""
        return _book(head.first) is not None

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The file's lines as REST order books with market and time; other lines stay.

        Args:
            source: the text file.
            options: not used.
        """
        yield from convert_lines(source, _convert)


def _book(poll: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """The object that holds the order book, and under which key."""
    for holder in (poll, *(poll.get(key) for key in _AROUND)):
        if isinstance(holder, dict):
            for key in _BOOK_KEYS:
                if isinstance(holder.get(key), dict):
                    return holder, key
    return None


def _convert(line: bytes) -> bytes:
    poll = json_object(line)
    found = _book(poll)
    if found is None:
        return line
    holder, key = found
    book = holder[key]
    around = {**holder, **poll}
    market = next((around[k] for k in MARKET_KEYS if isinstance(around.get(k), str)), None)
    market = market or book.get("market_ticker") or book.get("ticker")
    if not isinstance(market, str) or not market:
        raise ValueError(f"a poll without a market: known keys are {', '.join(MARKET_KEYS)}")
    time = receive_time(around)
    if not time:
        known = ", ".join((*RECEIVE_KEYS, *TIME_KEYS))
        raise ValueError(f"a poll without a time: known keys are {known}")
    return msgspec.json.encode({**time, "market_ticker": market, key: _in_dollars(book)})


def _in_dollars(book: dict[str, Any]) -> dict[str, Any]:
    """Under `yes` and `no` are cents; where all prices lie below 1 they can only be dollars."""
    levels = [*(book.get("yes") or ()), *(book.get("no") or ())]
    try:
        dollars = bool(levels) and all(0 < float(price) < 1 for price, _ in levels)
    except (TypeError, ValueError):
        return book
    if not dollars or "yes_dollars" in book or "no_dollars" in book:
        return book
    rest = {k: v for k, v in book.items() if k not in ("yes", "no")}
    return {**rest, "yes_dollars": book.get("yes"), "no_dollars": book.get("no")}
