"""Where frames that are of no book stand among a market's book frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kalshi_sim.ingest.merging.connections import SentFrames
from kalshi_sim.ingest.merging.view import BoolArray, Frames
from kalshi_sim.session import Int64Array


class Places:
    """Places among a market's kept book frames, known by the order of lines in each file."""

    def __init__(
        self,
        frames: Frames,
        stream: Int64Array,
        sent: Int64Array,
        over: BoolArray,
        repeated: dict[int, int],
    ) -> None:
        """All the market's book frames.

        Args:
            frames: all frames of the import.
            stream: int64 [m], the book frames as they were written, file after file.
            sent: int64 [n], as they were sent, without repeated ones.
            over: bool [n], which of them are passed over.
            repeated: repeated frames -> the frame they repeat.
        """
        self._file_of = frames.file_of
        self.order: tuple[int, ...] = ()
        """Its files in order of their first book frame."""
        self.first: dict[int, int] = {}
        """The place of the first book frame of each file, among all that were sent."""
        kept = np.cumsum(~over) - 1
        rows, index = sent, np.arange(len(sent))
        if repeated:
            at = dict(zip(sent.tolist(), range(len(sent)), strict=True))
            pairs = [(row, at[to]) for row in repeated if (to := end_of(repeated, row)) in at]
            index = np.concatenate([index, np.array([k for _, k in pairs], np.int64)])
            rows = np.concatenate([sent, np.array([row for row, _ in pairs], np.int64)])
        if (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, index = rows[order], index[order]
        self._rows = rows
        # What was written before a frame came before it, also where a late delta moved.
        after, before = _reached(stream, sent, kept)
        file = self._file_of[self._rows]
        lift = file * (len(sent) + 1)
        self._after = np.maximum.accumulate(after[index] + lift) - lift
        self._before = before[index]
        start = np.flatnonzero(np.diff(file, prepend=-1))  # of frames in order of files
        files = file[start]
        self.files = frozenset(files.tolist())
        if len(files):
            first = np.minimum.reduceat(index, start)
            last = np.maximum.reduceat(index, start)
            rank = np.lexsort((frames.line[self._rows[start]], last, first))
            self.order = tuple(files[rank].tolist())
            self.first = dict(zip(files.tolist(), first.tolist(), strict=True))

    def of(self, row: int) -> int:
        """The place of the book frame it stands after; -1: before the first."""
        return int(self.all(np.array([row], dtype=np.int64))[0])

    def all(self, rows: Int64Array) -> Int64Array:
        """The places of frames of files that hold book frames of the market, int64 [n]."""
        at = np.searchsorted(self._rows, rows) - 1
        leads = self.lead(rows)
        found = np.where(
            leads,
            self._before[np.minimum(at + 1, len(self._rows) - 1)],
            self._after[np.maximum(at, 0)],
        )
        return np.asarray(found, dtype=np.int64)

    def lead(self, rows: Int64Array) -> BoolArray:
        """Whether no book frame of the market precedes them in their file, bool [n]."""
        at = np.searchsorted(self._rows, rows) - 1
        before = self._file_of[self._rows[np.maximum(at, 0)]]
        return np.asarray((at < 0) | (before != self._file_of[rows]))


def _reached(
    stream: Int64Array, sent: Int64Array, kept: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """How far the book had come when each frame was written, int64 [n]: with it, and without it."""
    if np.array_equal(stream, sent):
        return kept, np.concatenate([[-1], kept[:-1]])
    rank = np.argsort(sent, kind="stable")
    known = stream[np.isin(stream, sent)]
    place = rank[np.searchsorted(sent[rank], known)]
    latest = np.maximum.accumulate(kept[place])
    after, before = np.empty_like(kept), np.empty_like(kept)
    after[place] = latest
    before[place] = np.concatenate([[-1], latest[:-1]])
    return after, before


@dataclass(frozen=True)
class Book:
    """A market's book frames in order, without those that are passed over.

    market: its number · rows int64 [n] · connection int64 [n].
    """

    market: int
    rows: Int64Array
    connection: Int64Array


@dataclass(frozen=True)
class Placed:
    """A market's book, where other frames of its files stand in it, and all its frames.

    stream int64: its book frames as its files were joined, late deltas where they were written ·
    repeated: frames -> the frame they repeat.
    """

    book: Book
    places: Places
    sent: SentFrames
    stream: Int64Array
    repeated: Mapping[int, int]


def end_of(repeated: Mapping[int, int], row: int) -> int:
    """The frame that a repeated one repeats in the end.

    Args:
        repeated: frames, by row -> the row each repeats.
        row: of a frame.
    """
    while row in repeated:
        row = repeated[row]
    return row
