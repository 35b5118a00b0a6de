"""What the kalshiflow recorder's snapshots meant in its three eras, and which era a session is of.

Prices are cents and sizes whole contracts here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kalshi_sim.units import CENTS_PER_DOLLAR, mirror

Era = Literal["A", "B", "C"]
Ladder = Mapping[int, int]
"""Price in cents -> whole contracts."""

SPLIT: Final = CENTS_PER_DOLLAR // 2
"""Eras A and B wrote a bid ladder in two: levels up to this price and those above."""
ERA_B_FROM_MS: Final = 1_765_497_600_000
"""2025-12-12 00:00 UTC; distinguished by the rows, dates only decide where no row can."""
ERA_C_FROM_MS: Final = 1_765_929_600_000
"""2025-12-17 00:00 UTC."""


@dataclass(frozen=True)
class Ladders:
    """The four columns of a snapshot row."""

    yes_bids: Ladder
    yes_asks: Ladder
    no_bids: Ladder
    no_asks: Ladder

    @property
    def empty(self) -> bool:
        """Whether the row says nothing."""
        return not (self.yes_bids or self.yes_asks or self.no_bids or self.no_asks)

    @property
    def mirrored(self) -> bool:
        """Whether asks are the other side's bids mirrored, as era C wrote them.

        In eras A and B this would need a locked book: YES bid p and NO bid 100 - p.
        """
        return self.yes_asks == _mirrored(self.no_bids) and self.no_asks == _mirrored(self.yes_bids)

    def bids(self, era: Era) -> tuple[Ladder, Ladder]:
        """The whole bid ladders of YES and NO.

        Returns:
            YES bids and NO bids: {price in 1/100 cent: size in 1/100 contract}.
        """
        if era == "C":
            return self.yes_bids, self.no_bids
        return {**self.yes_bids, **self.yes_asks}, {**self.no_bids, **self.no_asks}


def _mirrored(ladder: Ladder) -> dict[int, int]:
    return {mirror(price, CENTS_PER_DOLLAR): size for price, size in ladder.items()}


def era_of(sample: Iterable[Ladders], both_sizes: bool, started_ms: int) -> Era:
    """The era of a session.

    C if `yes_asks` is the mirror of `no_bids` (and `no_asks` of `yes_bids`) in most of the
    sampled snapshots that hold a level, else B if any delta has an old and a new size above 0,
    else A. Without any such snapshot the session's date decides between the absolute eras; A
    and C read the same then.

    Args:
        sample: some snapshots of the session.
        both_sizes: some delta has an old and a new size above 0.
        started_ms: of the session, in ms since 1970 UTC.
    """
    votes = [ladders.mirrored for ladders in sample if not ladders.empty]
    if 2 * sum(votes) > len(votes):
        return "C"
    if not votes and (started_ms >= ERA_C_FROM_MS or started_ms < ERA_B_FROM_MS):
        return "C" if started_ms >= ERA_C_FROM_MS else "A"
    return "B" if both_sizes else "A"
