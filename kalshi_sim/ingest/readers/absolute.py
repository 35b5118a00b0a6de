"""Vendors' Parquet and CSV files in which a row says how much now rests at a level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import (
    MARKET_KEYS,
    TIME_KEYS,
    Block,
    Head,
    ReadOptions,
)
from kalshi_sim.ingest.readers.tables import number_as_text, table_rows, time_ms
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import RECEIVE_KEYS
from kalshi_sim.units import (
    PRICE_SCALE,
    SIZE_SCALE,
    STORED_PER_CENT,
    format_decimal,
    mirror,
    parse_contracts,
    parse_decimal,
)

_SIZES: Final = ("size", "new_size", "quantity", "qty", "contracts")
_CHANGES: Final = ("delta", "delta_fp", "delta_amount", "change")
_PRICES: Final = ("price_cents", "price_dollars", "price")
_SCALES: Final = {"price_cents": STORED_PER_CENT, "price_dollars": PRICE_SCALE}
"""Stored units in a unit of the column; that of `price` is decided by its first row."""
_SIDES: Final = ("side", "outcome_side")
_KINDS: Final = ("event_type", "type", "kind", "update_type", "action")
_SIDE: Final = {"yes": 0, "no": 1, "bid": 0, "ask": 1}
"""A bid is one on YES; an ask of YES at a price is a bid on NO at the mirror of it."""
_NAMES: Final = ("yes", "no")


class AbsoluteReader:
    """Sizes become signed changes against what the level held; rows of a snapshot become one."""

    name = "absolute"
    record = "row"

    def knows(self, head: Head) -> bool:
        """By a size, a price and a side for each row, and no column of changes."""
        columns = head.columns
        return all(
            any(name in columns for name in names)
            for names in (MARKET_KEYS, _SIZES, _PRICES, _SIDES)
        ) and not any(name in columns for name in (*_CHANGES, "taker_side", "trade_id"))

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The table's rows as snapshots and deltas.

        Args:
            source: the table.
            options: not used.
        """
        columns = Head(source.path, source.head()).columns
        chosen = [
            _column(source, columns, names)
            for names in (MARKET_KEYS, (*RECEIVE_KEYS, *TIME_KEYS), _SIDES, _PRICES, _SIZES)
        ]
        kind = next((name for name in _KINDS if name in columns), None)
        changes = _Changes(chosen[3])
        first = 0
        for first, values in table_rows(source, [*chosen, *([kind] if kind else [])]):
            yield changes.block(first, list(zip(*values, strict=True)))
        yield changes.rest()


class _Changes:
    """What each level holds, and a snapshot whose rows have not ended yet."""

    def __init__(self, price_column: str) -> None:
        self._price_column = price_column
        self._scale = _SCALES.get(price_column)
        self._held: dict[str, dict[tuple[int, int], int]] = {}
        self._open: tuple[str, int] | None = None
        self._last_row = 0

    def block(self, first: int, rows: Sequence[tuple[Any, ...]]) -> Block:
        """Rows as frames; the slot of a snapshot that may go on is given with the next block."""
        out: list[bytes] = []
        bad: list[tuple[int, str]] = []
        start = first
        if self._open is not None:
            out.append(b"")
            start = first - 1
        for i, row in enumerate(rows):
            try:
                self._add(row, out)
            except (ValueError, TypeError, ArithmeticError) as error:
                self._close(out)
                out.append(b"")
                bad.append((first + i, str(error)))
        self._last_row = first + len(rows) - 1
        if self._open is not None:
            out.pop()
        return Block(start, b"\n".join(out), tuple(bad))

    def rest(self) -> Block:
        """The snapshot at the end, if there is one."""
        out = [b""]
        self._close(out)
        return Block(self._last_row, out[0])

    def _add(self, row: tuple[Any, ...], out: list[bytes]) -> None:
        """One row: `out` gets its line, and what it ends in the line before."""
        market, time, side, price, size, *kind = row
        if not isinstance(market, str) or not market:
            raise ValueError("the market is missing")
        ms = time_ms(time)
        if ms is None:
            raise ValueError("the time is missing")
        level = self._level(side, price)
        text = number_as_text(size)
        if text is None:
            raise ValueError("the size is missing")
        number = parse_contracts(text)
        if number < 0:
            raise ValueError(f"size {text} is negative: these rows are no absolute sizes")
        if kind and "snapshot" in str(kind[0]).lower():
            if self._open != (market, ms):
                self._close(out)
                self._open = (market, ms)
                self._held[market] = {}
            self._held[market][level] = number
            out.append(b"")
            return
        self._close(out)
        held = self._held.setdefault(market, {})
        change = number - held.get(level, 0)
        held[level] = number
        message = {
            "market_ticker": market,
            "side": _NAMES[level[0]],
            "price_dollars": format_decimal(level[1], PRICE_SCALE),
            "delta_fp": format_decimal(change, SIZE_SCALE),
            "ts_ms": ms,
        }
        out.append(
            msgspec.json.encode({"type": "orderbook_delta", "recv_ts_ms": ms, "msg": message})
        )

    def _close(self, out: list[bytes]) -> None:
        """The open snapshot ends: its frame stands in the line of its last row."""
        if self._open is None:
            return
        market, ms = self._open
        self._open = None
        message: dict[str, Any] = {"market_ticker": market}
        for (side, price), size in self._held[market].items():
            levels = message.setdefault(f"{_NAMES[side]}_dollars_fp", [])
            levels.append((format_decimal(price, PRICE_SCALE), format_decimal(size, SIZE_SCALE)))
        frame = {"type": "orderbook_snapshot", "recv_ts_ms": ms, "msg": message}
        out[-1] = msgspec.json.encode(frame)

    def _level(self, side: Any, price: Any) -> tuple[int, int]:
        name = str(side).lower()
        if name not in _SIDE:
            raise ValueError(f"unknown side {side!r}; known are yes, no, bid and ask (of YES)")
        text = number_as_text(price)
        if text is None:
            raise ValueError("the price is missing")
        if self._scale is None:
            self._scale = PRICE_SCALE if 0 < float(text) < 1 else STORED_PER_CENT
        stored = parse_decimal(text, self._scale)
        guessed = self._price_column not in _SCALES and self._scale == STORED_PER_CENT
        if not 0 < stored < PRICE_SCALE or (guessed and stored % STORED_PER_CENT):
            unit = "whole cents" if guessed else "cents" if self._scale < PRICE_SCALE else "dollars"
            first = ", as the first row" if self._price_column not in _SCALES else ""
            raise ValueError(
                f"{self._price_column} {text!r} is not between 0 and 1 dollar ({unit}{first})"
            )
        return _SIDE[name], mirror(stored, PRICE_SCALE) if name == "ask" else stored


def _column(source: Source, columns: Sequence[str], names: Sequence[str]) -> str:
    found = [name for name in names if name in columns]
    if not found:
        raise DataError(
            f"{source.path}: no column of {', '.join(names)}, so it cannot be read as a table of "
            f"sizes; it has {', '.join(columns) or 'none'}"
        )
    return found[0]
