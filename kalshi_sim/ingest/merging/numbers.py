"""The numbers that each connection gave, and the connection of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kalshi_sim.ingest.merging.arrival import NONE, Arrival
from kalshi_sim.ingest.merging.grouping import Grouped
from kalshi_sim.ingest.merging.segments import Segment
from kalshi_sim.ingest.merging.view import BoolArray, Frames
from kalshi_sim.session import NO_TIME, Int64Array


class Numbers:
    """The connections of an import by number, those of control frames as they are added."""

    def __init__(
        self,
        frames: Frames,
        arrival: Arrival,
        segments: Sequence[Segment],
        found: Grouped,
        rows: Mapping[int, Int64Array],
    ) -> None:
        """The numbers of book frames.

        Args:
            frames: all frames of the import.
            arrival: in which order they arrived.
            segments: parts of connections.
            found: their connections.
            rows: of each segment, by number, all frames: int64 [n], those without a number too.
        """
        self._frames = frames
        self._arrival = arrival
        self._found = found
        self.of_row = np.full(len(frames.batch), NONE, dtype=np.int64)
        """int64 [n_frames]: the connection of every book frame, NONE of those written late."""
        self._sid: dict[int, int] = {}
        parts: dict[int, list[Int64Array]] = {}
        for nth, of in enumerate(found.of):
            self.of_row[rows[nth]] = of[0][1]
            for own, socket in of:
                self.of_row[own] = socket
                self._sid[socket] = segments[nth].sid
                parts.setdefault(socket, []).append(own)
        self._rows: dict[int, Int64Array] = {}
        self._seq: dict[int, Int64Array] = {}
        """The frames of each connection by number, and their numbers."""
        for socket, own_parts in parts.items():
            own = np.concatenate(own_parts)
            self._rows[socket] = own[np.argsort(frames.seq[own], kind="stable")]
            self._seq[socket] = frames.seq[self._rows[socket]]
        self._more: dict[int, dict[int, int]] = {}
        """Numbers of each connection that no book frame has, and where (see `Arrival`) they are."""

    def connection(self, segment: Segment, place: int) -> int:
        """The connection of a segment at a place.

        Args:
            segment: part of a connection, or of several that one market's numbers do not separate.
            place: see `Arrival.places`.
        """
        at = max(int(np.searchsorted(2 * segment.key, place)) - 1, 0)
        return int(self.of_row[segment.rows[at]])

    def known(self, socket: int) -> Int64Array:
        """The numbers of a connection, those that were added included, int64 [n], sorted."""
        more = np.array(sorted(self._more.get(socket, ())), dtype=np.int64)
        return np.unique(np.concatenate([more, self._seq[socket]]))

    def add(self, socket: int, seq: int, place: int) -> None:
        """Give a connection the number of a frame that is of no book.

        Args:
            socket: number of the connection.
            seq: number of the frame.
            place: where it stands (see `Arrival.places`).
        """
        self._more.setdefault(socket, {})[seq] = place

    def add_where_missing(self, sid: int, seq: int) -> None:
        """A number that was given is missing nowhere: of a connection that has none there.

        Args:
            sid: of the frame that has it.
            seq: its number.
        """
        best, least = NONE, NONE
        for socket in sorted(self._rows):
            if self._sid[socket] != sid or seq < 0 or self._has(socket, seq):
                continue
            touching = sum(self._has(socket, number) for number in (seq - 1, seq + 1))
            if touching > least:
                best, least = socket, touching
        if best != NONE:
            self.add(best, seq, NONE)

    @property
    def inferred(self) -> set[int]:
        """Files of which only numbers and times, if anything, show the connections."""
        found = set(self._found.joined)
        found |= {at for at in self._found.apart if (np.diff(self.known(at)) > 1).any()}
        files = [self._frames.file_of[self._rows[at]] for at in found]
        return set(np.concatenate(files).tolist()) if files else set()

    def arrived_after(self, socket: int, numbers: Int64Array, row: int) -> BoolArray:
        """Whether frames of a connection surely arrived after a frame of another one.

        Args:
            socket: number of the connection.
            numbers: int64 [n] of its frames.
            row: a book frame.

        Returns:
            bool [n]; of files that do not follow one another only receive times are sure.
        """
        rows, received = self._rows[socket], self._frames.batch.recv_ns
        more = self._more.get(socket, {})
        at = np.searchsorted(self._seq[socket], numbers, side="right") - 1
        own = rows[np.maximum(at, 0)]
        following = self._arrival.chains(own) == self._arrival.chain[self._frames.file_of[row]]
        later = np.where(
            following,
            self._arrival.key[own] > self._arrival.key[row],
            (received[row] != NO_TIME) & (received[own] > received[row]),
        )
        added = np.array([more.get(number, NONE) for number in numbers.tolist()], dtype=np.int64)
        added_later = following & (added > 2 * self._arrival.key[row])
        return np.asarray((at >= 0) & (later | added_later))

    def _has(self, socket: int, seq: int) -> bool:
        """Whether a frame of the connection has the number."""
        numbers = self._seq[socket]
        at = int(np.searchsorted(numbers, seq))
        recorded = at < len(numbers) and bool(numbers[at] == seq)
        return recorded or seq in self._more.get(socket, ())
