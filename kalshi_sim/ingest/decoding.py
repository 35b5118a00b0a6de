"""Many frames at once to columns: exact values from their text, by one typed JSON decoder."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec
import numpy as np

from kalshi_sim.ingest.envelopes import FRAME, no_times, receive_times, unwrap
from kalshi_sim.ingest.frames import Frame, FrameHead, Levels, Message
from kalshi_sim.ingest.wire_time import (
    LAST_MS,
    WireNumber,
    milliseconds,
    scalar_ms,
    wire_times,
)
from kalshi_sim.session import NO_TIME, EventKind, Int8Array, Int64Array
from kalshi_sim.units import (
    PRICE_SCALE,
    STORED_PER_CENT,
    mirror,
    parse_contracts,
    parse_decimal,
    parse_dollars,
)

OTHER: Final = 100
"""Kind of a frame that is no event; the event kinds are those of `EventKind`."""
BLOCK_TRADE: Final = 101
LIFECYCLE: Final = 102
_KINDS: Final = {
    "orderbook_snapshot": int(EventKind.SNAPSHOT),
    "orderbook_delta": int(EventKind.DELTA),
    "trade": int(EventKind.TRADE),
    "market_lifecycle_v2": LIFECYCLE,
    "market_lifecycle": LIFECYCLE,
}
_UNTYPED: Final = "untyped"
"""How objects that have no type are counted among the frames that are not read."""
_SIDES: Final = {"yes": 0, "no": 1, "YES": 0, "NO": 1}
_TAKEN_SIDE: Final = {"yes": 1, "no": 0, "bid": 1, "ask": 0, "YES": 1, "NO": 0}
"""The resting side a taker consumed: who bought YES took NO bids."""

_TRUE: Final = (True, "true", "True", "1")
_HEAD = msgspec.json.Decoder(FrameHead)


@dataclass(frozen=True)
class Lifecycle:
    """A change in a market's life; `known_ms` is NO_TIME if nothing told when."""

    market: int
    event_type: str
    known_ms: int
    close_ms: int | None
    value: int | None


@dataclass(frozen=True)
class Batch:
    """Decoded frames in file order: arrays [n_frames], then the levels of their snapshots.

    `market` is -1 for frames of no market; side, price, size are 0 where the kind has none, for
    snapshots a checksum and the number of levels.
    """

    kind: Int8Array
    market: Int64Array
    sid: Int64Array
    seq: Int64Array
    ts_ms: Int64Array
    flags: Int8Array
    side: Int8Array
    price: Int64Array
    size: Int64Array
    level_side: Int8Array
    level_price: Int64Array
    level_size: Int64Array
    lifecycles: tuple[Lifecycle, ...]
    other_types: tuple[str, ...]
    channels: tuple[str, ...]
    """Channels that `subscribed` frames confirm."""

    def __len__(self) -> int:
        return len(self.kind)


