"""Legal captures with known truth: an exchange, sockets that record it, faults of recorders.

Written from the contract and the description of the wire, not from the import. The exchange knows
every book; what a recorder wrote of it is made frame by frame, and `truth` walks over the frames as
they were sent, each with the connection it came on.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

BEGIN_MS: Final = 1_780_000_000_000
OF_A_COMMAND: Final = 14
"""The code of an error that ends no subscription."""
Book = tuple[dict[int, int], dict[int, int]]
"""Contracts by price in cents, YES and NO."""


@dataclass(eq=False)
class Line:
    """One frame: as it was written, and what is true of it.

    told: its time (a snapshot's is None if nothing tells it) · second: a time in whole seconds ·
    socket, connection: on which it came · listed: the markets that a control frame leaves.
    """

    kind: str
    market: str | None
    socket: int
    connection: int
    sid: int
    told: int | None
    side: int = 0
    price: int = 0
    size: int = 0
    second: bool = False
    levels: Book = field(default_factory=lambda: ({}, {}))
    listed: frozenset[str] | None = None
    ends: bool = False
    """Whether it may end a market's book."""
    trade: str = ""
    text: str = ""

    @property
    def is_book(self) -> bool:
        """Whether it is a snapshot or a delta."""
        return self.kind in ("orderbook_snapshot", "orderbook_delta")


@dataclass
class Socket:
    """One connection at a time: its markets and subscriptions."""

    number: int
    markets: list[str]
    first_sid: int = 1
    connection: int = 0
    sid: int = 0
    numbers: dict[Any, int] = field(default_factory=dict)
    ending: int | None = None
    """A former sid that still tells."""
    known: set[str] = field(default_factory=set)
    """Markets whose book this subscription has told."""
    still: set[str] = field(default_factory=set)
    """Markets that the former sid still tells."""

    @property
    def trade_sid(self) -> int:
        """The subscription of the trade channel."""
        return self.first_sid + 1

    def next_number(self, key: Any) -> int:
        """The next number of a subscription (or of a market on it)."""
        self.numbers[key] = self.numbers.get(key, 0) + 1
        return self.numbers[key]


class Recording:
    """A recording made by chance from a seed: `sent` frames in order, `lines` as written."""

    def __init__(self, seed: int, *, plain: bool = False) -> None:
        """`plain`: only reconnects and new subscriptions, told with every number."""
        self.random = random.Random(seed)
        draw = self.random
        self.restarts = False
        self.received = draw.choice((None, None, "recv_ts_ns", "recv_ts_ms"))
        self.era = draw.choice(("legacy", "between", "new"))
        self.sending = self.era == "new" and draw.random() < 0.3
        self.numbering = draw.choice(("sid",) * 6 + ("market", "none"))
        self.has_sid = draw.random() < 0.9
        self.setting = draw.choice(("one",) * 4 + ("split", "redundant")) if self.has_sid else "one"
        self.late = 0.1 if self.numbering == "sid" and draw.random() < 0.3 else 0.0
        if plain:
            self.received = draw.choice((None, "recv_ts_ns"))
            self.numbering, self.has_sid, self.late, self.sending = "sid", True, 0.0, False
            self.setting = draw.choice(("one", "one", "split"))
        self.small = draw.random() < 0.4  # counts that do not tell which delta a trade caused
        self.markets = [f"KXT-26JUN01-{c}" for c in "ABCD"[: draw.choice((3, 4))]]
        self.books: dict[str, Book] = {m: self._new_book() for m in self.markets}
        self.sent: list[Line] = []
        self.lines: list[Line] = []
        self.lost: list[Line] = []
        self.held: list[tuple[int, Line]] = []
        self.ms = BEGIN_MS
        self.counter = self.connections = 0
        self.sockets = self._new_sockets()
        possible = ("connect", "subscribe") if plain else ("connect", "subscribe", "drop", "error")
        actions = set(draw.sample(possible, draw.randint(0, len(possible))))
        for socket in self.sockets:
            self._subscribe(socket)
        for _ in range(draw.randint(10, 110)):
            self._step(draw.choice(self.sockets), actions)
        if draw.random() < 0.3:  # the closing snapshot has no side at all
            socket = draw.choice(self.sockets)
            market = draw.choice(socket.markets)
            if market in socket.known:
                self.books[market] = ({}, {})
                self._snapshot(socket, market)
        self._release()

    def _new_sockets(self) -> list[Socket]:
        if self.setting == "split":
            groups = [self.markets[:2], self.markets[2:]]
        elif self.setting == "redundant":
            groups = [self.markets, self.markets]
        else:
            groups = [self.markets]
        apart = self.setting == "redundant" and self.random.random() < 0.6
        return [Socket(n, list(g), 1 + 40 * n * apart) for n, g in enumerate(groups)]

    @property
    def equal_sids(self) -> bool:
        """Whether two sockets tell the same markets under the same sids."""
        return self.setting == "redundant" and len({s.first_sid for s in self.sockets}) == 1

    def _new_book(self) -> Book:
        draw = self.random
        if draw.random() < 0.1:
            return {}, {}
        return (
            {p: draw.randint(1, 500) for p in draw.sample(range(20, 45), draw.randint(0, 5))},
            {p: draw.randint(1, 500) for p in draw.sample(range(20, 45), draw.randint(1, 5))},
        )

    def lose(self, times: int) -> None:
        """Lose frames of the books' subscriptions, some one after the other, but no first book."""
        known = set()
        able = []
        for line in self.sent:
            book = (line.connection, line.sid, line.market)
            first = line.kind == "orderbook_snapshot" and book not in known
            known |= {book} if first else set()
            if line.kind != "trade" and not first:
                able.append(line)
        for _ in range(times if able else 0):
            start = self.random.randrange(len(able))
            self.lost += able[start : start + self.random.choice((1, 1, 1, 2, 5))]
        gone = set(self.lost)
        self.lost = [line for line in self.sent if line in gone]
        self.lines = [line for line in self.lines if line not in gone]

    # What happens.

    def _step(self, socket: Socket, actions: set[str]) -> None:
        draw = self.random
        later = draw.choice((0, 1, 3, 20, 150, 700, 3_000))
        if later > 20:
            self._release()
        self.ms += later
        chance = draw.random()
        if chance < 0.05 and "connect" in actions:
            self._lose(socket)
            self._subscribe(socket)
        elif chance < 0.10 and "subscribe" in actions:
            self._resubscribe(socket)
        elif chance < 0.13 and "drop" in actions:
            self._drop(socket)
        elif chance < 0.15 and "error" in actions:
            self._control(socket, "error", socket.sid, code=draw.choice((10, 25)))
            self._lose(socket, connected=True)
            self._subscribe(socket, connected=True)
        elif chance < 0.19:
            market = draw.choice(socket.markets)
            if market in socket.known:
                self._snapshot(socket, market)
        elif chance < 0.23:
            self._control(socket, "ok", socket.sid, listed=sorted(socket.known))
        elif chance < 0.25:
            self._control(socket, "error", socket.sid, code=OF_A_COMMAND)
        else:
            self._delta(draw.choice(socket.markets))

    def _lose(self, socket: Socket, *, connected: bool = False) -> None:
        """Time passes in which a socket records nothing; alone, it misses changes too."""
        self.restarts = True
        self._release()
        if not connected:
            socket.numbers = {}
        socket.known, socket.ending = set(), None
        self.ms += self.random.choice((40, 400, 5_000, 60_000))
        for market in socket.markets if self.setting != "redundant" else ():
            for _ in range(self.random.randint(0, 3)):
                self._change(market)

    def _resubscribe(self, socket: Socket) -> None:
        draw, old, self.restarts = self.random, socket.sid, True
        # Without a sid nothing tells the frames of two subscriptions apart.
        before = draw.random() < 0.5 or not self.has_sid
        if before:
            self._control(socket, "unsubscribed", old)
            self._lose(socket, connected=True)
        else:
            self._release()
            socket.ending, socket.still = old, set(socket.known)
        self._subscribe(socket, connected=True)
        if not before:
            for _ in range(draw.randint(0, 4)):
                self.ms += draw.choice((0, 1, 5))
                self._delta(draw.choice(socket.markets))
            self._release()
            self._control(socket, "unsubscribed", old)
            socket.ending = None

    def _drop(self, socket: Socket) -> None:
        """A market leaves the subscription, or comes back with a new snapshot."""
        draw = self.random
        gone = [m for m in socket.markets if m not in socket.known]
        if gone:
            market = draw.choice(gone)
            socket.known.add(market)
            self._control(socket, "ok", socket.sid, listed=sorted(socket.known))
            self._snapshot(socket, market)
            return
        self._release()
        socket.known.discard(draw.choice(socket.markets))
        self._control(socket, "ok", socket.sid, listed=sorted(socket.known))

    def _subscribe(self, socket: Socket, *, connected: bool = False) -> None:
        if connected:
            socket.sid += 2
        else:
            socket.connection, socket.sid = self.connections, socket.first_sid
            self.connections += 1
        socket.known = set()
        for market in self.random.sample(socket.markets, len(socket.markets)):
            self._snapshot(socket, market)
            socket.known.add(market)
            if self.random.random() < 0.2:
                self._delta(market)

    def _snapshot(self, socket: Socket, market: str) -> None:
        self._release()
        book = self.books[market]
        message: dict[str, Any] = {"market_ticker": market}
        for side, name in enumerate(("yes", "no")):
            levels = sorted((p, n) for p, n in book[side].items() if n)
            if self.era == "legacy":
                message[name] = [[p, n] for p, n in levels] or None
            elif levels:
                key = f"{name}_dollars" + ("_fp" if self.era == "new" else "")
                message[key] = [[f"{p / 100:.4f}", f"{n}.00"] for p, n in levels]
        told = self.ms if self.received or self.sending else None
        line = self._line("orderbook_snapshot", market, socket, socket.sid, told)
        line.levels = ({**book[0]}, {**book[1]})
        self._write(line, socket, message)

    def _change(self, market: str) -> tuple[int, int, int]:
        """One change of the exchange's book: (side, price, contracts)."""
        draw = self.random
        side = draw.randint(0, 1)
        levels = self.books[market][side]
        self.counter += 1
        size = draw.randint(1, 3) if self.small else self.counter
        price = draw.randint(20, 44)
        large = [p for p, n in levels.items() if n > size]
        if large and draw.random() < 0.5:
            price, change = draw.choice(large), -size
        else:
            change = draw.randint(1, 300) + self.counter
        levels[price] = levels.get(price, 0) + change
        return side, price, change

    def _delta(self, market: str) -> None:
        """A change, told by every socket that follows the market; a removal is often a trade."""
        draw = self.random
        side, price, change = self._change(market)
        self.counter += 1
        exchange_ms = self.ms - draw.choice((0, 0, 0, 1))
        traded = change < 0 and draw.random() < 0.5
        first = draw.random() < 0.3
        for socket in draw.sample(self.sockets, len(self.sockets)):
            sids = [socket.sid] if market in socket.known else []
            if socket.ending is not None and market in socket.still:
                sids.insert(draw.randint(0, len(sids)), socket.ending)
            trade = (socket, market, side, price, -change, exchange_ms)
            if traded and first and sids:
                self._trade(*trade)
            for sid in sids:
                self._write_delta(socket, sid, market, side, price, change, exchange_ms)
            if traded and not first and sids:
                self._trade(*trade)

    # What is written.

    def _write_delta(
        self, socket: Socket, sid: int, market: str, side: int, price: int, change: int, ms: int
    ) -> None:
        message: dict[str, Any] = {"market_ticker": market, "side": ("yes", "no")[side]}
        if self.era in ("legacy", "between"):
            message |= {"price": price, "delta": change}
        if self.era in ("between", "new"):
            message |= {"price_dollars": f"{price / 100:.4f}", "delta_fp": f"{change}.00"}
        if self.era == "new":
            message["ts_ms"] = ms
        else:
            moment = datetime.fromtimestamp(ms // 1000, UTC)
            message["ts"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000Z"
        line = self._line("orderbook_delta", market, socket, sid, ms)
        line.side, line.price, line.size = side, price, change
        self._write(line, socket, message, late=self.random.random() < self.late)

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
            ms = ms // 1000 * 1000
        line = self._line("trade", market, socket, socket.trade_sid, ms)
        line.side, line.price, line.size = side, price, count
        line.second, line.trade = self.era != "new", f"t{self.counter}"
        self._write(line, socket, message)

    def _control(
        self, socket: Socket, kind: str, sid: int, *, listed: Any = None, code: int | None = None
    ) -> None:
        self._release()
        line = self._line(kind, None, socket, sid, None)
        message: dict[str, Any] | None = None
        if listed is not None:
            line.listed, message = frozenset(listed), {"market_tickers": listed}
        if code is not None:
            message = {"code": code, "msg": "an error"}
        line.ends = listed is not None or code != OF_A_COMMAND
        self._write(line, socket, message)

    def _line(self, kind: str, market: str | None, socket: Socket, sid: int, told: Any) -> Line:
        return Line(kind, market, socket.number, socket.connection, sid, told)

    def _write(
        self, line: Line, socket: Socket, message: dict[str, Any] | None, *, late: bool = False
    ) -> None:
        frame: dict[str, Any] = {"type": line.kind}
        if self.has_sid:
            frame["sid"] = line.sid
        if self.numbering == "sid":
            frame["seq"] = socket.next_number(line.sid)
        elif self.numbering == "market" and line.market is not None:
            frame["seq"] = socket.next_number((line.sid, line.market))
        if self.sending:
            frame["sending_ts_ms"] = self.ms
        if message is not None:
            frame["msg"] = {k: v for k, v in message.items() if v is not None}
        line.text = json.dumps(frame)
        self.sent.append(line)
        if late:
            self.held.append((len(self.lines) + self.random.randint(1, 4), line))
            return
        self._put(line)
        self._release([entry for entry in self.held if entry[0] <= len(self.lines)])

    def _put(self, line: Line) -> None:
        if self.received:
            ns = self.received == "recv_ts_ns"
            when = self.ms * 1_000_000 + len(self.lines) if ns else self.ms
            line.text = json.dumps({self.received: when, "raw": line.text})
        self.lines.append(line)

    def _release(self, due: list[tuple[int, Line]] | None = None) -> None:
        """Write frames that were held back."""
        for entry in self.held[:] if due is None else due:
            self.held.remove(entry)
            self._put(entry[1])
