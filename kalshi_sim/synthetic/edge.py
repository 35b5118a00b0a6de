"""The planted edge: what it is, and the policy that is best against it.

With `edge` > 0 a generated market has a hidden sign. A maker quotes one tick around the fair
value with many contracts on the side the price is about to leave and few on the other, and every
move of the fair value follows that sign with probability (1 + edge) / 2. The sign is redrawn
with chance `FLIP` at each update and shown one update later. The length of a phase has no memory,
so what a contract can still gain while a sign shows is the same at any time of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.observation import MID, TOP_IMBALANCE, YES_ASK, YES_BID
from kalshi_sim.synthetic.order_flow import Flow
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT

CENT: Final = STORED_PER_CENT

NEWS: Final = 0.4
"""Chance of a move at each update."""
STEP: Final = 2.5 * CENT
"""Mean move at 50 cents, in 1/100 cent; at price p it is 4p(1 - p) of that."""
FLIP: Final = 0.06
"""Chance at each update that the sign is redrawn (half of the draws change it)."""
THRESHOLD: Final = 0.2
"""Top-of-book imbalance beyond which it shows the sign and not the crowd's small orders."""
UPDATES: Final = (60, 180)
"""A market's updates in 35 minutes: least and most."""
CROWD_SIZES: Final = ((0.0, 1), (0.5, 8), (0.9, 40), (1.0, 80))
"""Contracts of everybody else's orders, small against the signalling maker's: (quantile, n)."""


def draw_flow(rng: np.random.Generator, edge: float, fractional: bool) -> tuple[Flow, float]:
    """A market with an edge, and its fair value at the start.

    Args:
        rng: the market's random generator.
        edge: planted predictability, 0 to 1.
        fractional: sizes have two decimals.

    Returns:
        The flow's parameters, and the fair value of YES in 1/100 cent.
    """
    flow = Flow(
        news=NEWS,
        taker=0.05,
        snapshot=0.0,
        step=STEP,
        last_step=1.0,
        half_spread=0.5 * CENT,
        least_half_spread=0.1 * CENT,
        depth=3.0,
        orders=30.0,
        bare_side=-1,
        fractional=fractional,
        edge=edge,
        flip=FLIP,
    )
    return flow, PRICE_SCALE * (0.3 + 0.4 * rng.random())


def best_edge_policy(
    observations: npt.NDArray[np.float32], edge: float, *, order_size: int = 10
) -> npt.NDArray[np.int64]:
    """The actions that are best against a planted edge, from flat or from any position.

    A contract bought while a sign shows is expected to gain `remaining_gain`, and it costs half
    the spread and the taker fee, whether it opens a position or closes one; so each order is
    judged by itself: buy the side the sign favours if the gain is larger than the cost. Exact
    for `pricing="cross"` as long as neither cash nor `max_position` binds; where they do it is a
    yardstick, not a bound.

    Args:
        observations: float32 [n, 52], the features of `kalshi_sim.features`.
        edge: the edge the session was generated with.
        order_size: contracts of an order, for the rounding of its fee.

    Returns:
        int64 [n]: 0 HOLD, 1 BUY_YES_LIMIT or 3 BUY_NO_LIMIT.
    """
    bid, ask, mid = (observations[:, i].astype(np.float64) for i in (YES_BID, YES_ASK, MID))
    imbalance = observations[:, TOP_IMBALANCE]
    sign = np.sign(imbalance) * (np.abs(imbalance) > THRESHOLD)
    price = np.where(sign > 0, ask, 1.0 - bid)
    fee = np.ceil(np.round(7.0 * order_size * price * (1.0 - price), 9)) / order_size
    cost = 100.0 * (ask - bid) / 2.0 + fee
    worth = remaining_gain(mid, edge) > cost
    return np.where(worth & (sign > 0), 1, np.where(worth & (sign < 0), 3, 0)).astype(np.int64)


def remaining_gain(mid: npt.NDArray[np.float64], edge: float) -> npt.NDArray[np.float64]:
    """Cents a contract still gains in expectation from the first showing of a sign on.

    The sign that moves the price k updates from now is the one shown now with a share of
    (1 - FLIP) ** k, and else a fresh one that is worth nothing.

    Args:
        mid: float64 [n] mid prices as a share of the payout, 0 to 1.
        edge: planted predictability, 0 to 1.

    Returns:
        float64 [n] cents a contract.
    """
    updates = (1.0 - FLIP) / FLIP
    gain: npt.NDArray[np.float64] = updates * NEWS * STEP / CENT * edge * 4.0 * mid * (1.0 - mid)
    return gain
