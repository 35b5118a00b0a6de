"""What kind of market is generated: activity, instants, sizes, grid, close time, character.

The figures are those of a recorded session of 500 markets and 35 minutes; see docs/generator.md.
Every market draws from its own stream of random numbers, so that it does not depend on how many
others are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.grid import CENT_GRID, SUB_PENNY_GRID, grid_prices
from kalshi_sim.session import Int64Array
from kalshi_sim.synthetic import edge as synthetic_edge
from kalshi_sim.synthetic import making as synthetic_making
from kalshi_sim.synthetic.order_flow import Flow
from kalshi_sim.units import MS_PER_MINUTE, PRICE_SCALE, STORED_PER_CENT

Float64Array = npt.NDArray[np.float64]

USUAL_MINUTES: Final = 35.0
CENT: Final = STORED_PER_CENT

UPDATES: Final = (
    (0.0, 2),
    (0.05, 9),
    (0.2, 42),
    (0.5, 56),
    (0.75, 61),
    (0.9, 200),
    (0.95, 450),
    (0.99, 1100),
    (1.0, 2430),
)
"""Rows of a market in `USUAL_MINUTES`: (quantile, rows)."""
MAKER_SIZES: Final = (
    (0.0, 1),
    (0.1, 10),
    (0.25, 130),
    (0.5, 500),
    (0.75, 1_200),
    (0.9, 4_500),
    (0.95, 20_000),
    (1.0, 200_000),
)
"""Contracts of a limit order: (quantile, contracts)."""
TAKER_SIZES: Final = ((0.0, 1), (0.1, 5), (0.5, 150), (0.9, 4_000), (1.0, 50_000))
"""Contracts of a market order: (quantile, contracts)."""

GOLDEN: Final = 0.6180339887498949
"""Multiples of it modulo 1 fill the unit interval evenly, however many are taken."""


@dataclass(frozen=True)
class MarketPlan:
    """One market before it trades. Times in ms, prices in 1/100 cent."""

    times: Int64Array
    """[n] distinct instants, ascending; the first is the snapshot's."""
    close_ms: int
    known_ms: int
    """When the result is known."""
    grid: Int64Array
    ranges: tuple[tuple[int, int, int], ...]
    fair: float
    flow: Flow
    maker_sizes: Float64Array
    taker_sizes: Float64Array
    making: bool = False
    """Traded by `making.run_making`, which looks at times, grid and fair value alone."""


def quantile_table(points: tuple[tuple[float, int], ...], n: int = 401) -> Float64Array:
    """The quantile function through `points`, log-linear between them, at n even places.

    Args:
        points: (share, value) in ascending order.
        n: number of places.

    Returns:
        float64 [n] values.
    """
    share, value = np.array(points, dtype=np.float64).T
    table: Float64Array = np.exp(np.interp(np.linspace(0.0, 1.0, n), share, np.log(value)))
    return table


def market_updates(market: int, seed: int) -> float:
    """Rows the market would have in `USUAL_MINUTES`.

    Args:
        market: index of the market, from 0.
        seed: of the session.

    Returns:
        A number of rows, not rounded.
    """
    share = (0.5 + (market + 1) * GOLDEN + seed * GOLDEN * GOLDEN) % 1.0
    quantiles, rows = np.array(UPDATES, dtype=np.float64).T
    return float(np.exp(np.interp(share, quantiles, np.log(rows))))


