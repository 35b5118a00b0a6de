"""The agent whose cash, position and orders are the exchange's: what a policy sees of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.entry import decide_order
from kalshi_sim.kernels.footprint import shown_at
from kalshi_sim.kernels.trading import view_at
from kalshi_sim.live.band import Band
from kalshi_sim.live.orders.account import Held, OwnOrder
from kalshi_sim.units import SIZE_SCALE, stored_per_money

_VALUES: Final = (
    layout.A_EQUITY2,
    layout.A_PEAK2,
    layout.A_DRAWDOWN2,
    layout.A_RETURN2,
)
_ON_ITS_WAY: Final = 1
"""Any action but HOLD: nothing more can be done before it is answered."""


@dataclass(frozen=True)
class Wanted:
    """What an action comes to at a row."""

    side: int
    """Whose contracts to buy; of a cancel, whose orders to take back."""
    price: int = 0
    """Of that side, in money of the rows; 0: a cancel."""
    size: int = 0
    """Contracts."""


class RealAgent:
    """An agent that no fill model touches: only its places in queues are estimated, by one."""

    def __init__(self, settings: layout.Settings, payout: int, depth: int, history: int) -> None:
        """Not started yet.

        Args:
            settings: with the fill model that estimates its places in queues.
            payout: the money unit of the rows to come.
            depth: levels a side of the rows to come.
            history: rows that an observation shows.
        """
        self.band = Band([settings], depth, history)
        self.settings = settings
        self._per_money = stored_per_money(payout)

    @property
    def core(self) -> npt.NDArray[np.int64]:
        """int64 [N_CORE] the agent."""
        core: npt.NDArray[np.int64] = self.band.agents.core[0]
        return core

    def start(
        self, arrays: layout.TapeArrays, held: Held, orders: list[OwnOrder], *, busy: bool
    ) -> None:
        """Stand on the first row.

        Args:
            arrays: the rows.
            held: what the account holds in the market.
            orders: which rest there, at most one a side.
            busy: whether something is on its way to the exchange.
        """
        self.band.start(arrays)
        self.take(arrays, held, orders, busy=busy)

    def step(
        self, arrays: layout.TapeArrays, held: Held, orders: list[OwnOrder], *, busy: bool
    ) -> None:
        """Go to the next row, which has closed.

        Args:
            arrays: the rows.
            held: as for `start`.
            orders: as for `start`.
            busy: as for `start`.
        """
        core = self.core
        before = core[list(_VALUES)].copy()
        core[layout.A_PENDING] = layout.HOLD
        self.band.step(arrays, layout.HOLD)
        core[list(_VALUES)] = before
        core[[layout.A_CONSUMED, layout.A_CONSUMED_NO]] = 0
        self.take(arrays, held, orders, busy=busy)

    def take(
        self, arrays: layout.TapeArrays, held: Held, orders: list[OwnOrder], *, busy: bool
    ) -> None:
        """What the exchange says now, seen at the row the agent stands on.

        Args:
            arrays: the rows.
            held: as for `start`.
            orders: as for `start`.
            busy: as for `start`.
        """
        core, per = self.core, self._per_money
        core[layout.A_POSITION] = int(held.size / SIZE_SCALE)
        core[layout.A_COST] = -(-held.cost // per)
        core[layout.A_REALIZED] = held.realized // per
        core[layout.A_FEES] = -(-held.fees // per)
        core[layout.A_CASH] = (
            self.settings.ints[layout.C_CASH_START]
            + core[layout.A_REALIZED]
            - core[layout.A_COST]
            - core[layout.A_FEES]
        )
        for side in (0, 1):
            mine = [o for o in orders if o.side == side and o.remaining >= SIZE_SCALE]
            self._rest(arrays, side, mine[-1] if mine else None)
        core[layout.A_PENDING] = _ON_ITS_WAY if busy else layout.HOLD
        self.band.observe(arrays)

    def _rest(self, arrays: layout.TapeArrays, side: int, order: OwnOrder | None) -> None:
        core = self.core
        if order is None:
            columns = (layout.A_PRICE, layout.A_SIZE, layout.A_AHEAD, layout.A_ENTERED)
            core[[column + side for column in (*columns, layout.A_MAKER)]] = 0
            return
        price = order.price // self._per_money
        if core[layout.A_PRICE + side] != price or core[layout.A_ENTERED + side] == 0:
            shown = shown_at(arrays, core[layout.A_ROW], side, price)
            core[layout.A_AHEAD + side] = shown if shown >= 0 else layout.BEYOND_DEPTH
            core[layout.A_ENTERED + side] = max(1, order.created_ms)
            core[layout.A_MAKER + side] = arrays.views[core[layout.A_VIEW], layout.V_MAKER]
        core[layout.A_PRICE + side] = price
        core[layout.A_SIZE + side] = order.remaining // SIZE_SCALE

    def mask(self, arrays: layout.TapeArrays) -> npt.NDArray[np.bool_]:
        """Which actions are valid: bool [actions].

        Args:
            arrays: the rows.
        """
        return self.band.mask(arrays, 0)

    def wanted(self, arrays: layout.TapeArrays, action: int) -> Wanted | None:
        """What an action means here.

        Args:
            arrays: the rows.
            action: a row of the action table.

        Returns:
            The order or cancel; None: there is nothing to do.
        """
        core, intent = self.core, self.settings.actions[action]
        kind = intent[layout.I_KIND]
        if kind == layout.NOTHING or core[layout.A_PENDING] != layout.HOLD:
            return None
        view = arrays.views[view_at(arrays, core[layout.A_VIEW], core[layout.A_ROW])]
        price, size = decide_order(
            arrays, view, core, self.settings.ints, core[layout.A_ROW], intent
        )
        if size == 0:
            return None
        side = int(intent[layout.I_SIDE])
        return Wanted(side, int(price), int(size))

    def state(self) -> list[int]:
        """The values of `kalshi_sim.live.band.STATE`."""
        return self.band.states()[0]
