"""The row of a tape: one record of a few lines of memory, as narrow as its numbers are.

A step stands at an unrelated row of a tape far larger than any cache, and waits for each line of
memory it reads there. So a row is one record that begins with a line: the features first; then, to
the end of the third line, what nearly every step reads (time, flow, mark, best levels); then the
levels further down. A record is read through four arrays of one memory (`TapeArrays`), each with
columns of its own width. Money and contracts are widened as they are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.ladder import Ladders
from kalshi_sim.kernels.layout import (
    BEST_PRICE,
    BEST_SIZE,
    LEVEL_INT16S,
    LEVEL_INT32S,
    NOT_KEPT,
    ROW_FLOW,
    ROW_FLOW_ENTRIES,
    ROW_MARK2,
    ROW_STATE,
    TapeArrays,
)

Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

LINE_BYTES = 64
BYTES = 8
"""Bytes of an int64."""
INT32_BYTES = 4
MAX_SIZE = 2**31 - 1
"""Most contracts that a row can show at a level."""
MAX_FLOW_ENTRIES = 2**15 - 1


class RowViews(NamedTuple):
    """Rows as `TapeArrays` has them: four arrays of one memory."""

    i64: Int64Array
    i32: Int32Array
    i16: Int16Array
    f32: Float32Array


def row_width(depth: int) -> int:
    """How many int64 a row takes: whole lines of memory for `depth` levels a side and their end."""
    used = INT32_BYTES * (BEST_SIZE + LEVEL_INT32S * (depth + 1) + 1)  # the last is the state
    return -(-used // LINE_BYTES) * (LINE_BYTES // BYTES)


def empty_rows(rows: int, depth: int) -> Int64Array:
    """Room for rows, int64 [rows, row_width], the first at the beginning of a line of memory.

    Args:
        rows: how many rows.
        depth: price levels a row shows on each side.

    Returns:
        int64 [rows, row_width], not initialised.
    """
    width = row_width(depth)
    line = LINE_BYTES // BYTES
    room = np.empty(rows * width + line, np.int64)
    start = -room.ctypes.data % LINE_BYTES // BYTES
    return room[start : start + rows * width].reshape(rows, width)


def row_views(rows: Int64Array) -> RowViews:
    """Rows as numbers of four widths, over the same memory.

    Args:
        rows: int64 [rows, width].
    """
    return RowViews(rows, rows.view(np.int32), rows.view(np.int16), rows.view(np.float32))


@hot_jit
def levels_fit(book: Ladders, depth: int) -> bool:
    """Whether a row can hold the sizes of the levels it shows.

    Args:
        depth: price levels a row shows on each side.
    """
    for side in range(2):
        n = book.levels[side]
        for i in range(max(0, n - depth), n):
            if book.sizes[side, i] > MAX_SIZE:
                return False
    return True


@hot_jit
def write_levels(book: Ladders, depth: int, sizes: Int32Array, prices: Int16Array) -> None:
    """Write the best levels of both sides into a row, best first.

    Absent ones are 0; after the last one stands that no more are kept.

    Args:
        depth: price levels a row shows on each side.
        sizes: int32 [2 * width] the row.
        prices: int16 [4 * width] the same row.
    """
    for side in range(2):
        n = book.levels[side]
        for i in range(depth):
            shown = i < n
            sizes[BEST_SIZE + LEVEL_INT32S * i + side] = book.sizes[side, n - 1 - i] if shown else 0
            price = book.prices[side, n - 1 - i] if shown else 0
            prices[BEST_PRICE + LEVEL_INT16S * i + side] = price
        prices[BEST_PRICE + LEVEL_INT16S * depth + side] = NOT_KEPT


@inlined_jit
def best_bid(tape: TapeArrays, row: int, side: int) -> int:
    """The best bid of a side, 0 if it is empty."""
    return int(np.int64(tape.i16[row, BEST_PRICE + side]))


@inlined_jit
def level_price(tape: TapeArrays, row: int, side: int, i: int) -> int:
    """The price of the i-th best level of a side, 0 if there is none, `NOT_KEPT` after the last.

    Args:
        i: number of the level, 0 the best.
    """
    return int(np.int64(tape.i16[row, BEST_PRICE + LEVEL_INT16S * i + side]))


@inlined_jit
def level_size(tape: TapeArrays, row: int, side: int, i: int) -> int:
    """The contracts of the i-th best level of a side, 0 if there is none.

    Args:
        i: number of the level, 0 the best.
    """
    return int(np.int64(tape.i32[row, BEST_SIZE + LEVEL_INT32S * i + side]))


@inlined_jit
def row_mark2(tape: TapeArrays, row: int) -> int:
    """Twice the mark of YES."""
    return int(np.int64(tape.i16[row, ROW_MARK2]))


@inlined_jit
def row_flow(tape: TapeArrays, row: int) -> tuple[int, int]:
    """Which flow entries lead into a row.

    Returns:
        The first flow entry into the row, and the one after its last.
    """
    first = tape.i64[row, ROW_FLOW]
    return first, first + np.int64(tape.i16[row, ROW_FLOW_ENTRIES])


@inlined_jit
def row_state(tape: TapeArrays, row: int) -> int:
    """Which state of its view holds at a row."""
    return int(np.int64(tape.i32[row, ROW_STATE]))
