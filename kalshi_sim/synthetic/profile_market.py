"""One market of a profile: when something happens in it, and what it starts with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim import units
from kalshi_sim.grid import CENT_GRID, SUB_PENNY_GRID, grid_prices
from kalshi_sim.kernels.jit import jit
from kalshi_sim.session import Int64Array, PriceRanges
from kalshi_sim.synthetic.draws import Float64Array
from kalshi_sim.synthetic.profile import QUANTILES, Profile
from kalshi_sim.synthetic.profile_flow import ProfileFlow, run_profile_market
from kalshi_sim.synthetic.queue_book import (
    CANCEL,
    CLEAR,
    LOG_KIND,
    LOG_NUMBER,
    LOG_SIZE,
    LOGGED,
    new_book,
)
from kalshi_sim.units import MS_PER_MINUTE

ORDERS: Final = 2048
"""Orders that can rest in a market of a profile at a time."""
SLOW_MINUTES: Final = 3.0
SLOW_SHARE: Final = 1.0 / 6.0
"""The slow part of the activity fades to 1/e over the rows of so many minutes on average, or of
this share of the profile's own length if that is longer."""
BURN_IN: Final = 3.0
"""Times of that before the start, so that it is as likely in a calm as in a rush."""
FAST_ROWS: Final = 10.0
"""Rows over which the fast part fades to 1/e."""
LULL_SHARE: Final = 0.9
"""Gaps above this quantile are lulls."""
GOLDEN: Final = 0.6180339887498949
EVEN: Final = 401
"""Equally spaced shares of the quantile tables that kernels draw from."""


class ProfileMarket(NamedTuple):
    """One market before it trades. Times in ms, prices in 1/100 cent."""

    times: Int64Array
    """[n] distinct instants, ascending; the first is the snapshot's."""
    grid: Int64Array
    ranges: PriceRanges
    fair: float
    flow: ProfileFlow


@jit
def ranks(
    rng: np.random.Generator, n: int, slow: float, fast: float, slow_rows: float, fast_rows: float
) -> Float64Array:
    """Shares between 0 and 1, each uniform, near each other in bursts.

    Args:
        rng: the market's random generator; it advances.
        n: how many.
        slow, fast: parts of the variance that fade slowly and fast.
        slow_rows, fast_rows: rows over which they fade to 1/e.

    Returns:
        float64 [n].
    """
    out = np.empty(n)
    a, b = math.exp(-1.0 / slow_rows), math.exp(-1.0 / fast_rows)
    s, f = rng.standard_normal(), rng.standard_normal()
    rest = math.sqrt(max(0.0, 1.0 - slow - fast))
    for i in range(n):
        s = a * s + math.sqrt(1.0 - a * a) * rng.standard_normal()
        f = b * f + math.sqrt(1.0 - b * b) * rng.standard_normal()
        x = math.sqrt(slow) * s + math.sqrt(fast) * f + rest * rng.standard_normal()
        out[i] = 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
    return out


def profile_times(
    rng: np.random.Generator, profile: Profile, first_ms: int, stop_ms: int
) -> Int64Array:
    """`first_ms`, then the instants of a market before `stop_ms`.

    Args:
        rng: the market's random generator; it advances.
        profile: whose gaps are drawn.
        first_ms, stop_ms: ms since 1970 UTC.

    Returns:
        int64 [n >= 1] distinct, ascending.
    """
    logs = np.log(np.array(profile.gaps))
    shares = np.array(QUANTILES)
    logs += math.log(profile.lull) * np.clip((shares - LULL_SHARE) / (1.0 - LULL_SHARE), 0.0, 1.0)
    mean = float(np.exp(np.interp(np.linspace(0.0, 1.0, 2001), shares, logs)).mean())
    slow_ms = MS_PER_MINUTE * max(SLOW_MINUTES, SLOW_SHARE * profile.minutes)
    slow_rows = max(2.0 * FAST_ROWS, slow_ms / mean)
    begin = first_ms - int(BURN_IN * slow_ms)
    n = 64 + int(1.2 * (stop_ms - begin) / mean)
    parts = [np.array([begin])]
    while parts[-1][-1] < stop_ms:
        drawn = ranks(rng, n, profile.slow, profile.fast, slow_rows, FAST_ROWS)
        gaps = np.maximum(1, np.exp(np.interp(drawn, shares, logs)).astype(np.int64))
        parts.append(parts[-1][-1] + np.cumsum(gaps))
    times = np.concatenate(parts)
    inside = times[(times > first_ms) & (times < stop_ms)]
    return np.concatenate([[first_ms], inside]).astype(np.int64)


