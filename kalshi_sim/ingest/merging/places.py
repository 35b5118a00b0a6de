"""Where frames that are of no book stand among a market's book frames."""

from __future__ import annotations

import numpy as np

from kalshi_sim.ingest.merging.view import BoolArray, Frames
from kalshi_sim.session import Int64Array


class Places:
    """Places among a market's kept book frames, known by the order of lines in each file."""

    def __init__(
        self, frames: Frames, told: Int64Array, over: BoolArray, repeated: dict[int, int]
    ) -> None:
        """All the market's book frames.

        Args:
            frames: all frames of the import.
            told: int64 [n], in order, without repeated ones.
            over: bool [n], which of them are passed over.
            repeated: repeated frames -> the frame they repeat.
        """
        self._file_of = frames.file_of
        self.order: tuple[int, ...] = ()
        """Its files in order of their first book frame."""
        kept = np.cumsum(~over) - 1
        at = dict(zip(told.tolist(), range(len(told)), strict=True)) if repeated else {}
        pairs = [(row, at[to]) for row in repeated if (to := _end(repeated, row)) in at]
        index = np.concatenate([np.arange(len(told)), np.array([k for _, k in pairs], np.int64)])
        rows = np.concatenate([told, np.array([row for row, _ in pairs], np.int64)])
        order = np.argsort(rows, kind="stable")
        self._rows, index = rows[order], index[order].astype(np.int64)
        # What lies before a line in its file came before it, also where a late delta moved.
        file = self._file_of[self._rows]
        lift = file * (len(told) + 1)
        self._after = np.maximum.accumulate(kept[index] + lift) - lift
        self._before = (kept - ~over)[index]
        files, start = np.unique(file, return_index=True)
        self.files = frozenset(files.tolist())
        if len(files):
            first = np.minimum.reduceat(index, start)
            last = np.maximum.reduceat(index, start)
            rank = np.lexsort((frames.line[self._rows[start]], last, first))
            self.order = tuple(files[rank].tolist())

    def of(self, row: int) -> int:
        """The place of the book frame it stands after; -1: before the first."""
        return int(self.all(np.array([row], dtype=np.int64))[0])

    def all(self, rows: Int64Array) -> Int64Array:
        """The places of frames of files that hold book frames of the market."""
        at = np.searchsorted(self._rows, rows) - 1
        leads = self.lead(rows)
        found = np.where(
            leads,
            self._before[np.minimum(at + 1, len(self._rows) - 1)],
            self._after[np.maximum(at, 0)],
        )
        return np.asarray(found, dtype=np.int64)

    def lead(self, rows: Int64Array) -> BoolArray:
        """Whether no book frame of the market precedes them in their file."""
        at = np.searchsorted(self._rows, rows) - 1
        before = self._file_of[self._rows[np.maximum(at, 0)]]
        return np.asarray((at < 0) | (before != self._file_of[rows]))


def _end(repeated: dict[int, int], row: int) -> int:
    while row in repeated:
        row = repeated[row]
    return row
