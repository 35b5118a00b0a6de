"""Price grids: which YES prices a market may be quoted at."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.session import MarketInfo, PriceRanges
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT

_TENTH: Final = PRICE_SCALE // 10

CENT_GRID: Final[PriceRanges] = ((0, PRICE_SCALE, STORED_PER_CENT),)
"""(start, end, step) of a market in whole cents, in 1/100 cent."""
SUB_PENNY_GRID: Final[PriceRanges] = (
    (0, _TENTH, STORED_PER_CENT // 10),
    (_TENTH, PRICE_SCALE - _TENTH, STORED_PER_CENT),
    (PRICE_SCALE - _TENTH, PRICE_SCALE, STORED_PER_CENT // 10),
)
"""The bands of a sub-penny market whose own are not recorded: 0.1 cent below 10 and above 90."""


def price_grid(market: MarketInfo) -> PriceRanges:
    """The market's grid at the session's start.

    Args:
        market: its metadata.

    Returns:
        (start, end, step) of YES prices in 1/100 cent; the published bands if none are recorded.
    """
    if market.starting_ranges is not None:
        return market.starting_ranges
    return SUB_PENNY_GRID if market.sub_penny else CENT_GRID


def price_grid_at(market: MarketInfo, ts_ms: int) -> PriceRanges:
    """The market's grid as known at a time.

    Args:
        market: its metadata, with the recorded changes of its grid.
        ts_ms: the time, ms UTC.

    Returns:
        (start, end, step) of YES prices in 1/100 cent.
    """
    grid = price_grid(market)
    for update in market.grid_updates:
        if update.known_ms <= ts_ms:
            grid = update.price_ranges
    return grid


def is_sub_penny(bands: PriceRanges) -> bool:
    """Whether some price of these bands (1/100 cent) is no whole number of cents."""
    return any(n % STORED_PER_CENT for band in bands for n in band)


def grid_prices(bands: PriceRanges) -> npt.NDArray[np.int64]:
    """All prices of the bands between nothing and the payout.

    Args:
        bands: (start, end, step), the first from 0, the last to the payout.

    Returns:
        int64 [prices], ascending, in the unit of the bands.
    """
    steps = [np.arange(start, end, step, dtype=np.int64) for start, end, step in bands]
    return np.unique(np.concatenate(steps))[1:]
