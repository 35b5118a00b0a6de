"""What prices did after a fill: spread capture and mark-outs, the measure of adverse selection."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.units import MS_PER_SECOND, money_per_cent
from kalshi_train.evaluation.figures import Marks

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

HORIZONS_S: Final = (1, 10, 60)
"""Seconds after a fill at which it is marked."""


def edge2(fills: Int64Array, yes_mark2: Int64Array, payout: int) -> Int64Array:
    """Twice what each fill gained a contract against a mark of YES [n], in tape units.

    Buying YES at p gains mark - p, buying NO at p gains (payout - mark) - p.

    Args:
        fills: int64 [n, layout.N_RECORD].
        yes_mark2: int64 [n] twice the mark of YES for each, in tape units.
        payout: money units a winning contract pays.

    Returns:
        int64 [n].
    """
    yes = fills[:, layout.R_SIDE] == 0
    value2 = np.where(yes, yes_mark2, 2 * payout - yes_mark2)
    return np.asarray(value2 - 2 * fills[:, layout.R_PRICE], np.int64)


def spread_capture2(tape: Tape, view: MarketSessionView, fills: Int64Array) -> Int64Array:
    """Twice what each fill gained a contract against the mid it was made at, in tape units.

    A taker meets the book of its row. A maker is met by what happened since the row before, so
    the mid before that is the one its quote stood against.

    Args:
        tape: its marks are read.
        view: the one played.
        fills: int64 [n, layout.N_RECORD] of an episode on it.

    Returns:
        int64 [n].
    """
    row = fills[:, layout.R_ROW] - fills[:, layout.R_MAKER]
    return edge2(fills, tape.marks2(view.rows)[row], tape.payout)


def mark_out2(
    tape: Tape, view: MarketSessionView, fills: Int64Array, seconds: int
) -> tuple[Int64Array, npt.NDArray[np.bool_]]:
    """Twice what each fill gained a contract some time later, in tape units.

    The mark is that of the last row at or before then. Where the view ends earlier it is unknown.

    Args:
        tape: its marks are read.
        view: the one played.
        fills: int64 [n, layout.N_RECORD] of an episode on it.
        seconds: how much later, in s.

    Returns:
        int64 [n], and bool [n]: whether it is known.
    """
    ts = tape.ts_ms[view.start : view.stop]
    then = ts[fills[:, layout.R_ROW]] + seconds * MS_PER_SECOND
    row = np.searchsorted(ts, then, side="right") - 1
    known = then <= ts[-1]
    return edge2(fills, tape.marks2(view.rows)[row], tape.payout), known


def mark_sums(tape: Tape, view: MarketSessionView, fills: Int64Array) -> Marks:
    """Sums over an episode's fills.

    Args:
        tape: its marks are read.
        view: the one played.
        fills: int64 [n, layout.N_RECORD] of an episode on it.

    Returns:
        Cents gained and contracts, at the fill and at each of HORIZONS_S.
    """
    scale = 2 * money_per_cent(tape.payout)
    qty = fills[:, layout.R_QTY]
    cents, contracts = [], []
    for seconds in HORIZONS_S:
        gained2, known = mark_out2(tape, view, fills, seconds)
        cents.append(int((gained2 * qty)[known].sum()) / scale)
        contracts.append(int(qty[known].sum()))
    return Marks(
        spread_cents=int((spread_capture2(tape, view, fills) * qty).sum()) / scale,
        markout_cents=tuple(cents),
        markout_contracts=tuple(contracts),
    )
