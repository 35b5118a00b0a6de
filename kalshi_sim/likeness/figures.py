"""The figures by which a session's order flow is described and two sessions are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TOLERANCE: Final = 0.25
"""Two figures are alike if they differ by no more than this share of the recorded one."""
NOT_SETTLED: Final = 0.25
"""A figure whose standard error is a larger share of it is no figure of the market but luck."""


@dataclass(frozen=True)
class Figure:
    """What a figure is called and how it is shown."""

    key: str
    text: str
    """What it measures, with its unit."""
    digits: int = 2
    percent: bool = False

    def shown(self, value: float | None) -> str:
        """The value as tables show it.

        Args:
            value: of this figure; None if the session has none.
        """
        if value is None:
            return "-"
        if self.percent:
            return f"{100 * value:.1f} %"
        return f"{value:,.{self.digits}f}"


LEVELS: Final = (1, 2, 3, 5)
"""Levels of a side, the best one first, whose displayed sizes are figures."""
DISTANCES: Final = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, None))
"""Cents behind the best price of the side, rounded up: (first, last) of each bucket."""
HORIZONS_S: Final = (1, 10, 60)
"""Seconds after a trade at which the mid is looked at."""


def distance_name(bucket: int) -> str:
    """A bucket of `DISTANCES` in words."""
    first, last = DISTANCES[bucket]
    if first == 0:
        return "at the best price"
    if last is None:
        return f"{first} cents behind it or more"
    if first == last:
        return f"{first} cent{'s' * (first > 1)} behind it"
    return f"{first} to {last} cents behind it"


_LIST: Final = (
    Figure("rows_per_minute", "rows a minute and market", 1),
    Figure("gap_p50_ms", "gap between rows, median, ms", 1),
    Figure("gap_p90_ms", "gap between rows, 90 %, ms", 0),
    Figure("burst_1s", "rows in a second, variance over mean", 1),
    Figure("burst_60s", "rows in a minute, variance over mean", 0),
    Figure("deltas_per_row", "deltas a row"),
    Figure("spread_rows", "spread, mean over rows, cents"),
    Figure("spread_time", "spread, mean over time, cents"),
    *(Figure(f"size_{k}", f"size of level {k}, median, contracts", 0) for k in LEVELS),
    *(
        Figure(f"removed_{i}", f"removed contracts {distance_name(i)}", percent=True)
        for i in range(len(DISTANCES))
    ),
    Figure("moves", "rows that move the mid", percent=True),
    Figure("move_size", "size of a move of the mid, mean, cents"),
    Figure("change_60s", "change of the mid in a minute, root mean square, cents"),
    Figure("trades_per_row", "trades a row", 3),
    Figure("trade_p50", "size of a trade, median, contracts", 1),
    Figure("trade_p90", "size of a trade, 90 %, contracts", 0),
    Figure("traded_at_best", "traded contracts at the best price", percent=True),
    Figure("traded_of_removed", "traded share of what leaves the best price", percent=True),
    *(Figure(f"toward_{s}s", f"mid towards the trade {s} s later, cents", 3) for s in HORIZONS_S),
)
FIGURES: Final[Mapping[str, Figure]] = {figure.key: figure for figure in _LIST}
"""All figures by key, in the order in which tables show them."""


@dataclass(frozen=True)
class Measured:
    """The figures of a session.

    values has every key of `FIGURES`, None where the session has no such figure (no trades, say);
    errors has the standard errors of those that are means over few independent events.
    """

    values: Mapping[str, float | None]
    errors: Mapping[str, float]

    def settled(self, key: str) -> bool:
        """Whether the session has the figure and says more than chance about it."""
        value = self.values[key]
        if value is None:
            return False
        return self.errors.get(key, 0.0) <= NOT_SETTLED * abs(value)


@dataclass(frozen=True)
class Comparison:
    """One figure of two sessions."""

    figure: Figure
    recorded: float | None
    generated: float | None
    settled: bool
    """Whether the recording determines it; else it is shown and not compared."""

    @property
    def difference(self) -> float | None:
        """Of the generated figure from the recorded one, as a share of it; None: not compared."""
        if not self.settled or self.recorded is None or self.generated is None:
            return None
        if self.recorded == 0.0:
            return 0.0 if self.generated == 0.0 else float("inf")
        return self.generated / self.recorded - 1.0

    @property
    def alike(self) -> bool:
        """Whether it is within the tolerance, or not compared."""
        if not self.settled:
            return True
        difference = self.difference
        return difference is not None and abs(difference) <= TOLERANCE


def compare(recorded: Measured, generated: Measured) -> list[Comparison]:
    """The comparisons, in the order of tables.

    Args:
        recorded: what is to be met.
        generated: what was made.

    Returns:
        A comparison for each figure.
    """
    return [
        Comparison(figure, recorded.values[key], generated.values[key], recorded.settled(key))
        for key, figure in FIGURES.items()
    ]
