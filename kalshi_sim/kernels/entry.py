"""From an action to an order in the book: price, validity, size, taking, resting.

The rules are docs/contract.md#5-actions-and-order-entry and docs/contract.md#12-action-tables.
An action is a row of `Settings.actions`, its `intent`. Everything is written for "my side s,
price x": a bid on side s; selling YES is a bid on NO that only closes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.footprint import shown_at, take_crossed
from kalshi_sim.kernels.grid import grid_above, grid_below
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.ladder import mirror
from kalshi_sim.kernels.layout import (
    A_AHEAD,
    A_CASH,
    A_ENTERED,
    A_MAKER,
    A_N_RECORDS,
    A_POSITION,
    A_PRICE,
    A_ROW,
    A_SIZE,
    A_START,
    BEHIND,
    BEYOND_DEPTH,
    C_MAX_POSITION,
    C_PAYOUT,
    C_RECORD,
    C_TIF,
    CANCELS,
    CLOSES,
    CROSS,
    GTC,
    I_BEHIND,
    I_KIND,
    I_PRICING,
    I_SIDE,
    I_SIZE,
    IMPROVE,
    R_FEE,
    R_MAKER,
    R_PRICE,
    R_QTY,
    R_ROW,
    R_SIDE,
    V_MAKER,
    V_OFF_GRID,
    V_PAUSED,
    TapeArrays,
)
from kalshi_sim.kernels.ledger import (
    affordable,
    book_fill,
    maker_fee,
    resting_reserve,
    taker_fee,
    toward,
)
from kalshi_sim.kernels.rows import best_bid, level_price

Int64Array = npt.NDArray[np.int64]


@hot_jit
def cancel_order(agent: Int64Array, side: int) -> None:
    """Forget the resting order of a side."""
    agent[A_PRICE + side] = 0
    agent[A_SIZE + side] = 0
    agent[A_AHEAD + side] = 0
    agent[A_ENTERED + side] = 0
    agent[A_MAKER + side] = 0


@hot_jit
def cancel_sides(agent: Int64Array, sides: int) -> None:
    """Forget the resting order of a side, or of both.

    Args:
        sides: a side, or BOTH_SIDES.
    """
    if sides != 1:
        cancel_order(agent, 0)
    if sides != 0:
        cancel_order(agent, 1)


@hot_jit
def cancellable(agent: Int64Array, sides: int) -> int:
    """What a cancel of a side, or of both, would take back.

    Args:
        sides: a side, or BOTH_SIDES.

    Returns:
        Contracts of resting orders.
    """
    yes = agent[A_SIZE] if sides != 1 else 0
    return int(yes + agent[A_SIZE + 1]) if sides != 0 else int(yes)


@hot_jit
def limit_price(
    tape: TapeArrays,
    view: Int64Array,
    row: int,
    side: int,
    pricing: int,
    behind: int,
    payout: int,
) -> int:
    """The limit price of a bid on `side` at a row; 0 if there is no price to refer to.

    A best bid that lies off the grid leads to the next price of the grid that is worse for the
    agent: less of a place in the queue to join, more to pay to cross.

    Args:
        pricing: CROSS, JOIN, IMPROVE or BEHIND.
        behind: of BEHIND, how many prices of the grid below the best.
    """
    opposite = best_bid(tape, row, 1 - side)
    if pricing == CROSS:
        if opposite == 0:
            return 0
        price = mirror(opposite, payout)
        if view[V_OFF_GRID] == 1:
            price = grid_above(tape, view, side, price - 1, payout)
        return int(price) if price < payout else 0
    best = best_bid(tape, row, side)
    if best == 0:
        return 0
    if pricing == BEHIND:
        price = best
        for _ in range(behind):
            price = grid_below(tape, view, side, price, payout)
            if price == 0:
                break
        return int(price)
    if pricing == IMPROVE:
        better = grid_above(tape, view, side, best, payout)
        if better + opposite < payout:
            return better
    if view[V_OFF_GRID] == 1:
        return grid_below(tape, view, side, best + 1, payout)
    return int(best)


@hot_jit
def entry_size(
    agent: Int64Array, ints: Int64Array, view: Int64Array, intent: Int64Array, price: int
) -> int:
    """Contracts a new order may have, as if the orders it replaces or meets were gone; 0 if none.

    Args:
        intent: int64 [N_INTENT] the action's row of `Settings.actions`.
        price: its limit price.

    Returns:
        A number of contracts.
    """
    payout = ints[C_PAYOUT]
    side = intent[I_SIDE]
    position = toward(agent[A_POSITION], side)
    size = min(intent[I_SIZE], ints[C_MAX_POSITION] - position)
    if intent[I_KIND] == CLOSES:
        size = min(size, -position)
    if size <= 0:
        return 0
    cash = agent[A_CASH]
    other = 1 - side
    if agent[A_SIZE + other] > 0 and agent[A_PRICE + other] + price < payout:
        cash -= resting_reserve(agent, other, ints, view)
    worst_fee = max(
        maker_fee(ints, view, view[V_MAKER], 1, price),
        taker_fee(ints, view, 1, min(price, payout // 2)),
    )
    return affordable(agent, side, size, price, worst_fee, cash, payout)


@hot_jit
def decide_order(
    tape: TapeArrays,
    view: Int64Array,
    agent: Int64Array,
    ints: Int64Array,
    row: int,
    intent: Int64Array,
) -> tuple[int, int]:
    """The order or cancel that an action asks for at a row; a cancel works in a pause too.

    Args:
        intent: int64 [N_INTENT] the action's row of `Settings.actions`.

    Returns:
        (limit price, contracts); of a cancel (0, contracts it would take back); (0, 0) if the
        action is invalid there.
    """
    if intent[I_KIND] == CANCELS:
        return 0, cancellable(agent, intent[I_SIDE])
    if view[V_PAUSED] == 1:
        return 0, 0
    side = intent[I_SIDE]
    if intent[I_KIND] == CLOSES and toward(agent[A_POSITION], side) >= 0:
        return 0, 0
    price = limit_price(tape, view, row, side, intent[I_PRICING], intent[I_BEHIND], ints[C_PAYOUT])
    if price == 0:
        return 0, 0
    size = entry_size(agent, ints, view, intent, price)
    return (price, size) if size > 0 else (0, 0)


@hot_jit
def record_fill(
    agent: Int64Array,
    records: Int64Array,
    ints: Int64Array,
    side: int,
    qty: int,
    price: int,
    fee: int,
    maker: int,
) -> None:
    """Keep a fill for `fills()` if asked to.

    Args:
        maker: 1 if the agent's order rested, 0 if it took liquidity.
    """
    if ints[C_RECORD] == 0:
        return
    record = records[agent[A_N_RECORDS]]
    record[R_ROW] = agent[A_ROW] - agent[A_START]
    record[R_SIDE] = side
    record[R_PRICE] = price
    record[R_QTY] = qty
    record[R_FEE] = fee
    record[R_MAKER] = maker
    agent[A_N_RECORDS] += 1


@hot_jit
def take_liquidity(
    tape: TapeArrays,
    view: Int64Array,
    agent: Int64Array,
    consumed: Int64Array,
    records: Int64Array,
    ints: Int64Array,
    row: int,
    side: int,
    price: int,
    size: int,
) -> int:
    """Sweep the opposite levels an order crosses, best first; returns what is left of it.

    Args:
        price: the order's limit price.
        size: contracts wanted.
    """
    payout = ints[C_PAYOUT]
    opposite = 1 - side
    left = size
    i = -1
    while left > 0:
        i += 1
        got = take_crossed(tape, agent, consumed, row, opposite, i, price, left, payout)
        if got < 0:
            break
        if got == 0:
            continue
        paid = mirror(level_price(tape, row, opposite, i), payout)
        fee = taker_fee(ints, view, got, paid)
        book_fill(agent, side, got, paid, fee, payout)
        record_fill(agent, records, ints, side, got, paid, fee, 0)
        left -= got
    return left


@hot_jit
def enter_order(
    tape: TapeArrays,
    view: Int64Array,
    agent: Int64Array,
    consumed: Int64Array,
    records: Int64Array,
    ints: Int64Array,
    row: int,
    side: int,
    price: int,
    size: int,
    arrival: int,
) -> None:
    """An order arrives.

    Args:
        price: its limit price.
        size: its contracts.
        arrival: the millisecond, since 1970 UTC.
    """
    if agent[A_SIZE + side] > 0 and agent[A_PRICE + side] == price:
        return
    other = 1 - side
    cancel_order(agent, side)
    if agent[A_SIZE + other] > 0 and agent[A_PRICE + other] + price >= ints[C_PAYOUT]:
        cancel_order(agent, other)
    left = take_liquidity(tape, view, agent, consumed, records, ints, row, side, price, size)
    if left > 0 and ints[C_TIF] == GTC:
        shown = shown_at(tape, row, side, price)
        agent[A_PRICE + side] = price
        agent[A_SIZE + side] = left
        agent[A_AHEAD + side] = shown if shown >= 0 else BEYOND_DEPTH
        agent[A_ENTERED + side] = arrival
        agent[A_MAKER + side] = view[V_MAKER]
