"""Which frames of several markets came on one connection and sid, control frames included.

A connection gives each number of a sid once, in order of time, without holes. So frames whose
numbers meet are of two, and a control frame is of the one that lacks its number and has the number
before it (docs/contract.md#2-book-and-events: "a control frame that cannot be laid to one
connection ends nothing").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.decoding import OTHER
from kalshi_sim.ingest.merging.connections import STALE, Told
from kalshi_sim.ingest.merging.places import Places
from kalshi_sim.ingest.merging.view import APART_MS, Frames
from kalshi_sim.session import NO_TIME, Int64Array

NONE: Final = -1
"""No socket: nothing tells of which one a frame is."""
ALL: Final = -2
"""All sockets of its sid: a recorder numbered each market apart, and control frames not at all."""
_SEVERAL: Final = 2
"""Markets, or more numbers than these of each, before their numbers say how they were given."""


class _Range(NamedTuple):
    min: int
    max: int


NEVER: Final = _Range(-(2**61), 2**61)
"""Before and after any time."""


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
    """A market's book, where other frames of its files stand in it, and all that was told."""

    book: Book
    places: Places
    told: Told


@dataclass(frozen=True)
class Span:
    """When frames were sent, as far as the order of their market tells, in ms: int64 [n_frames]."""

    earliest: Int64Array
    latest: Int64Array

    @staticmethod
    def of(frames: Frames, markets: Sequence[Placed]) -> Span:
        """Of all book frames: their own time, else those told before and after in their market."""
        ts_ms = frames.batch.ts_ms
        earliest = np.full(len(ts_ms), NEVER.min, dtype=np.int64)
        latest = np.full(len(ts_ms), NEVER.max, dtype=np.int64)
        for placed in markets:
            rows = placed.told.rows
            told = ts_ms[rows]
            known = told != NO_TIME
            low = np.maximum.accumulate(np.where(known, told, NEVER.min))
            high = np.minimum.accumulate(np.where(known, told, NEVER.max)[::-1])[::-1]
            earliest[rows], latest[rows] = np.where(known, told, low), np.where(known, told, high)
        return Span(earliest, latest)


@dataclass
class Socket:
    """The numbers of one connection and sid, of all markets.

    rows int64 [n]: frames by file and line · seq int64 [n]: their numbers · numbers: all in use,
    those of control frames included.
    """

    rows: Int64Array
    seq: Int64Array
    numbers: set[int] = field(default_factory=set)

    def odd_by_file(self, frames: Frames, rows: Int64Array, seq: Int64Array) -> int:
        """How many of these frames would lie out of order on this connection in their file."""
        if len(self.rows) == 0:
            return 0
        at = np.searchsorted(self.rows, rows)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(self.rows) - 1)
        file = frames.file_of
        early = (at > 0) & (file[self.rows[before]] == file[rows]) & (self.seq[before] > seq)
        late = (at < len(self.rows)) & (file[self.rows[after]] == file[rows])
        return int((early | (late & (self.seq[after] < seq))).sum())

    def odd_by_time(self, span: Span, rows: Int64Array, seq: Int64Array) -> int:
        """How many would lie on it more than a second away from their time."""
        if len(self.rows) == 0:
            return 0
        order = np.argsort(self.seq, kind="stable")
        low = np.maximum.accumulate(span.earliest[self.rows[order]])
        high = np.minimum.accumulate(span.latest[self.rows[order]][::-1])[::-1]
        at = np.searchsorted(self.seq[order], seq)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(order) - 1)
        early = (at > 0) & (low[before] - span.latest[rows] > APART_MS)
        late = (at < len(order)) & (span.earliest[rows] - high[after] > APART_MS)
        return int((early | late).sum())

    def row_before(self, frames: Frames, part: Int64Array, numbers: set[int]) -> int:
        """The row of the number before these frames', if it precedes them in their file, or -1."""
        if not numbers:
            return NONE
        lower = np.flatnonzero(self.seq < min(numbers))
        if len(lower) == 0:
            return NONE
        row = int(self.rows[lower[np.argmax(self.seq[lower])]])
        first = int(part.min())
        same = int(frames.file_of[row]) == int(frames.file_of[first])
        return row if same and row < first else NONE

    def beside(self, frames: Frames, rows: Int64Array) -> int:
        """How many of these frames lie in files that hold frames of this connection."""
        return int(np.isin(frames.file_of[rows], frames.file_of[self.rows]).sum())


