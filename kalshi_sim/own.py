"""Own features and an own reward: a user's functions compiled into the step.

Both see a row of the book and the agent as small tuples of integers, money in tape units (so that a
price over `row.payout` is one over the dollar):

    @numba.njit
    def features(row, agent, observation, out):  # out float32 [names], to be written
        out[0] = (row.no_bid + row.yes_bid) / row.payout

    @numba.njit
    def reward(before, after, row, paid):  # paid: the reward in cents as it is without this
        return paid - 0.01 * abs(after.position)

They are called after every row with what is known at it, so a policy can be given the same live.
The kernels of the simulation stay as they are: without own functions nothing here is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.validated import check_value

Float32Array = npt.NDArray[np.float32]

MAX_OWN: Final = 1024
"""Most features of one's own."""


class Row(NamedTuple):
    """A row of the book as own functions see it; prices in tape units, sizes in contracts."""

    ts_ms: int
    yes_bid: int
    """Best bid for YES, 0 if there is none."""
    no_bid: int
    """Best bid for NO; the best ask for YES is `payout - no_bid`."""
    yes_size: int
    """Contracts at the best bid for YES."""
    no_size: int
    mark2: int
    """Twice the mark of YES."""
    payout: int
    """What a winning contract pays."""


class Agent(NamedTuple):
    """The agent as own functions see it; money in tape units.

    Live it has what a portfolio knows: `steps`, `fills`, `contracts` and `invalid_actions` are 0.
    """

    cash: int
    position: int
    """Contracts, + YES, - NO."""
    cost: int
    """What the open contracts cost."""
    realized: int
    fees_paid: int
    equity2: int
    """Twice the equity."""
    peak2: int
    """Twice the highest equity so far."""
    steps: int
    fills: int
    contracts: int
    """Contracts traded."""
    invalid_actions: int
    yes_price: int
    """Price of the resting order on the YES side."""
    yes_size: int
    """Contracts of it that are left, 0 if there is none."""
    yes_ahead: int
    """Contracts in front of it."""
    no_price: int
    no_size: int
    no_ahead: int


Features = Callable[[Row, Agent, Float32Array, Float32Array], None]
"""Called with row, agent, the 52 features float32 [52], and `out` float32 [names] to be written."""
Reward = Callable[[Agent, Agent, Row, float], float]
"""Called with the agent before and after a step, the row after it, and the usual reward."""


@dataclass(frozen=True, eq=False)
class OwnFeatures:
    """Features of one's own, appended to the 52 of an observation.

    Values are cut to [low, high]; NaN and infinities are refused with the market and the row.

    Raises:
        ConfigError: there are no names, two are the same, or a bound does not fit.
    """

    function: Features
    """Writes them; `numba.njit` or a plain function that it can compile."""
    names: tuple[str, ...]
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        given: Any = self.names  # people write one name, or a list
        names = (given,) if isinstance(given, str) or not np.iterable(given) else tuple(given)
        object.__setattr__(self, "names", names)
        taken = {f.name for f in FEATURES}
        texts = all(isinstance(name, str) and name and name.isprintable() for name in names)
        if (
            not texts
            or not 1 <= len(names) <= MAX_OWN
            or len({*names, *taken}) < len(names) + len(taken)
        ):
            raise ConfigError(
                f"names={names!r}: must be 1 to {MAX_OWN} names, all different and none of FEATURES"
            )
        for end in ("low", "high"):
            check_value(end, getattr(self, end), float)
        if not self.low < self.high:
            raise ConfigError(f"low={self.low}, high={self.high}: low must be below high")

    def __len__(self) -> int:
        return len(self.names)
