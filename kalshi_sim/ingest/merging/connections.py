"""On which connection each frame of a market came: restarts and late deltas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kalshi_sim.ingest.merging.joints import Stream
from kalshi_sim.ingest.merging.repeats import repeated_by_content, repeated_without_seq
from kalshi_sim.ingest.merging.view import (
    APART_MS,
    LATE_FRAMES,
    Frames,
    group_numbers,
    two_sockets,
)
from kalshi_sim.ingest.segments import FIRST_SID
from kalshi_sim.session import NO_TIME, Int64Array

ANY: Final = -1
"""The connection of a frame without a sid, beside frames that have one."""
STALE: Final = -2
"""A delta written late whose number is below that of a snapshot that came before it."""
_TWINS: Final = 2
"""So many deltas recorded twice under different numbers, and"""
_OFTEN: Final = 4
"""one in so many: another socket recorded the same."""


@dataclass(frozen=True)
class SentFrames:
    """The book frames of one market as they were sent.

    rows int64 [n]: without repeated frames, late deltas in their place · connection int64 [n]:
    equal numbers for one connection and sid, or ANY, STALE · late: deltas that were put in their
    place · repeated: frames -> the frame they repeat.
    """

    rows: Int64Array
    connection: Int64Array
    late: int
    repeated: dict[int, int]


@dataclass
class _Connection:
    number: int
    last: int
    """Its highest number."""
    snapshot: int = -1
    """The number of its latest snapshot."""
    used: set[int] = field(default_factory=set)
    """Numbers since then."""
    changes: set[int] = field(default_factory=set)
    """What its deltas changed, and when."""
    deltas: int = 0
    late: int = 0
    """How many of them came behind a higher number."""

    @property
    def is_two(self) -> bool:
        """Whether so much was recorded twice that two sockets recorded it under one sid.

        Equal changes of one moment are ordinary, but of one socket their numbers rise.
        """
        twice = self.deltas - len(self.changes)
        often = twice >= _TWINS and twice * _OFTEN >= self.deltas
        return often and 2 * self.late >= twice

    def count_change(self, change: int) -> None:
        """Count a delta."""
        self.deltas += 1
        self.changes.add(change)


def assign_connections(frames: Frames, stream: Stream) -> SentFrames:
    """Assign every frame of a market's stream to a connection.

    Args:
        frames: all frames of the import.
        stream: the market's book frames in order of arrival.

    Returns:
        The frames as they were sent, with the connection of each.

    Raises:
        DataError: two sockets recorded the same under one sid, so that they cannot be
            distinguished.
    """
    rows = stream.rows
    sid, seq = frames.batch.sid[rows], frames.seq[rows]
    group = group_numbers(stream.recorder, sid)
    if _is_plain(group, seq):
        connection = group
        late, repeated = 0, repeated_without_seq(frames, rows, seq)
        if repeated:
            kept = ~np.isin(rows, np.array(list(repeated), dtype=np.int64))
            rows, connection, sid = rows[kept], connection[kept], sid[kept]
        if _all_recorded_twice(frames, rows, stream.recorder):
            raise two_sockets(frames, rows)
    else:
        repeated = repeated_by_content(frames, rows, seq, stream.recorder)
        kept = ~np.isin(rows, np.array(list(repeated), dtype=np.int64))
        walk = _Walk(frames)
        rows, connection, late = walk.walk(rows[kept], group[kept], seq[kept])
        if walk.found_two and (sid < FIRST_SID).any():
            raise two_sockets(frames, rows)
        sid = frames.batch.sid[rows]
    if (sid < 0).any() and (sid >= 0).any():
        connection = np.where(sid < 0, ANY, connection)
    return SentFrames(rows, connection, late, repeated)


def _is_plain(group: Int64Array, seq: Int64Array) -> bool:
    """Whether numbers rise on every subscription, or there are none."""
    if group.any():  # more than one
        seq = seq[np.argsort(group, kind="stable")]
        group = np.sort(group)
    same = np.diff(group) == 0
    step = np.diff(seq)
    bare = (seq[1:] < 0) & (seq[:-1] < 0)
    return bool((~same | (step > 0) | bare).all())


class _Walk:
    """One pass over a market's frames in order of arrival."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._count = 0
        self._live: dict[int, list[_Connection]] = {}
        self._rows: list[int] = []
        self._connection: list[int] = []
        self._latest = NO_TIME
        self._late = 0
        self._all: list[_Connection] = []

    def walk(
        self, rows: Int64Array, group: Int64Array, seq: Int64Array
    ) -> tuple[Int64Array, Int64Array, int]:
        """Frames in order, the connection of each, and how many were late."""
        snapshot = self._frames.is_snapshot[rows]
        columns = (rows, group, seq, snapshot, self._frames.batch.ts_ms[rows])
        for row, of, number, is_snapshot, ts_ms in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            live = self._live.setdefault(of, [])
            if number < 0:
                self._append(row, (live or [self._open(live, -1)])[-1].number)
            elif is_snapshot:
                self._append(row, self._snapshot(live, number).number)
            else:
                self._delta(live, row, number, ts_ms)
            if not is_snapshot:
                self._latest = max(self._latest, ts_ms)
        return (
            np.array(self._rows, dtype=np.int64),
            np.array(self._connection, dtype=np.int64),
            self._late,
        )

    @property
    def found_two(self) -> bool:
        """Whether two sockets seem to have recorded under one sid."""
        return any(connection.is_two for connection in self._all)

    def _append(self, row: int, connection: int) -> None:
        self._rows.append(row)
        self._connection.append(connection)

    def _open(self, live: list[_Connection], number: int) -> _Connection:
        connection = _Connection(self._count, number)
        self._count += 1
        live.append(connection)
        self._all.append(connection)
        return connection

    def _snapshot(self, live: list[_Connection], number: int) -> _Connection:
        """A higher number continues the latest connection, a lower or used one starts anew."""
        if not live or number <= live[-1].last:
            del live[:]  # "never an older one"
            self._open(live, number)
        connection = live[-1]
        del live[:-1]
        connection.last = connection.snapshot = number
        connection.used = {number}
        return connection

    def _delta(self, live: list[_Connection], row: int, number: int, ts_ms: int) -> None:
        ahead = [c for c in live if number > c.last]
        if ahead:
            # The very next number decides; else the later connection, whose book may be unknown.
            connection = max(ahead, key=lambda c: (number == c.last + 1, c.number))
            connection.last = number
            connection.used.add(number)
            connection.count_change(self._frames.content.of(row))
            self._append(row, connection.number)
            return
        in_time = NO_TIME in (ts_ms, self._latest) or self._latest - ts_ms <= APART_MS
        for connection in reversed(live):
            if not in_time or number in connection.used:
                continue
            if number < connection.snapshot:
                self._append(row, STALE)
                return
            place = self._place(connection, number)
            if place is not None and self._may_precede(ts_ms, place):
                connection.count_change(self._frames.content.of(row))
                self._rows.insert(place, row)
                self._connection.insert(place, connection.number)
                connection.used.add(number)
                connection.late += 1
                self._late += 1
                return
        connection = self._open(live, number)
        connection.used.add(number)
        self._append(row, connection.number)

    def _place(self, connection: _Connection, number: int) -> int | None:
        """Before the next higher number, if that is not too far back: it moves no further."""
        seq = self._frames.seq
        stop = max(len(self._rows) - LATE_FRAMES - 1, -1)
        first = None
        for at in range(len(self._rows) - 1, stop, -1):
            if self._connection[at] == connection.number:
                if seq[self._rows[at]] < number:
                    return at + 1 if first is None else first
                first = at
        return first if stop < 0 else None

    def _may_precede(self, ts_ms: int, place: int) -> bool:
        """Whether the frame it would stand before is not much earlier: a new connection is."""
        following = self._rows[place : place + 1]
        times = [int(self._frames.batch.ts_ms[row]) for row in following]
        return all(NO_TIME in (ts_ms, other) or ts_ms - other <= APART_MS for other in times)


def _all_recorded_twice(frames: Frames, rows: Int64Array, recorder: Int64Array) -> bool:
    """Whether without numbers most changes were recorded twice: by two sockets under one sid."""
    bare = rows[(frames.seq[rows] < 0) & ~frames.is_snapshot[rows]]
    bare = bare[frames.batch.ts_ms[bare] != NO_TIME]
    if len(bare) < 2 * _TWINS or (recorder != recorder[0]).any():
        return False
    return 2 * len(np.unique(frames.message[bare])) <= len(bare) + len(bare) // 5
