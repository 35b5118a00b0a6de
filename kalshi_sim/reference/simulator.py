"""The slow twin of the simulator: one environment, whole numbers, one method a sentence.

Written from the simulation contract alone, apart from the kernels it is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kalshi_sim.config import SimConfig
from kalshi_sim.reference.features import portfolio_features, tape_features
from kalshi_sim.reference.ledger import OracleFill, OracleLedger, OracleOrder, exact_fee
from kalshi_sim.reference.tape import Level, OracleRow, OracleView
from kalshi_sim.units import mirror, money_per_cent

__all__ = [
    "BUY_NO",
    "BUY_YES",
    "HOLD",
    "SELL_NO",
    "SELL_YES",
    "OracleEnv",
    "OracleFill",
    "OracleOrder",
    "PendingOrder",
    "exact_fee",
    "within_depth",
]

FAR_BACK = 2**40
"""`ahead` of an order whose level lies beyond the tape's depth."""
REMEMBERED = 32
"""Levels a side whose consumed contracts are remembered."""
HOLD, BUY_YES, SELL_YES, BUY_NO, SELL_NO = range(5)


@dataclass
class PendingOrder:
    """A decided order that has not arrived yet."""

    side: int
    price: int
    sells: bool
    arrival: int


def within_depth(row: OracleRow, side: int, price: int, depth: int) -> bool:
    """Whether a tape of this depth knows what the level shows.

    Args:
        row: of the view.
        side: 0 YES, 1 NO.
        price: in money units.
        depth: price levels a tape's row shows on each side.
    """
    top = row.ladders[side][:depth]
    return len(top) < depth or price >= top[-1][0]


