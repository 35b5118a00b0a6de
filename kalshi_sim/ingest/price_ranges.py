"""A market's grid as recordings and files of markets write it."""

from __future__ import annotations

from collections.abc import Sequence

from kalshi_sim.ingest.frames import PriceRange
from kalshi_sim.session import PriceRanges
from kalshi_sim.units import PRICE_SCALE, parse_dollars


def read_price_ranges(bands: Sequence[PriceRange]) -> PriceRanges:
    """The grid of bands in dollars, in any order.

    Raises:
        ValueError: there are none, a number is no price, or a band is empty, lies beyond 0 and 1
            dollar, overlaps another, or has a step that does not lead to its end.
    """
    out = sorted((_dollars(b.start), _dollars(b.end), _dollars(b.step)) for b in bands)
    if not out:
        raise ValueError("no price range")
    before = 0
    for start, end, step in out:
        band = f"price range {start}-{end} by {step} (in 1/100 cent)"
        if not 0 <= start < end <= PRICE_SCALE or step <= 0:
            raise ValueError(f"{band}: needs 0 <= start < end <= 1 dollar and a step above 0")
        if (end - start) % step:
            raise ValueError(f"{band}: the step does not lead from its start to its end")
        if start < before:
            raise ValueError(f"{band} overlaps the one before it")
        before = end
    return tuple(out)


def _dollars(text: str | int | float | None) -> int:
    return parse_dollars("" if text is None else text)
