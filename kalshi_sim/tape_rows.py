"""Rows of a tape as arrays of one quantity each, and back into the records kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_TAPE_FEATURES
from kalshi_sim.kernels.rows import RowViews, empty_rows, row_views

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


def book_of(rows: RowViews, depth: int) -> tuple[Int64Array, Int64Array]:
    """Prices and contracts of the shown levels, best first.

    Args:
        rows: a tape's rows.
        depth: price levels a row shows on each side.

    Returns:
        Money units int64 [rows, 2, depth], and contracts int64 [rows, 2, depth].
    """
    columns = np.arange(depth) + np.zeros((2, 1), np.int64)
    sides = np.arange(2)[:, None]
    px = rows.i16[:, layout.BEST_PRICE + layout.LEVEL_INT16S * columns + sides]
    qty = rows.i32[:, layout.BEST_SIZE + layout.LEVEL_INT32S * columns + sides]
    return px.astype(np.int64), qty.astype(np.int64)


def best_of(rows: RowViews) -> Int64Array:
    """The best bids of both sides, int64 [rows, 2], 0 where there is none."""
    return rows.i16[:, layout.BEST_PRICE : layout.BEST_PRICE + 2].astype(np.int64)


def mark2_of(rows: RowViews) -> Int64Array:
    """Twice the marks of YES, int64 [rows]."""
    return rows.i16[:, layout.ROW_MARK2].astype(np.int64)


def flow_offsets_of(rows: RowViews) -> Int64Array:
    """Where the flow entries of each row begin, and where the last row's end, int64 [rows + 1]."""
    first = rows.i64[:, layout.ROW_FLOW]
    return np.append(first, (first + rows.i16[:, layout.ROW_FLOW_ENTRIES])[-1:])


def features_of(rows: RowViews) -> Float32Array:
    """The features, float32 [rows, 40]: a view of the rows."""
    return rows.f32[:, :N_TAPE_FEATURES]


def columns_of(rows: RowViews, depth: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `pack_rows` packs.

    Args:
        rows: a tape's rows.
        depth: price levels a row shows on each side.

    Returns:
        The arrays by name, dtype and shape [rows, …] as `pack_rows` takes them.
    """
    px, qty = book_of(rows, depth)
    return {
        "ts_ms": rows.i64[:, layout.ROW_TS],
        "px": px,
        "qty": qty,
        "mark2": mark2_of(rows),
        "features": features_of(rows),
        "flow_offsets": flow_offsets_of(rows),
        "states": rows.i32[:, layout.ROW_STATE],
    }


def pack_rows(
    *,
    ts_ms: Int64Array,
    px: Int64Array,
    qty: Int64Array,
    mark2: Int64Array,
    features: Float32Array,
    flow_offsets: Int64Array,
    states: Int32Array,
) -> Int64Array:
    """Rows as kernels read them, from arrays whose numbers fit (`tape_gate.check_row_arrays`).

    Args:
        ts_ms: int64 [rows] times in ms since 1970 UTC.
        px: int64 [rows, 2, depth] prices in money units, best first, 0 where there is no level.
        qty: int64 [rows, 2, depth] contracts.
        mark2: int64 [rows] twice the mark of YES, in money units.
        features: float32 [rows, 40].
        flow_offsets: int64 [rows + 1] first flow entry of each row, and the end of the last.
        states: int32 [rows] index of each row's market state.

    Returns:
        int64 [rows, words] records; `kernels.layout` names the columns.
    """
    depth = px.shape[2]
    packed = empty_rows(len(ts_ms), depth)
    packed[:] = 0
    rows = row_views(packed)
    rows.i64[:, layout.ROW_TS] = ts_ms
    rows.i64[:, layout.ROW_FLOW] = flow_offsets[:-1]
    rows.i32[:, layout.ROW_STATE] = states
    rows.i16[:, layout.ROW_MARK2] = mark2
    rows.i16[:, layout.ROW_FLOW_ENTRIES] = np.diff(flow_offsets)
    rows.f32[:, :N_TAPE_FEATURES] = features
    for level in range(depth + 1):
        price = layout.BEST_PRICE + layout.LEVEL_INT16S * level
        size = layout.BEST_SIZE + layout.LEVEL_INT32S * level
        if level == depth:
            rows.i16[:, price : price + 2] = layout.NOT_KEPT
        else:
            rows.i16[:, price : price + 2] = px[:, :, level]
            rows.i32[:, size : size + 2] = qty[:, :, level]
    return packed
