"""The columns of a recording that merging reads, and the frames of one market in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.decoding import BLOCK_TRADE, Batch
from kalshi_sim.session import NO_TIME, EventKind, Int64Array

BoolArray = npt.NDArray[np.bool_]
UInt64Array = npt.NDArray[np.uint64]

APART_MS: Final = 1_000
"""A frame that continues a connection, or was written late, is at most so much earlier."""
LATE_FRAMES: Final = 1_000
"""A delta that was written late lies at most so many frames behind its place."""
_CONSTANT: Final = 3
"""So many equal numbers, and no other, number nothing."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_AGAIN: Final = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Frames:
    """All frames of an import.

    batch: decoded frames, files one after the other · file_of int64 [n]: the file of each ·
    files: their names · tickers: names of the markets by number.
    """

    batch: Batch
    file_of: Int64Array
    files: Sequence[str]
    tickers: Sequence[str]

    @cached_property
    def whole_files(self) -> dict[int, Int64Array]:
        """The event frames of files, as far as they were looked up."""
        return {}

    @cached_property
    def is_snapshot(self) -> BoolArray:
        """Whether each frame is a snapshot."""
        return np.asarray(self.batch.kind == EventKind.SNAPSHOT)

    @cached_property
    def is_book(self) -> BoolArray:
        """Whether each frame is a snapshot or a delta."""
        return np.asarray(self.is_snapshot | (self.batch.kind == EventKind.DELTA))

    @cached_property
    def is_trade(self) -> BoolArray:
        """Whether each frame is a trade, block trades included."""
        return np.isin(self.batch.kind, (EventKind.TRADE, BLOCK_TRADE))

    @cached_property
    def seq(self) -> Int64Array:
        """`seq` of each frame, -1 where it has none or a recorder wrote one number throughout."""
        seq = self.batch.seq
        rows = np.flatnonzero((self.is_book | self.is_trade) & (seq >= 0))
        if len(rows) == 0:
            return seq
        stream = self.batch.market[rows] * 2 + self.is_trade[rows]
        group = group_numbers(stream, self.batch.sid[rows])
        count = np.bincount(group)
        low, high = np.full(len(count), np.iinfo(np.int64).max), np.full(len(count), -1)
        np.minimum.at(low, group, seq[rows])
        np.maximum.at(high, group, seq[rows])
        changes = np.zeros(len(count), dtype=np.bool_)
        changes[group[~self.is_snapshot[rows]]] = True
        # Snapshots alone may each be the first frame of a connection.
        constant = (low == high) & (count >= _CONSTANT) & changes
        if not constant.any():
            return seq
        out = seq.copy()
        out[rows[constant[group]]] = -1
        return out

    @cached_property
    def _market(self) -> Int64Array:
        """The market of each frame by its place among the tickers, whatever file came first."""
        rank = np.argsort(np.argsort(np.array([*self.tickers, ""]), kind="stable"), kind="stable")
        return np.asarray(rank[self.batch.market], dtype=np.int64)  # -1: the last, of no market

    @cached_property
    def message(self) -> UInt64Array:
        """Equal where sid, seq, content and exchange time (of a trade: its id) are."""
        batch = self.batch
        columns = (batch.kind, self._market, batch.sid, self.seq, batch.side, batch.price)
        recorded = np.where(self.is_snapshot, NO_TIME, batch.ts_ms)
        return _hashed((*columns, batch.size, recorded, batch.trade_id))

    @cached_property
    def content(self) -> UInt64Array:
        """Equal where two deltas make the same change at the same time."""
        batch = self.batch
        return _hashed((batch.kind, self._market, batch.side, batch.price, batch.size, batch.ts_ms))

    @cached_property
    def line(self) -> UInt64Array:
        """Equal where two frames are the same line: the message and its receive time."""
        return _hashed((self.message.view(np.int64), self.batch.recv_ns, self.batch.ts_ms))

    @cached_property
    def file_kinds(self) -> tuple[frozenset[int], frozenset[int]]:
        """Files that hold snapshots, and those that hold deltas, of any market."""
        deltas = self.batch.kind == EventKind.DELTA
        return (
            frozenset(np.unique(self.file_of[self.is_snapshot]).tolist()),
            frozenset(np.unique(self.file_of[deltas]).tolist()),
        )

    def received(self, rows: Int64Array) -> bool:
        """Whether all of these frames have a receive time."""
        return len(rows) > 0 and bool((self.batch.recv_ns[rows] != NO_TIME).all())


def group_numbers(*columns: Int64Array) -> Int64Array:
    """Numbers from 0, equal where all columns are, in the columns' order; int64 [n].

    Few different values are expected: they are found by hashing, without sorting the columns.
    """
    out = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values = np.unique(column)
        if len(values) > 1:
            out = out * len(values) + np.searchsorted(values, column)
            out = np.searchsorted(np.unique(out), out)
    return out


def two_sockets(frames: Frames, rows: Int64Array) -> DataError:
    """What to say of frames that came of two sockets under one sid.

    Args:
        frames: all frames of the import.
        rows: int64 [n] frames of both sockets.
    """
    names: Sequence[str] = sorted({frames.files[f] for f in frames.file_of[rows].tolist()})
    return DataError(
        f"{', '.join(names)}: {frames.tickers[int(frames.batch.market[rows[0]])]} was recorded by "
        "two sockets under one sid, and nothing distinguishes their frames; record each socket "
        "to a file of its own with receive times, or import the frames of one"
    )


def _hashed(columns: Sequence[npt.NDArray[np.integer]]) -> UInt64Array:
    """A 64-bit number of each row of these columns."""
    out = np.zeros(len(columns[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            out ^= column.astype(np.int64).view(np.uint64) + _MIX
            out ^= out >> np.uint64(30)
            out *= _MIX_AGAIN
            out ^= out >> np.uint64(27)
            out *= _MIX
    return out
