"""The figures of an evaluation, typed; in JSON they have the same names in the same order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class _Figures:
    """What both kinds of figures share."""

    actions: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as JSON has them."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # subclasses are dataclasses

    def columns(self) -> dict[str, Any]:
        """The figures as columns of a table: each action's share has one of its own."""
        values = self.to_json()
        shares = values.pop("actions")
        return values | {f"share_{name}": share for name, share in shares.items()}


@dataclass(frozen=True, kw_only=True)
class MarketFigures(_Figures):
    """One market played by one policy under one fill model; money in cents."""

    session_id: int
    market_ticker: str
    event: str
    rows: int
    """Rows that were reached."""
    steps: int
    hours: float
    """From the first row to the last."""
    profit_cents: float
    """Change of equity, after fees."""
    return_on_capital: float
    """Profit over the cash at the start."""
    sharpe: float | None
    """Of the changes of equity minute by minute; None with fewer than two minutes."""
    max_drawdown_cents: float
    """Largest fall of the equity from an earlier peak."""
    fees_cents: float
    closed_cents: float
    """Part of the profit before fees: contracts sold, or met by those of the other side."""
    settled_cents: float
    """Of contracts that the market's result paid out."""
    marked_cents: float
    """Of contracts still held at the end; closed, settled and marked less fees are the profit."""
    fills: int
    contracts: int
    turnover_cents: float
    """Contracts times price, over all fills."""
    maker_share: float | None
    """Share of the contracts that resting orders traded; None without a fill."""
    spread_capture_cents: float | None
    """Gain of a contract against the mid it was made at."""
    markout_1s_cents: float | None
    """Gain of a contract one second after its fill; None if no such second was recorded."""
    markout_10s_cents: float | None
    markout_60s_cents: float | None
    inventory_mean: float
    """Contracts held, weighted by time."""
    inventory_max: int
    position_at_end: int
    settled: bool
    truncated: bool
    invalid_actions: int
    actions: dict[str, float]
    """Share of the steps by action."""


@dataclass(frozen=True, kw_only=True)
class TotalFigures(_Figures):
    """All markets of one run together; money in cents."""

    markets: int
    events: int
    profit_cents: float
    profit_per_market_cents: float
    profit_per_market_low_cents: float | None
    """Lower end of the interval; None with one event, or where all gave the same."""
    profit_per_market_high_cents: float | None
    return_on_capital: float
    sharpe: float | None
    """Of the profits market by market."""
    win_rate: float
    losing_rate: float
    max_drawdown_cents: float
    """Of all markets' equity together over time."""
    worst_market_drawdown_cents: float
    worst_market_profit_cents: float
    best_market_profit_cents: float
    fees_cents: float
    closed_cents: float
    settled_cents: float
    marked_cents: float
    fills: int
    contracts: int
    turnover_cents: float
    maker_share: float | None
    spread_capture_cents: float | None
    markout_1s_cents: float | None
    markout_10s_cents: float | None
    markout_60s_cents: float | None
    inventory_mean: float
    inventory_max: int
    invalid_actions: int
    actions: dict[str, float]


@dataclass(frozen=True)
class Marks:
    """What an episode's fills gained, in cents, and the contracts these sums are of."""

    spread_cents: float
    """At the fill, against the mid."""
    markout_cents: tuple[float, ...]
    """[horizons] after `marks.HORIZONS_S`."""
    markout_contracts: tuple[int, ...]
    """[horizons] contracts whose mark is known."""


@dataclass(frozen=True)
class Sums:
    """Sums of one episode that figures of many markets are made of."""

    marks: Marks
    contracts: int
    maker_contracts: int
    actions: tuple[int, ...]
    """[actions] how often each was chosen."""
    held_ms: float
    """Contracts held times milliseconds."""
    ms: int
