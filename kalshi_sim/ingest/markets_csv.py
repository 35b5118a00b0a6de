"""`markets.csv`: what recordings do not say of their markets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.frames import PriceRange
from kalshi_sim.ingest.price_ranges import read_price_ranges
from kalshi_sim.ingest.wire_time import rfc3339_ms
from kalshi_sim.session import MarketInfo, PriceRanges
from kalshi_sim.units import MULTIPLIER_SCALE, PRICE_SCALE, parse_decimal, parse_dollars

_RESULTS: Final = {"yes": PRICE_SCALE, "no": 0}
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def _value(text: str) -> int:
    value = parse_dollars(text)
    if not 0 <= value <= PRICE_SCALE:
        raise ValueError(f"{text!r} is not between 0 and 1 dollar")
    return value


def _result(text: str) -> int | None:
    if text == "scalar":
        return None
    if text not in _RESULTS:
        raise ValueError(f"{text!r} is none of yes, no, scalar")
    return _RESULTS[text]


def _multiplier(text: str) -> int:
    value = parse_decimal(text, MULTIPLIER_SCALE)
    if value < 0:
        raise ValueError(f"{text!r} is negative")
    return value


def _fee_unit(text: str) -> int:
    value = parse_dollars(text)
    if value <= 0:
        raise ValueError(f"{text!r} is not above 0 dollars")
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _BOOLEANS[text.lower()]


def _price_ranges(text: str) -> PriceRanges:
    """Bands as the exchange writes them in JSON, or as `start:end:step;start:end:step`."""
    try:
        if text.startswith("["):
            bands = msgspec.json.decode(text, type=list[PriceRange])
        else:
            bands = [_band(part) for part in text.split(";")]
        return read_price_ranges(bands)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"{text!r} are no price ranges: {error}") from error


def _band(text: str) -> PriceRange:
    numbers = text.split(":")
    if len(numbers) != len(PriceRange.__struct_fields__):
        raise ValueError(f"{text!r} is not start:end:step")
    return PriceRange(*numbers)


_COLUMNS: Final[dict[str, Callable[[str], Any]]] = {
    "event_ticker": str,
    "close_time": rfc3339_ms,
    "result": _result,
    "settlement_value": _value,
    "settlement_time": rfc3339_ms,
    "sub_penny": _boolean,
    "price_ranges": _price_ranges,
    "taker_multiplier": _multiplier,
    "maker_multiplier": _multiplier,
    "fee_unit": _fee_unit,
}
"""Every optional column and its parser; money is in dollars, times are RFC 3339."""


def read_markets_csv(path: str | Path) -> dict[str, MarketInfo]:
    """The markets of a CSV file by ticker; an empty cell is unknown.

    Raises:
        DataError: the file cannot be read, a column is unknown, or a value is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}; give a CSV file of markets") from error
    rows = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if "market_ticker" not in header:
        raise DataError(f"{path}, line 1: the column market_ticker is missing")
    for name in header:
        if name != "market_ticker" and name not in _COLUMNS:
            raise DataError(
                f"{path}, line 1: unknown column {name!r}; known are market_ticker, "
                f"{', '.join(_COLUMNS)}"
            )
    if len(set(header)) != len(header):
        raise DataError(f"{path}, line 1: a column stands there twice")
    out: dict[str, MarketInfo] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) != len(header):
            raise DataError(f"{where}: {len(row)} cells, but the header has {len(header)}")
        market = _market(dict(zip(header, (cell.strip() for cell in row), strict=True)), where)
        if market.ticker in out:
            raise DataError(f"{where}: {market.ticker} stands there twice")
        out[market.ticker] = market
    return out


def _market(cells: dict[str, str], where: str) -> MarketInfo:
    found: dict[str, Any] = {}
    for name, parse in _COLUMNS.items():
        if cells.get(name):
            try:
                found[name] = parse(cells[name])
            except ValueError as error:
                raise DataError(f"{where}, column {name}: {error}") from error
    ticker = cells["market_ticker"]
    if not ticker:
        raise DataError(f"{where}: market_ticker is empty")
    result = found.get("result")
    value = found.get("settlement_value", result)
    if result is not None and value != result:
        raise DataError(f"{where}: settlement_value contradicts the result {cells['result']!r}")
    if cells.get("result") == "scalar" and value is None:
        raise DataError(f"{where}: a scalar result needs a settlement_value")
    return MarketInfo(
        ticker=ticker,
        event_ticker=found.get("event_ticker"),
        close_time_ms=found.get("close_time"),
        settlement_value=value,
        settlement_known_ms=found.get("settlement_time"),
        sub_penny=found.get("sub_penny", False),
        price_ranges=found.get("price_ranges"),
        taker_multiplier=found.get("taker_multiplier"),
        maker_multiplier=found.get("maker_multiplier"),
        fee_unit=found.get("fee_unit"),
    )
