"""The views of a tape, one market of one session each, and the tables that kernels read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.market_state import MarketState

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class MarketSessionView:
    """One market of one session: rows `start:stop` of the tape. Money in tape units."""

    session_id: int
    market_ticker: str
    start: int
    stop: int
    event: str = ""
    settlement_value: int | None = None
    """What a YES contract pays at the view's end, None if that was not known by then."""
    taker_multiplier: int = 0
    """At the first row, in 1/10 000."""
    maker_multiplier: int = 0
    """At the first row, in 1/10 000."""
    fee_unit: int = 1
    tick_bands: tuple[tuple[int, int, int], ...] = ()
    """(start, end, step) of YES prices, at the first row."""
    paused: bool = False
    """Whether trading is paused at the first row."""
    later_states: tuple[MarketState, ...] = ()
    """The states that later rows are in, in order of their first row."""
    pauses: tuple[tuple[int, int], ...] = ()
    """(first millisecond, the one after the last) of each pause."""
    off_grid: bool = True
    """Whether the best bid of a row may lie off its grid."""
    utc_offset_ms: int = 0
    """US Eastern time minus UTC at the session's start."""
    first_book_ms: int = 0
    """Time of the session's first applied book event of any market."""
    trades_recorded: bool = False
    rows_after_close: int = 0
    """Rows left out because they came at or after the close time as known then."""

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        settled = "" if self.settlement_value is None else f", settles at {self.settlement_value}"
        return (
            f"MarketSessionView({self.market_ticker} of session {self.session_id}: "
            f"{len(self):,} rows, {self.start}:{self.stop}{settled})"
        )

    @property
    def states(self) -> tuple[MarketState, ...]:
        """What `Tape.states` counts: grid, fees and trading state of the view's rows."""
        first = MarketState(
            self.tick_bands, self.taker_multiplier, self.maker_multiplier, self.paused
        )
        return (first, *self.later_states)

    @property
    def rows(self) -> slice:
        """The view's rows, to index the tape's arrays with."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class SkippedView:
    """A market that has no view on the tape, and why."""

    session_id: int
    market_ticker: str
    rows: int
    reason: str


def view_tables(
    views: Sequence[MarketSessionView],
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """`TapeArrays.views`, `.bands` and `.pauses`.

    Returns:
        views int64 [views + later states, N_VIEW], bands int64 [bands, 3] and pauses int64 [pauses,
        2], as `layout.TapeArrays` has them.
    """
    later = sum(len(view.later_states) for view in views)
    table = np.zeros((len(views) + later, layout.N_VIEW), np.int64)
    bands: list[tuple[int, int, int]] = []
    pauses: list[tuple[int, int]] = []
    at = len(views)
    for i, view in enumerate(views):
        first, after = at, at + len(view.later_states)
        rows = table[[i, *range(first, after)]]
        rows[:, layout.V_START] = view.start
        rows[:, layout.V_STOP] = view.stop
        value = view.settlement_value
        rows[:, layout.V_SETTLEMENT] = layout.NO_SETTLEMENT if value is None else value
        rows[:, layout.V_FEE_UNIT] = view.fee_unit
        rows[:, layout.V_TRADES] = int(view.trades_recorded)
        rows[:, layout.V_LATER] = first
        rows[:, layout.V_CHANGES] = int(bool(view.later_states or view.pauses or view.paused))
        rows[:, layout.V_OFF_GRID] = int(view.off_grid)
        rows[:, layout.V_PAUSES] = len(pauses)
        pauses.extend(view.pauses)
        rows[:, layout.V_PAUSES_END] = len(pauses)
        for row, state in zip(rows, view.states, strict=True):
            row[layout.V_TAKER] = state.taker_multiplier
            row[layout.V_MAKER] = state.maker_multiplier
            row[layout.V_PAUSED] = int(state.paused)
            row[layout.V_BANDS] = len(bands)
            bands.extend(state.tick_bands)
            row[layout.V_BANDS_END] = len(bands)
        table[[i, *range(first, after)]] = rows
        at = after
    return (
        table,
        np.array(bands, np.int64).reshape(-1, 3),
        np.array(pauses, np.int64).reshape(-1, 2),
    )
