"""What joining both sides earns: under each fill model, and with the generator's own queue.

The policy bids at the best YES price after every even row and at the best NO price after every
odd one. Cash and position are no limit, makers pay no fee, and what is held at a view's end is
worth its result or its mark, so the profit is a sum over fills and needs no ledger.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.resting_study import RICH, Int64Array, play
from kalshi_sim import SimConfig
from kalshi_sim.config import MAX_CONTRACTS, FillModel
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.units import SIZE_SCALE, money_per_cent, stored_per_money

ORDER_SIZE = 10


def model_profit(tape: Tape, model: FillModel) -> npt.NDArray[np.float64]:
    """Cents per view under a fill model: float64 [views]."""
    config = SimConfig(
        pricing="join",
        fill_model=model,
        cash_start=RICH,
        order_size=ORDER_SIZE,
        max_position=MAX_CONTRACTS,
        fees=False,
    )

    def policy(observations: npt.NDArray[np.float32], step: int) -> Int64Array:
        return np.full(len(observations), BUY_NO if step % 2 else BUY_YES)

    return play(tape, config, policy)


def true_profit(tape: Tape, truth: TrueQueue) -> npt.NDArray[np.float64]:
    """Cents per view under price-time priority: float64 [views]."""
    return np.array([_view_profit(tape, view, truth) for view in tape.views])


class _Order:
    """A resting order with all the fills it would get."""

    def __init__(self, price: int, ts_ms: Int64Array, contracts: Int64Array) -> None:
        self.price = price
        self.left = ORDER_SIZE
        self._ts_ms, self._contracts = ts_ms, contracts
        self._next = 0

    def filled_until(self, ts_ms: int) -> int:
        """Contracts filled since the last call."""
        end = int(np.searchsorted(self._ts_ms, ts_ms, side="right"))
        got = int(self._contracts[self._next : end].sum())
        self._next = end
        self.left -= got
        return got


def _view_profit(tape: Tape, view: MarketSessionView, truth: TrueQueue) -> float:
    scale = stored_per_money(tape.payout)
    result2 = int(tape.mark2[view.stop - 1])
    if view.settlement_value is not None:
        result2 = 2 * view.settlement_value
    worth2 = (result2, 2 * tape.payout - result2)
    orders: list[_Order | None] = [None, None]
    profit2 = 0
    for row in range(view.start, view.stop - 1):
        side = (row - view.start) % 2
        price = int(tape.px[row, side, 0])
        order, other = orders[side], orders[1 - side]
        if price and (order is None or order.price != price):
            if other is not None and other.price + price >= tape.payout:
                orders[1 - side] = None
            fills = truth.fills(
                view.market_ticker,
                int(tape.ts_ms[row]),
                side,
                price * scale,
                ORDER_SIZE * SIZE_SCALE,
            )
            orders[side] = _Order(price, fills.ts_ms, fills.size // SIZE_SCALE)
        for s, standing in enumerate(orders):
            if standing is not None:
                got = standing.filled_until(int(tape.ts_ms[row + 1]))
                profit2 += got * (worth2[s] - 2 * standing.price)
                if standing.left == 0:
                    orders[s] = None
    return profit2 / (2 * money_per_cent(tape.payout))
