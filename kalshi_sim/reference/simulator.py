"""The slow twin of the simulator: one environment, whole numbers, one method a sentence.

Written from the simulation contract alone, apart from the kernels it is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kalshi_sim.actions import ActionRow
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
    "PendingCancel",
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
    contracts: int
    """What its row says, before it is cut."""
    sells: bool
    arrival: int


@dataclass
class PendingCancel:
    """A decided cancel that has not arrived yet."""

    sides: tuple[int, ...]
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
        self.pending: PendingOrder | PendingCancel | None = None
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
        """Which actions are valid now."""
        rows = self.config.table.rows
        return [row.kind == "hold" or self._decide(row) is not None for row in rows]

    def row_sizes(self) -> list[int]:
        """Contracts of each row of the action table that places an order."""
        rows = self.config.table.rows
        return [self._row_size(row) for row in rows if row.kind in ("buy", "sell")]

    # -- actions and order entry ---------------------------------------------------------------

    def _row_size(self, row: ActionRow) -> int:
        return max(1, self.config.order_size * row.size // 4)

    def _decide(self, row: ActionRow) -> PendingOrder | PendingCancel | None:
        """The order or cancel a row means now, None if it is invalid."""
        if self.pending is not None:
            return None
        interval = self.view.row_interval_ms
        last_ms = self.view.rows[self.row].ts // interval * interval + interval - 1
        arrival = last_ms + self.config.latency_ms
        if row.kind == "cancel":
            sides = {"yes": (0,), "no": (1,), "both": (0, 1)}[row.side or ""]
            resting = any(self.orders[side] is not None for side in sides)
            return PendingCancel(sides, arrival) if resting else None
        if self.terms.paused:
            return None
        sells = row.kind == "sell"
        named = 0 if row.side == "yes" else 1
        side = 1 - named if sells else named
        price = self._limit_price(side, row.pricing or self.config.pricing)
        wanted = self._row_size(row)
        if price is None or self._size(side, price, wanted, sells) < 1:
            return None
        return PendingOrder(side, price, wanted, sells, arrival)

    def _limit_price(self, side: int, pricing: str) -> int | None:
        row = self.view.rows[self.row]
        own, opposite = row.best(side), row.best(1 - side)
        grid = self.view.side_grid(self.row, side)
        if pricing == "cross":
            if not opposite:
                return None
            crossing = mirror(opposite, self.payout)
            return min((price for price in grid if price >= crossing), default=None)
        if not own:
            return None
        if pricing.startswith("behind"):
            below = sorted((price for price in grid if 0 < price < own), reverse=True)
            k = int(pricing.split()[1])
            return below[k - 1] if k <= len(below) else None
        if pricing == "improve":
            better = min((price for price in grid if price > own), default=None)
            if better is not None and better + opposite < self.payout:
                return better
        return max((price for price in grid if price <= own), default=None)

    def _size(self, side: int, price: int, wanted: int, sells: bool) -> int:
        """The size an order gets now, as if the orders it replaces or meets were gone."""
        size = min(
            wanted,
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
        size = self._size(side, price, order.contracts, order.sells)
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
        chosen = self.config.table.rows[action]
        if chosen.kind != "hold":
            decided = self._decide(chosen)
            if decided is None:
                self.invalid_actions += 1
            else:
                self.pending = decided
        rows = self.view.rows
        cancelled_late: tuple[int, ...] = ()
        if self.pending is not None and self.pending.arrival < rows[self.row + 1].ts:
            arrived, self.pending = self.pending, None
            if isinstance(arrived, PendingOrder):
                self._arrive(arrived)
            elif self._same_interval(arrived.arrival, rows[self.row + 1].ts):
                cancelled_late = arrived.sides
            else:
                self._cancel(arrived.sides)
        self.row += 1
        self.steps += 1
        self._resume()
        if not self.terms.paused:
            self._flow_acts()
        self._book_acts()
        self._cancel(cancelled_late)
        terminated, truncated = self._end()
        self.peak_equity2 = max(self.peak_equity2, self.mid_equity2)
        self.max_drawdown2 = max(self.max_drawdown2, self.peak_equity2 - self.mid_equity2)
        self.done = terminated or truncated
        return self.equity2 - before, terminated, truncated

    def _cancel(self, sides: tuple[int, ...]) -> None:
        for side in sides:
            self.orders[side] = None

    def _same_interval(self, a: int, b: int) -> bool:
        return a // self.view.row_interval_ms == b // self.view.row_interval_ms

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
        ts = self.view.rows[self.row].ts
        for side in self._closing_first():
            order = self.orders[side]
            if order is None or self._same_interval(order.arrival, ts):
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
