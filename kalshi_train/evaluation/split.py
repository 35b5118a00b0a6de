"""Where an episode's profit is from: trades that closed, settlement, the mark of what is left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.tape import Tape
from kalshi_sim.units import mirror
from kalshi_train.evaluation.played import Played

Int64Array = npt.NDArray[np.int64]


class Split(NamedTuple):
    """Parts of a profit before fees, doubled, in money units; with the fees they are all of it."""

    closed2: int
    """Of contracts that were sold, or met those of the other side."""
    settled2: int
    """Of contracts that the market's result paid out."""
    marked2: int
    """Of contracts still held at the end, by the valuation of the configuration."""
    fees2: int


def profit_split(tape: Tape, cash_start: int, played: Played) -> Split:
    """The parts of the profit of an episode whose fills were kept.

    Args:
        tape: what was played.
        cash_start: in money units.
        played: the episode.
    """
    core, view = played.core, played.view
    realized, fees = int(core[layout.A_REALIZED]), int(core[layout.A_FEES])
    profit2 = int(played.equity2[-1]) - 2 * cash_start
    settled = 0
    if view.settlement_value is not None and len(played.equity2) == len(view):
        position, cost = held_at_end(played.fills, tape.payout)
        value = view.settlement_value
        paid = abs(position) * (value if position >= 0 else mirror(value, tape.payout))
        settled = paid - cost
    closed = realized - settled
    return Split(2 * closed, 2 * settled, profit2 - 2 * realized + 2 * fees, 2 * fees)


def held_at_end(fills: Int64Array, payout: int) -> tuple[int, int]:
    """Position after some fills and what it cost, as the ledger keeps them.

    Args:
        fills: int64 [fills, layout.N_RECORD] in their order.
        payout: what a winning contract pays.

    Returns:
        Contracts (+ YES, - NO) and their cost in money units.
    """
    signs = np.where(fills[:, layout.R_SIDE] == 0, 1, -1)
    held = np.cumsum(signs * fills[:, layout.R_QTY])
    flat = np.flatnonzero(held == 0)  # nothing before the last such fill matters
    position = cost = 0
    for fill in fills[flat[-1] + 1 if len(flat) else 0 :].tolist():
        sign = 1 if fill[layout.R_SIDE] == 0 else -1
        qty, price = fill[layout.R_QTY], fill[layout.R_PRICE]
        pairs = min(qty, max(0, -sign * position))
        if pairs:
            cost -= cost * pairs // abs(position)
        cost += price * (qty - pairs)
        position += sign * qty
    return position, cost
