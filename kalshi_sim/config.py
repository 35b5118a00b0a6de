"""`SimConfig`: every choice the simulation leaves to its user."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from kalshi_sim.errors import ConfigError

Pricing = Literal["cross", "join", "improve"]
TimeInForce = Literal["gtc", "ioc"]
FillModel = Literal["through", "queue", "prob", "touch"]
Valuation = Literal["mid", "liquidation"]
EndOfData = Literal["terminate", "truncate"]
MarketOrder = Literal["sequential", "shuffle", "weighted"]

MAX_CONTRACTS: Final = 1_000_000
"""Largest order or position: keeps every product of the fee formula inside int64."""
MAX_CASH_CENTS: Final = 10**12

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "cash_start": (1, MAX_CASH_CENTS),
    "order_size": (1, MAX_CONTRACTS),
    "max_position": (1, MAX_CONTRACTS),
    "trade_share": (0.0, 1.0),
    "queue_power": (1, 3),
    "latency_ms": (0, 86_400_000),
    "max_episode_steps": (1, 2**62),
}


@dataclass(frozen=True, kw_only=True)
class SimConfig:
    """Settings of the simulation; every field is checked when the object is made.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    cash_start: int = 10_000
    """Cash at the start of an episode, in cents."""
    order_size: int = 10
    """Contracts of one order."""
    max_position: int = 1000
    """Largest position in either direction, in contracts, open orders counted."""
    pricing: Pricing = "cross"
    """Limit price: take the opposite best, join the own best, or improve on it by a tick."""
    time_in_force: TimeInForce = "gtc"
    """Whether what is not filled at entry rests (gtc) or is cancelled (ioc)."""
    fill_model: FillModel = "queue"
    """How resting orders fill, from pessimistic to optimistic: through, queue, prob, touch."""
    trade_share: float = 0.05
    """Share of removals at the best price taken for trades where no trades were recorded."""
    queue_power: int = 3
    """Power of the queue position function of `prob`."""
    latency_ms: int = 0
    """Milliseconds between a decision and the order's arrival."""
    fees: bool = True
    """Whether the exchange's fees are charged."""
    valuation: Valuation = "mid"
    """Price of open positions: the mid price, or what selling at the best bid would bring."""
    end_of_data: EndOfData = "terminate"
    """What an end of the recording without settlement is to the agent."""
    max_episode_steps: int | None = None
    """Truncate an episode after so many steps."""
    random_start: bool = False
    """Start episodes at a random row instead of the first."""
    market_order: MarketOrder = "sequential"
    """Which view a finished environment gets next."""
    reward_scale: float = 1.0
    """Factor on the reward, which is in cents without it."""
    record_fills: bool = False
    """Keep every fill for `fills()`."""

    def __post_init__(self) -> None:
        hints = get_type_hints(SimConfig)
        for f in fields(SimConfig):
            _check_field(f.name, getattr(self, f.name), hints[f.name])
        if self.order_size > self.max_position:
            raise ConfigError(
                f"order_size {self.order_size} is larger than max_position {self.max_position}; "
                "allowed: 1 to max_position"
            )
        if self.time_in_force == "ioc" and self.pricing != "cross":
            raise ConfigError(
                f"pricing={self.pricing!r} with time_in_force='ioc' never trades; "
                "use pricing='cross' or time_in_force='gtc'"
            )


def _check_field(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{name}={value!r}: allowed are {', '.join(get_args(hint))}")
        return
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name}={value!r}: allowed are True and False")
        return
    if value is None and name == "max_episode_steps":
        return
    if name == "reward_scale":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{name}={value!r}: must be a finite number above 0")
        if not math.isfinite(value) or value <= 0:
            raise ConfigError(f"{name}={value!r}: must be a finite number above 0")
        return
    low, high = _RANGES[name]
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if (
        not (whole or (hint is float and isinstance(value, float)))
        or not low <= float(value) <= high
    ):
        number = "a number" if hint is float else "a whole number"
        raise ConfigError(f"{name}={value!r}: must be {number} from {low} to {high}")
