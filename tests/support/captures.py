"""Legal captures with known truth: an exchange, sockets that record it, layouts of files.

Written from the contract and the description of the wire, not from the import. The exchange knows
every book; what a recorder wrote of it, and which of that is the market's book, is decided as the
frames are made.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

BEGIN_MS: Final = 1_780_000_000_000
Book = tuple[dict[int, int], dict[int, int]]
"""Contracts by price in cents, YES and NO."""
LAYOUTS: Final = (
    "one",
    "market",
    "channel",
    "type",
    "cut",
    "overlap",
    "market and cut",
    "market and overlap",
    "contained",
)


@dataclass
class Line:
    """One frame as it was written."""

    text: str
    market: str | None
    kind: str


@dataclass
class Truth:
    """What a market's import must give: (ms, book) after each event, and traded contracts."""

    books: list[tuple[int | None, Book]] = field(default_factory=list)
    told: list[int | None] = field(default_factory=list)
    """The time each event told, None for a snapshot without one."""
    traded: list[int] = field(default_factory=list)
    """Of every delta."""
    trades: int = 0

    def timed(self) -> list[tuple[int | None, Book]]:
        """Events with their times: raised to the running maximum; snapshots' inferred."""
        out: list[tuple[int | None, Book]] = []
        latest: int | None = None
        for at, (told, (_, book)) in enumerate(zip(self.told, self.books, strict=True)):
            time = told
            if time is None and any(earlier is not None for earlier in self.told[:at]):
                time = (latest or 0) + 1
            elif time is None:
                time = next((later for later in self.told[at:] if later is not None), None)
            latest = time if latest is None else max(latest, time) if time is not None else latest
            out.append((latest, book))
        return out


@dataclass
class Socket:
    """One connection at a time: its markets and subscriptions."""

    markets: list[str]
    sid: int = 1
    trade_sid: int = 2
    numbers: dict[int, int] = field(default_factory=dict)
    ending: int | None = None
    """A former sid that still tells."""
    known: set[str] = field(default_factory=set)
    """Markets whose book this subscription has told."""

    def next_number(self, sid: int) -> int:
        """The next number of a subscription."""
        self.numbers[sid] = self.numbers.get(sid, 0) + 1
        return self.numbers[sid]


