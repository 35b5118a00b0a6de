"""Limits that hold whatever a policy wants."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Final

from kalshi_sim.actions import ActionRow
from kalshi_sim.validated import Validated, Within

_MINUTE_S: Final = 60.0
_MOST: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class Limits(Validated):
    """What a run may do at most; reached, it cancels and goes no further.

    Raises:
        ConfigError: a limit is outside its range.
    """

    position_limit: Annotated[int | None, Within(1, _MOST)] = None
    """Contracts held and ordered in a market, in one direction (default: max_position alone)."""
    orders_per_minute: Annotated[int, Within(1, _MOST)] = 600
    """Orders of all markets together; those beyond it are not sent."""
    market_loss: Annotated[int | None, Within(1, _MOST)] = None
    """Cents lost in a market at which it is traded no further, its orders cancelled."""
    total_loss: Annotated[int | None, Within(1, _MOST)] = None
    """Cents lost in all markets together at which the run ends, all orders cancelled."""
    stale_after: Annotated[float, Within(0.1, 3600.0)] = 30.0
    """Seconds without any frame after which orders are cancelled until frames come again."""


class OrderRate:
    """Orders of the last minute."""

    def __init__(self, most: int) -> None:
        """None yet.

        Args:
            most: in a minute.
        """
        self._most = most
        self._times: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        """Whether another order may be sent now, which is then counted.

        Args:
            now_s: monotonic clock.
        """
        while self._times and self._times[0] <= now_s - _MINUTE_S:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now_s)
        return True


def exceeds(row: ActionRow, contracts: int, state: dict[str, int], limit: int) -> bool:
    """Whether an order could take a position beyond a limit.

    Args:
        row: of the action table.
        contracts: of its order.
        state: of the agent, by the names of `kalshi_sim.live.band.STATE`.
        limit: contracts in one direction.
    """
    if row.kind != "buy":
        return False
    held = state["position"] if row.side == "yes" else -state["position"]
    return max(held, 0) + contracts > limit
