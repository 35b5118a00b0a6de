"""How quickly profit decays when the world is less kind: latency, fees, size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from kalshi_sim.config import MAX_CASH_CENTS, MAX_CONTRACTS, SimConfig

LATENCIES_MS: Final = (0, 50, 100, 250, 500)
SIZES: Final = (1, 5, 25)


@dataclass(frozen=True)
class Condition:
    """One row of the stress table."""

    name: str
    config: SimConfig
    size: int
    """Orders, cash and the position limit are this many times the configured ones."""


@dataclass(frozen=True)
class StressResult:
    """One policy under one condition and one fill model; money in cents."""

    policy: str
    condition: str
    latency_ms: int
    fees: bool
    size: int
    fill_model: str
    profit_cents: float
    profit_per_market_cents: float
    profit_per_market_low_cents: float | None
    profit_per_market_high_cents: float | None
    return_on_capital: float
    fees_cents: float
    fills: int
    contracts: int


def conditions(config: SimConfig) -> Iterator[Condition]:
    """The configured world, then one thing changed at a time, then the worst of all together."""
    yield Condition("as configured", config, 1)
    for latency in LATENCIES_MS:
        if latency != config.latency_ms:
            changed = replace(config, latency_ms=latency)
            yield Condition(f"latency {latency} ms", changed, 1)
    changed = replace(config, fees=not config.fees)
    yield Condition("without fees" if config.fees else "with fees", changed, 1)
    for size in SIZES[1:]:
        if fits(config, size):
            yield Condition(f"size times {size}", scaled(config, size), size)
    largest = max(s for s in SIZES if fits(config, s))
    worst = replace(scaled(config, largest), latency_ms=max(LATENCIES_MS), fees=True)
    yield Condition(f"{worst.latency_ms} ms, fees, size times {largest}", worst, largest)


def fits(config: SimConfig, size: int) -> bool:
    """Whether orders `size` times as large are within what the simulation allows.

    Args:
        config: of the simulation.
        size: the factor.
    """
    return (
        max(config.max_position, config.order_size) * size <= MAX_CONTRACTS
        and config.cash_start * size <= MAX_CASH_CENTS
    )


def scaled(config: SimConfig, size: int) -> SimConfig:
    """The same settings with orders, cash and the position limit multiplied.

    All three, so that the agent sees the same features and only the market does not grow with it.

    Args:
        config: of the simulation.
        size: the factor.

    Returns:
        A changed copy.
    """
    return replace(
        config,
        order_size=config.order_size * size,
        cash_start=config.cash_start * size,
        max_position=config.max_position * size,
    )