def draw_market(
    rng: np.random.Generator, profile: Profile, index: int, start_ms: int, stop_ms: int
) -> ProfileMarket:
    """Draw a market's times and fair value.

    Args:
        rng: the market's random generator.
        profile: what kind of market.
        index: of the market, from 0; few markets start as far apart as many.
        start_ms, stop_ms: the recording, in ms since 1970 UTC.

    Returns:
        The market before it trades.
    """
    first_ms = start_ms + int(rng.integers(1, 50))
    times = profile_times(rng, profile, first_ms, stop_ms)
    ranges = SUB_PENNY_GRID if profile.sub_penny else CENT_GRID
    starts = np.array(profile.starts)
    at = (0.5 + index * GOLDEN) % 1.0 * (len(starts) - 1)
    cents = float(np.interp(at, np.arange(len(starts)), starts))
    # Not on the grid, where a fair value would be neither above nor below a price.
    fair = units.STORED_PER_CENT * cents + rng.random() - 0.5
    return ProfileMarket(times, grid_prices(ranges), ranges, fair, flow_of(profile))


def flow_of(profile: Profile) -> ProfileFlow:
    """The parameters as kernels take them.

    Args:
        profile: what kind of market.
    """
    places = np.cumsum(np.array(profile.places))
    return ProfileFlow(
        news=profile.news,
        step=units.STORED_PER_CENT * profile.step,
        tail=profile.tail,
        informed=profile.informed,
        more=profile.more,
        taker=profile.taker,
        sweep=profile.sweep,
        tilt=profile.tilt,
        drop=profile.drop,
        fine=profile.fine,
        refill=profile.refill,
        join=profile.join,
        settle=profile.settle,
        lull_ms=float(np.interp(LULL_SHARE, QUANTILES, profile.gaps)),
        fractional=profile.fractional,
        chance=places / places[-1],
        level=np.array(profile.levels),
        sizes=np.array([_even(row) for row in profile.sizes]),
        takers=_even(_stretched(profile.takers, profile.taker_tail)),
    )


def _stretched(quantiles: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Quantiles with the factor above the 90 % one, and less of it down to the median."""
    grows = np.clip((np.array(QUANTILES) - 0.5) / 0.4, 0.0, 1.0)
    stretched = np.array(quantiles) * factor**grows
    return tuple(np.maximum.accumulate(stretched).tolist())


def _even(quantiles: tuple[float, ...]) -> Float64Array:
    """The quantile function at equally spaced shares, log-linear between those of a profile."""
    logs = np.log(np.maximum(np.array(quantiles), 1.0))
    even: Float64Array = np.exp(np.interp(np.linspace(0.0, 1.0, EVEN), QUANTILES, logs))
    return even


def trade_profile(
    market: ProfileMarket, stream: Callable[[], np.random.Generator]
) -> tuple[Int64Array, float]:
    """Let a market trade; starts over if the log was too short.

    Args:
        market: before it trades.
        stream: makes the market's random generator, the same one at each call.

    Returns:
        The log's lines, int64 [n, 6], and the last fair value in 1/100 cent.
    """
    capacity = 4 * len(market.times) + 16 * ORDERS
    while True:
        book = new_book(len(market.grid), capacity, ORDERS)
        fair = run_profile_market(
            stream(), market.times, market.grid, market.flow, market.fair, book
        )
        if fair >= 0.0:
            return _settled_opening(book.log[: book.counts[LOGGED]]), fair
        capacity *= 2


def _settled_opening(lines: Int64Array) -> Int64Array:
    """The log with orders that rest before the start as large as they are at the start."""
    start = int(np.argmax(lines[:, LOG_KIND] == CLEAR))
    opening = lines[:start].copy()
    gone = opening[:, LOG_KIND] == CANCEL
    place = np.zeros(int(opening[:, LOG_NUMBER].max(initial=0)) + 1, dtype=np.int64)
    place[opening[~gone, LOG_NUMBER]] = np.flatnonzero(~gone)
    np.subtract.at(opening[:, LOG_SIZE], place[opening[gone, LOG_NUMBER]], opening[gone, LOG_SIZE])
    kept = opening[~gone & (opening[:, LOG_SIZE] > 0)]
    return np.concatenate([kept, lines[start:]])
