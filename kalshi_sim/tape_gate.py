"""The gate for tapes: whoever made one, kernels read nothing out of its bounds.

Part of `gate`, which checks everything else that a caller hands to a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import MAX_DEPTH
from kalshi_sim.errors import ConfigError
from kalshi_sim.gate import check_int
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_TAPE_FEATURES
from kalshi_sim.kernels.rows import MAX_FLOW_ENTRIES, MAX_SIZE, RowViews, row_views, row_width
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE, PRICE_SCALE

if TYPE_CHECKING:
    from kalshi_sim.tape import MarketSessionView, Tape

Int64Array = npt.NDArray[np.int64]

_BLOCK_ROWS: Final = 1 << 13
"""So many rows are checked at a time: their memory is read once, then lies in the cache."""
_ROW_ARRAYS: Final = {
    "ts_ms": (np.int64, "rows"),
    "mark2": (np.int64, "rows"),
    "px": (np.int64, "rows, 2, depth"),
    "qty": (np.int64, "rows, 2, depth"),
    "features": (np.float32, "rows, 40"),
    "flow_offsets": (np.int64, "rows + 1"),
    "states": (np.int32, "rows"),
}


def check_tape(tape: Tape) -> None:
    """Check a tape's arrays, their shapes and types, and that views and flow lie within them.

    Raises:
        ConfigError: something does not fit; the message names it.
    """
    if tape.payout not in (PAYOUT_CENT, PAYOUT_FINE):
        raise ConfigError(f"tape: payout={tape.payout!r} must be {PAYOUT_CENT} or {PAYOUT_FINE}")
    check_int("tape: row_interval_ms", tape.row_interval_ms, 1, 2**40)
    check_int("tape: min_episode_length", tape.min_episode_length, 1, 2**40)
    check_int("tape: depth", tape.depth, 1, MAX_DEPTH)
    rows = len(tape.rows)
    for name, columns in (("rows", row_width(tape.depth)), ("flow", layout.N_FLOW)):
        array = getattr(tape, name)
        _check_array(name, array, np.int64, (len(array), columns))
        if not array.flags.c_contiguous:
            raise ConfigError(f"tape: {name} is not contiguous; use numpy.ascontiguousarray")
    views = row_views(tape.rows)
    end: int | None = None
    for begin in range(0, rows, _BLOCK_ROWS):
        if tape.mapped is not None:
            tape.mapped.will_read(views.i64[begin : begin + _BLOCK_ROWS].nbytes)
        end = _check_rows(tape, views, slice(begin, begin + _BLOCK_ROWS), end)
    if end is not None and end > len(tape.flow):
        raise ConfigError(f"tape: flow has {len(tape.flow)} entries, its rows {end}")
    for view in tape.views:
        check_view(view, rows)
        if tape.mapped is not None:
            tape.mapped.will_read(tape.rows[view.rows].nbytes)
        states = views.i32[view.rows, layout.ROW_STATE]
        if states.min() < 0 or states.max() > len(view.later_states):
            raise ConfigError(f"tape: a row of {view.market_ticker!r} is in a state it lacks")


def _check_rows(tape: Tape, views: RowViews, part: slice, end: int | None) -> int:
    """Check that rows follow one another in the flow.

    Args:
        tape: the tape.
        views: of its rows.
        part: the rows.
        end: where the flow of the row before them ends; None for the first row.

    Returns:
        Where the flow of the last one ends.
    """
    first = views.i64[part, layout.ROW_FLOW].copy()
    entries = views.i16[part, layout.ROW_FLOW_ENTRIES].astype(np.int64)
    if first.min() < 0 or first.max() > len(tape.flow):  # before sums can run over int64
        raise ConfigError(f"tape: flow has {len(tape.flow)} entries, a row begins elsewhere")
    ends = first + entries
    before = np.concatenate([first[:1] if end is None else [end], ends[:-1]])
    if entries.min() < 0 or (before != first).any():
        raise ConfigError("tape: the flow of a row does not begin where that before it ends")
    last = layout.BEST_PRICE + layout.LEVEL_INT16S * tape.depth
    marks = (views.i16[part, last + i] for i in range(2))  # numpy is slow at rows of two
    if any((mark != layout.NOT_KEPT).any() for mark in marks):
        raise ConfigError(f"tape: a row does not end after {tape.depth} levels a side")
    return int(ends[-1])


def check_row_arrays(
    given: Mapping[str, npt.NDArray[Any]], payout: int
) -> dict[str, npt.NDArray[Any]]:
    """Check the arrays of a tape's rows: shapes, types, and that a row can hold the numbers.

    Args:
        given: arrays of `Tape` by name, each of the dtype and shape [rows, …] of
            docs/contract.md#3-rows-views-tapes; `states` may be absent.
        payout: money units a winning contract pays, 100 or 10 000; prices must not exceed it.

    Returns:
        The arrays by name, dtype and shape [rows, …] unchanged, with `states` (0 if absent).

    Raises:
        ConfigError: one is missing, unknown, or does not fit; the message names it.
    """
    columns = {"states": np.zeros(len(given.get("ts_ms", ())), np.int32), **given}
    if unlike := sorted(columns.keys() ^ _ROW_ARRAYS.keys()):
        why = "is missing" if unlike[0] in _ROW_ARRAYS else "is none of its arrays"
        raise ConfigError(f"tape: {unlike[0]} {why}")
    px = columns["px"]
    depth = px.shape[2] if isinstance(px, np.ndarray) and px.ndim == 3 else 0
    check_int("tape: depth", depth, 1, MAX_DEPTH)
    rows = len(columns["ts_ms"])
    sizes = {"rows": rows, "rows + 1": rows + 1, "2": 2, "depth": depth, "40": N_TAPE_FEATURES}
    for name, (dtype, text) in _ROW_ARRAYS.items():
        _check_array(name, columns[name], dtype, tuple(sizes[word] for word in text.split(", ")))
    offsets = columns["flow_offsets"]
    entries = np.diff(offsets)
    if offsets[0] < 0 or (entries < 0).any() or (entries > MAX_FLOW_ENTRIES).any():
        raise ConfigError("tape: flow_offsets must rise from 0 to the number of flow entries")
    for name, most in (("px", payout), ("qty", MAX_SIZE), ("mark2", 2 * payout)):
        values = columns[name]
        if values.size and (values.min() < 0 or values.max() > most):
            raise ConfigError(f"tape: {name} must lie within 0 and {most}")
    return columns


def _check_array(name: str, array: object, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{getattr(array, 'dtype', type(array))} {getattr(array, 'shape', '')}"
        raise ConfigError(f"tape: {name} is {found}, expected {np.dtype(dtype)} {shape}")


def check_view(view: MarketSessionView, rows: int) -> None:
    """Check one view of a tape.

    Args:
        view: rows, fees, price grid and settlement value of one market in one session.
        rows: number of rows of the tape.

    Raises:
        ConfigError: it does not lie within them, or its fees or grid cannot be.
    """
    name = f"view {view.market_ticker!r} of session {view.session_id}"
    start = check_int(f"{name}: start", view.start, 0, max(0, rows - 1))
    check_int(f"{name}: stop", view.stop, start + 1, rows)
    check_int(f"{name}: fee_unit", view.fee_unit, 1, PRICE_SCALE)
    for state in view.states:
        for field in ("taker_multiplier", "maker_multiplier"):
            check_int(f"{name}: {field}", getattr(state, field), 0, 2**31)
        for band in state.tick_bands:
            if not isinstance(band, tuple) or len(band) != 3:
                raise ConfigError(f"{name}: tick_bands holds {band!r}, not (start, end, step)")
            for value in band:
                check_int(f"{name}: tick_bands", value, 0, PRICE_SCALE)
            check_int(f"{name}: step of tick_bands", band[2], 1, PRICE_SCALE)
    if view.settlement_value is not None:
        check_int(f"{name}: settlement_value", view.settlement_value, 0, PRICE_SCALE)
