"""The rows of a live market so far, as the step kernels read those of a tape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kalshi_sim.errors import DataError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.replay_state import Rows
from kalshi_sim.live.follower import MarketFollower
from kalshi_sim.market_state import fee_terms, in_unit, moments_of, pause_times, states_of_rows
from kalshi_sim.session import MarketInfo
from kalshi_sim.units import stored_per_money
from kalshi_sim.views import MarketSessionView, view_tables

ENDLESS: Final = 2**62
"""The end of a view that goes on, and of a state that nothing changes."""


@dataclass
class _Made:
    """The rows of a market as kernels read them, and until when that holds."""

    market: MarketInfo
    rows: Rows
    arrays: layout.TapeArrays
    state: int
    """That of the latest row."""
    until_ms: int
    """The next change of the market's state."""
    stated: int
    """Rows whose state is written."""


class PlayableMarket(MarketFollower):
    """A market followed event by event, whose rows can be stepped over as they come."""

    _made: _Made | None = None

    def arrays(self) -> layout.TapeArrays:
        """All rows so far, in a view that has no end yet.

        To be asked for again after each row that has closed: the arrays move as they grow.

        Returns:
            The arrays; only rows that have closed may be read.

        Raises:
            DataError: no row has closed yet.
        """
        rows = len(self)
        if not rows:
            raise DataError(f"{self.market.ticker}: no row has closed yet; feed a snapshot first")
        made = self._made
        moved = made is None or made.market is not self.market or made.rows is not self._out
        if made is None or moved or self.ts_ms[-1] >= made.until_ms:
            self._made = made = self._tables()
        self._out.i32[made.stated : rows, layout.ROW_STATE] = made.state
        made.stated = rows
        return made.arrays

    def _tables(self) -> _Made:
        """What holds in the rows so far, and the rows with it written into them."""
        per_money = stored_per_money(self.payout)
        found, states = states_of_rows(self.market, self._terms, self.ts_ms)
        self._out.i32[: len(self), layout.ROW_STATE] = states
        in_money = tuple(replace(s, tick_bands=in_unit(s.tick_bands, per_money)) for s in found)
        first_ms, last_ms = int(self.ts_ms[0]), int(self.ts_ms[-1])
        terms = fee_terms(self.market, self._first_book_ms or 0, first_ms, self._schedule)
        view = MarketSessionView(
            session_id=0,
            market_ticker=self.market.ticker,
            start=0,
            stop=ENDLESS,
            taker_multiplier=in_money[0].taker_multiplier,
            maker_multiplier=in_money[0].maker_multiplier,
            fee_unit=terms.fee_unit // per_money,
            tick_bands=in_money[0].tick_bands,
            paused=in_money[0].paused,
            later_states=in_money[1:],
            pauses=pause_times(self.market),
        )
        later = [moment for moment in moments_of(self.market) if moment > last_ms]
        return _Made(
            market=self.market,
            rows=self._out,
            arrays=layout.TapeArrays(*self._out, *view_tables([view])),
            state=int(states[-1]),
            until_ms=min(later, default=ENDLESS),
            stated=len(self),
        )
