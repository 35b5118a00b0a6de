"""A run's orders in the stream of its recording: where each came, was filled and ended.

Times are in ms since 1970 UTC, in the exchange's time; prices are of the order's own side in 1/100
cent, sizes in 1/100 contract. An order stands behind the last change of its market's book that came
before it: that is where a replay lets it arrive.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kalshi_sim.ingest.segments import FRAME, frame_of
from kalshi_sim.live.interface import SIDES
from kalshi_sim.live.orders.account import Account, Fill
from kalshi_sim.units import PRICE_SCALE, mirror, parse_contracts, parse_dollars

_MONO: Final = b'"mono_ns":'
_SIDE_NAMES: Final = ("yes", "no")
_OVER: Final = ("canceled", "executed")
_KEPT: Final = 64
"""Changes of a market's book among which those that a taker made are looked for."""


@dataclass
class StreamOrder:
    """An order that was sent, and what became of it."""

    ticker: str
    side: int
    """Whose contracts it buys."""
    price: int
    count: int
    client_order_id: str
    order_id: str = ""
    once: bool = False
    """Immediate or cancel."""
    arrived_ms: int | None = None
    """Time of the last change of the book before it."""
    came_ms: int = 0
    """When it came, by the exchange."""
    heard: bool = False
    """A frame said when it came; else it is known from the answer to the call alone."""
    silent: bool = False
    """It neither rested nor traded, so that no frame says when it came."""
    ended_ms: int | None = None
    """The same of its cancel; None: it was filled, or rests to the end."""
    fills: list[Fill] = field(default_factory=list)
    alone: Counter[str] = field(default_factory=Counter)
    """By trade: contracts that an order brought which the book never showed (own impact)."""
    places: list[tuple[int, int]] = field(default_factory=list)
    """(time, what stood in front of it) by the exchange."""
    shared: bool = False
    """Its arrival, or its end, lies between two changes of the same millisecond."""

    @property
    def filled(self) -> int:
        """What was filled of it."""
        return sum(fill.count for fill in self.fills)


@dataclass
class _Change:
    before_ms: int
    ms: int
    side: int
    price: int
    size: int
    used: bool = False


@dataclass
class _Market:
    """How far the stream of a market has come."""

    last_ms: int = 0
    changes: list[_Change] = field(default_factory=list)
    waiting: list[StreamOrder] = field(default_factory=list)
    """Orders that came, or ended, since the last change of the book."""
    monos: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """Of each change of the book: when it was received, and its time."""


