"""The slow twin of what holds in a market at a time: its grid, fees, pauses and money unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

from kalshi_sim.session import EventKind, MarketInfo, Session
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE, PRICE_SCALE, STORED_PER_CENT

Band = tuple[int, int, int]

DEFAULT_TAKER = 10_000
DEFAULT_MAKER = 0
FINE_FEES_SINCE = date(2026, 5, 28)
BEFORE_ALL = -(2**63)
DECI_CENT = STORED_PER_CENT // 10


@dataclass
class OracleTerms:
    """What holds at a row, as known at its time."""

    grid: list[int]
    """All YES prices of the market's grid, ascending, in money units."""
    taker_multiplier: int
    maker_multiplier: int
    paused: bool


def tick_bands(market: MarketInfo, ts: int) -> list[Band]:
    """The market's grid known at a time, as (start, end, step) of YES prices in 1/100 cent.

    Args:
        market: its grid and its changes.
        ts: the time, in ms since 1970 UTC.
    """
    known = [update for update in market.grid_updates if update.known_ms <= ts]
    if known:
        return list(known[-1].price_ranges)
    first = market.first_price_ranges if market.grid_updates else market.price_ranges
    if first is not None:
        return list(first)
    if not market.sub_penny:
        return [(0, PRICE_SCALE, STORED_PER_CENT)]
    low, high = 10 * STORED_PER_CENT, 90 * STORED_PER_CENT
    return [(0, low, DECI_CENT), (low, high, STORED_PER_CENT), (high, PRICE_SCALE, DECI_CENT)]


@cache
def price_grid(bands: tuple[Band, ...], unit: int) -> list[int]:
    """Every YES price of a grid strictly between nothing and a dollar, in money units.

    Args:
        bands: (start, end, step) of each, in 1/100 cent.
        unit: 1/100 cents in one money unit.
    """
    prices: set[int] = set()
    for start, end, step in bands:
        prices.update(range(start, end + 1, step))
    return sorted(p // unit for p in prices if 0 < p < PRICE_SCALE)


def terms_at(market: MarketInfo, ts: int, unit: int) -> OracleTerms:
    """What holds in a market at a time, as known then.

    Args:
        market: its grid, fees, changes and pauses.
        ts: the time, in ms since 1970 UTC.
        unit: 1/100 cents in one money unit.
    """
    taker, maker = None, None
    for update in market.fee_updates:
        if update.known_ms <= ts:
            taker, maker = update.taker_multiplier, update.maker_multiplier
    for own_taker, own_maker in (
        (market.taker_multiplier, market.maker_multiplier),
        (DEFAULT_TAKER, DEFAULT_MAKER),
    ):
        taker = own_taker if taker is None else taker
        maker = own_maker if maker is None else maker
    assert taker is not None
    assert maker is not None
    return OracleTerms(
        grid=price_grid(tuple(tick_bands(market, ts)), unit),
        taker_multiplier=taker,
        maker_multiplier=maker,
        paused=any(
            pause.start_ms <= ts and (pause.end_ms is None or ts < pause.end_ms)
            for pause in market.pauses
        ),
    )


def stored_fee_unit(session: Session, market: MarketInfo, bands: list[Band]) -> int:
    """The fee's rounding unit in 1/100 cent on a grid.

    Args:
        session: its date decides.
        market: its own unit wins.
        bands: the grid, in 1/100 cent.
    """
    if market.fee_unit is not None:
        return market.fee_unit
    day = datetime.fromtimestamp(session.first_book_ms / 1000, UTC).date()
    cent_grid = all(n % STORED_PER_CENT == 0 for band in bands for n in band)
    return STORED_PER_CENT if day < FINE_FEES_SINCE or cent_grid else 1


def oracle_payout(sessions: Iterable[Session]) -> int:
    """What a winning contract pays in the money unit that fits all of these sessions."""
    for session in sessions:
        for market in session.markets:
            events = session.market_events(market.ticker)
            grids = [tick_bands(market, BEFORE_ALL)]
            grids += [list(update.price_ranges) for update in market.grid_updates]
            amounts = [amount for bands in grids for band in bands for amount in band]
            amounts += [stored_fee_unit(session, market, bands) for bands in grids]
            amounts.append(market.settlement_value or 0)
            amounts.extend(
                int(price)
                for kind, price in zip(events.kind, events.price, strict=True)
                if kind in (EventKind.LEVEL, EventKind.DELTA, EventKind.TRADE)
            )
            if any(amount % STORED_PER_CENT for amount in amounts):
                return PAYOUT_FINE
    return PAYOUT_CENT
