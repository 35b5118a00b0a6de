"""An estimate with its error, and what to say where there is too little to make one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Estimate:
    """One figure; the interval holds the true value in 95 % of repetitions."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    """Observations it rests on."""
    of: str
    """What they are."""
    needed: int
    more: dict[str, Any] = field(default_factory=dict)
    """What else was found."""

    @property
    def known(self) -> bool:
        """Whether there was enough."""
        return self.value is not None

    @property
    def missing(self) -> str:
        """What to say where there was not enough."""
        count = f"{self.n:,} of {self.needed:,} needed"
        return f"not enough {self.of} to estimate {self.name} ({count})"


def too_little(name: str, n: int, of: str, needed: int) -> Estimate:
    """No estimate.

    Args:
        name: of the figure.
        n: observations there are.
        of: what they are.
        needed: how many it takes.

    Returns:
        An estimate without a value.
    """
    return Estimate(name, None, None, None, n, of, needed)
