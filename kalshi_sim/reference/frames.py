"""One line of a recording, as the slow twin of the import sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BEHIND_MS = 1_000
"""How far behind a frame may lie and still belong to the connection."""
ENDING_ERRORS = (10, 25)
BOOK = ("orderbook_snapshot", "orderbook_delta")


@dataclass(eq=False)
class Frame:
    """One line: the frame on it, its text, its place and its receive time in ns.

    `connection` counts the restarts of its sid that its market has seen.
    """

    wire: dict[str, Any]
    text: str
    file: int
    place: int
    received: int | None
    events: list[Any] = field(default_factory=list)
    connection: int = 0

    @property
    def kind(self) -> str:
        """What the wire calls it."""
        return str(self.wire["type"])

    @property
    def market(self) -> str | None:
        """The market that it names."""
        return (self.wire.get("msg") or {}).get("market_ticker")

    @property
    def sid(self) -> int:
        """Its subscription, -1 if it has none."""
        return int(self.wire.get("sid", -1))

    @property
    def seq(self) -> int | None:
        """Its number."""
        return self.wire.get("seq")

    @property
    def given_ms(self) -> int | None:
        """Its time in ms."""
        return self.events[0].ts if self.events else None

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a snapshot."""
        return self.kind == "orderbook_snapshot"

    def is_book(self, market: str) -> bool:
        """Whether it is a book frame of the market."""
        return self.kind in BOOK and self.market == market

    def repeats(self, other: Frame) -> bool:
        """Whether sid, seq, content and exchange time are those of another delta."""
        return not self.is_snapshot and self.seq is not None and self.wire == other.wire

    def ends(self, market: str, sid: int) -> bool:
        """Whether it is a control frame that ends the market's subscription.

        Args:
            market: its ticker.
            sid: the subscription its book came on.
        """
        message = self.wire.get("msg") or {}
        if "sid" not in self.wire or self.sid != sid:
            return False
        if self.kind == "error":
            return message.get("code") in ENDING_ERRORS
        listed = message.get("market_tickers")
        return self.kind == "unsubscribed" or (
            self.kind == "ok" and listed is not None and market not in listed
        )
