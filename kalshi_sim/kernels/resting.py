"""Resting orders: what a row's flow and book fill of them.

The rules are docs/contract.md#6-resting-orders-fill-models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.entry import cancel_order, record_fill
from kalshi_sim.kernels.fill_models import assumed_trades, own_price, worse_price
from kalshi_sim.kernels.footprint import shown_at, take_crossed
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import (
    A_AHEAD,
    A_ENTERED,
    A_MAKER,
    A_PRICE,
    A_SIZE,
    C_FILL_MODEL,
    C_INTERVAL,
    C_PAYOUT,
    C_QUEUE_POWER,
    F_TRADE_SHARE,
    FLOW_ADDED,
    FLOW_PRICE,
    FLOW_REMOVED,
    FLOW_SIDE,
    FLOW_TRADED,
    PROB,
    ROW_TS,
    THROUGH,
    V_TRADES,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.ledger import book_fill, maker_fee
from kalshi_sim.kernels.rows import best_bid, row_flow

Int64Array = npt.NDArray[np.int64]


@hot_jit
def fill_resting(
    agent: Int64Array,
    view: Int64Array,
    records: Int64Array,
    ints: Int64Array,
    side: int,
    qty: int,
) -> None:
    """Fill `qty` of the resting order of a side, as maker, at its price.

    Args:
        qty: at most the order's contracts.
    """
    price = agent[A_PRICE + side]
    fee = maker_fee(ints, view, agent[A_MAKER + side], qty, price)
    book_fill(agent, side, qty, price, fee, ints[C_PAYOUT])
    record_fill(agent, records, ints, side, qty, price, fee, 1)
    agent[A_SIZE + side] -= qty
    if agent[A_SIZE + side] == 0:
        cancel_order(agent, side)


@hot_jit
def apply_flow(
    tape: TapeArrays,
    view: Int64Array,
    agent: Int64Array,
    records: Int64Array,
    settings: Settings,
    row: int,
    side: int,
) -> None:
    """The flow into `row` acts on the resting order of a side."""
    ints = settings.ints
    model = ints[C_FILL_MODEL]
    size = agent[A_SIZE + side]
    if size == 0 or model == THROUGH:
        return
    interval = ints[C_INTERVAL]
    if tape.i64[row, ROW_TS] // interval == agent[A_ENTERED + side] // interval:
        return  # it arrived within this row's interval: the flow may have come before it
    price = agent[A_PRICE + side]
    filled = 0
    first, end = row_flow(tape, row)
    for k in range(first, end):
        entry = tape.flow[k]
        if entry[FLOW_SIDE] != side or entry[FLOW_PRICE] > price:
            continue
        removed, traded = entry[FLOW_REMOVED], entry[FLOW_TRADED]
        recorded = view[V_TRADES] == 1
        if entry[FLOW_PRICE] < price:
            filled += worse_price(model, recorded, removed, traded)
            continue
        if not recorded:
            best_before = best_bid(tape, row - 1, side)
            share = settings.floats[F_TRADE_SHARE]
            traded = assumed_trades(removed, price, best_before, model, share)
        ahead = agent[A_AHEAD + side]
        level = -1
        if model == PROB and ahead > traded:
            shown = shown_at(tape, row - 1, side, price)
            if shown >= 0:
                level = shown + entry[FLOW_ADDED]
        power = ints[C_QUEUE_POWER]
        got, ahead = own_price(model, ahead, removed, traded, level, power)
        agent[A_AHEAD + side] = ahead
        filled += got
    if filled > 0:
        fill_resting(agent, view, records, ints, side, min(size, filled))


@hot_jit
def keep_ahead(tape: TapeArrays, agent: Int64Array, row: int, side: int) -> None:
    """No more stands ahead of an order than its level shows within the row's depth."""
    if agent[A_SIZE + side] > 0:
        shown = shown_at(tape, row, side, agent[A_PRICE + side])
        if shown >= 0:
            agent[A_AHEAD + side] = min(agent[A_AHEAD + side], shown)


@hot_jit
def apply_book(
    tape: TapeArrays,
    view: Int64Array,
    agent: Int64Array,
    consumed: Int64Array,
    records: Int64Array,
    ints: Int64Array,
    row: int,
    side: int,
) -> None:
    """The book of `row` fills the resting order of a side where it crosses it."""
    size = agent[A_SIZE + side]
    if size == 0:
        return
    price = agent[A_PRICE + side]
    payout = ints[C_PAYOUT]
    opposite = 1 - side
    filled = 0
    i = 0
    while filled < size:
        got = take_crossed(tape, agent, consumed, row, opposite, i, price, size - filled, payout)
        if got < 0:
            break
        filled += got
        i += 1
    if filled > 0:
        fill_resting(agent, view, records, ints, side, filled)
    keep_ahead(tape, agent, row, side)
