"""What holds in a market at a time: its grid, its fees, and whether it is paused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kalshi_sim.fees import FeeSchedule, FeeTerms
from kalshi_sim.grid import price_grid, price_grid_at
from kalshi_sim.kernels.layout import STILL_PAUSED
from kalshi_sim.session import MarketInfo, PriceRanges
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE, STORED_PER_CENT

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MarketState:
    """What holds in a market for a while; prices in the unit of who gave it."""

    tick_bands: PriceRanges
    """(start, end, step) of YES prices."""
    taker_multiplier: int
    """In 1/10 000."""
    maker_multiplier: int
    """In 1/10 000."""
    paused: bool = False


def fee_terms(
    market: MarketInfo, first_book_ms: int, first_row_ms: int, schedule: FeeSchedule
) -> FeeTerms:
    """The fees of a view before any change: its rounding is that of its first row's grid.

    Args:
        market: whose fees are wanted.
        first_book_ms: the session's first book event, in ms since 1970 UTC.
        first_row_ms: the view's first row, in ms since 1970 UTC.
        schedule: rules for what the market itself does not state.
    """
    if market.grid_updates:
        grid = price_grid_at(market, first_row_ms)
        market = replace(market, price_ranges=grid, grid_updates=())
    return schedule.terms(market, first_book_ms)


def market_payout(market: MarketInfo, first_book_ms: int, schedule: FeeSchedule) -> int:
    """The coarsest money unit that fits a market's grids, settlement value and fee unit.

    Args:
        market: the market, with every grid it is known to have had.
        first_book_ms: the session's first book event, in ms since 1970 UTC.
        schedule: decides the fee unit.

    Returns:
        Money units that a winning contract pays: 100 or 10 000.
    """
    grids = {price_grid(market), *market.known_ranges}
    numbers = [n for grid in grids for band in grid for n in band]
    numbers += [
        schedule.terms(replace(market, price_ranges=g, grid_updates=()), first_book_ms).fee_unit
        for g in grids
    ]
    numbers.append(market.settlement_value or 0)
    return PAYOUT_FINE if any(n % STORED_PER_CENT for n in numbers) else PAYOUT_CENT


def taker_updates(market: MarketInfo, terms: FeeTerms) -> list[tuple[int, int]]:
    """(time known, taker multiplier) of each change of the fees, by time.

    Args:
        market: its `fee_updates` are read.
        terms: its fees before any change, used where an update does not state the taker's.

    Returns:
        (time known in ms since 1970 UTC, taker multiplier) of each change, by time.
    """
    return [
        (u.known_ms, terms.taker_multiplier if u.taker_multiplier is None else u.taker_multiplier)
        for u in market.fee_updates
    ]


def state_at(market: MarketInfo, terms: FeeTerms, ts_ms: int) -> MarketState:
    """What holds at a time as known then; prices in 1/100 cent.

    Args:
        market: its updates and pauses are read.
        terms: its fees before any change.
        ts_ms: the time, in ms since 1970 UTC.
    """
    taker = maker = None
    for update in market.fee_updates:
        if update.known_ms <= ts_ms:
            taker, maker = update.taker_multiplier, update.maker_multiplier
    return MarketState(
        tick_bands=price_grid_at(market, ts_ms),
        taker_multiplier=terms.taker_multiplier if taker is None else taker,
        maker_multiplier=terms.maker_multiplier if maker is None else maker,
        paused=any(start <= ts_ms < end for start, end in pause_times(market)),
    )


def pause_times(market: MarketInfo) -> tuple[tuple[int, int], ...]:
    """(first millisecond, the one after the last) of each pause.

    Returns:
        (first millisecond, the one after the last) of each pause, in ms since 1970 UTC;
        `STILL_PAUSED` for an end that was not recorded.
    """
    return tuple(
        (p.start_ms, STILL_PAUSED if p.end_ms is None else p.end_ms) for p in market.pauses
    )


def moments_of(market: MarketInfo) -> list[int]:
    """The times at which what holds in a market may change, in ms since 1970 UTC, ascending."""
    changes = {update.known_ms for update in market.grid_updates}
    changes |= {update.known_ms for update in market.fee_updates}
    changes |= {moment for pause in pause_times(market) for moment in pause}
    return sorted(changes)


def states_of_rows(
    market: MarketInfo, terms: FeeTerms, ts_ms: Int64Array
) -> tuple[tuple[MarketState, ...], Int64Array]:
    """The states that rows are in, in order of their first row, and the index [rows] of each.

    Args:
        market: its updates and pauses are read.
        terms: its fees before any change.
        ts_ms: int64 [rows] times of the rows, in ms since 1970 UTC.

    Returns:
        The states in order of their first row, and int64 [rows]: the index of each row's state.
    """
    moments = np.array(moments_of(market), np.int64)
    segment = np.searchsorted(moments, ts_ms, side="right")
    found: list[MarketState] = []
    place = np.zeros(len(moments) + 1, np.int64)
    firsts = np.unique(segment, return_index=True)
    for part, first in zip(*(a.tolist() for a in firsts), strict=True):
        state = state_at(market, terms, int(ts_ms[first]))
        if state not in found:
            found.append(state)
        place[part] = found.index(state)
    return tuple(found), place[segment]


def in_unit(bands: PriceRanges, per_money: int) -> PriceRanges:
    """Price bands in a tape's money unit.

    Args:
        bands: (start, end, step) of each, in 1/100 cent.
        per_money: 1/100 cents in one money unit: 100 or 1.

    Returns:
        The same bands in money units.
    """
    return tuple((a // per_money, b // per_money, c // per_money) for a, b, c in bands)


def off_grid(
    best: Int64Array, states: Iterable[MarketState], index: Int64Array, payout: int
) -> bool:
    """Whether a best bid lies off the grid of its row.

    Args:
        best: int64 [rows, 2] the best bids of both sides, 0 = none.
        states: what the rows are in, prices in money units.
        index: int64 [rows] which of `states`.
        payout: what a winning contract pays.
    """
    for k, state in enumerate(states):
        if state.tick_bands == ((0, payout, 1),):
            continue
        rows = best[index == k] if index.any() else best
        yes = np.concatenate([rows[:, 0], payout - rows[:, 1]])
        quoted = np.unique(yes[(yes > 0) & (yes < payout)])
        on = np.zeros(len(quoted), np.bool_)
        for start, end, step in state.tick_bands:
            on |= (quoted >= start) & (quoted <= end) & ((quoted - start) % step == 0)
        if not on.all():
            return True
    return False