def plan_market(
    rng: np.random.Generator,
    *,
    updates: int,
    start_ms: int,
    stop_ms: int,
    edge: float,
    making: bool = False,
    sub_penny: bool,
    fractional: bool,
) -> MarketPlan:
    """Draw what a market is: its times, grid, fair value and order flow.

    Args:
        rng: the market's random generator.
        updates: instants at which something happens, from `start_ms` to its close.
        start_ms, stop_ms: the recording, in ms since 1970 UTC.
        edge: planted predictability, 0 to 1.
        making: only quotes pay that are cancelled in time.
        sub_penny: the grid has steps of 0.1 cent below 10 and above 90 cents.
        fractional: sizes have two decimals.

    Returns:
        The plan.
    """
    close_ms, known_ms = _close(rng, start_ms, stop_ms, ends_later=making or edge > 0.0)
    first_ms = start_ms + int(rng.integers(50, 2_000))
    times = _instants(rng, updates, first_ms, min(close_ms, stop_ms))
    ranges = SUB_PENNY_GRID if sub_penny else CENT_GRID
    grid = grid_prices(ranges)
    if edge > 0.0:
        flow, fair = synthetic_edge.draw_flow(rng, edge, fractional)
        sizes = synthetic_edge.CROWD_SIZES
        makers = takers = quantile_table(sizes)
    else:
        flow, fair = _draw_flow(rng, updates, close_ms <= stop_ms, fractional)
        makers, takers = quantile_table(MAKER_SIZES), quantile_table(TAKER_SIZES)
    if making:
        fair = float(rng.integers(*synthetic_making.FAIR, endpoint=True)) * CENT
    return MarketPlan(times, close_ms, known_ms, grid, ranges, fair, flow, makers, takers, making)


def _close(
    rng: np.random.Generator, start_ms: int, stop_ms: int, *, ends_later: bool
) -> tuple[int, int]:
    """Close time and when the result is known: for most markets before the session's end."""
    length = stop_ms - start_ms
    kind = rng.random()
    if ends_later or kind < 0.15:
        close = stop_ms + int(rng.integers(1, 240)) * MS_PER_MINUTE
    elif kind < 0.4:
        close = start_ms + int(length * (0.4 + 0.5 * rng.random()))
    else:
        close = start_ms + int(length * (0.9 + 0.07 * rng.random()))
    # A result takes its time; now and then longer than the recording.
    wait = int(length * (0.005 + 0.02 * rng.random())) if rng.random() < 0.95 else length
    return close, close + wait


def _instants(rng: np.random.Generator, n: int, first_ms: int, stop_ms: int) -> Int64Array:
    """`first_ms`, then n distinct times before `stop_ms` in bursts with heavy-tailed gaps."""
    length = stop_ms - first_ms - 1
    n = min(n, length // 2)
    found = np.empty(0, dtype=np.int64)
    while len(found) < n:
        missing = n - len(found)
        bursts = max(1, missing // 6)
        starts = rng.random(bursts) * length
        of = np.concatenate([np.arange(bursts), rng.integers(0, bursts, missing - bursts)])
        of.sort()
        gaps = 100.0 * np.exp(1.7 * rng.standard_normal(missing))
        opens = np.flatnonzero(np.diff(of, prepend=-1))
        gaps[opens] = 0.0
        elapsed = np.cumsum(gaps)
        elapsed -= elapsed[opens][of]
        fresh = (1.0 + starts[of] + elapsed).astype(np.int64)
        found = np.union1d(found, first_ms + fresh[fresh <= length])
    return np.concatenate([[first_ms], found]).astype(np.int64)


def _draw_flow(
    rng: np.random.Generator, updates: int, closes: bool, fractional: bool
) -> tuple[Flow, float]:
    """A market without an edge, and its fair value at the start."""
    active = rng.random() < min(0.9, 0.35 + updates / 400.0)
    if active:
        half_spread = CENT * float(rng.choice([0.4, 1.0, 1.6, 2.4], p=[0.1, 0.35, 0.35, 0.2]))
        news = 0.04
    else:
        half_spread = CENT * float(min(25.0, 4.0 * np.exp(0.8 * rng.standard_normal())))
        news = 0.02
    moves = max(1.0, updates * news)
    total = 0.25 if closes else 0.08
    bare = rng.random()
    flow = Flow(
        news=news,
        taker=0.15 if active else 0.08,
        snapshot=0.1 / max(updates, 1),
        step=PRICE_SCALE * total / moves**0.5,
        last_step=20.0 if closes else 1.0,
        half_spread=half_spread,
        least_half_spread=0.3 * CENT,
        depth=3.0 if active else 6.0,
        orders=float(rng.integers(20, 60)) if active else float(rng.integers(6, 24)),
        bare_side=-1 if bare > 0.06 else int(bare > 0.03),
        fractional=fractional,
        edge=0.0,
        flip=0.0,
    )
    # Most markets are decided to some degree before they are recorded.
    fair = PRICE_SCALE * float(np.clip(rng.beta(0.8, 0.8), 0.02, 0.98))
    return flow, fair
