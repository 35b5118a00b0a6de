"""Price grids: the bands of a market, its prices, and the grid known at a time."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_sim.grid import (
    CENT_GRID,
    SUB_PENNY_GRID,
    grid_prices,
    is_sub_penny,
    price_grid,
    price_grid_at,
)
from kalshi_sim.session import GridUpdate, MarketInfo, PriceRanges

NICKELS: PriceRanges = ((0, 10_000, 500),)


def test_prices_of_the_published_grids() -> None:
    assert grid_prices(CENT_GRID).tolist() == list(range(100, 10_000, 100))
    fine = grid_prices(SUB_PENNY_GRID)
    assert fine[:3].tolist() == [10, 20, 30]
    assert fine[np.searchsorted(fine, 990) :][:3].tolist() == [990, 1000, 1100]
    assert fine[np.searchsorted(fine, 8900) :][:3].tolist() == [8900, 9000, 9010]
    assert fine[-1] == 9990


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (CENT_GRID, False),
        (SUB_PENNY_GRID, True),
        (NICKELS, False),
        (((0, 150, 50), (150, 10_050, 100)), True),
        (((50, 9_950, 100),), True),
    ],
)
def test_sub_penny_grids(bands: PriceRanges, expected: bool) -> None:
    assert is_sub_penny(bands) == expected


def test_the_grid_known_at_a_time() -> None:
    assert price_grid(MarketInfo("A-1")) == CENT_GRID
    assert price_grid(MarketInfo("A-1", sub_penny=True)) == SUB_PENNY_GRID
    market = MarketInfo(
        "A-1",
        price_ranges=CENT_GRID,
        first_price_ranges=NICKELS,
        grid_updates=(GridUpdate(1_000, SUB_PENNY_GRID), GridUpdate(2_000, CENT_GRID)),
    )
    assert price_grid(market) == NICKELS
    known = [price_grid_at(market, t) for t in (999, 1_000, 1_999, 2_000)]
    assert known == [NICKELS, SUB_PENNY_GRID, SUB_PENNY_GRID, CENT_GRID]
