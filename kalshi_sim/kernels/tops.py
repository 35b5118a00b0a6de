"""The top of a row: what a step reads of nearly every row, in two lines of memory.

A step stands at an unrelated row of a tape far larger than any cache, and waits for each line of
memory it reads there. Time, mark, range of flow and the best levels of both sides are therefore
kept once more beside each other; only levels further down are read in the tape's own arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.layout import (
    N_TOP,
    T_FLOW,
    T_FLOW_END,
    T_LEVELS,
    T_MARK2,
    T_TS,
    TOP_LEVELS,
    TapeArrays,
)

Int64Array = npt.NDArray[np.int64]

LINE_BYTES = 64


def empty_tops(rows: int) -> Int64Array:
    """Room for the tops of rows, [rows, N_TOP], each in as few lines of memory as can be."""
    line = LINE_BYTES // np.dtype(np.int64).itemsize
    room = np.empty(rows * N_TOP + line, np.int64)
    start = -room.ctypes.data % LINE_BYTES // room.itemsize
    return room[start : start + rows * N_TOP].reshape(rows, N_TOP)


@hot_jit
def write_top(
    top: Int64Array,
    ts_ms: int,
    mark2: int,
    flow: int,
    flow_end: int,
    px: Int64Array,
    qty: Int64Array,
) -> None:
    """Fill the top [N_TOP] of a row with book `px`, `qty` [2, depth]; absent levels are 0."""
    top[T_TS] = ts_ms
    top[T_MARK2] = mark2
    top[T_FLOW] = flow
    top[T_FLOW_END] = flow_end
    for side in range(2):
        for i in range(TOP_LEVELS):
            at = T_LEVELS + 2 * (side * TOP_LEVELS + i)
            shown = i < px.shape[1]
            top[at] = px[side, i] if shown else 0
            top[at + 1] = qty[side, i] if shown else 0


@hot_jit
def write_tops(
    tops: Int64Array,
    ts_ms: Int64Array,
    mark2: Int64Array,
    flow_offsets: Int64Array,
    px: Int64Array,
    qty: Int64Array,
) -> None:
    """Fill the tops [rows, N_TOP] from the arrays of a tape."""
    for row in range(len(tops)):
        write_top(
            tops[row],
            ts_ms[row],
            mark2[row],
            flow_offsets[row],
            flow_offsets[row + 1],
            px[row],
            qty[row],
        )


@hot_jit
def tops_fit(
    tops: Int64Array,
    ts_ms: Int64Array,
    mark2: Int64Array,
    flow_offsets: Int64Array,
    px: Int64Array,
    qty: Int64Array,
) -> bool:
    """Whether `tops` are what `write_tops` would write for these arrays."""
    if len(tops) != len(ts_ms):
        return False
    for row in range(len(tops)):
        top = tops[row]
        if top[T_TS] != ts_ms[row] or top[T_MARK2] != mark2[row]:
            return False
        if top[T_FLOW] != flow_offsets[row] or top[T_FLOW_END] != flow_offsets[row + 1]:
            return False
        for side in range(2):
            for i in range(TOP_LEVELS):
                at = T_LEVELS + 2 * (side * TOP_LEVELS + i)
                shown = i < px.shape[2]
                if top[at] != (px[row, side, i] if shown else 0):
                    return False
                if top[at + 1] != (qty[row, side, i] if shown else 0):
                    return False
    return True


@inlined_jit
def best_bid(tape: TapeArrays, row: int, side: int) -> int:
    """The best bid of a side, 0 if it is empty."""
    return int(tape.tops[row, T_LEVELS + 2 * TOP_LEVELS * side])


@inlined_jit
def level_price(tape: TapeArrays, row: int, side: int, i: int) -> int:
    """The price of the i-th best level of a side, 0 if there is none."""
    if i < TOP_LEVELS:
        return int(tape.tops[row, T_LEVELS + 2 * (side * TOP_LEVELS + i)])
    return int(tape.px[row, side, i])


@inlined_jit
def level_size(tape: TapeArrays, row: int, side: int, i: int) -> int:
    """The contracts of the i-th best level of a side, 0 if there is none."""
    if i < TOP_LEVELS:
        return int(tape.tops[row, T_LEVELS + 1 + 2 * (side * TOP_LEVELS + i)])
    return int(tape.qty[row, side, i])
