"""Quoters that cancel: baselines on the action table `maker`, compiled.

A quoter wants, on each side, an order so many prices behind the best (-1: one better), or none;
`quote` takes the one action that brings it nearer to that.

Args of the functions here, unless they say more:
    obs: float32 [52], the features of `kalshi_sim.features`.
    step: number of the step in the episode.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import TABLES
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import HOLD
from kalshi_sim.kernels.observation import (
    ASK_DISTANCE,
    ASK_WORKING,
    BID_DISTANCE,
    BID_WORKING,
    DEPTH_IMBALANCE_5,
    MICROPRICE_OFFSET,
    ORDER_FLOW_10S,
    POSITION,
    VOLATILITY_60S,
)
from kalshi_sim.kernels.targets import rounded_sum
from kalshi_sim.units import POSITION_SCALE_ORDERS

Float32Array = npt.NDArray[np.float32]

_NAMES: Final = TABLES["maker"].names
_PLACES: Final = ("improve", "join", "behind_1", "behind_2")
CANCEL_YES, CANCEL_NO, CANCEL_BOTH = (
    _NAMES.index(f"cancel_{sides}") for sides in ("yes", "no", "both")
)
BIDS: Final = tuple(_NAMES.index(f"buy_yes_{place}") for place in _PLACES)
ASKS: Final = tuple(_NAMES.index(f"buy_no_{place}") for place in _PLACES)
NONE: Final = 3
"""No order is wanted; from here on a price is too far behind the best."""

AGAINST: Final = 0.5
"""Three times as much on the other side as on an order's, within five cents of the best."""
MOST_ORDERS: Final = 4.95
"""Orders' worth of inventory from which a side is no longer quoted."""
RISK: Final = 0.1
"""Avellaneda and Stoikov's risk aversion times the horizon: cents an order held and squared
cent of volatility in a minute."""
MICRO: Final = 0.5
FLOW: Final = 0.5
"""Cents of forecast by the microprice, a cent off the mid, and by one-sided flow of 10 s."""
LARGEST: Final = 0.999


@hot_jit
def orders_held(obs: Float32Array) -> float:
    """The position in orders, + YES, - NO, from its feature."""
    orders = math.expm1(abs(float(obs[POSITION])) * math.log1p(POSITION_SCALE_ORDERS))
    return orders if obs[POSITION] > 0 else -orders


@hot_jit
def cents_behind(distance: float) -> int:
    """Whole cents from an order to the best price of its side, from its feature."""
    return round(5.0 * math.atanh(min(max(distance, -LARGEST), LARGEST)))


@hot_jit
def quote(obs: Float32Array, bid: int, ask: int, step: int) -> int:
    """The action that brings the quotes nearer to those wanted.

    Cancels come first, then a side without an order, the one that brings the position back first;
    two orders at other prices are moved in turn.

    Args:
        bid, ask: prices behind the best, -1 to 2; NONE or more: no order.
    """
    has_bid, has_ask = obs[BID_WORKING] > 0, obs[ASK_WORKING] > 0
    drop_bid, drop_ask = has_bid and bid >= NONE, has_ask and ask >= NONE
    if drop_bid and drop_ask:
        return CANCEL_BOTH
    if drop_bid:
        return CANCEL_YES
    if drop_ask:
        return CANCEL_NO
    bid_wrong = bid < NONE and (not has_bid or cents_behind(float(obs[BID_DISTANCE])) != bid)
    ask_wrong = ask < NONE and (not has_ask or cents_behind(float(obs[ASK_DISTANCE])) != ask)
    if has_bid and has_ask:
        bid_first = step % 2 == 0
    elif has_bid or has_ask:
        bid_first = has_ask
    else:
        bid_first = obs[POSITION] <= 0
    if bid_wrong and (bid_first or not ask_wrong):
        return BIDS[bid + 1]
    return ASKS[ask + 1] if ask_wrong else HOLD


@hot_jit
def cancelling_quoter(obs: Float32Array, step: int) -> int:
    """Join both sides; no order where the book leans against it or inventory is full.

    Returns:
        A row of the table `maker`.
    """
    lean, held = obs[DEPTH_IMBALANCE_5], orders_held(obs)
    bid = NONE if lean < -AGAINST or held >= MOST_ORDERS else 0
    ask = NONE if lean > AGAINST or held <= -MOST_ORDERS else 0
    return quote(obs, bid, ask, step)


@hot_jit
def skewed_quoter(obs: Float32Array, step: int, forecasts: bool) -> int:
    """Quotes around a price that inventory, and if asked a forecast, move off the mid.

    After Avellaneda and Stoikov: with q orders held and volatility s the mid is worth
    RISK * q * s**2 less to the quoter, and each side stands RISK * s**2 / 2 farther behind; whole
    prices behind the best, and no order beyond two.

    Args:
        forecasts: whether the microprice and the flow of 10 s move the price too.

    Returns:
        A row of the table `maker`.
    """
    held = orders_held(obs)
    volatility = math.expm1(float(obs[VOLATILITY_60S]) * math.log1p(100.0))
    risk = RISK * volatility * volatility
    shift = risk * held
    if forecasts:
        offset = 2.0 * math.atanh(min(max(float(obs[MICROPRICE_OFFSET]), -LARGEST), LARGEST))
        shift = rounded_sum(shift, -rounded_sum(MICRO * offset, FLOW * float(obs[ORDER_FLOW_10S])))
    below, above = rounded_sum(risk / 2, shift), rounded_sum(risk / 2, -shift)
    nearest_bid = int(math.floor(below + 0.5))  # noqa: RUF046 (of a card it is a float64)
    nearest_ask = int(math.floor(above + 0.5))  # noqa: RUF046 (likewise)
    bid = NONE if held >= MOST_ORDERS else min(NONE, max(-1, nearest_bid))
    ask = NONE if held <= -MOST_ORDERS else min(NONE, max(-1, nearest_ask))
    return quote(obs, bid, ask, step)
