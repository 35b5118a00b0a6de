"""A recording that somebody follows while it is written."""

from __future__ import annotations

from collections.abc import Callable

from kalshi_sim.live.recorder.writer import SegmentWriter


class HeardWriter(SegmentWriter):
    """Hands on every line that it takes: what is followed is what is recorded."""

    heard: Callable[[bytes], None] = staticmethod(lambda line: None)
    """Called with each line, in the order of the recording."""

    def put(self, line: bytes, *, always: bool = False) -> bool:
        """Queue a line, and hand it on if it was taken.

        Args:
            line: with its line end.
            always: take it even if the queue is full (markers, which are few).

        Returns:
            False if it was dropped, and counted.
        """
        taken = super().put(line, always=always)
        if taken:
            self.heard(line)
        return taken
