"""The columns of a recording that merging reads, and the frames of one market in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.decoding import BLOCK_TRADE, Batch
from kalshi_sim.parallel import in_order
from kalshi_sim.session import NO_TIME, EventKind, Int64Array
from kalshi_sim.threads import usable_cpus

BoolArray = npt.NDArray[np.bool_]
UInt64Array = npt.NDArray[np.uint64]
Rows = Int64Array | slice

APART_MS: Final = 1_000
"""A frame that continues a connection, or was written late, is at most so much earlier."""
LATE_FRAMES: Final = 1_000
"""A delta that was written late lies at most so many frames behind its place."""
_CONSTANT: Final = 3
"""So many equal numbers, and no other, number nothing."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_AGAIN: Final = np.uint64(0xBF58476D1CE4E5B9)


class Hashes:
    """A 64-bit number of each frame, made for the frames that are asked for.

    Merging asks for few frames of most recordings, and for all of some: those are then kept.
    """

    def __init__(self, n: int, of: Callable[[Rows], UInt64Array]) -> None:
        """Have none yet.

        Args:
            n: how many frames there are.
            of: makes the numbers of some rows, int64 [k] or a slice: uint64 [k].
        """
        self._left = n
        self._of = of
        self._all: UInt64Array | None = None

    def __getitem__(self, rows: Int64Array) -> UInt64Array:
        self._left -= len(rows)
        if self._all is None and self._left >= 0:
            return self._of(rows)
        return self._whole[rows]

    def of(self, row: int) -> int:
        """The number of one frame."""
        return int(self._whole[row])

    @property
    def _whole(self) -> UInt64Array:
        if self._all is None:
            self._all = self._of(slice(None))
        return self._all


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

    def prepare(self) -> None:
        """Make what every market asks for, so that several threads find it made."""
        _ = (self.is_book, self.is_trade, self.seq, self._rank)

    @cached_property
    def whole_files(self) -> dict[int, Int64Array]:
        """The event frames of files, as far as they were looked up."""
        return {}

    @cached_property
    def in_parallel(self) -> dict[tuple[tuple[int, ...], tuple[int, ...]], bool]:
        """Whether files hold the same changes under different sids, as far as looked up."""
        return {}

    @cached_property
    def beside(self) -> dict[int, bool]:
        """Whether another recorder wrote a file at the same time, as far as looked up."""
        return {}

    @cached_property
    def run_back(self) -> dict[tuple[tuple[int, ...], tuple[int, ...]], bool]:
        """Whether files begin before those ahead of them end, as far as looked up."""
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
    def of_markets(self) -> list[Int64Array]:
        """The event frames of each market that has any, in order of lines; markets by number."""
        events = np.flatnonzero(self.is_book | self.is_trade)
        events = events[np.argsort(self.batch.market[events], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.batch.market[events])) + 1
        return [rows for rows in np.split(events, cuts) if len(rows)]

    @cached_property
    def seq(self) -> Int64Array:
        """`seq` of each frame, -1 where it has none or a recorder wrote one number throughout."""
        constant = [
            rows for rows in in_order(self.of_markets, self._constant, usable_cpus()) if len(rows)
        ]
        if not constant:
            return self.batch.seq
        out = self.batch.seq.copy()
        out[np.concatenate(constant)] = -1
        return out

    def _constant(self, rows: Int64Array) -> Int64Array:
        """Those of a market's event frames whose numbers on one subscription are all the same."""
        rows = rows[self.batch.seq[rows] >= 0]
        seq = self.batch.seq[rows]
        group = group_numbers(self.is_trade[rows].astype(np.int64), self.batch.sid[rows])
        count = np.bincount(group)
        low, high = np.full(len(count), np.iinfo(np.int64).max), np.full(len(count), -1)
        np.minimum.at(low, group, seq)
        np.maximum.at(high, group, seq)
        changes = np.zeros(len(count), dtype=np.bool_)
        changes[group[~self.is_snapshot[rows]]] = True
        # Snapshots alone may each be the first frame of a connection.
        constant = (low == high) & (count >= _CONSTANT) & changes
        return rows[constant[group]] if constant.any() else rows[:0]

    @cached_property
    def _rank(self) -> Int64Array:
        """The place of each market among the tickers, whatever file came first; last: of none."""
        rank = np.argsort(np.argsort(np.array([*self.tickers, ""]), kind="stable"), kind="stable")
        return np.asarray(rank, dtype=np.int64)

    @cached_property
    def message(self) -> Hashes:
        """Equal where sid, seq, content and exchange time (of a trade: its id) are."""
        return Hashes(len(self.batch), self._message)

    def _message(self, rows: Rows) -> UInt64Array:
        b, seq = self.batch, self.seq
        recorded = np.where(self.is_snapshot[rows], NO_TIME, b.ts_ms[rows])
        columns = (b.kind[rows], self._rank[b.market[rows]], b.sid[rows], seq[rows], b.side[rows])
        return _hashed((*columns, b.price[rows], b.size[rows], recorded, b.trade_id[rows]))

    @cached_property
    def content(self) -> Hashes:
        """Equal where two deltas make the same change at the same time."""
        return Hashes(len(self.batch), self._content)

    def _content(self, rows: Rows) -> UInt64Array:
        b = self.batch
        columns = (b.kind[rows], self._rank[b.market[rows]], b.side[rows], b.price[rows])
        return _hashed((*columns, b.size[rows], b.ts_ms[rows]))

    @cached_property
    def line(self) -> Hashes:
        """Equal where two frames are the same line: the message and its receive time."""
        return Hashes(len(self.batch), self._line)

    def _line(self, rows: Rows) -> UInt64Array:
        b = self.batch
        return _hashed((self._message(rows).view(np.int64), b.recv_ns[rows], b.ts_ms[rows]))

    @cached_property
    def file_kinds(self) -> tuple[frozenset[int], frozenset[int]]:
        """Files that hold snapshots, and those that hold deltas, of any market."""
        deltas = self.batch.kind == EventKind.DELTA
        return (
            frozenset(np.unique(self.file_of[self.is_snapshot]).tolist()),
            frozenset(np.unique(self.file_of[deltas]).tolist()),
        )

    def numbers_of(self, file: int) -> tuple[dict[int, int], dict[int, int]]:
        """The first number of each sid in a file, whatever frame has it, and the last.

        Args:
            file: number of the file.

        Returns:
            By sid the first numbers, and the last.
        """
        if file not in self._numbers:
            rows = np.flatnonzero((self.file_of == file) & (self.batch.seq >= 0))
            sids, numbers = self.batch.sid[rows].tolist(), self.batch.seq[rows].tolist()
            pairs = list(zip(sids, numbers, strict=True))
            self._numbers[file] = dict(pairs[::-1]), dict(pairs)
        return self._numbers[file]

    @cached_property
    def _numbers(self) -> dict[int, tuple[dict[int, int], dict[int, int]]]:
        return {}

    @cached_property
    def spans(self) -> tuple[Int64Array, Int64Array]:
        """Of each file when its first and last frame were received, int64 [files] each, in ns.

        NO_TIME of a file that has no receive times.
        """
        first = np.full(len(self.files), np.iinfo(np.int64).max, dtype=np.int64)
        last = np.full(len(self.files), NO_TIME, dtype=np.int64)
        known = self.batch.recv_ns != NO_TIME
        np.minimum.at(first, self.file_of[known], self.batch.recv_ns[known])
        np.maximum.at(last, self.file_of[known], self.batch.recv_ns[known])
        return np.where(last == NO_TIME, NO_TIME, first), last

    def received(self, rows: Int64Array) -> bool:
        """Whether all of these frames have a receive time."""
        return len(rows) > 0 and bool((self.batch.recv_ns[rows] != NO_TIME).all())


def group_numbers(*columns: Int64Array) -> Int64Array:
    """Numbers from 0, equal where all columns are, in the columns' order; int64 [n]."""
    out = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        number, count = _ranks(column)
        if count > 1:
            out, _ = _ranks(out * count + number)
    return out


def _ranks(column: Int64Array) -> tuple[Int64Array, int]:
    """The place of each value among the different ones, int64 [n], and how many those are."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    if high - low > len(column):
        values = distinct(column)
        return np.searchsorted(values, column), len(values)
    there = np.zeros(high - low + 1, dtype=np.int64)
    there[column - low] = 1
    place = np.cumsum(there) - 1
    return place[column - low], int(place[-1]) + 1


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


def distinct(values: Int64Array) -> Int64Array:
    """The different values; quick where equal ones follow one another.

    Args:
        values: int64 [n].

    Returns:
        int64 [k], ascending.
    """
    if len(values) == 0:
        return values
    return np.unique(values[np.append(True, values[1:] != values[:-1])])


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
