"""A curve that grows without end and keeps a bounded number of points."""

from __future__ import annotations

from typing import Final

POINTS: Final = 2_000


class Curve:
    """Values over time; of each stretch the last, and stretches double when there are too many."""

    def __init__(self) -> None:
        """No point yet."""
        self.ts_ms: list[int] = []
        self.values: list[list[float]] = []
        self._stretch_ms = 1

    def add(self, ts_ms: int, values: list[float]) -> None:
        """Add a point; one before the latest counts as at the same time.

        Args:
            ts_ms: when.
            values: one a line of the chart.
        """
        if self.ts_ms:
            ts_ms = max(ts_ms, self.ts_ms[-1])
            if ts_ms // self._stretch_ms == self.ts_ms[-1] // self._stretch_ms:
                self.ts_ms[-1], self.values[-1] = ts_ms, values
                return
        self.ts_ms.append(ts_ms)
        self.values.append(values)
        while len(self.ts_ms) > POINTS:
            self._stretch_ms *= 2
            kept = [
                i
                for i in range(len(self.ts_ms))
                if i in (0, len(self.ts_ms) - 1)
                or self.ts_ms[i] // self._stretch_ms != self.ts_ms[i + 1] // self._stretch_ms
            ]
            self.ts_ms = [self.ts_ms[i] for i in kept]
            self.values = [self.values[i] for i in kept]
