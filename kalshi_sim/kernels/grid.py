"""The prices of a market's grid: bands of (start, end, step) of YES prices.

A NO price lies on the grid where its mirrored YES price does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.ladder import mirror
from kalshi_sim.kernels.layout import V_BANDS, V_BANDS_END, TapeArrays

Int64Array = npt.NDArray[np.int64]


@hot_jit
def yes_above(tape: TapeArrays, view: Int64Array, price: int, payout: int) -> int:
    """The lowest YES price of the grid above `price`; `payout` if there is none."""
    for b in range(view[V_BANDS], view[V_BANDS_END]):
        start, end, step = tape.bands[b, 0], tape.bands[b, 1], tape.bands[b, 2]
        if price < start:
            return int(start)
        found = start + ((price - start) // step + 1) * step
        if found <= end:
            return int(found)
    return payout


@hot_jit
def yes_below(tape: TapeArrays, view: Int64Array, price: int) -> int:
    """The highest YES price of the grid below `price`; 0 if there is none."""
    for b in range(view[V_BANDS_END] - 1, view[V_BANDS] - 1, -1):
        start, end, step = tape.bands[b, 0], tape.bands[b, 1], tape.bands[b, 2]
        if price > start:
            return int(start + (min(price - 1, end) - start) // step * step)
    return 0


@hot_jit
def grid_above(tape: TapeArrays, view: Int64Array, side: int, price: int, payout: int) -> int:
    """The lowest price of a side's grid above `price`; `payout` if there is none."""
    if side == 0:
        return yes_above(tape, view, price, payout)
    return int(mirror(yes_below(tape, view, mirror(price, payout)), payout))


@hot_jit
def grid_below(tape: TapeArrays, view: Int64Array, side: int, price: int, payout: int) -> int:
    """The highest price of a side's grid below `price`; 0 if there is none."""
    if side == 0:
        return yes_below(tape, view, price)
    return int(mirror(yes_above(tape, view, mirror(price, payout), payout), payout))
