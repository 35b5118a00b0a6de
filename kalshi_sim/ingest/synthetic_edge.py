"""The planted edge: what it is, and the policy that is best against it.

With `edge` > 0 a generated market has a hidden sign. A maker quotes one tick around the fair
value with many contracts on the side the price is about to leave and few on the other, and every
move of the fair value follows that sign with probability (1 + edge) / 2. The sign is drawn anew
with chance `FLIP` at each update and shown one update later. The length of a phase has no memory,
so what a contract can still gain while a sign shows is the same at any time of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kalshi_sim.kernels.order_flow import Flow
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT

CENT: Final = STORED_PER_CENT

NEWS: Final = 0.4
"""Chance of a move at each update."""
STEP: Final = 2.5 * CENT
"""Mean move at 50 cents, in 1/100 cent; at price p it is 4p(1 - p) of that."""
FLIP: Final = 0.1
"""Chance at each update that the sign is drawn anew (half of the draws change it)."""
THRESHOLD: Final = 0.2
"""Top-of-book imbalance beyond which it shows the sign and not the crowd's small orders."""
UPDATES: Final = (60, 180)
"""A market's updates in 35 minutes: least and most."""
CROWD_SIZES: Final = ((0.0, 1), (0.5, 8), (0.9, 40), (1.0, 80))
"""Contracts of everybody else's orders, small against the signalling maker's: (quantile, n)."""


def draw_flow(rng: np.random.Generator, edge: float, fractional: bool) -> tuple[Flow, float]:
    """A market with an edge, and its fair value at the start."""
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
