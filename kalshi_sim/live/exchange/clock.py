"""The local exchange's time: that of the session it replays, at a chosen speed."""

from __future__ import annotations

import time
from collections.abc import Callable


class ExchangeClock:
    """Milliseconds since 1970 UTC as the exchange's frames state them.

    It never passes an event that has not happened yet, so that the same session gives the same
    times however busy the machine is.
    """

    def __init__(
        self, start_ms: int, speed: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Make a clock that stands until `start`.

        Args:
            start_ms: its first time.
            speed: its milliseconds in one of the wall clock; 0: it moves with events alone.
            monotonic: seconds of a clock that never runs backwards.
        """
        self._reached = start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._origin: tuple[float, int] | None = None
        self._next: int | None = None

    @property
    def running(self) -> bool:
        """Whether it was started."""
        return self._origin is not None

    def start(self) -> None:
        """Let time pass from here on."""
        if self._origin is None:
            self._origin = (self._monotonic(), self._reached)

    def reach(self, ms: int, following: int | None) -> None:
        """An event happens.

        Args:
            ms: its time.
            following: time of the next event, which the clock does not pass; None: there is none.
        """
        self._reached = max(self._reached, ms)
        self._next = following

    def now_ms(self) -> int:
        """The time."""
        if self._origin is None or self._speed == 0:
            return self._reached
        began, at = self._origin
        now = at + int((self._monotonic() - began) * 1000 * self._speed)
        if self._next is not None:
            now = min(now, self._next)
        return max(now, self._reached)

    def seconds_until(self, ms: int) -> float:
        """How long the wall clock takes until `ms`; 0 if it is past, or at speed 0."""
        if self._origin is None or self._speed == 0:
            return 0.0
        began, at = self._origin
        return max(0.0, began + (ms - at) / 1000 / self._speed - self._monotonic())
