"""The share of what leaves the best price that was traded, as `SimConfig.trade_share` means it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.calibration.estimate import Estimate, too_little
from kalshi_sim.kernels import layout
from kalshi_sim.tape import Tape
from kalshi_sim.units import MS_PER_MINUTE

NAME: Final = "trade_share"
BLOCK_MS: Final = MS_PER_MINUTE
"""What happens within a minute of a market is taken as one observation: it hangs together."""
NEEDED: Final = 30
"""Blocks with removals, and removals that were trades."""
_Z: Final = 1.96


def trade_share_of(tape: Tape, *, trades_recorded: bool) -> Estimate:
    """The share over all rows of a tape.

    Args:
        tape: the markets.
        trades_recorded: whether the recording has a trade channel.

    Returns:
        The ratio of traded to removed contracts at the best price of the row before; its error
        leaves one block after another out (the jackknife).
    """
    removed, traded, trades = _by_block(tape)
    n = min(trades, len(removed)) if trades_recorded else 0
    if n < NEEDED:
        return too_little(NAME, n, "trades at the best price", NEEDED)
    whole = traded.sum() / removed.sum()
    without = (traded.sum() - traded) / (removed.sum() - removed)
    k = len(removed)
    error = float(np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum()))
    return Estimate(
        NAME,
        float(whole),
        *_interval(float(whole), error),
        trades,
        "trades at the best price",
        NEEDED,
        {"standard_error": error, "blocks": k, "removed_contracts": int(removed.sum())},
    )


def _interval(share: float, error: float) -> tuple[float, float]:
    """About a share, on the scale of its odds, which is more nearly normal where it is small."""
    if not 0.0 < share < 1.0:
        return max(0.0, share - _Z * error), min(1.0, share + _Z * error)
    odds, reach = math.log(share / (1 - share)), _Z * error / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-at)) for at in (odds - reach, odds + reach))
    return low, high


def _by_block(
    tape: Tape,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Removed and traded contracts by block, each float64 [blocks], and how many were trades."""
    flow, offsets = tape.flow, tape.flow_offsets
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    best = tape.best_bids(slice(0, len(offsets) - 1))
    first = np.zeros(len(best), np.bool_)
    first[[view.start for view in tape.views]] = True
    market = np.repeat(np.arange(len(tape.views)), [len(view) for view in tape.views])
    side, removed = flow[:, layout.FLOW_SIDE], flow[:, layout.FLOW_REMOVED]
    at_best = flow[:, layout.FLOW_PRICE] == best[np.maximum(row - 1, 0), side]
    used = at_best & ~first[row] & (removed > 0)
    row, removed, traded = row[used], removed[used], flow[used, layout.FLOW_TRADED]
    minute = tape.ts_ms[row] // BLOCK_MS
    _, block = np.unique(np.stack([market[row], minute]), axis=1, return_inverse=True)
    block = block.reshape(-1)
    return (
        np.bincount(block, removed).astype(np.float64),
        np.bincount(block, traded).astype(np.float64),
        int((traded > 0).sum()),
    )