class Sockets:
    """The sockets of an import."""

    def __init__(self, frames: Frames, markets: Sequence[Placed], *, whole: bool) -> None:
        """Sockets of all markets.

        Args:
            frames: all frames of the import.
            markets: what was told of each.
            whole: the files hold whole subscriptions together; else files that share no market are
                of different sockets, so that an additional one changes nothing.
        """
        self._frames = frames
        self._recorder = _files_together(frames, markets, whole=whole)
        self._markets = markets
        self._span = Span.of(frames, markets)
        self._next: dict[int, list[int]] = {}
        self._rows_in: dict[int, Int64Array] = {}
        self.all: list[Socket] = []
        self.sid_of: list[int] = []
        self.of_row = np.full(len(frames.batch), NONE, dtype=np.int64)
        """int64 [n_frames]: the socket of every book frame, NONE of those written late."""
        self._laid: dict[int, int] = {}
        self.apart: set[tuple[int, int]] = set()
        """Recorders that numbered each market of a sid by itself."""
        for sid, parts in self._parts().items():
            for recorder in sorted(set(self._recorder.values())):
                of = [p for _, p in parts if self._recorder[int(frames.file_of[p[0]])] == recorder]
                if self._numbered_apart(of):
                    self.apart.add((recorder, sid))
            self._group(sid, parts)
        for placed in markets:
            self._find_ends(placed.told)
        self._lay_controls()

    def of_control(self, row: int) -> int:
        """The socket of a control frame, NONE if it may be of several."""
        return self._laid[row]

    def _parts(self) -> dict[int, list[tuple[int, Int64Array]]]:
        """(connection, frames) of a market from one snapshot to the next, by sid.

        A market's own numbers need not show that a connection starts anew.
        """
        out: dict[int, list[tuple[int, Int64Array]]] = {}
        for placed in self._markets:
            told = placed.told
            for connection in np.unique(told.connection[told.connection != STALE]).tolist():
                rows = told.rows[told.connection == connection]
                cuts = np.flatnonzero(self._frames.is_snapshot[rows][1:]) + 1
                sid = int(self._frames.batch.sid[rows[0]])
                parts = np.split(rows, cuts)
                out.setdefault(sid, []).extend((connection, part) for part in parts)
        return out

    def _numbered_apart(self, parts: list[Int64Array]) -> bool:
        """Whether no market's own numbers have a hole."""
        seq = [np.sort(self._frames.seq[part]) for part in parts]
        if len({int(self._frames.batch.market[part[0]]) for part in parts}) < _SEVERAL:
            return False
        return max(map(len, seq)) > _SEVERAL and all(
            bool(own[0] >= 0) and bool((np.diff(own) == 1).all()) for own in seq
        )

    def _group(self, sid: int, parts: list[tuple[int, Int64Array]]) -> None:
        """Frames of several markets on one connection, as far as numbers and times allow."""
        frames = self._frames
        start = len(self.all)

        before: dict[tuple[int, int], int] = {}
        recorders: dict[int, int] = {}

        def key(entry: tuple[int, Int64Array]) -> tuple[int, int, int, str]:
            rows = entry[1]
            begun = int(self._span.latest[rows].min())
            ticker = frames.tickers[int(frames.batch.market[rows[0]])]
            return int(frames.seq[rows].min()), begun, -len(rows), ticker

        for connection, part in sorted(parts, key=key):
            recorder = self._recorder[int(frames.file_of[part[0]])]
            mine = (int(frames.batch.market[part[0]]), connection)
            rows = np.sort(part[frames.seq[part] >= 0])
            seq = frames.seq[rows]
            own = set(seq.tolist())
            odd = {
                at: socket.odd_by_time(self._span, rows, seq)
                for at, socket in enumerate(self.all[start:], start)
                if not socket.numbers & own and recorders[at] == recorder
            }
            at = min(
                odd,
                key=lambda at: (
                    odd[at],
                    self.all[at].odd_by_file(frames, rows, seq),
                    at != before.get(mine),
                    -self.all[at].row_before(frames, part, own),
                    -self.all[at].beside(frames, rows),
                    -_touching(self.all[at].numbers, own),
                    at,
                ),
                default=NONE,
            )
            if at == NONE or odd[at] * 2 > len(rows):
                at = len(self.all)
                nothing = np.empty(0, dtype=np.int64)
                self.all.append(Socket(nothing, nothing))
                self.sid_of.append(sid)
                recorders[at] = recorder
            socket = self.all[at]
            place = np.searchsorted(socket.rows, rows)
            socket.rows = np.insert(socket.rows, place, rows)
            socket.seq = np.insert(socket.seq, place, seq)
            socket.numbers |= own
            self.of_row[part] = before[mine] = at

    def _find_ends(self, told: Told) -> None:
        """The first frames of the sockets that follow each of a market's on the same sid."""
        sockets = self.of_row[told.rows]
        known, first = np.unique(sockets, return_index=True)
        order = list(np.sort(first[known != NONE]).tolist())
        sid = self._frames.batch.sid[told.rows]
        for nth, at in enumerate(order):
            later = [int(told.rows[k]) for k in order[nth + 1 :] if sid[k] == sid[at]]
            self._next.setdefault(int(sockets[at]), []).append(later[0] if later else NONE)

    def _lay_controls(self) -> None:
        """Give every frame that is no event to the socket whose number it took."""
        batch = self._frames.batch
        rows = np.flatnonzero((batch.kind >= OTHER) & ~self._frames.is_trade & (batch.sid >= 0))
        rows = rows[np.isin(batch.sid[rows], self.sid_of)]
        # By number, so that the order of files does not count.
        rows = rows[np.lexsort((self._frames.line[rows], batch.seq[rows], batch.sid[rows]))]
        current = [self._current(placed, rows) for placed in self._markets]
        open_rows = [
            row
            for placed in self._markets
            for row in placed.told.rows[placed.told.connection == STALE].tolist()
        ]
        number = np.stack([batch.sid[rows], batch.seq[rows]])
        cuts = np.flatnonzero((np.diff(number) != 0).any(axis=0)) + 1
        for same in np.split(np.arange(len(rows)), cuts) if len(rows) else ():
            near = {int(rows[at]): {int(c[at]) for c in current} - {NONE} for at in same.tolist()}
            if int(batch.seq[rows[same[0]]]) < 0:
                for row in list(near):
                    of = self._recorder[int(self._frames.file_of[row])]
                    if (of, int(batch.sid[row])) in self.apart:
                        self._laid[row] = ALL
                        del near[row]
            open_rows += self._lay_same(near)
        for row in open_rows:  # they took a number: of one that has none there
            sid, seq = int(batch.sid[row]), int(batch.seq[row])
            free = [
                socket
                for of, socket in zip(self.sid_of, self.all, strict=True)
                if of == sid and seq not in socket.numbers
            ]
            if seq >= 0 and free:
                max(free, key=lambda socket: _touching(socket.numbers, {seq})).numbers.add(seq)

    def _current(self, placed: Placed, rows: Int64Array) -> Int64Array:
        """The socket of a market's book where each frame stands, NONE in files without it."""
        book, batch = placed.book, self._frames.batch
        out = np.full(len(rows), NONE, dtype=np.int64)
        if len(rows) == 0 or len(book.rows) == 0:
            return out
        inside = np.isin(self._frames.file_of[rows], list(placed.places.files))
        place = np.full(len(rows), NONE, dtype=np.int64)
        place[inside] = placed.places.all(rows[inside])
        sockets = self.of_row[book.rows]
        known = (place >= 0) & (batch.sid[book.rows[np.maximum(place, 0)]] == batch.sid[rows])
        out[known] = sockets[place[known]]
        return out

    def _lay_same(self, near: dict[int, set[int]]) -> list[int]:
        """Lay frames of one number, the certain ones first; those that may be of several are left.

        `near`: of each frame, the sockets of the books of its file where it stands.
        """
        left = dict.fromkeys(near, NONE)
        while True:
            # At once, so that what two files tell of one frame is laid to one socket.
            chosen = {row: self._candidates(row, near[row]) for row in left}
            found = {row: min(sockets) for row, sockets in chosen.items() if len(sockets) == 1}
            if not found:
                self._laid |= left
                return list(left)
            for row, socket in found.items():
                self._laid[row] = socket
                del left[row]
                if (seq := int(self._frames.batch.seq[row])) >= 0:
                    self.all[socket].numbers.add(seq)

    def _candidates(self, row: int, near: set[int]) -> set[int]:
        """The sockets that lack the frame's number and have the one before it, else all near."""
        sid, seq = int(self._frames.batch.sid[row]), int(self._frames.batch.seq[row])
        if seq < 0:
            return near
        following = {
            at
            for at, of in enumerate(self.sid_of)
            if of == sid
            and seq not in self.all[at].numbers
            and seq - 1 in self.all[at].numbers
            and (at in near or (self._is_beside(at, near) and self._is_open(at, row, seq)))
        }
        return following or {at for at in near if seq not in self.all[at].numbers}

    def _is_beside(self, socket: int, near: set[int]) -> bool:
        """Whether one recorder wrote its frames and those near: some file holds both."""
        files = self._frames.file_of[self.all[socket].rows]
        return not near or any(
            bool(np.isin(self._frames.file_of[self.all[at].rows], files).any()) for at in near
        )

    def _is_open(self, socket: int, row: int, seq: int) -> bool:
        """Whether a socket had given the numbers below `seq`, and was alive, at this row."""
        frames, own = self._frames, self.all[socket]
        file = int(frames.file_of[row])
        if file not in self._rows_in:
            here = frames.file_of == file
            self._rows_in[file] = np.flatnonzero(here & (frames.is_book | frames.is_trade))
        events = self._rows_in[file]
        at = int(np.searchsorted(events, row))
        low = self._span.earliest[events[:at]].max(initial=NEVER.min)
        high = self._span.latest[events[at:]].min(initial=NEVER.max)
        lower, higher = own.rows[own.seq < seq], own.rows[own.seq > seq]

        def is_past(other: int) -> bool:
            if other == NONE:
                return False
            inside = int(frames.file_of[other]) == file
            return other < row if inside else bool(self._span.latest[other] < low)

        begun = all(
            frames.file_of[r] != file or r < row for r in lower[own.seq[own.seq < seq] == seq - 1]
        ) and bool((self._span.earliest[lower] <= high).all())
        passed = bool(((frames.file_of[higher] == file) & (higher < row)).any())
        return begun and not passed and not all(map(is_past, self._next[socket]))


def _files_together(frames: Frames, markets: Sequence[Placed], *, whole: bool) -> dict[int, int]:
    """A number for each file, equal for those that share a market (`whole`: for all)."""
    out = {file: 0 if whole else file for file in np.unique(frames.file_of).tolist()}
    for placed in markets:
        files = np.unique(frames.file_of[placed.told.rows]).tolist()
        if files and not whole:
            joined = {out[file] for file in files}
            out = {file: min(joined) if of in joined else of for file, of in out.items()}
    return out


def _touching(numbers: set[int], own: set[int]) -> int:
    """How many of these numbers are next to one of the others."""
    return sum((number - 1 in numbers) + (number + 1 in numbers) for number in own)
