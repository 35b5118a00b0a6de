"""Files that hold no order book, known by what they hold and refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions
from kalshi_sim.ingest.sources import Source

_CANDLES: Final = (
    {"open", "high", "low", "close"},
    {"yes_open", "yes_close"},
    {"price_open", "price_close"},
    {"candlesticks"},
    {"end_period_ts"},
)
_TRADES: Final = ({"trade_id"}, {"taker_side"}, {"yes_price", "no_price", "count"})


class _Refused:
    record = "row"

    def __init__(self, name: str, what: str, marks: tuple[set[str], ...]) -> None:
        self.name = name
        self._what = what
        self._marks = marks

    def knows(self, head: Head) -> bool:
        """By the columns of a table, or the keys of a first line that is no frame."""
        first = head.first
        if "msg" in first or "raw" in first:
            return False
        keys = {*head.columns, *first}
        return any(keys >= mark for mark in self._marks)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """None.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"{source.path} holds {self._what}, from which no order book can be rebuilt; give a "
            "recording of the order book (docs/formats.md)"
        )


CANDLES: Final = _Refused("candles", "candles (prices by period)", _CANDLES)
TRADES: Final = _Refused("trades", "trades alone", _TRADES)
