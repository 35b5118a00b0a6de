"""What a user chooses of the exchange's markets, and the calls that list it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from kalshi_sim.errors import ConfigError
from kalshi_sim.live import interface as names
from kalshi_sim.units import MS_PER_SECOND, PAYOUT_CENT


@dataclass(frozen=True)
class Selection:
    """What a user chooses. All that is given must hold; of several names one must."""

    tickers: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    status: tuple[str, ...] = ("open", "paused")
    """Any of these; a market that pauses is recorded on."""
    min_volume: int = 0
    """Contracts traded so far, at least."""
    max_spread: int | None = None
    """Cents between best bid and ask, at most; a one-sided book has none."""
    closes_within: float | None = None
    """Hours to the close, at most."""
    limit: int | None = None
    """So many, those traded most."""

    def __post_init__(self) -> None:
        """Check the statuses.

        Raises:
            ConfigError: there is none, or one that no market has.
        """
        if not self.status or not set(self.status) <= set(names.MARKET_STATUSES):
            raise ConfigError(
                f"--status {' '.join(self.status)}: must be of {', '.join(names.MARKET_STATUSES)}"
            )

    def keeps(self, market: Mapping[str, Any], now_s: float) -> bool:
        """Whether a market is chosen.

        Args:
            market: as GET /markets lists it.
            now_s: seconds since 1970 UTC.

        Returns:
            Whether all filters hold.
        """
        if amount(market.get("volume_fp", market.get("volume"))) < self.min_volume:
            return False
        if self.max_spread is not None:
            bid = amount(market.get("yes_bid_dollars"))
            ask = amount(market.get("yes_ask_dollars"))
            spread = (ask - bid) * PAYOUT_CENT
            if not 0 < bid < ask < 1 or spread > self.max_spread:
                return False
        if self.closes_within is not None:
            close_s = _seconds(market.get("close_time"))
            if close_s is None or not 0 <= close_s - now_s <= self.closes_within * 3600:
                return False
        return True

    def queries(self) -> list[dict[str, str]]:
        """The calls of GET /markets that list what the names can mean."""
        common = {"limit": str(names.MAX_PAGE)}
        if self.tickers:  # named: whatever their status
            return [
                common | {"tickers": ",".join(self.tickers[at : at + names.MAX_ORDERBOOKS])}
                for at in range(0, len(self.tickers), names.MAX_ORDERBOOKS)
            ]
        groups: list[dict[str, str]] = [{"mve_filter": "exclude"}]
        if self.events:
            groups = [{"event_ticker": event} for event in self.events]
        elif self.series:
            groups = [{"series_ticker": series} for series in self.series]
        return [common | group | {"status": status} for group in groups for status in self.status]

    def listed_in_s(self, created: bytes, sent_ms: int) -> float | None:
        """In how many seconds a market that was just created can be listed; None: it is not chosen.

        Args:
            created: the frame that says so (`market_lifecycle_v2`).
            sent_ms: when it was sent, in ms since 1970 UTC.

        Returns:
            Seconds, 0 if it can be listed now.
        """
        message = msgspec.json.decode(created)["msg"]
        ticker, opens_s = str(message.get("market_ticker")), message.get("open_ts")
        known = message.get("additional_metadata")
        event = known.get("event_ticker") if isinstance(known, dict) else None
        chosen = (
            ticker in self.tickers
            if self.tickers
            else event in self.events
            if self.events
            else not self.series or ticker.partition("-")[0] in self.series
        )
        if not chosen:
            return None
        if self.tickers or "unopened" in self.status or not isinstance(opens_s, int | float):
            return 0.0
        return max(0.0, opens_s - sent_ms / MS_PER_SECOND)


def amount(value: object) -> Decimal:
    """A number as the exchange writes it; what is none counts as 0."""
    try:
        return Decimal(str(value)) if value is not None else Decimal(0)
    except InvalidOperation:
        return Decimal(0)


def _seconds(value: object) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
