"""Money: fees, fills, reserves and equity, in exact integers (docs/contract.md#8-money).

`agent` is one environment's row of `Agents.core` everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.ladder import mirror
from kalshi_sim.kernels.layout import (
    A_CASH,
    A_CONTRACTS,
    A_COST,
    A_FEES,
    A_FILLS,
    A_FREE,
    A_MAKER,
    A_POSITION,
    A_PRICE,
    A_REALIZED,
    A_SIZE,
    C_FEES,
    C_PAYOUT,
    V_FEE_UNIT,
    V_TAKER,
)

Int64Array = npt.NDArray[np.int64]

MULTIPLIER_SCALE = units.MULTIPLIER_SCALE
TAKER_NUMERATOR, TAKER_DENOMINATOR = units.TAKER_RATE
MAKER_NUMERATOR, MAKER_DENOMINATOR = units.MAKER_RATE


@hot_jit
def fill_fee(
    numerator: int,
    denominator: int,
    multiplier: int,
    qty: int,
    price: int,
    payout: int,
    fee_unit: int,
) -> int:
    """ceil(rate * M * C * p * (payout - p) / payout), rounded up to the fee unit.

    Args:
        numerator, denominator: the rate, as a fraction.
        multiplier: M, in 1/10 000.
        qty: C, contracts.
        price: p.
        fee_unit: what fees are rounded up to, in money units.

    Returns:
        Money units.
    """
    if multiplier == 0:
        return 0
    exact = numerator * multiplier * qty * price * mirror(price, payout)
    unit = denominator * MULTIPLIER_SCALE * payout * fee_unit
    return (exact + unit - 1) // unit * fee_unit


@hot_jit
def taker_fee(ints: Int64Array, view: Int64Array, qty: int, price: int) -> int:
    """The fee of a fill that took liquidity."""
    if ints[C_FEES] == 0:
        return 0
    return fill_fee(
        TAKER_NUMERATOR,
        TAKER_DENOMINATOR,
        view[V_TAKER],
        qty,
        price,
        ints[C_PAYOUT],
        view[V_FEE_UNIT],
    )


@inlined_jit
def maker_fee(ints: Int64Array, view: Int64Array, multiplier: int, qty: int, price: int) -> int:
    """The fee of a fill of a resting order.

    Args:
        multiplier: the maker's when the order came to rest, in 1/10 000.
    """
    if ints[C_FEES] == 0:
        return 0
    return fill_fee(
        MAKER_NUMERATOR,
        MAKER_DENOMINATOR,
        multiplier,
        qty,
        price,
        ints[C_PAYOUT],
        view[V_FEE_UNIT],
    )


@inlined_jit
def toward(position: int, side: int) -> int:
    """The signed position in the direction of a side."""
    return position if side == 0 else -position


@hot_jit
def book_fill(agent: Int64Array, side: int, qty: int, price: int, fee: int, payout: int) -> None:
    """Buy `qty` of `side` at `price`; pairs with the opposite holding pay out at once."""
    held = max(0, -toward(agent[A_POSITION], side))
    pairs = min(qty, held)
    agent[A_CASH] -= price * qty + fee
    if pairs > 0:
        freed = agent[A_COST] * pairs // held
        agent[A_COST] -= freed
        agent[A_CASH] += payout * pairs
        agent[A_REALIZED] += mirror(price, payout) * pairs - freed
    agent[A_COST] += price * (qty - pairs)
    agent[A_POSITION] += qty if side == 0 else -qty
    agent[A_FEES] += fee
    agent[A_FILLS] += 1
    agent[A_CONTRACTS] += qty


@hot_jit
def order_reserve(
    agent: Int64Array, side: int, qty: int, price: int, worst_fee: int, payout: int
) -> int:
    """What an order of `qty` holds back: its price and fee beyond the holding it offsets.

    Args:
        worst_fee: highest fee of one contract at any price the order may fill at.
    """
    held = max(0, -toward(agent[A_POSITION], side))
    offsets = min(qty, held)
    shortfall = max(0, worst_fee - mirror(price, payout))
    return offsets * shortfall + (qty - offsets) * (price + worst_fee)


@inlined_jit
def resting_reserve(agent: Int64Array, side: int, ints: Int64Array, view: Int64Array) -> int:
    """The reserve of the resting order of a side, 0 without one."""
    size = agent[A_SIZE + side]
    if size == 0:
        return 0
    price = agent[A_PRICE + side]
    worst_fee = maker_fee(ints, view, agent[A_MAKER + side], 1, price)
    return order_reserve(agent, side, size, price, worst_fee, ints[C_PAYOUT])


@inlined_jit
def update_free_cash(agent: Int64Array, ints: Int64Array, view: Int64Array) -> None:
    """Free cash: cash minus the reserves of both resting orders."""
    agent[A_FREE] = (
        agent[A_CASH]
        - resting_reserve(agent, 0, ints, view)
        - resting_reserve(agent, 1, ints, view)
    )


@hot_jit
def affordable(
    agent: Int64Array, side: int, wanted: int, price: int, worst_fee: int, cash: int, payout: int
) -> int:
    """The largest order whose reserve is within an amount of cash.

    Args:
        wanted: most contracts.
        worst_fee: highest fee of one contract at any price the order may fill at.
        cash: the amount.
    """
    held = max(0, -toward(agent[A_POSITION], side))
    shortfall = max(0, worst_fee - mirror(price, payout))
    offsets = min(wanted, held)
    if offsets * shortfall > cash:
        return cash // shortfall
    return min(wanted, offsets + (cash - offsets * shortfall) // (price + worst_fee))


@inlined_jit
def mid_value2(position: int, mark2: int, payout: int) -> int:
    """Twice the value of a position at the mark.

    Returns:
        Money units, doubled.
    """
    if position >= 0:
        return position * mark2
    return -position * (2 * payout - mark2)


@inlined_jit
def liquidation_value2(position: int, bid: int, no_bid: int) -> int:
    """Twice what the position would bring at the best bids.

    Returns:
        Money units, doubled.
    """
    if position >= 0:
        return 2 * position * bid
    return -2 * position * no_bid


@hot_jit
def settle_position(agent: Int64Array, settlement: int, payout: int) -> None:
    """Pay the position out at the settlement value of a YES contract; no fee.

    Args:
        settlement: value of a YES contract, in money units.
    """
    position = agent[A_POSITION]
    value = settlement if position >= 0 else mirror(settlement, payout)
    paid = abs(position) * value
    agent[A_CASH] += paid
    agent[A_REALIZED] += paid - agent[A_COST]
    agent[A_POSITION] = 0
    agent[A_COST] = 0
