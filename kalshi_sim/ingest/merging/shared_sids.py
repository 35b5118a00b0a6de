"""Whether one file holds two sockets that share a sid: nothing shows whose frames are whose.

A subscription sends a change once. Where a file has it twice under one sid, its number came again,
or numbers fall because two sockets' frames lie among each other, or there are no numbers. Equal
changes of one moment are ordinary, though: on busy markets one in twenty. So only a stretch between
two snapshots counts in which most changes came twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kalshi_sim.ingest.merging.pieces import whole_file
from kalshi_sim.ingest.merging.view import BoolArray, Frames, group_numbers
from kalshi_sim.session import NO_TIME, EventKind, Int64Array

_MOMENTS: Final = 2
"""At so many moments or more: equal changes of one moment may be of one socket."""
_AROUND: Final = (-2, -1, 1, 2)
"""Lines beside one that came again: three in a row that did were joined by cat, and overlapped."""


def shared_sids_notes(frames: Frames, markets: Sequence[Int64Array]) -> list[str]:
    """What shows that one file holds two sockets that share a sid.

    Args:
        frames: all frames of the import.
        markets: int64 [n] of each, its events by file and line.

    Returns:
        A sentence for people, or none.
    """
    sockets = _SharedSids(frames)
    for rows in markets:
        sockets.look_at_book(rows[frames.is_book[rows]])
        sockets.look_at_trades(rows[frames.is_trade[rows]])
    rows = sockets.rows
    if len(rows) == 0:
        return []
    sids = np.unique(frames.batch.sid[rows])
    concerned = np.isin(frames.batch.sid, sids) | np.isin(
        frames.batch.market, np.unique(frames.batch.market[rows])
    )
    files = np.unique(frames.file_of[concerned & (frames.is_book | frames.is_trade)])
    names = ", ".join(sorted(frames.files[file] for file in files.tolist()))
    note = (
        f"{names}: the same came twice under sid {', '.join(map(str, sids.tolist()))}, as of two "
        "sockets that share it, and nothing shows whose frames are whose: these books may be "
        "wrong; record each socket to files of its own, or import the frames of one"
    )
    return [note]


class _SharedSids:
    """Frames that show it."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._certain: list[Int64Array] = []
        self._likely: list[Int64Array] = []
        self._falls: dict[int, set[int]] = {}

    @property
    def rows(self) -> Int64Array:
        """int64 [n]; none where it happened at one moment alone."""
        nothing = np.empty(0, dtype=np.int64)
        certain, likely = (
            np.concatenate([nothing, *found]) for found in (self._certain, self._likely)
        )
        moments = np.unique(self._frames.batch.ts_ms[likely])
        return np.concatenate([certain, likely if len(moments) >= _MOMENTS else nothing])

    def look_at_book(self, book: Int64Array) -> None:
        """Changes of one market that came twice between two snapshots.

        Args:
            book: int64 [n] its book frames by file and line.
        """
        if len(book) == 0 or not self._may_be_of_two(book):
            return
        frames, batch = self._frames, self._frames.batch
        snapshot = frames.is_snapshot[book]
        begins = snapshot | (np.diff(frames.file_of[book], prepend=-1) != 0)
        timed = ~snapshot & (batch.sid[book] >= 0) & (batch.ts_ms[book] != NO_TIME)
        rows = book[timed]
        if len(rows) == 0:
            return
        stretch = group_numbers(np.cumsum(begins)[timed], batch.sid[rows])
        content = frames.content[rows]
        order = np.lexsort((content, stretch))
        rows, stretch, content = rows[order], stretch[order], content[order]
        again = np.append(False, (stretch[1:] == stretch[:-1]) & (content[1:] == content[:-1]))
        at = np.flatnonzero(again)
        at = at[~self._are_joined(rows[at - 1], rows[at])]
        change = np.cumsum(~again) - 1
        of = stretch[~again]  # the stretch of each different change
        changes, twice = np.bincount(of), np.bincount(of[np.unique(change[at])], minlength=len(of))
        mostly = 2 * twice[stretch[at]] >= changes[stretch[at]]
        first, second = frames.seq[rows[at - 1]], frames.seq[rows[at]]
        numbered = (first >= 0) & (second >= 0)
        shows = numbered & ((first == second) | (mostly & (first > second)))
        self._certain.append(rows[at[shows]])
        likely = rows[at[mostly & ~shows]]
        self._likely.append(likely[(frames.seq[likely] < 0) | self._fall(likely)])

    def look_at_trades(self, trades: Int64Array) -> None:
        """Trades of one market that came twice.

        Args:
            trades: int64 [n] by file and line.
        """
        frames, batch = self._frames, self._frames.batch
        rows = trades[(batch.sid[trades] >= 0) & (batch.trade_id[trades] >= 0)]
        if len(np.unique(batch.trade_id[rows])) == len(rows):
            return
        columns = (batch.trade_id[rows], batch.sid[rows], frames.file_of[rows])
        order = np.lexsort(columns)
        same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
        for column in columns:
            same &= np.diff(column[order]) == 0
        first, second = rows[order][:-1][same], rows[order][1:][same]
        self._certain.append(second[~self._are_joined(first, second)])

    def _may_be_of_two(self, book: Int64Array) -> bool:
        """Whether numbers do not rise on a sid of a file."""
        frames = self._frames
        seq, sid, file = frames.seq[book], frames.batch.sid[book], frames.file_of[book]
        if (sid != sid[0]).any():
            order = np.lexsort((sid, file))
            seq, sid, file = seq[order], sid[order], file[order]
        same = (np.diff(sid) == 0) & (np.diff(file) == 0)
        return bool((same & (np.diff(seq) <= 0)).any())

    def _are_joined(self, first: Int64Array, second: Int64Array) -> BoolArray:
        """Whether frames of a file and their repeats lie in a run of lines that came again."""
        out = np.zeros(len(first), dtype=np.bool_)
        line, file_of = self._frames.line, self._frames.file_of
        equal = np.flatnonzero(line[first] == line[second])
        for file in np.unique(file_of[first[equal]]).tolist():
            own = equal[file_of[first[equal]] == file]
            rows = whole_file(self._frames, file).rows
            places = np.searchsorted(rows, first[own]), np.searchsorted(rows, second[own])
            before_2, before, after, after_2 = (self._equal(rows, *places, by) for by in _AROUND)
            out[own] = (before_2 & before) | (before & after) | (after & after_2)
        return out

    def _equal(self, rows: Int64Array, first: Int64Array, second: Int64Array, by: int) -> BoolArray:
        """Whether the lines so many after two of a file are equal, bool [n]."""
        inside = (first + by >= 0) & (second + by < len(rows))
        line, last = self._frames.line, len(rows) - 1
        one, other = (rows[np.clip(at + by, 0, last)] for at in (first, second))
        return np.asarray(inside & (line[one] == line[other]))

    def _fall(self, rows: Int64Array) -> BoolArray:
        """Whether a delta of a frame's file and sid falls: none starts a connection anew."""
        files, sids = self._frames.file_of[rows].tolist(), self._frames.batch.sid[rows].tolist()
        pairs = zip(files, sids, strict=True)
        return np.array([sid in self._sids_that_fall(file) for file, sid in pairs], dtype=np.bool_)

    def _sids_that_fall(self, file: int) -> set[int]:
        if file not in self._falls:
            frames, batch = self._frames, self._frames.batch
            rows = np.flatnonzero((frames.file_of == file) & (batch.seq >= 0) & ~frames.is_trade)
            rows = rows[np.argsort(batch.sid[rows], kind="stable")]
            falls = (np.diff(batch.sid[rows]) == 0) & (np.diff(batch.seq[rows]) <= 0)
            falling = rows[1:][falls & (batch.kind[rows[1:]] == EventKind.DELTA)]
            self._falls[file] = set(batch.sid[falling].tolist())
        return self._falls[file]
