"""What a recording notes, and when: frames as received, commands, markers; drops are marked."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from kalshi_sim.ingest.segments import command_line, frame_line, marker_line
from kalshi_sim.live.recorder.writer import SegmentWriter

_NS: Final = 1_000_000_000
_JUMP_NS: Final = _NS
"""A wall clock that moved so far against the monotonic one was set."""


class FrameTape:
    """The one way into the segments."""

    def __init__(self, writer: SegmentWriter) -> None:
        """Write to `writer`.

        Args:
            writer: of this run.
        """
        self.writer = writer
        self.frames = 0
        self.frame_bytes = 0
        self.markers: Counter[str] = Counter()
        """How often what was marked."""
        self._dropped: Counter[int] = Counter()
        self._since: dict[int, int] = {}
        self._offset = time.time_ns() - time.monotonic_ns()

    def frame(self, connection: int, frame: bytes) -> bool:
        """Note a frame, before it is parsed; returns False if it had to be dropped.

        Args:
            connection: number of the connection.
            frame: as received.
        """
        mono = time.monotonic_ns()
        self.frames += 1
        self.frame_bytes += len(frame)
        if self._dropped and connection in self._dropped and self._has_room(len(frame)):
            self._mark_dropped(connection)
        if self.writer.put(frame_line(time.time_ns(), mono, connection, frame)):
            return True
        self._dropped[connection] += 1
        self._since.setdefault(connection, mono)
        return False

    def _has_room(self, size: int) -> bool:
        writer = self.writer
        return not writer.full and writer.waiting_bytes + size < writer.options.queue_bytes // 2

    def _mark_dropped(self, connection: int) -> None:
        frames = self._dropped.pop(connection)
        since = self._since.pop(connection)
        self.marker(connection, "drop", frames=frames, seconds=(time.monotonic_ns() - since) / _NS)

    def dropping(self, connection: int) -> bool:
        """Whether the connection's latest frames were dropped.

        Args:
            connection: number of the connection.
        """
        return connection in self._dropped

    def command(self, connection: int, command: bytes) -> None:
        """Note a command that was sent.

        Args:
            connection: number of the connection.
            command: its JSON.
        """
        line = command_line(time.time_ns(), time.monotonic_ns(), connection, command)
        self.writer.put(line, always=True)

    def marker(self, connection: int, name: str, **what: Any) -> None:
        """Note something about the recording itself.

        Args:
            connection: number of the connection; 0 for none.
            name: what happened (`kalshi_sim.ingest.segments.marker_line`).
            what: anything else there is to say.
        """
        self.markers[name] += 1
        line = marker_line(time.time_ns(), time.monotonic_ns(), connection, name, **what)
        self.writer.put(line, always=True)

    def check_clock(self) -> int:
        """Mark a wall clock that was set since the last call; by how many ns it was."""
        offset = time.time_ns() - time.monotonic_ns()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) < _JUMP_NS:
            return 0
        self.marker(0, "clock-jump", seconds=jump / _NS)
        return jump
