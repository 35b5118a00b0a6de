"""What an agent has consumed from the recorded book stays consumed.

The rules are docs/contract.md#7-the-agents-own-footprint.

`consumed` is one environment's [2, MAX_CONSUMED, 2] of (price, contracts); the number of levels
remembered a side stands in the agent's row at A_CONSUMED.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import A_CONSUMED, MAX_CONSUMED, TapeArrays
from kalshi_sim.kernels.rows import best_bid, level_price, level_size

Int64Array = npt.NDArray[np.int64]


@hot_jit
def shown_at(tape: TapeArrays, row: int, side: int, price: int) -> int:
    """Contracts a row's side shows at a price; -1 if the price lies beyond its depth.

    Returns:
        A number of contracts.
    """
    i = 0
    level = best_bid(tape, row, side)
    while level > price:
        i += 1
        level = level_price(tape, row, side, i)
    if level == price:
        return int(level_size(tape, row, side, i))
    return 0 if level >= 0 else -1  # best first, padded with 0: not shown, but within depth


@hot_jit
def find_consumed(agent: Int64Array, consumed: Int64Array, side: int, price: int) -> int:
    """The place of a remembered level; the place after the last if it is not remembered."""
    n = agent[A_CONSUMED + side]
    for k in range(n):
        if consumed[side, k, 0] == price:
            return k
    return int(n)


@hot_jit
def take_from(
    agent: Int64Array, consumed: Int64Array, side: int, price: int, shown: int, wanted: int
) -> int:
    """Take up to `wanted` contracts from a shown level of `side`; returns how many.

    Args:
        shown: contracts the level shows.
        wanted: most contracts to take.
    """
    k = find_consumed(agent, consumed, side, price)
    known = k < agent[A_CONSUMED + side]
    if not known and k == MAX_CONSUMED:
        return 0
    before = consumed[side, k, 1] if known else 0
    got = min(wanted, shown - before)
    if got <= 0:
        return 0
    if not known:
        consumed[side, k, 0] = price
        agent[A_CONSUMED + side] = k + 1
    consumed[side, k, 1] = before + got
    return int(got)


@hot_jit
def take_crossed(
    tape: TapeArrays,
    agent: Int64Array,
    consumed: Int64Array,
    row: int,
    side: int,
    i: int,
    price: int,
    wanted: int,
    payout: int,
) -> int:
    """Take from a level of a side, if a bid on the other side crosses it.

    Args:
        i: number of the level, 0 the best.
        price: of the bid on the other side.
        wanted: most contracts to take.

    Returns:
        Contracts taken; -1 if the bid does not cross the level.
    """
    level = level_price(tape, row, side, i)
    if level <= 0 or price + level < payout:
        return -1
    return take_from(agent, consumed, side, level, level_size(tape, row, side, i), wanted)


@hot_jit
def trim_consumed(
    tape: TapeArrays, agent: Int64Array, consumed: Int64Array, row: int, side: int
) -> None:
    """Cut what is remembered to what the row shows; beyond its depth it is kept."""
    n = agent[A_CONSUMED + side]
    k = 0
    while k < n:
        shown = shown_at(tape, row, side, consumed[side, k, 0])
        if shown == 0:
            n -= 1
            consumed[side, k, 0] = consumed[side, n, 0]
            consumed[side, k, 1] = consumed[side, n, 1]
            continue
        if shown > 0:
            consumed[side, k, 1] = min(consumed[side, k, 1], shown)
        k += 1
    agent[A_CONSUMED + side] = n
