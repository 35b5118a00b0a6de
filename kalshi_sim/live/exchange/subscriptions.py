"""Subscriptions of a connection: a channel, its markets, and the numbers of its frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from kalshi_sim.live.interface import Channel


@dataclass(eq=False, slots=True)
class Subscription:
    """One channel on one connection."""

    sid: int
    channel: Channel
    markets: dict[str, None] | None
    """Tickers in the order in which they were added; None: all markets."""
    seq: int = 0
    """The last number used."""
    use_yes_price: bool = False
    lists_markets: bool = True
    """Whether `ok` lists the markets (`skip_ticker_ack` leaves them out)."""
    sent: dict[str, int] = field(default_factory=dict)
    """Frames sent, by type."""

    def next_number(self) -> int:
        """Use a number."""
        self.seq += 1
        return self.seq

    def covers(self, ticker: str) -> bool:
        """Whether it is about a market."""
        return self.markets is None or ticker in self.markets
