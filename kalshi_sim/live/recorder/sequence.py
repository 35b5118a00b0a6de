"""Whether the frames of a connection are all that was sent: dense numbers of each subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kalshi_sim.live import interface as names

MISSING: Final = "missing"
"""Numbers were left out."""
AGAIN: Final = "again"
"""A number came again, or a lower one."""
REFUSED: Final = "refused"
"""A frame could not be read."""
ENDED: Final = "ended"
"""The exchange ended the subscription."""
DROPPED: Final = "dropped"
"""The recorder itself had to drop frames."""


class Message(msgspec.Struct, gc=False):
    """What is read of the `msg` of a frame."""

    market_ticker: str | None = None
    channel: str | None = None
    sid: int | None = None
    code: int | None = None
    msg: str | None = None
    market_tickers: list[str] | None = None
    ts_ms: int | None = None
    event_type: str | None = None


class Head(msgspec.Struct, gc=False):
    """What is read of a frame."""

    type: str
    id: int | None = None
    sid: int | None = None
    seq: int | None = None
    sending_ts_ms: int | None = None
    msg: Message | list[Any] | str | None = None

    @property
    def message(self) -> Message:
        """Its `msg`, empty if that is no object."""
        return self.msg if isinstance(self.msg, Message) else _NOTHING


_NOTHING: Final = Message()
_DECODE: Final = msgspec.json.Decoder(Head)


def head_of(frame: bytes) -> Head:
    """What is read of a frame.

    Raises:
        ValueError: it is no frame of the exchange.
    """
    try:
        return _DECODE.decode(frame)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True)
class Gap:
    """Why what a subscription sent is not all known."""

    sid: int
    reason: str
    expected: int
    got: int


@dataclass
class Subscription:
    """One subscription of a connection."""

    sid: int
    channel: str
    markets: set[str] = field(default_factory=set)
    """Those the exchange has acknowledged."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Markets whose book is not known, and since when (monotonic clock, ns)."""
    known: set[str] = field(default_factory=set)
    """Markets whose snapshot came, also before the exchange acknowledged them."""
    last: int | None = None
    """Its latest number."""
    ended: bool = False

    @property
    def has_books(self) -> bool:
        """Whether it sends order books."""
        return self.channel == names.ORDERBOOK.name


class Tracker:
    """The subscriptions of one connection."""

    def __init__(self) -> None:
        """Know of none."""
        self.by_sid: dict[int, Subscription] = {}
        self.unknown_ns = 0
        """For how long books were unknown that are known again, summed over markets."""
        self.lost: dict[str, int] = {}
        """Markets whose books an earlier connection lost, and since when."""

    def of_channel(self, channel: str) -> Subscription | None:
        """The live subscription of a channel; a connection has one of each."""
        for subscription in self.by_sid.values():
            if subscription.channel == channel and not subscription.ended:
                return subscription
        return None

    def subscribed(self, sid: int, channel: str, markets: set[str], now_ns: int) -> Subscription:
        """Note a subscription that the exchange has confirmed.

        Args:
            sid: its number.
            channel: its channel.
            markets: what was asked for.
            now_ns: monotonic clock.

        Returns:
            The subscription.
        """
        found = self.by_sid.get(sid)
        if found is None:
            found = self.by_sid[sid] = Subscription(sid, channel)
        found.channel = channel
        found.ended = False
        self.acknowledge(found, found.markets | markets, now_ns)
        return found

    def all_unknown(self) -> dict[str, int]:
        """Markets whose book is not known, and since when (monotonic clock, ns)."""
        unknown = dict(self.lost)
        for subscription in self.by_sid.values():
            if not subscription.ended:
                unknown |= subscription.unknown
        return unknown

    def all_lost(self, now_ns: int) -> dict[str, int]:
        """The same where the connection has ended.

        Args:
            now_ns: monotonic clock.

        Returns:
            Each market and since when its book is unknown.
        """
        known = (
            ticker
            for subscription in self.by_sid.values()
            if subscription.has_books and not subscription.ended
            for ticker in subscription.markets
        )
        return dict.fromkeys(known, now_ns) | self.all_unknown()

    def acknowledge(self, subscription: Subscription, markets: set[str], now_ns: int) -> None:
        """The exchange says which markets a subscription has.

        Args:
            subscription: of this connection.
            markets: all of them.
            now_ns: monotonic clock.
        """
        if subscription.has_books:
            for ticker in markets - subscription.markets - subscription.known:
                subscription.unknown.setdefault(ticker, self.lost.pop(ticker, now_ns))
            for ticker in subscription.unknown.keys() - markets:
                del subscription.unknown[ticker]
        subscription.known -= subscription.markets - markets
        subscription.markets = set(markets)

    def take(self, head: Head, now_ns: int) -> Gap | None:
        """Follow a frame; the gap that it shows, if it does.

        Args:
            head: the frame.
            now_ns: monotonic clock.

        Returns:
            The gap, None if the frame continues its subscription.
        """
        sid = head.sid if head.sid is not None else head.message.sid
        if sid is None:
            return None
        known = self.by_sid.get(sid)
        if known is None:
            # The confirmation may come after the first data.
            known = self.by_sid[sid] = Subscription(sid, _channel_of(head.type))
        gap = self._number(known, head.seq)
        if head.type == names.ERROR and head.message.code in names.ENDING_CODES:
            known.ended = True
            gap = Gap(sid, ENDED, 0, head.seq or 0)
        elif head.type == names.UNSUBSCRIBED:
            known.ended = True
        elif head.type == names.OK and head.message.market_tickers is not None:
            self.acknowledge(known, set(head.message.market_tickers), now_ns)
        if gap is not None:
            self.lose(known, now_ns)
        if known.ended:
            self.lost |= known.unknown
            known.unknown = {}
        if head.type == "orderbook_snapshot" and head.message.market_ticker is not None:
            known.known.add(head.message.market_ticker)
            since = known.unknown.pop(head.message.market_ticker, now_ns)
            self.unknown_ns += now_ns - since
        return gap

    @staticmethod
    def lose(subscription: Subscription, now_ns: int) -> None:
        """All books of a subscription are unknown.

        Args:
            subscription: of this connection.
            now_ns: monotonic clock.
        """
        subscription.known.clear()
        if subscription.has_books:
            for ticker in subscription.markets:
                subscription.unknown.setdefault(ticker, now_ns)

    @staticmethod
    def _number(known: Subscription, seq: int | None) -> Gap | None:
        if seq is None:
            return None
        last, known.last = known.last, seq
        if last is None or seq == last + 1:
            return None
        if seq <= last:
            known.last = last
            return Gap(known.sid, AGAIN, last + 1, seq)
        return Gap(known.sid, MISSING, last + 1, seq)


def _channel_of(kind: str) -> str:
    for channel in names.CHANNELS.values():
        if kind in channel.types:
            return channel.name
    return ""
