"""What is known of one market apart from its book: grid, fees, pauses, close time and result."""

from __future__ import annotations

from dataclasses import dataclass

PriceRanges = tuple[tuple[int, int, int], ...]
"""A grid: (start, end, step) of YES prices in 1/100 cent, ascending."""


@dataclass(frozen=True)
class GridUpdate:
    """From `known_ms` on the market's grid is this one."""

    known_ms: int
    price_ranges: PriceRanges


@dataclass(frozen=True)
class FeeUpdate:
    """From `known_ms` (NO_TIME: from the start) on these fee multipliers hold, in 1/10 000."""

    known_ms: int
    taker_multiplier: int | None = None
    """None: the market's own, else the fee schedule's."""
    maker_multiplier: int | None = None
    """None: the market's own, else the fee schedule's."""


@dataclass(frozen=True)
class Pause:
    """The market was paused from `start_ms` up to, not including, `end_ms` (None: to the end)."""

    start_ms: int
    end_ms: int | None = None


@dataclass(frozen=True)
class MarketInfo:
    """What is known of one market, apart from its book."""

    ticker: str
    event_ticker: str | None = None
    close_time_ms: int | None = None
    """The close time as known at the session's start."""
    close_updates: tuple[tuple[int, int], ...] = ()
    """(time the update was known, new close time), in ms, in order of the first."""
    settlement_value: int | None = None
    """What a YES contract paid, in 1/100 cent (10 000 = yes, 0 = no, between = scalar)."""
    settlement_known_ms: int | None = None
    """When the result was known; None with a settlement value counts as known."""
    sub_penny: bool = False
    """Decided at import, from the metadata or else the prices."""
    price_ranges: PriceRanges | None = None
    """The grid, the last one if it changed while it was recorded; None: unknown."""
    taker_multiplier: int | None = None
    """Fee multiplier in 1/10 000; None: the fee schedule decides."""
    maker_multiplier: int | None = None
    fee_unit: int | None = None
    """Fees are rounded up to this, in 1/100 cent; None: the fee schedule decides."""
    first_price_ranges: PriceRanges | None = None
    """The grid before the first of `grid_updates`; None: unknown. Of no meaning without them."""
    grid_updates: tuple[GridUpdate, ...] = ()
    """Changes of the grid while it was recorded, by `known_ms`."""
    fee_updates: tuple[FeeUpdate, ...] = ()
    """Changes of the fees while it was recorded, by `known_ms`."""
    pauses: tuple[Pause, ...] = ()
    """When trading was paused, ascending and apart from each other."""

    @property
    def starting_ranges(self) -> PriceRanges | None:
        """The grid at the session's start, None if unknown."""
        return self.first_price_ranges if self.grid_updates else self.price_ranges

    @property
    def known_ranges(self) -> tuple[PriceRanges, ...]:
        """Every grid that is known of the market, the first one first."""
        first = self.starting_ranges
        updates = tuple(update.price_ranges for update in self.grid_updates)
        return updates if first is None else (first, *updates)

    @property
    def event(self) -> str:
        """The event this market belongs to (both teams of a game share one)."""
        return self.event_ticker or self.ticker.rpartition("-")[0] or self.ticker

    @property
    def series(self) -> str:
        """The series, for the fee schedule."""
        return self.ticker.partition("-")[0]
