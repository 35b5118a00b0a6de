"""Token buckets: how many calls an account may make."""

from __future__ import annotations

from kalshi_sim.live.exchange.auth import RestError


class Bucket:
    """Tokens that calls take and time brings back."""

    def __init__(self, rate: int, capacity: int) -> None:
        """Make a full bucket.

        Args:
            rate: tokens a second.
            capacity: tokens it holds.
        """
        self._rate, self._capacity = rate, capacity
        self._tokens, self._at = float(capacity), 0.0

    def take(self, cost: int, now: float) -> None:
        """Take tokens.

        Args:
            cost: how many.
            now: seconds of a clock that never runs backwards.

        Raises:
            RestError: there are too few; none is taken.
        """
        grown = self._tokens + (now - self._at) * self._rate
        self._tokens, self._at = min(float(self._capacity), grown), now
        if cost > self._tokens:
            raise RestError(429, "too_many_requests", "too many requests")
        self._tokens -= cost
