"""Columns of an episode as one compressed block, as the page's script reads them.

A block is a zlib stream of columns; a column holds the change from row to row (the first row from
zero) as little-endian integers, all rows together, so that standing still costs next to nothing.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LEVEL: Final = 5
MOST_AHEAD: Final = 2**31 - 2
"""Contracts in front of an order that a page shows at most."""
STANDING_OUT: Final = 6
"""Features shown at a row: those farthest from their mean."""
Z_SCALE: Final = 10
"""Distances are kept in tenths of a standard deviation."""
SHARE_SCALE: Final = 200
"""Probabilities are kept in 1/200."""
DEFAULT_ROWS: Final = 1_200_000
"""Rows of the replays that a page holds at most."""


class Block:
    """Columns on their way into one compressed string."""

    def __init__(self) -> None:
        self._columns: list[dict[str, Any]] = []
        self._parts: list[bytes] = []

    def add(self, name: str, values: npt.NDArray[Any]) -> None:
        """Add a column, as the changes from row to row.

        Args:
            name: of the column.
            values: integers of any dtype [rows].
        """
        change = values.astype(np.int64)
        change[1:] -= change[:-1].copy()
        largest = int(np.abs(change).max(initial=0))
        size = 1 if largest < 128 else 2 if largest < 2**15 else 4 if largest < 2**31 else 8
        # JavaScript's numbers are exact to 2^53; eight bytes go as two columns of four.
        if size == 8:
            self._put(f"{name}/low", (change & 0xFFFFFFFF).astype("<u4"), 4)
            self._put(f"{name}/high", (change >> 32).astype("<i4"), 4)
        else:
            self._put(name, change.astype(f"<i{size}"), size)

    def _put(self, name: str, values: npt.NDArray[Any], size: int) -> None:
        self._columns.append({"name": name, "bytes": size})
        self._parts.append(values.tobytes())

    def pack(self) -> dict[str, Any]:
        """The block as JSON has it."""
        raw = zlib.compress(b"".join(self._parts), _LEVEL)
        return {"columns": self._columns, "data": base64.b64encode(raw).decode("ascii")}


def book_of_rows(
    ts_ms: npt.NDArray[np.int64],
    mark2: npt.NDArray[np.int64],
    px: npt.NDArray[np.int64],
    qty: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """Times and the shown levels of both sides of some rows.

    Args:
        ts_ms: int64 [rows] times; those of the block count from the first.
        mark2: int64 [rows] twice the mark of YES.
        px: int64 [rows, 2, depth] prices, best first.
        qty: int64 [rows, 2, depth] contracts.

    Returns:
        What the page's script reads.
    """
    block = Block()
    block.add("ts", ts_ms - ts_ms[0])
    block.add("mark2", mark2)
    for side in range(2):
        for level in range(px.shape[2]):
            block.add(f"px{side}.{level}", px[:, side, level])
        for level in range(px.shape[2]):
            block.add(f"qty{side}.{level}", qty[:, side, level])
    return {"start_ms": int(ts_ms[0]), "rows": len(ts_ms), **block.pack()}
