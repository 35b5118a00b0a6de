"""One's own orders as a file of events says them: a header and a line an event, CSV or JSON lines.

- event: order, place, fill or end
- id: of the order
- time_ms: the exchange's time, ms since 1970 UTC; of an order: when it was accepted
- market, side, price_cents, contracts (order): side yes or no, the price on that side, and the
  contracts that came to rest
- decided_ms (order, may be empty): exchange's time of the latest book message the decision knew
- sent_ms, answered_ms (order, may be empty): one's own clock, when it went out and when the answer
  came
- ahead (place): contracts in front of the order, as the exchange says
- contracts (fill): filled
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from kalshi_sim.errors import ConfigError
from kalshi_sim.text import printable

SIDES: Final = ("yes", "no")
EVENTS: Final = ("order", "place", "fill", "end")
_HUNDREDTHS: Final = 100
"""Of a cent, and of a contract."""
_LARGEST: Final = 2**53


@dataclass
class OwnOrder:
    """An order of one's own that came to rest; prices in 1/100 cent, sizes in 1/100 contract."""

    name: str
    market: str
    side: int
    price: int
    size: int
    rested_ms: int
    ended_ms: int | None = None
    places: list[tuple[int, int]] = field(default_factory=list)
    """(time, contracts in front in 1/100)."""
    fills: list[tuple[int, int]] = field(default_factory=list)
    """(time, size)."""


@dataclass
class OwnLog:
    """Orders of one's own, and how long they took."""

    orders: list[OwnOrder] = field(default_factory=list)
    at_exchange_ms: list[float] = field(default_factory=list)
    """From the book a decision knew to the order's acceptance, both by the exchange's clock."""
    round_trip_ms: list[float] = field(default_factory=list)
    """From sending an order to its answer, by one's own clock."""
    left_out: dict[str, int] = field(default_factory=dict)
    """What could not be used, by reason."""

    def leave_out(self, why: str) -> None:
        """Count what could not be used.

        Args:
            why: the reason.
        """
        self.left_out[why] = self.left_out.get(why, 0) + 1


def read_own_log(path: Path) -> OwnLog:
    """Read a file of one's own orders.

    Args:
        path: CSV with a header (`.csv`), else JSON lines.

    Returns:
        The orders.

    Raises:
        ConfigError: the file cannot be read, or a line is not understood.
    """
    log = OwnLog()
    orders: dict[str, OwnOrder] = {}
    for where, line in _lines(path):
        event = line.get("event")
        if event not in EVENTS:
            raise ConfigError(f"{where}: event {_said(event)}: must be one of {', '.join(EVENTS)}")
        name = str(line.get("id") or "")
        if not name:
            raise ConfigError(f"{where}: id is missing")
        if event == "order":
            if name in orders:
                raise ConfigError(f"{where}: order {printable(name, 40)} is there already")
            orders[name] = _order(where, name, line, log)
            continue
        if name not in orders:
            raise ConfigError(f"{where}: order {printable(name, 40)} has no line before this one")
        order, at = orders[name], _whole(where, line, "time_ms")
        if event == "place":
            order.places.append((at, _hundredths(where, line, "ahead")))
        elif event == "fill":
            order.fills.append((at, _hundredths(where, line, "contracts")))
        else:
            order.ended_ms = at
    log.orders = list(orders.values())
    return log


def _order(where: str, name: str, line: Mapping[str, Any], log: OwnLog) -> OwnOrder:
    side, market = line.get("side"), line.get("market")
    if side not in SIDES:
        raise ConfigError(f"{where}: side {_said(side)}: must be yes or no")
    if not market:
        raise ConfigError(f"{where}: market is missing")
    at = _whole(where, line, "time_ms")
    if line.get("decided_ms") not in (None, ""):
        log.at_exchange_ms.append(at - _number(where, line, "decided_ms"))
    if line.get("sent_ms") not in (None, ""):
        log.round_trip_ms.append(
            _number(where, line, "answered_ms") - _number(where, line, "sent_ms")
        )
    for kind in (log.at_exchange_ms, log.round_trip_ms):
        if kind and kind[-1] < 0:
            raise ConfigError(f"{where}: it arrives {-kind[-1]:g} ms before it was decided or sent")
    return OwnOrder(
        name=name,
        market=str(market),
        side=SIDES.index(side),
        price=_hundredths(where, line, "price_cents"),
        size=_hundredths(where, line, "contracts"),
        rested_ms=at,
    )


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: it is no text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if path.suffix.lower() == ".csv":
        for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
            yield f"{path} line {number}", row
        return
    for number, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            found = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path} line {number}: it is no JSON ({error})") from None
        if not isinstance(found, dict):
            raise ConfigError(f"{path} line {number}: it is no JSON object")
        yield f"{path} line {number}", found


def _said(value: Any) -> str:
    return "is missing" if value in (None, "") else printable(str(value), 40)


def _number(where: str, line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    try:
        number = float(value)  # type: ignore[arg-type]  # anything may stand there
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) < _LARGEST or isinstance(value, bool):
        raise ConfigError(f"{where}: {name} {_said(value)}: must be a number")
    return number


def _whole(where: str, line: Mapping[str, Any], name: str) -> int:
    number = _number(where, line, name)
    if number != int(number) or number < 0:
        raise ConfigError(f"{where}: {name} {number:g}: must be whole milliseconds since 1970")
    return int(number)


def _hundredths(where: str, line: Mapping[str, Any], name: str) -> int:
    number = _number(where, line, name) * _HUNDREDTHS
    if number < 0 or abs(number - round(number)) > 1e-6:
        raise ConfigError(f"{where}: {name} {line.get(name)}: must be 0 or more, in 1/100 steps")
    return round(number)