class _Cache(dict[Any, int]):
    """Values by their wire text: a recording repeats few texts many times."""

    def __init__(self, parse: Callable[[Any], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: Any) -> int:
        if text is None:
            raise ValueError("a price or size is missing")
        value = self[text] = self._parse(text)
        return value


def _in_book(price: int, text: object) -> int:
    if not 0 < price < PRICE_SCALE:
        raise ValueError(f"price {text!r} is not between 0 and 1 dollar")
    return price


def _price_from_dollars(text: Any) -> int:
    return _in_book(parse_dollars(text), text)


def _price_from_cents(text: Any) -> int:
    return _in_book(parse_decimal(text, STORED_PER_CENT), text)


class Tickers(dict[str | None, int]):
    """Market numbers by ticker, in order of appearance."""

    def __missing__(self, ticker: str | None) -> int:
        if not ticker:
            raise ValueError("market_ticker is missing")
        number = self[ticker] = len(self)
        return number


def _bad(why: str) -> NoReturn:
    raise ValueError(why)


class FrameDecoder:
    """Decodes frames of one import; market numbers are shared by all of its files."""

    def __init__(self, *, use_yes_price: bool = False) -> None:
        self.tickers = Tickers()
        self.use_yes_price = use_yes_price
        self._dollars = _Cache(_price_from_dollars)
        self._cents = _Cache(_price_from_cents)
        self._contracts = _Cache(parse_contracts)

    def decode(self, lines: bytes) -> Batch:
        """All frames in `lines` (JSON, one a line; blank lines are skipped).

        Raises:
            ValueError: any of them is malformed; which one is for the caller to find.
        """
        outer = FRAME.decode_lines(lines)
        # Most recordings have neither, and looking at every frame for them is dear.
        recv = receive_times(outer) if b'"rec' in lines else no_times(len(outer))
        frames = unwrap(outer) if b'"raw"' in lines else outer
        types = [f.type for f in frames]
        kinds = [_KINDS.get(t, OTHER) for t in types]  # type: ignore[arg-type]  # None: OTHER
        if None in types:
            kinds = [
                _untyped_kind(f, around) if f.type is None else k
                for f, around, k in zip(frames, outer, kinds, strict=True)
            ]
        return self._columns(frames, kinds, recv)

    def decode_other(self, line: bytes) -> Batch:
        """One frame of a type that is not read, whatever its message looks like.

        Raises:
            ValueError: it is malformed, or of a type that is read.
        """
        outer = head = _HEAD.decode(line)
        if outer.raw is not None:
            head = _HEAD.decode(outer.raw) if isinstance(outer.raw, str) else outer.raw
        if head.type in _KINDS or head.orderbook is not None or head.orderbook_fp is not None:
            _bad("malformed")
        frame = Frame(
            type=head.type,
            sid=head.sid if isinstance(head.sid, int) else None,
            seq=head.seq if isinstance(head.seq, int) else None,
        )
        return self._columns([frame], [OTHER], receive_times([outer]))

    def _columns(self, frames: list[Frame], kinds: list[int], recv: Int64Array) -> Batch:
        n = len(frames)
        kind = np.array(kinds, dtype=np.int8)
        sids, seqs = [f.sid for f in frames], [f.seq for f in frames]
        out = Batch(
            kind=kind,
            market=np.full(n, -1, dtype=np.int64),
            sid=_numbers(sids, "sid"),
            seq=_numbers(seqs, "seq"),
            ts_ms=no_times(n),
            flags=np.zeros(n, dtype=np.int8),
            side=np.zeros(n, dtype=np.int8),
            price=np.zeros(n, dtype=np.int64),
            size=np.zeros(n, dtype=np.int64),
            level_side=np.empty(0, dtype=np.int8),
            level_price=np.empty(0, dtype=np.int64),
            level_size=np.empty(0, dtype=np.int64),
            lifecycles=(),
            channels=(),
            other_types=tuple(frames[i].type or _UNTYPED for i in np.flatnonzero(kind >= OTHER)),
        )
        messages = [f.msg for f in frames]
        deltas = np.flatnonzero(kind == EventKind.DELTA)
        if len(deltas):
            self._deltas(out, deltas, _messages(messages, deltas), recv, frames)
        trades = np.flatnonzero(kind == EventKind.TRADE)
        if len(trades):
            self._trades(out, trades, _messages(messages, trades), recv, frames)
        snapshots = np.flatnonzero(kind == EventKind.SNAPSHOT)
        levels = self._snapshots(out, snapshots, frames, recv)
        lifecycles: list[Lifecycle] = []
        channels: list[str] = []
        for i in np.flatnonzero(kind >= OTHER).tolist():
            message = messages[i]
            out.ts_ms[i] = _other_time(message, int(recv[i]), frames[i].sending_ts_ms)
            if not isinstance(message, Message):
                if kinds[i] == LIFECYCLE:
                    _bad("a change of a market's life without a message")
                continue
            if kinds[i] == LIFECYCLE:
                lifecycles.append(self._lifecycle(message, int(out.ts_ms[i])))
            if frames[i].type == "subscribed" and message.channel:
                channels.append(message.channel)
        told = out.ts_ms != NO_TIME
        if (told & ((out.ts_ms < 0) | (out.ts_ms >= LAST_MS))).any():
            _bad("a time before 1970 or after 9999")
        return Batch(
            **{
                **{name: getattr(out, name) for name in Batch.__dataclass_fields__},
                "level_side": np.array(levels[0], dtype=np.int8),
                "level_price": np.array(levels[1], dtype=np.int64),
                "level_size": np.array(levels[2], dtype=np.int64),
                "lifecycles": tuple(lifecycles),
                "channels": tuple(channels),
            }
        )

    def _deltas(
        self,
        out: Batch,
        rows: Int64Array,
        messages: list[Message],
        recv: Int64Array,
        frames: list[Frame],
    ) -> None:
        tickers, dollars, contracts = self.tickers, self._dollars, self._contracts
        out.market[rows] = [tickers[m.market_ticker] for m in messages]
        side = np.array([_SIDES.get(m.side, -1) for m in messages], dtype=np.int8)  # type: ignore[arg-type]  # None: -1
        if (side < 0).any():
            _bad(f"unknown side {messages[int(np.argmin(side))].side!r}")
        fine = [m.price_dollars for m in messages]
        if None in fine:
            price = [
                self._cents[m.price] if m.price_dollars is None else dollars[m.price_dollars]
                for m in messages
            ]
        else:
            price = [dollars[text] for text in fine]
        texts = [m.delta_fp for m in messages]
        if None in texts:
            texts = [m.delta if m.delta_fp is None else m.delta_fp for m in messages]
        out.side[rows] = side
        out.price[rows] = self._as_told(np.array(price, dtype=np.int64), side)
        out.size[rows] = [contracts[text] for text in texts]
        _set_times(out, rows, messages, recv, frames)

    def _trades(
        self,
        out: Batch,
        rows: Int64Array,
        messages: list[Message],
        recv: Int64Array,
        frames: list[Frame],
    ) -> None:
        contracts = self._contracts
        out.market[rows] = [self.tickers[m.market_ticker] for m in messages]
        takers = [m.taker_outcome_side or m.taker_book_side or m.taker_side for m in messages]
        side = [_TAKEN_SIDE.get(t, -1) for t in takers]  # type: ignore[arg-type]  # None: -1
        if -1 in side:
            _bad(f"unknown taker side {takers[side.index(-1)]!r}")
        out.side[rows] = side
        out.price[rows] = [self._trade_price(m, s) for m, s in zip(messages, side, strict=True)]
        size = np.array(
            [contracts[m.count if m.count_fp is None else m.count_fp] for m in messages],
            dtype=np.int64,
        )
        if (size < 0).any():
            _bad("a trade of a negative count")
        out.size[rows] = size
        block = np.array([m.is_block_trade in _TRUE for m in messages])
        out.kind[rows[block]] = BLOCK_TRADE
        _set_times(out, rows, messages, recv, frames)

    def _trade_price(self, m: Message, side: int) -> int:
        """The price on the resting side, from the finest pair of keys the frame has."""
        own, opposite = m.no_price_dollars, m.yes_price_dollars
        if side == 0:
            own, opposite = opposite, own
        if own is not None:
            return self._dollars[own]
        if opposite is not None:
            return mirror(self._dollars[opposite], PRICE_SCALE)
        own, opposite = (m.yes_price, m.no_price) if side == 0 else (m.no_price, m.yes_price)
        if own is not None:
            return self._cents[own]
        return mirror(self._cents[opposite], PRICE_SCALE)

    def _snapshots(
        self, out: Batch, rows: Int64Array, frames: list[Frame], recv: Int64Array
    ) -> tuple[list[int], list[int], list[int]]:
        sides: list[int] = []
        prices: list[int] = []
        sizes: list[int] = []
        for i in rows.tolist():
            frame = frames[i]
            message = frame.msg if frame.type else frame.orderbook_fp or frame.orderbook
            if not isinstance(message, Message):
                _bad("a snapshot without a message")
            ticker = message.market_ticker or frame.market_ticker or frame.ticker
            out.market[i] = self.tickers[ticker]
            first = len(sides)
            for side, fine, between, legacy in (
                (0, message.yes_dollars_fp, message.yes_dollars, message.yes),
                (1, message.no_dollars_fp, message.no_dollars, message.no),
            ):
                levels = fine if fine is not None else between
                parse = self._dollars
                if levels is None:
                    levels, parse = legacy, self._cents
                if not levels:
                    continue
                try:
                    here = [parse[price] for price, _ in levels]
                except ValueError:  # rare: a level of nothing at 0 or 1 dollar
                    levels = self._without_edges(levels, cents=levels is legacy)
                    here = [parse[price] for price, _ in levels]
                if side == 1 and self.use_yes_price:
                    here = [mirror(price, PRICE_SCALE) for price in here]
                prices += here
                sizes += [self._contracts[size] for _, size in levels]
                sides += [side] * len(levels)
            if min(sizes[first:], default=0) < 0:
                _bad("a level of a negative size")
            content = repr((sides[first:], prices[first:], sizes[first:]))
            out.price[i] = zlib.crc32(content.encode())
            out.size[i] = len(sides) - first
            out.ts_ms[i] = recv[i]
            if recv[i] == NO_TIME:
                out.ts_ms[i] = _other_time(message, NO_TIME, frame.sending_ts_ms)
        return sides, prices, sizes

    def _without_edges(self, levels: Levels, *, cents: bool) -> Levels:
        """The levels but those of size 0 at 0 or 1 dollar, which no book has."""
        scale = STORED_PER_CENT if cents else PRICE_SCALE
        return [
            (price, size)
            for price, size in levels
            if self._contracts[size] or parse_decimal(price, scale) not in (0, PRICE_SCALE)
        ]

    def _as_told(self, price: Int64Array, side: Int8Array) -> Int64Array:
        """Prices of the NO side, which a `use_yes_price` subscription tells in YES terms."""
        return np.where(side == 1, PRICE_SCALE - price, price) if self.use_yes_price else price

    def _lifecycle(self, m: Message, known_ms: int) -> Lifecycle:
        close = None if m.close_ts is None else scalar_ms(m.close_ts)[0]
        value = None if m.settlement_value in (None, "") else parse_dollars(m.settlement_value)
        if value is None and m.result in _SIDES:
            value = PRICE_SCALE if _SIDES[m.result] == 0 else 0
        if value is not None and not 0 <= value <= PRICE_SCALE:
            _bad(f"settlement value {m.settlement_value!r} is not between 0 and 1 dollar")
        if known_ms == NO_TIME and m.determination_ts is not None:
            known_ms = scalar_ms(m.determination_ts)[0]
        return Lifecycle(self.tickers[m.market_ticker], m.event_type or "", known_ms, close, value)


def _untyped_kind(frame: Frame, envelope: Frame) -> int:
    """A REST order book, whose market its envelope may name, or a frame that is not read."""
    if frame.orderbook_fp is None and frame.orderbook is None:
        return OTHER
    if frame.market_ticker is None and frame.ticker is None:
        frame.market_ticker = envelope.market_ticker or envelope.ticker
    return int(EventKind.SNAPSHOT)


def _numbers(values: Sequence[int | str | None], name: str) -> Int64Array:
    if None in values:
        values = [-1 if v is None else v for v in values]
    try:
        return np.array(values, dtype=np.int64)  # texts are read as integers
    except OverflowError:
        _bad(f"{name} is out of range")


def _messages(messages: Sequence[object], rows: Int64Array) -> list[Message]:
    out = [messages[i] for i in rows.tolist()]
    if set(map(type, out)) != {Message}:
        _bad("a frame without a message")
    return out


def _set_times(
    out: Batch, rows: Int64Array, messages: list[Message], recv: Int64Array, frames: list[Frame]
) -> None:
    """The exchange's time, to the millisecond if told so, else the time of receipt."""
    fine = [m.ts_ms for m in messages]
    kinds = set(map(type, fine))
    if kinds == {int}:
        out.ts_ms[rows] = np.array(fine, dtype=np.int64)
        return
    if kinds == {type(None)}:
        times, flags = wire_times([m.ts for m in messages])
    else:
        times, flags = wire_times([m.ts if m.ts_ms is None else None for m in messages])
        for i, told in enumerate(fine):
            if told is not None:
                times[i] = milliseconds(told)
    missing = np.flatnonzero(times == NO_TIME)
    for i in missing.tolist():
        row = int(rows[i])
        times[i] = recv[row]
        sent = frames[row].sending_ts_ms
        if sent is not None:
            times[i] = milliseconds(sent)
    out.ts_ms[rows] = times
    out.flags[rows] = flags


def _other_time(message: object, recv: int, sent: WireNumber) -> int:
    if isinstance(message, Message):
        if message.ts_ms is not None:
            return milliseconds(message.ts_ms)
        if message.ts is not None:
            return scalar_ms(message.ts)[0]
    if sent is not None:
        return milliseconds(sent)
    return recv
