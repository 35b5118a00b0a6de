"""`SimConfig` and `TapeOptions`: every choice the simulation leaves to its user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from kalshi_sim.actions import ActionRow, ActionTable, action_table, table_of_text
from kalshi_sim.errors import ConfigError
from kalshi_sim.validated import Validated, Within

Pricing = Literal["cross", "join", "improve"]
TimeInForce = Literal["gtc", "ioc"]
FillModel = Literal["through", "queue", "prob", "touch"]
Valuation = Literal["mid", "liquidation"]
EndOfData = Literal["terminate", "truncate"]
MarketOrder = Literal["sequential", "shuffle", "weighted"]

if TYPE_CHECKING:
    Actions = str | Path | ActionTable | Sequence[ActionRow | Mapping[str, Any]]
else:  # what a setting keeps, whatever it was given: text, as the command line reads it
    Actions = str

MAX_CONTRACTS: Final = 1_000_000
"""Largest order or position: keeps every product of the fee formula inside int64."""
MAX_CASH_CENTS: Final = 10**12

MAX_HISTORY: Final = 256
"""Most rows that an observation shows."""
MIN_VIEW_ROWS: Final = 3
"""Fewest rows a market needs, whatever the configuration says."""
MAX_DEPTH: Final = 64
"""Most price levels a side that a row keeps."""


@dataclass(frozen=True, kw_only=True)
class SimConfig(Validated):
    """Settings of the simulation; every field is checked when the object is made.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    cash_start: Annotated[int, Within(1, MAX_CASH_CENTS)] = 10_000
    """Cash at the start of an episode, in cents."""
    order_size: Annotated[int, Within(1, MAX_CONTRACTS)] = 10
    """Contracts of one order."""
    max_position: Annotated[int, Within(1, MAX_CONTRACTS)] = 1000
    """Largest position in either direction, in contracts, open orders counted."""
    actions: Actions = "five"
    """What the actions mean: a table (five, sized, maker), or a JSON file of rows of your own."""
    pricing: Pricing = "cross"
    """Limit price: take the opposite best, join the own best, or improve on it by a tick."""
    time_in_force: TimeInForce = "gtc"
    """Whether what is not filled at entry rests (gtc) or is cancelled (ioc)."""
    fill_model: FillModel = "queue"
    """How resting orders fill, from pessimistic to optimistic: through, queue, prob, touch."""
    trade_share: Annotated[float, Within(0.0, 1.0)] = 0.05
    """Share of removals at the best price taken for trades where no trades were recorded."""
    queue_power: Annotated[int, Within(1, 3)] = 3
    """Power of the queue position function of `prob`."""
    latency_ms: Annotated[int, Within(0, 86_400_000)] = 0
    """Milliseconds between a decision and the order's arrival."""
    fees: bool = True
    """Whether the exchange's fees are charged."""
    valuation: Valuation = "mid"
    """Price of open positions: the mid price, or what selling at the best bid would bring."""
    end_of_data: EndOfData = "terminate"
    """What an end of the recording without settlement is to the agent."""
    max_episode_steps: Annotated[int | None, Within(1, 2**62)] = None
    """Truncate an episode after so many steps."""
    random_start: bool = False
    """Start episodes at a random row instead of the first."""
    market_order: MarketOrder = "sequential"
    """Which view a finished environment gets next."""
    reward_scale: Annotated[float, Within(1e-12, 1e12)] = 1.0
    """Factor on the reward, which is in cents with 1; profits are always reported in cents.

    Its range keeps every reward a finite float32 and every change of a cent above zero."""
    history: Annotated[int, Within(1, MAX_HISTORY)] = 1
    """Rows that an observation shows, the newest last; before an episode's first they are zeros."""
    record_fills: bool = False
    """Keep every fill for `fills()`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", action_table(self.actions).to_text())
        super().__post_init__()

    @property
    def table(self) -> ActionTable:
        """The rows that `actions` means."""
        return table_of_text(str(self.actions))

    def row_pricing(self, row: ActionRow) -> str:
        """How an order of a row is priced: as the row says, else as the configuration does.

        Args:
            row: of a table; one that places an order.

        Returns:
            cross, join, improve, or "behind K".
        """
        return row.pricing or self.pricing

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: fields contradict each other.
        """
        if self.order_size > self.max_position:
            raise ConfigError(
                f"order_size {self.order_size} is larger than max_position {self.max_position}; "
                "allowed: 1 to max_position"
            )
        if self.time_in_force == "ioc" and self.pricing != "cross":
            raise ConfigError(
                f"pricing={self.pricing!r} with time_in_force='ioc' never trades; "
                "use pricing='cross' or time_in_force='gtc'"
            )
        for name, row in zip(self.table.names, self.table.rows, strict=True):
            rests = row.is_order and self.row_pricing(row) != "cross"
            if rests and self.time_in_force == "ioc":
                raise ConfigError(
                    f"the action {name} with time_in_force='ioc' never trades; "
                    "use actions that cross, or time_in_force='gtc'"
                )


@dataclass(frozen=True, kw_only=True)
class TapeOptions(Validated):
    """How sessions become a tape; every field is checked when the object is made.

    Raises:
        ConfigError: a field is outside its range.
    """

    min_episode_length: Annotated[int, Within(MIN_VIEW_ROWS, 10**9)] = 10
    """Markets with fewer rows are left out."""
    depth: Annotated[int, Within(1, MAX_DEPTH)] = 10
    """Price levels a side that the simulation sees."""
    row_interval_ms: Annotated[int, Within(1, 3_600_000)] = 1
    """Length of a row in milliseconds; 1 keeps every change."""
    fee_schedule: Path | None = None
    """JSON or CSV file of dated fees that go before the published ones (`fees.FeeSchedule`)."""

    def changed(
        self,
        *,
        min_episode_length: int | None = None,
        depth: int | None = None,
        row_interval_ms: int | None = None,
    ) -> TapeOptions:
        """The same with the options that are not None changed.

        Args:
            min_episode_length: markets with fewer rows are left out.
            depth: price levels a side that the simulation sees.
            row_interval_ms: length of a row in milliseconds.

        Returns:
            The new options.

        Raises:
            ConfigError: one is outside its range.
        """
        given: dict[str, Any] = {
            "min_episode_length": min_episode_length,
            "depth": depth,
            "row_interval_ms": row_interval_ms,
        }
        return replace(self, **{k: v for k, v in given.items() if v is not None})