class Stream:
    """Reads a recording once."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        """Know what was sent.

        Args:
            lines: of a leg's log.
        """
        self.orders: dict[str, StreamOrder] = {}
        """By client order id; those that the exchange took."""
        self._log = list(lines)
        self._by_id: dict[str, StreamOrder] = {}
        self._markets: defaultdict[str, _Market] = defaultdict(_Market)
        self._account = Account()
        self._trades: set[str] = set()
        self._removed: defaultdict[tuple[str, int, int, int], list[tuple[int, int]]]
        self._removed = defaultdict(list)
        """(number of the frame, size) by market, time, side and price."""
        self._filled_at: dict[str, int] = {}
        """Number of the frame of a fill, by trade."""
        self._frames = 0
        wanted = {line["id"]: line for line in self._log if line["t"] == "order"}
        for line in self._log:
            if line["t"] == "answer":
                self._sent(wanted[line["id"]], line)

    def _sent(self, order: dict[str, Any], answer: dict[str, Any]) -> None:
        side, yes = SIDES.index(order["side"]), parse_dollars(order["price"])
        sent = StreamOrder(
            ticker=order["m"],
            side=side,
            price=yes if side == 0 else mirror(yes, PRICE_SCALE),
            count=parse_contracts(order["count"]),
            client_order_id=order["id"],
            order_id=answer["oid"],
            once=order["tif"] != "good_till_canceled",
            came_ms=answer["ms"] or 0,
            silent=parse_contracts(answer["filled"]) + parse_contracts(answer["remaining"]) == 0,
        )
        self.orders[sent.client_order_id] = self._by_id[sent.order_id] = sent

    def read(self, recording: Iterable[bytes]) -> list[StreamOrder]:
        """Read the recording.

        Args:
            recording: lines as they were recorded.

        Returns:
            The orders that came at a time that is known.
        """
        for line in recording:
            if line.startswith(FRAME):
                frame = msgspec.json.decode(frame_of(line) or b"null")
                if isinstance(frame, dict) and isinstance(frame.get("msg"), dict):
                    self._frame(frame, frame["msg"], line)
        self._of_log()
        for order in self.orders.values():
            self._mark_alone(order)
        return [order for order in self.orders.values() if order.arrived_ms is not None]

    def _frame(self, frame: dict[str, Any], message: dict[str, Any], line: bytes) -> None:
        kind = frame.get("type")
        self._frames += 1
        if kind == "orderbook_delta":
            if "client_order_id" in message:
                self._own(message)
            else:
                self._change(message, line)
        elif kind == "orderbook_snapshot":
            market = self._markets[message["market_ticker"]]
            self._passes(market, frame.get("sending_ts_ms") or market.last_ms, line)
        elif kind == "trade":
            self._trades.add(message["trade_id"])
        elif kind == "fill":
            fill = self._account.take_fill(message)
            if fill is not None:
                self._fill(fill)
        elif kind == "user_order" and message["status"] in _OVER:
            order = self._by_id.get(message["order_id"])
            if order is not None and message["status"] == "canceled":
                self._ends(order)

    def _passes(self, market: _Market, ms: int, line: bytes) -> None:
        """A book of others changes."""
        now = max(market.last_ms, ms)
        for order in market.waiting:
            order.shared |= now == market.last_ms
        market.waiting.clear()
        market.last_ms = now
        at = line.find(_MONO) + len(_MONO)
        market.monos.append(int(line[at : line.find(b",", at)]))
        market.times.append(now)

    def _change(self, message: dict[str, Any], line: bytes) -> None:
        market = self._markets[message["market_ticker"]]
        before = market.last_ms
        self._passes(market, message["ts_ms"], line)
        side = _SIDE_NAMES.index(message["side"])
        price, size = parse_dollars(message["price_dollars"]), parse_contracts(message["delta_fp"])
        market.changes.append(_Change(before, market.last_ms, side, price, size))
        del market.changes[:-_KEPT]
        if size < 0:
            key = message["market_ticker"], market.last_ms, side, price
            self._removed[key].append((self._frames, -size))

    def _own(self, message: dict[str, Any]) -> None:
        order = self.orders.get(message["client_order_id"])
        if (
            order is None
            or parse_contracts(message["delta_fp"]) <= 0
            or order.arrived_ms is not None
        ):
            return
        market = self._markets[order.ticker]
        order.arrived_ms, order.came_ms = market.last_ms, message["ts_ms"]
        order.heard = True
        market.waiting.append(order)

    def _ends(self, order: StreamOrder) -> None:
        if order.ended_ms is None:
            market = self._markets[order.ticker]
            order.ended_ms = market.last_ms
            market.waiting.append(order)

    def _fill(self, fill: Fill) -> None:
        order = self._by_id.get(fill.order_id)
        if order is None:
            return
        order.fills.append(fill)
        self._filled_at[fill.trade_id] = self._frames
        if not fill.taker or order.arrived_ms is not None:
            return
        for change in reversed(self._markets[fill.ticker].changes):
            taken = (1 - fill.side, mirror(fill.price, PRICE_SCALE), -fill.count)
            if not change.used and (change.side, change.price, change.size) == taken:
                change.used = True
                order.arrived_ms, order.came_ms = change.before_ms, fill.ms
                order.heard = True
                order.shared |= change.before_ms == change.ms
                return

    def _of_log(self) -> None:
        """What no frame said: the log knows when it was heard of."""
        for line in self._log:
            kind = line["t"]
            if kind == "answer":
                order = self.orders[line["id"]]
                if order.arrived_ms is None:
                    order.arrived_ms = self._at(order.ticker, line["mono"])
                    order.came_ms = order.came_ms or order.arrived_ms or 0
            elif kind == "withdrawn" and "reduced" in line and line["oid"] in self._by_id:
                order = self._by_id[line["oid"]]
                if order.ended_ms is None:
                    order.ended_ms = self._at(order.ticker, line["mono"])
            elif kind == "queue":
                for order_id, ahead in line["places"].items():
                    order = self._by_id.get(order_id, _NOBODY)
                    ms = self._at(order.ticker, line["mono"])
                    if ms is not None:
                        order.places.append((ms, parse_contracts(ahead)))
            elif kind == "fill" and line["oid"] in self._by_id:
                self._late_fill(self._by_id[line["oid"]], line)

    def _late_fill(self, order: StreamOrder, line: dict[str, Any]) -> None:
        if any(fill.trade_id == line["trade"] for fill in order.fills):
            return
        yes = parse_dollars(line["price"])
        order.fills.append(
            Fill(
                trade_id=line["trade"],
                order_id=order.order_id,
                ticker=order.ticker,
                side=order.side,
                price=yes if order.side == 0 else mirror(yes, PRICE_SCALE),
                count=parse_contracts(line["count"]),
                fee=parse_dollars(line["fee"]),
                taker=line["taker"],
                ms=line["ms"],
            )
        )

    def _at(self, ticker: str, mono_ns: int) -> int | None:
        """Time of the last change of a book before something was heard of."""
        market = self._markets[ticker]
        at = bisect.bisect_right(market.monos, mono_ns) - 1
        return market.times[at] if at >= 0 else None

    def _mark_alone(self, order: StreamOrder) -> None:
        """Fills by orders that no book ever showed: what they would have done is not known."""
        for fill in order.fills:
            at = self._filled_at.get(fill.trade_id)
            if fill.taker or at is None or fill.trade_id not in self._trades:
                continue
            removed = self._removed[order.ticker, fill.ms, order.side, order.price]
            behind = sum(size for number, size in removed if number > at)
            if behind < fill.count:  # else a taker would have hit what stood behind it
                order.alone[fill.trade_id] += fill.count


_NOBODY: Final = StreamOrder("", 0, 0, 0, "")