class Recording:
    """A recording made by chance from a seed, a frame a line, and its truth."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        draw = self.random
        self.received = draw.random() < 0.5
        self.era = draw.choice(("legacy", "between", "new"))
        self.restarts = False
        self.markets = [f"KXT-26JUN01-{c}" for c in "ABCD"[: draw.choice((3, 4))]]
        self.books: dict[str, Book] = {m: self._new_book() for m in self.markets}
        self.truth = {m: Truth() for m in self.markets}
        self.lines: list[Line] = []
        self.ms = BEGIN_MS
        self.counter = 0
        split = draw.random() < 0.3
        groups = [self.markets[:2], self.markets[2:]] if split else [self.markets]
        self.sockets = [Socket(list(group)) for group in groups]
        actions = draw.choice(
            (
                ("delta",),
                ("delta", "connect"),
                ("delta", "subscribe"),
                ("delta", "connect", "subscribe"),
            )
        )
        for socket in self.sockets:
            self._subscribe(socket)
        for _ in range(draw.randint(10, 110)):
            self._step(draw.choice(self.sockets), actions)
        if draw.random() < 0.3:  # the closing snapshot has no side at all
            socket = draw.choice(self.sockets)
            market = draw.choice(socket.markets)
            self.books[market] = ({}, {})
            if market in socket.known:
                self._snapshot(socket, market)

    def _new_book(self) -> Book:
        draw = self.random
        if draw.random() < 0.1:
            return {}, {}
        return (
            {p: draw.randint(1, 500) for p in draw.sample(range(20, 45), draw.randint(0, 5))},
            {p: draw.randint(1, 500) for p in draw.sample(range(20, 45), draw.randint(1, 5))},
        )

    def _step(self, socket: Socket, actions: tuple[str, ...]) -> None:
        draw = self.random
        self.ms += draw.choice((0, 1, 3, 20, 150, 700, 3_000))
        chance = draw.random()
        if chance < 0.05 and "connect" in actions:
            self._reconnect(socket)
        elif chance < 0.11 and "subscribe" in actions:
            self._resubscribe(socket)
        elif chance < 0.15:
            self._snapshot(socket, draw.choice(socket.markets))
        elif chance < 0.19:
            listed = {"market_tickers": socket.markets}
            self._write("ok", socket.sid, socket.next_number(socket.sid), listed, None)
        elif chance < 0.21:
            self._write("subscribed", None, None, {"channel": "trade", "sid": 9}, None)
        else:
            self._delta(socket, draw.choice(socket.markets))

    def _lose(self, socket: Socket) -> None:
        """Time and changes pass that nobody records."""
        self.ms += self.random.choice((40, 400, 5_000, 60_000))
        for market in socket.markets:
            for _ in range(self.random.randint(0, 3)):
                self._change(market)

    def _reconnect(self, socket: Socket) -> None:
        self.restarts = True
        self._lose(socket)
        socket.numbers, socket.sid, socket.trade_sid, socket.ending = {}, 1, 2, None
        self._subscribe(socket)

    def _resubscribe(self, socket: Socket) -> None:
        self.restarts = True
        old = socket.sid
        before = self.random.random() < 0.5
        if before:
            self._write("unsubscribed", old, socket.next_number(old), None, None)
            self._lose(socket)
        socket.sid = max(socket.numbers) + 1
        socket.trade_sid = max(socket.trade_sid, 2)
        self._subscribe(socket)
        if not before:
            socket.ending = old
            for _ in range(self.random.randint(0, 4)):
                self.ms += self.random.choice((0, 1, 5))
                self._delta(socket, self.random.choice(socket.markets))
            self._write("unsubscribed", old, socket.next_number(old), None, None)
            socket.ending = None

    def _subscribe(self, socket: Socket) -> None:
        socket.numbers.setdefault(socket.trade_sid, 0)
        socket.known = set()
        markets = self.random.sample(socket.markets, len(socket.markets))
        for market in markets:
            self._snapshot(socket, market)
            if self.random.random() < 0.2:
                self._delta(socket, market)

    def _snapshot(self, socket: Socket, market: str) -> None:
        socket.known.add(market)
        book = self.books[market]
        message: dict[str, Any] = {"market_ticker": market}
        for side, name in enumerate(("yes", "no")):
            levels = sorted(book[side].items())
            if self.era == "legacy":
                message[name] = [[p, n] for p, n in levels] or None
            elif levels:
                key = f"{name}_dollars" + ("_fp" if self.era == "new" else "")
                message[key] = [[f"{p / 100:.4f}", f"{n}.00"] for p, n in levels]
        self._write(
            "orderbook_snapshot", socket.sid, socket.next_number(socket.sid), message, market
        )
        self._told(market, self.ms if self.received else None)

    def _change(self, market: str) -> tuple[int, int, int]:
        """One change of the exchange's book: (side, price, contracts), removals often a trade."""
        draw = self.random
        side = draw.randint(0, 1)
        levels = self.books[market][side]
        self.counter += 1
        price = draw.randint(20, 44)
        large = [p for p, n in levels.items() if n > self.counter]
        if large and draw.random() < 0.5:
            price, change = draw.choice(large), -self.counter
        else:
            change = draw.randint(1, 300) + self.counter
        levels[price] = levels.get(price, 0) + change
        return side, price, change

    def _delta(self, socket: Socket, market: str) -> None:
        if market not in socket.known and socket.ending is None:
            return
        draw = self.random
        side, price, change = self._change(market)
        exchange_ms = self.ms - draw.choice((0, 0, 0, 1))
        traded = change < 0 and draw.random() < 0.5
        first = draw.random() < 0.3
        if traded and first:
            self._trade(socket, market, side, price, -change, exchange_ms)
        message: dict[str, Any] = {"market_ticker": market, "side": ("yes", "no")[side]}
        if self.era in ("legacy", "between"):
            message |= {"price": price, "delta": change}
        if self.era in ("between", "new"):
            message |= {"price_dollars": f"{price / 100:.4f}", "delta_fp": f"{change}.00"}
        if self.era == "new":
            message["ts_ms"] = exchange_ms
        else:
            moment = datetime.fromtimestamp(exchange_ms // 1000, UTC)
            message["ts"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{exchange_ms % 1000:03d}000Z"
        sids = [socket.sid] if market in socket.known else []
        if socket.ending is not None:
            sids.insert(draw.randint(0, len(sids)), socket.ending)
        for sid in sids:
            self._write("orderbook_delta", sid, socket.next_number(sid), message, market)
        if socket.sid in sids or socket.ending in sids:
            self._told(market, exchange_ms)
            self.truth[market].traded.append(-change if traded else 0)
        if traded and not first:
            self._trade(socket, market, side, price, -change, exchange_ms)

    def _trade(
        self, socket: Socket, market: str, side: int, price: int, count: int, ms: int
    ) -> None:
        yes, no = (price, 100 - price) if side == 0 else (100 - price, price)
        message: dict[str, Any] = {
            "trade_id": f"t{self.counter}",
            "market_ticker": market,
            "taker_side": ("no", "yes")[side],
        }
        if self.era == "new":
            dollars = {
                "yes_price_dollars": f"{yes / 100:.4f}",
                "no_price_dollars": f"{no / 100:.4f}",
            }
            message |= {**dollars, "count_fp": f"{count}.00", "ts_ms": ms}
        else:
            message |= {"yes_price": yes, "no_price": no, "count": count, "ts": ms // 1000}
        number = socket.next_number(socket.trade_sid)
        self._write("trade", socket.trade_sid, number, message, market)
        self.truth[market].trades += 1

    def _told(self, market: str, ms: int | None) -> None:
        book = self.books[market]
        shown = tuple({p: n for p, n in side.items() if n} for side in book)
        self.truth[market].books.append((ms, (shown[0], shown[1])))
        self.truth[market].told.append(ms)

    def _write(
        self,
        kind: str,
        sid: int | None,
        seq: int | None,
        message: dict[str, Any] | None,
        market: str | None,
    ) -> None:
        frame = {"type": kind, "sid": sid, "seq": seq, "msg": message}
        text = json.dumps({k: v for k, v in frame.items() if v is not None})
        if self.received:
            text = json.dumps({"recv_ts_ns": self.ms * 1_000_000 + len(self.lines), "raw": text})
        self.lines.append(Line(text, market, kind))

    def files(self, layout: str, draw: random.Random) -> list[list[str]]:
        """The lines in files, in any order."""
        files = [[line.text for line in part] for part in self._parts(layout, draw) if part]
        draw.shuffle(files)
        return files

    def _parts(self, layout: str, draw: random.Random) -> Iterator[list[Line]]:
        lines = self.lines
        if layout.startswith("market"):
            rest = layout.removeprefix("market").removeprefix(" and ") or "one"
            for market in self.markets:
                yield from _rotated([x for x in lines if x.market == market], rest, draw)
            yield [x for x in lines if x.market is None]
        elif layout == "channel":
            yield [x for x in lines if x.kind != "trade"]
            yield [x for x in lines if x.kind == "trade"]
        elif layout == "type":
            for kind in ("orderbook_snapshot", "orderbook_delta", "trade"):
                yield [x for x in lines if x.kind == kind]
        else:
            yield from _rotated(lines, layout, draw)


def _rotated(lines: list[Line], layout: str, draw: random.Random) -> Iterator[list[Line]]:
    """Lines in files one after the other, that may overlap."""
    n = len(lines)
    if layout == "one" or n < 2:
        yield lines
        return
    if layout == "contained":
        start = draw.randrange(n)
        yield lines
        yield lines[start : draw.randint(start + 1, n)]
        return
    cuts = sorted(draw.sample(range(1, n), min(draw.randint(1, 3), n - 1)))
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        extra = draw.randint(0, 8) if layout == "overlap" else 0
        yield lines[start : min(stop + extra, n)]
