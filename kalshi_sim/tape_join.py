"""Several sessions on one tape that was never in memory: replayed one by one, appended to files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.rows import row_width
from kalshi_sim.views import MarketSessionView, SkippedView

_BLOCK_ROWS: Final = 1 << 16
"""So many rows are copied at a time."""


@dataclass(frozen=True)
class Replayed:
    """What sessions came to: the parts of a tape, or no view at all."""

    payout: int
    rows: npt.NDArray[np.int64]
    """int64 [rows, width] the records of rows."""
    flow: npt.NDArray[np.int64]
    """int64 [entries, 5]"""
    views: list[MarketSessionView]
    skipped: list[SkippedView]


class JoinedTape:
    """The arrays of a tape as files of `np.save`, which grow by a session at a time.

    What they hold is what `build_tape` of all sessions together gives, byte for byte.
    """

    def __init__(self, folder: Path, depth: int) -> None:
        """Begin the files.

        Args:
            folder: where rows.npy and flow.npy go.
            depth: levels a side of the rows.

        Raises:
            OSError: they cannot be written.
        """
        self.views: list[MarketSessionView] = []
        self.skipped: list[SkippedView] = []
        self._rows = _GrowingArray(folder / "rows.npy", row_width(depth))
        self._flow = _GrowingArray(folder / "flow.npy", layout.N_FLOW)

    def __enter__(self) -> JoinedTape:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._rows.close()
        self._flow.close()

    def add(self, made: Replayed) -> None:
        """Append what a session came to.

        Args:
            made: in the money units of those before it.

        Raises:
            OSError: the disk cannot take it.
        """
        n_rows, n_flow = self._rows.length, self._flow.length
        self._flow.append(made.flow)
        for begin in range(0, len(made.rows), _BLOCK_ROWS):
            block = made.rows[begin : begin + _BLOCK_ROWS]
            if n_flow:
                block = block.copy()  # it may lie in a tape that is mapped
                block[:, layout.ROW_FLOW] += n_flow
            self._rows.append(block)
        self.views += [
            replace(view, start=view.start + n_rows, stop=view.stop + n_rows) for view in made.views
        ]
        self.skipped += made.skipped


class _GrowingArray:
    """An int64 array of two dimensions in a file, whose header is written again at the end."""

    def __init__(self, path: Path, width: int) -> None:
        self.length = 0
        self._width = width
        self._file: BinaryIO = path.open("wb")
        self._header_ends = self._write_header()

    def append(self, rows: npt.NDArray[np.int64]) -> None:
        """Add rows.

        Args:
            rows: int64 [n, width].

        Raises:
            OSError: the disk cannot take them.
        """
        self._file.write(np.ascontiguousarray(rows).data)
        self.length += len(rows)

    def close(self) -> None:
        """Write the length, and close the file.

        Raises:
            OSError: the disk cannot take it.
        """
        try:
            self._file.seek(0)
            ends = self._write_header()
            assert ends == self._header_ends, "NumPy leaves room for any length"
        finally:
            self._file.close()

    def _write_header(self) -> int:
        shape = (self.length, self._width)
        described: dict[str, Any] = {"descr": "<i8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, described)
        return self._file.tell()
