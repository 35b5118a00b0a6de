"""Many frames at once to columns: exact values from their text, by one typed JSON decoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec
import numpy as np

from kalshi_sim.ingest.batch import BLOCK_TRADE, CONTROL, LIFECYCLE, OTHER, Batch, Control
from kalshi_sim.ingest.envelopes import FRAME, no_times, receive_order, receive_times, unwrap
from kalshi_sim.ingest.event_messages import EventMessages
from kalshi_sim.ingest.frame_times import lifecycle_time, message_time
from kalshi_sim.ingest.frames import Frame, FrameHead, Message
from kalshi_sim.ingest.lifecycle_frames import LIFECYCLE_TYPES, Lifecycle, decode_lifecycle
from kalshi_sim.ingest.unknown import (
    CONTROL_TYPES,
    check_levels,
    in_known_envelopes,
    known_frame,
    other_product,
    records,
)
from kalshi_sim.ingest.values import Tickers, Values
from kalshi_sim.ingest.wire_time import (
    LAST_MS,
    OPENED_MS,
    not_a_time,
)
from kalshi_sim.session import NO_TIME, EventKind, Int64Array

MALFORMED: Final = (ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError)
"""What decoding a malformed line raises; arithmetic: a number beyond 64 bits."""
_KINDS: Final = {
    "orderbook_snapshot": int(EventKind.SNAPSHOT),
    "orderbook_delta": int(EventKind.DELTA),
    "trade": int(EventKind.TRADE),
    **dict.fromkeys(LIFECYCLE_TYPES, LIFECYCLE),
}
_KNOWN_TYPES: Final = CONTROL_TYPES | set(_KINDS)
_SNAPSHOT: Final = int(EventKind.SNAPSHOT)
_UNTYPED: Final = "untyped"
"""How objects that have no type are counted among the frames that are not read."""
_ENDING_CODES: Final = (10, 25, "10", "25")
"""Errors that end a subscription: of its channel, and the overflow of its buffer."""
_HEAD = msgspec.json.Decoder(FrameHead)


def _bad(why: str) -> NoReturn:
    raise ValueError(why)


class FrameDecoder:
    """Decodes frames of one import; market numbers are shared by all of its files."""

    def __init__(self, *, use_yes_price: bool = False, nearest_tick: bool = False) -> None:
        """Begin with no ticker, trade or notice known.

        Args:
            use_yes_price: the recording subscribed with `use_yes_price`: NO prices are in YES
                terms.
            nearest_tick: round prices and sizes that miss a tick by a float's noise.
        """
        self.tickers = Tickers()
        self.use_yes_price = use_yes_price
        self.noticed: Counter[str] = Counter()
        """Sentences on what was left unread, and for how many frames."""
        self.polled = False
        """Whether there was a REST order book."""
        self.values = Values(nearest_tick=nearest_tick)
        self._events = EventMessages(self.tickers, self.values, use_yes_price=use_yes_price)

    def decode(self, lines: bytes, received_ms: int | None = None) -> Batch:
        """Decode frames.

        Args:
            lines: JSON, one frame a line; blank lines are skipped.
            received_ms: when they were received, in ms since 1970 UTC, for frames that do not say
                so.

        Returns:
            The frames as columns.

        Raises:
            ValueError: any of them is malformed; which one is for the caller to find.
        """
        before = self.counted()
        try:
            return self._decode(lines, received_ms)
        except MALFORMED:
            self.restore(before)  # what is decoded again is counted then
            raise

    def counted(self) -> tuple[Counter[str], int]:
        """What was noticed and rounded so far.

        Returns:
            Copies of the notices by sentence, and the number of rounded values, for `restore`.
        """
        return self.noticed.copy(), self.values.rounded

    def restore(self, counted: tuple[Counter[str], int]) -> None:
        """Go back to what was counted then."""
        self.noticed, self.values.rounded = counted

    def _decode(self, lines: bytes, received_ms: int | None) -> Batch:
        outer = FRAME.decode_lines(lines)
        # Most recordings have neither, and checking every frame for them is expensive.
        recv = receive_times(outer) if b'"rec' in lines else no_times(len(outer))
        if received_ms is not None:
            recv = np.where(recv == NO_TIME, received_ms, recv)
        frames = unwrap(outer) if b'"raw"' in lines else outer
        types = [f.type for f in frames]
        kinds = [_KINDS.get(t, OTHER) for t in types]  # type: ignore[arg-type]  # None: OTHER
        if None in types:
            self.polled |= any(f.orderbook_fp or f.orderbook for f in frames)
            kinds = [
                _untyped_kind(f, around) if f.type is None else k
                for f, around, k in zip(frames, outer, kinds, strict=True)
            ]
        if not _KNOWN_TYPES.issuperset(types):
            odd = [i for i, k in enumerate(kinds) if k == OTHER and types[i] not in CONTROL_TYPES]
            known = in_known_envelopes(records(lines, len(types)), odd, self.noticed)
            if known is not None:
                return self._decode(known, received_ms)
        if _SNAPSHOT in kinds:
            lacking = [i for i, k in enumerate(kinds) if k == _SNAPSHOT and frames[i].lacks_a_side]
            check_levels(records(lines, len(types)) if lacking else [], lacking)
        order = receive_order(outer, recv) if b'"rec' in lines else recv
        return self._columns(frames, kinds, recv, order)

    def decode_other(self, line: bytes) -> Batch:
        """One frame of a type that is not read, whatever its message looks like.

        Raises:
            ValueError: it is malformed, or of a type that is read.
        """
        outer = head = _HEAD.decode(line)
        if outer.raw is not None:
            head = _HEAD.decode(outer.raw) if isinstance(outer.raw, str) else outer.raw
        name = head.type
        in_known_envelopes([line], [0], Counter())  # several frames in one are malformed
        if head.type in _KINDS or head.orderbook is not None or head.orderbook_fp is not None:
            ticker = other_product(known_frame(line))
            if ticker is None:
                _bad("malformed")
            name = f"{head.type} of another product"
            self.noticed[f"{ticker} is no market of yes and no (bid and ask): left out"] += 1
        frame = Frame(
            type=name,
            sid=head.sid if isinstance(head.sid, int) else None,
            seq=head.seq if isinstance(head.seq, int) else None,
        )
        recv = receive_times([outer])
        return self._columns([frame], [OTHER], recv, receive_order([outer], recv))

    def _columns(
        self, frames: list[Frame], kinds: list[int], recv: Int64Array, recv_ns: Int64Array
    ) -> Batch:
        n = len(frames)
        kind = np.array(kinds, dtype=np.int8)
        sids, seqs = [f.sid for f in frames], [f.seq for f in frames]
        out = Batch(
            kind=kind,
            market=np.full(n, -1, dtype=np.int64),
            sid=_numbers(sids, "sid"),
            seq=_numbers(seqs, "seq"),
            ts_ms=no_times(n),
            recv_ns=recv_ns,
            trade_id=np.full(n, -1, dtype=np.int64),
            flags=np.zeros(n, dtype=np.int8),
            side=np.zeros(n, dtype=np.int8),
            price=np.zeros(n, dtype=np.int64),
            size=np.zeros(n, dtype=np.int64),
            level_side=np.empty(0, dtype=np.int8),
            level_price=np.empty(0, dtype=np.int64),
            level_size=np.empty(0, dtype=np.int64),
            lifecycles=(),
            channels=(),
            controls=(),
            other_types=tuple(frames[i].type or _UNTYPED for i in np.flatnonzero(kind >= OTHER)),
        )
        messages = [f.msg for f in frames]
        deltas = np.flatnonzero(kind == EventKind.DELTA)
        if len(deltas):
            self._events.deltas(out, deltas, _messages(messages, deltas), recv, frames)
        trades = np.flatnonzero(kind == EventKind.TRADE)
        if len(trades):
            self._events.trades(out, trades, _messages(messages, trades), recv, frames)
        snapshots = np.flatnonzero(kind == EventKind.SNAPSHOT)
        levels = self._events.snapshots(out, snapshots, frames, recv)
        lifecycles: list[Lifecycle] = []
        channels: list[str] = []
        controls: list[Control] = []
        for i in np.flatnonzero(kind >= OTHER).tolist():
            message = messages[i]
            out.ts_ms[i] = message_time(message, int(recv[i]), frames[i].sending_ts_ms)
            control = self._control(frames[i])
            if control is not None:
                controls.append(control)
                out.kind[i] = CONTROL
                if out.sid[i] < 0 and isinstance(message, Message):
                    out.sid[i] = message.sid if isinstance(message.sid, int) else -1
            if not isinstance(message, Message):
                if kinds[i] == LIFECYCLE:
                    _bad("a change of a market's life without a message")
                continue
            if kinds[i] == LIFECYCLE:
                out.ts_ms[i] = lifecycle_time(message, int(recv[i]), frames[i].sending_ts_ms)
                lifecycles.append(
                    decode_lifecycle(
                        frames[i].type or "",
                        message,
                        int(out.ts_ms[i]),
                        self.tickers.__getitem__,
                    )
                )
            if frames[i].type == "subscribed" and message.channel:
                channels.append(message.channel)
        known = out.ts_ms != NO_TIME
        odd = known & ((out.ts_ms < OPENED_MS) | (out.ts_ms >= LAST_MS))
        if odd.any():
            _bad(f"time {not_a_time(int(out.ts_ms[np.argmax(odd)]))}")
        return Batch(
            **{
                **{name: getattr(out, name) for name in Batch.__dataclass_fields__},
                "level_side": np.array(levels[0], dtype=np.int8),
                "level_price": np.array(levels[1], dtype=np.int64),
                "level_size": np.array(levels[2], dtype=np.int64),
                "lifecycles": tuple(lifecycles),
                "channels": tuple(channels),
                "controls": tuple(controls),
            }
        )

    def _control(self, frame: Frame) -> Control | None:
        """What the frame says of a subscription; None if it says nothing of one."""
        message = frame.msg
        if frame.type == "unsubscribed":
            return Control(None)
        if not isinstance(message, Message):
            return None
        if frame.type == "error" and message.code in _ENDING_CODES:
            return Control(None)
        listed = message.market_tickers
        if frame.type == "ok" and isinstance(listed, list):
            return Control(frozenset(name for name in listed if isinstance(name, str)))
        return None


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


__all__ = ["BLOCK_TRADE", "CONTROL", "LIFECYCLE", "MALFORMED", "OTHER", "Batch", "FrameDecoder"]
