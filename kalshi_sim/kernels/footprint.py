"""What an agent has taken from the recorded book stays taken (`simulation.md` section 7).

`taken` is one environment's [2, MAX_TAKEN, 2] of (price, contracts); the number of levels
remembered a side stands in the agent's row at A_TAKEN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels._jit import hot_jit
from kalshi_sim.kernels.layout import A_TAKEN, MAX_TAKEN

Int64Array = npt.NDArray[np.int64]


@hot_jit
def shown_at(px: Int64Array, qty: Int64Array, price: int) -> int:
    """Contracts a side [depth] shows at a price; -1 if the price lies beyond its depth."""
    for i in range(len(px)):
        if px[i] == price:
            return int(qty[i])
        if px[i] < price:  # best first, padded with 0: not shown, but within depth
            return 0
    return -1


@hot_jit
def find_taken(agent: Int64Array, taken: Int64Array, side: int, price: int) -> int:
    """The place of a remembered level; the place after the last if it is not remembered."""
    n = agent[A_TAKEN + side]
    for k in range(n):
        if taken[side, k, 0] == price:
            return k
    return int(n)


@hot_jit
def take_from(
    agent: Int64Array, taken: Int64Array, side: int, price: int, shown: int, wanted: int
) -> int:
    """Take up to `wanted` contracts from a shown level of `side`; returns how many."""
    k = find_taken(agent, taken, side, price)
    known = k < agent[A_TAKEN + side]
    if not known and k == MAX_TAKEN:
        return 0
    before = taken[side, k, 1] if known else 0
    got = min(wanted, shown - before)
    if got <= 0:
        return 0
    if not known:
        taken[side, k, 0] = price
        agent[A_TAKEN + side] = k + 1
    taken[side, k, 1] = before + got
    return int(got)


@hot_jit
def trim_taken(
    agent: Int64Array, taken: Int64Array, side: int, px: Int64Array, qty: Int64Array
) -> None:
    """Cut what is remembered to what the row shows; beyond its depth it is kept."""
    n = agent[A_TAKEN + side]
    k = 0
    while k < n:
        shown = shown_at(px, qty, taken[side, k, 0])
        if shown == 0:
            n -= 1
            taken[side, k, 0] = taken[side, n, 0]
            taken[side, k, 1] = taken[side, n, 1]
            continue
        if shown > 0:
            taken[side, k, 1] = min(taken[side, k, 1], shown)
        k += 1
    agent[A_TAKEN + side] = n
