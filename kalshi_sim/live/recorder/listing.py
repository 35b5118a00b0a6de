"""When the markets are listed again: regularly, and as soon as a new one can be in the list."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Final

from kalshi_sim.live.recorder.selection import Selection

SOONEST_S: Final = 5.0
"""New markets alone do not make it list more often."""
_LISTED_S: Final = 1.0
"""The exchange's list may lack a market for a moment after it was created, or opened."""
_TICK_S: Final = 0.25
_NS_PER_MS: Final = 1_000_000


class Listings:
    """Waits between two listings."""

    def __init__(self, selection: Selection, every_s: float, soonest_s: float = SOONEST_S) -> None:
        """Know of no new market.

        Args:
            selection: what is recorded.
            every_s: seconds between two listings, if there are no new markets.
            soonest_s: seconds between two listings, at least.
        """
        self._selection = selection
        self._every_s = every_s
        self._soonest_s = min(soonest_s, every_s)
        self._due: list[float] = []

    def created(self, frame: bytes, sent_ms: int | None) -> None:
        """The exchange has a new market.

        Args:
            frame: which says so.
            sent_ms: when, in ms since 1970 UTC; None: now.
        """
        sent_ms = sent_ms or time.time_ns() // _NS_PER_MS
        wait_s = self._selection.listed_in_s(frame, sent_ms)
        if wait_s is not None:
            heapq.heappush(self._due, time.monotonic() + wait_s + _LISTED_S)

    async def wait(self) -> None:
        """Wait until the markets are to be listed."""
        began = time.monotonic()
        while (now := time.monotonic()) < began + self._every_s:
            if self._due and now >= max(self._due[0], began + self._soonest_s):
                break
            await asyncio.sleep(min(_TICK_S, self._every_s))
        while self._due and self._due[0] <= time.monotonic():
            heapq.heappop(self._due)