class OracleEnv(OracleLedger):
    """One environment on one view."""

    def __init__(self, view: OracleView, config: SimConfig) -> None:
        """Begin an episode at the view's first row.

        Args:
            view: the market to play.
            config: of the simulation.
        """
        super().__init__(view, config)
        self.reset()

    def reset(self, start_row: int = 0) -> list[float]:
        """Start an episode on a row of the view; the first observation."""
        self.open_account(start_row)
        self.steps = 0
        self.pending: PendingOrder | None = None
        self.consumed: list[dict[int, int]] = [{}, {}]
        self.invalid_actions = 0
        self.peak_equity2 = self.mid_equity2
        self.max_drawdown2 = 0
        self.start_equity2 = self.equity2
        self.done = False
        return self.observation()

    # -- what the agent sees -------------------------------------------------------------------

    def observation(self) -> list[float]:
        """The 52 features."""
        market = tape_features(self.view, self.row)
        return market[:35] + portfolio_features(self) + market[35:]

    def mask(self) -> list[bool]:
        """Which of the five actions are valid now."""
        return [True] + [self._decide(action) is not None for action in range(1, 5)]

    # -- actions and order entry ---------------------------------------------------------------

    def _decide(self, action: int) -> PendingOrder | None:
        """The order an action means at this row, None if the action is invalid."""
        if self.pending is not None or self.terms.paused:
            return None
        sells = action in (SELL_YES, SELL_NO)
        named = 0 if action in (BUY_YES, SELL_YES) else 1
        side = 1 - named if sells else named
        price = self._limit_price(side)
        if price is None or self._size(side, price, sells) < 1:
            return None
        interval = self.view.row_interval_ms
        last_ms = self.view.rows[self.row].ts // interval * interval + interval - 1
        return PendingOrder(side, price, sells, last_ms + self.config.latency_ms)

    def _limit_price(self, side: int) -> int | None:
        row = self.view.rows[self.row]
        own, opposite = row.best(side), row.best(1 - side)
        grid = self.view.side_grid(self.row, side)
        if self.config.pricing == "cross":
            if not opposite:
                return None
            crossing = mirror(opposite, self.payout)
            return min((price for price in grid if price >= crossing), default=None)
        if not own:
            return None
        if self.config.pricing == "improve":
            better = min((price for price in grid if price > own), default=None)
            if better is not None and better + opposite < self.payout:
                return better
        return max((price for price in grid if price <= own), default=None)

    def _size(self, side: int, price: int, sells: bool) -> int:
        """The size an order gets now, as if the orders it replaces or meets were gone."""
        size = min(
            self.config.order_size,
            self.config.max_position - (self.position if side == 0 else -self.position),
        )
        if sells:
            size = min(size, self.held(1 - side))
        free = self.cash
        other = self.orders[1 - side]
        if other is not None and other.price + price < self.payout:
            free -= self.resting_reserve(1 - side)
        while size > 0 and self.entry_reserve(side, price, size) > free:
            size -= 1
        return size

    def _arrive(self, order: PendingOrder) -> None:
        """The order meets the book of this row."""
        side, price = order.side, order.price
        size = self._size(side, price, order.sells)
        if size < 1 or self.view.is_paused_at(order.arrival):
            self.invalid_actions += 1
            return
        old, other = self.orders[side], self.orders[1 - side]
        if old is not None and old.price == price:
            return
        self.orders[side] = None
        if other is not None and other.price + price >= self.payout:
            self.orders[1 - side] = None
        for level, contracts in self._take(side, price, size):
            paid = mirror(level, self.payout)
            self.fill(side, paid, contracts, self.taker_fee(contracts, paid), maker=False)
            size -= contracts
        if size > 0 and self.config.time_in_force == "gtc":
            row = self.view.rows[self.row]
            near = within_depth(row, side, price, self.view.depth)
            ahead = row.shown(side, price) if near else FAR_BACK
            multiplier = self.terms.maker_multiplier
            self.orders[side] = OracleOrder(price, size, ahead, order.arrival, multiplier)

    def _take(self, side: int, price: int, size: int) -> list[Level]:
        """Take contracts from the opposite levels that meet a bid: (level, contracts) each."""
        opposite = 1 - side
        consumed = self.consumed[opposite]
        takings = []
        for level, shown in self.view.top(self.row, opposite):
            if price + level < self.payout:
                break
            if level not in consumed and len(consumed) >= REMEMBERED:
                continue
            contracts = min(size, shown - consumed.get(level, 0))
            if contracts <= 0:
                continue
            consumed[level] = consumed.get(level, 0) + contracts
            size -= contracts
            takings.append((level, contracts))
        return takings

    # -- one step ------------------------------------------------------------------------------

    def step(self, action: int) -> tuple[int, bool, bool]:
        """One step: (change of doubled equity, terminated, truncated).

        Returns:
            Change of the doubled equity in money units, terminated, truncated.
        """
        assert not self.done
        before = self.equity2
        if action != HOLD:
            decided = self._decide(action)
            if decided is None:
                self.invalid_actions += 1
            else:
                self.pending = decided
        rows = self.view.rows
        if self.pending is not None and self.pending.arrival < rows[self.row + 1].ts:
            order, self.pending = self.pending, None
            self._arrive(order)
        self.row += 1
        self.steps += 1
        self._resume()
        if not self.terms.paused:
            self._flow_acts()
        self._book_acts()
        terminated, truncated = self._end()
        self.peak_equity2 = max(self.peak_equity2, self.mid_equity2)
        self.max_drawdown2 = max(self.max_drawdown2, self.peak_equity2 - self.mid_equity2)
        self.done = terminated or truncated
        return self.equity2 - before, terminated, truncated

    def reward(self, equity2_change: int) -> float:
        """The reward before it becomes a float32."""
        scale = self.config.reward_scale / (2 * money_per_cent(self.payout))
        return equity2_change * scale

    def _end(self) -> tuple[bool, bool]:
        """Settle or mark the last row; (terminated, truncated)."""
        at_last = self.row == len(self.view.rows) - 1
        settled = at_last and self.view.settlement is not None
        if at_last:
            self.orders = [None, None]
            self.pending = None
        if settled:
            assert self.view.settlement is not None
            yes = self.view.settlement
            pays = self.held(0) * yes + self.held(1) * mirror(yes, self.payout)
            self.cash += pays
            self.realized += pays - self.cost
            self.cost = 0
            self.position = 0
        ends = self.config.end_of_data == "terminate"
        terminated = settled or (at_last and ends) or self.mid_equity2 <= 0
        limit = self.config.max_episode_steps
        truncated = at_last or (limit is not None and self.steps >= limit)
        return terminated, truncated and not terminated

    def _resume(self) -> None:
        """The end of a pause cancels what rests then."""
        before, now = self.view.rows[self.row - 1].ts, self.view.rows[self.row].ts
        for _, end in self.view.pauses:
            if end is None or not before < end <= now:
                continue
            for side in (0, 1):
                order = self.orders[side]
                if order is not None and order.arrival < end:
                    self.orders[side] = None

    def _closing_first(self) -> tuple[int, int]:
        return (1, 0) if self.position > 0 else (0, 1)

    def _flow_acts(self) -> None:
        interval = self.view.row_interval_ms
        ts = self.view.rows[self.row].ts
        for side in self._closing_first():
            order = self.orders[side]
            if order is None or order.arrival // interval == ts // interval:
                continue
            contracts = min(order.size, self._flow_fill(side, order))
            if contracts > 0:
                self._fill_resting(side, order, contracts)

    def _flow_fill(self, side: int, order: OracleOrder) -> int:
        """Contracts the flow into this row offers an order; moves its `ahead`."""
        model = self.config.fill_model
        if model == "through":
            return 0
        before = self.view.rows[self.row - 1]
        flow = self.view.rows[self.row].flow
        removed, added, traded = flow.get((side, order.price), (0, 0, 0))
        offered = 0
        below = [amounts for (s, p), amounts in flow.items() if s == side and p < order.price]
        if self.view.trades_recorded:
            offered += sum(below_traded for _, _, below_traded in below)
        elif model == "touch":
            offered += sum(below_removed for below_removed, _, _ in below)
            traded = removed
        elif order.price == before.best(side):
            traded = math.floor(removed * self.config.trade_share)
        else:
            traded = 0
        if model == "touch":
            return offered + traded
        passed = min(traded, order.ahead)
        order.ahead -= passed
        offered += traded - passed
        near = within_depth(before, side, order.price, self.view.depth)
        if model == "prob" and near and order.ahead > 0:
            shown = before.shown(side, order.price)
            back = max(0, shown + added - traded - order.ahead)
            front = self._power(order.ahead)
            share = front / (front + self._power(back))
            order.ahead = max(0, order.ahead - math.floor((removed - traded) * share))
        return offered

    def _power(self, x: int) -> float:
        result = float(x)
        for _ in range(self.config.queue_power - 1):
            result *= float(x)
        return result

    def _book_acts(self) -> None:
        row, depth = self.view.rows[self.row], self.view.depth
        for side in (0, 1):
            consumed = self.consumed[side]
            for price in list(consumed):
                if within_depth(row, side, price, depth):
                    consumed[price] = min(consumed[price], row.shown(side, price))
                if consumed[price] == 0:
                    del consumed[price]
            order = self.orders[side]
            if order is not None and within_depth(row, side, order.price, depth):
                order.ahead = min(order.ahead, row.shown(side, order.price))
        if self.terms.paused:
            return
        for side in self._closing_first():
            order = self.orders[side]
            if order is None:
                continue
            contracts = sum(n for _, n in self._take(side, order.price, order.size))
            if contracts > 0:
                self._fill_resting(side, order, contracts)

    def _fill_resting(self, side: int, order: OracleOrder, contracts: int) -> None:
        fee = self.maker_fee(contracts, order.price, order.maker_multiplier)
        self.fill(side, order.price, contracts, fee, maker=True)
        order.size -= contracts
        if order.size == 0:
            self.orders[side] = None

    # -- what is compared ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The named figures of `env.state()`; money in the tape's units."""
        orders = self.orders
        return {
            "cash": self.cash,
            "position": self.position,
            "free_cash": self.free_cash,
            "equity2": self.equity2,
            "realized": self.realized,
            "fees_paid": self.fees_paid,
            "cost": self.cost,
            "row": self.row,
            "order_price": [o.price if o else 0 for o in orders],
            "order_size": [o.size if o else 0 for o in orders],
            "order_ahead": [o.ahead if o else 0 for o in orders],
            "invalid_actions": self.invalid_actions,
            "fills": len(self.fills),
            "contracts_traded": sum(fill.qty for fill in self.fills),
        }

    def market_info(self) -> dict[str, Any]:
        """The statistics of `infos[i]["market"]`; money in cents."""
        cent = money_per_cent(self.payout)
        return {
            "session_id": self.view.session_id,
            "market_ticker": self.view.ticker,
            "equity_cents": self.equity2 / 2 / cent,
            "realized_pnl_cents": self.realized / cent,
            "fees_cents": self.fees_paid / cent,
            "fills": len(self.fills),
            "contracts_traded": sum(fill.qty for fill in self.fills),
            "position": self.position,
            "invalid_actions": self.invalid_actions,
            "max_drawdown_cents": self.max_drawdown2 / 2 / cent,
        }
