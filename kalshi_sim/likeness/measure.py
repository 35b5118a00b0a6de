"""How a session's markets trade: the figures of `kalshi_sim.likeness.figures`.

Everything is counted over all markets of the session together, at rows of a millisecond. The
distance of a change is taken from the best price of its side in the row before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.likeness.figures import DISTANCES, FIGURES, HORIZONS_S, LEVELS, Measured
from kalshi_sim.session import EventKind, Int64Array, Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from kalshi_sim.units import (
    MS_PER_MINUTE,
    MS_PER_SECOND,
    SIZE_SCALE,
    money_per_cent,
    stored_per_money,
)
from kalshi_sim.views import MarketSessionView

Float64Array = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

BLOCK_MS: Final = 2 * MS_PER_MINUTE
"""Trades of one market within so long are taken for one observation in standard errors."""


class MarketFlow(NamedTuple):
    """One market's rows and changes, ready to be counted. Prices and marks in tape money."""

    ts_ms: Int64Array
    """[rows]"""
    spread: Int64Array
    """[rows]; -1 where a side is empty."""
    sizes: Int64Array
    """[rows, 2, levels] contracts shown, 0: no such level."""
    mark2: Int64Array
    """[rows]"""
    row: Int64Array
    """[deltas] the row before each."""
    side: Int64Array
    """[deltas]"""
    distance: Int64Array
    """[deltas] cents behind the best price of its side, rounded up; below 0 better than it."""
    size: Int64Array
    """[deltas] signed, in 1/100 contract."""
    traded: Int64Array
    """[deltas] of it by trades, in 1/100 contract."""


def market_flow(session: Session, tape: Tape, view: MarketSessionView) -> MarketFlow:
    """What one market's figures are counted from.

    Args:
        session: the session that `tape` was built of.
        tape: at rows of a millisecond.
        view: one of its views.
    """
    cent = money_per_cent(tape.payout)
    ts = tape.ts_ms[view.rows]
    px, qty = tape.book(view.rows)
    best = px[:, :, 0]
    events = session.market_events(view.market_ticker)
    deltas = events[np.flatnonzero(events.kind == EventKind.DELTA)]
    # A time that ran backwards is raised to the latest before it, as the replay does.
    row = np.searchsorted(ts, np.maximum.accumulate(deltas.ts_ms)) - 1
    side = deltas.side.astype(np.int64)
    inside = (row >= 0) & (row < len(ts) - 1)
    inside[inside] &= best[row[inside], side[inside]] > 0
    row, side, deltas = row[inside], side[inside], deltas[np.flatnonzero(inside)]
    behind = best[row, side] - deltas.price // stored_per_money(tape.payout)
    return MarketFlow(
        ts_ms=ts,
        spread=np.where((best > 0).all(axis=1), tape.payout - best.sum(axis=1), -1),
        sizes=qty,
        mark2=tape.marks2(view.rows),
        row=row,
        side=side,
        distance=-(-behind // cent),
        size=deltas.size,
        traded=deltas.traded,
    )


def flows_of(session: Session, progress: Progress | None = None) -> tuple[list[MarketFlow], int]:
    """The flows of all markets with rows enough, and the tape money of a cent.

    Args:
        session: to be measured.
        progress: called with (markets done, markets).

    Returns:
        The flow of each market, and tape money in a cent.

    Raises:
        NoViewsError: no market has rows enough.
    """
    tape = build_tape([session])
    flows = []
    for done, view in enumerate(tape.views):
        flows.append(market_flow(session, tape, view))
        if progress is not None:
            progress(done + 1, len(tape.views))
    return flows, money_per_cent(tape.payout)


def measure(session: Session, progress: Progress | None = None) -> Measured:
    """The figures of a session.

    Args:
        session: a recorded or a generated one.
        progress: called with (markets done, markets).

    Raises:
        NoViewsError: no market has rows enough.
    """
    flows, cent = flows_of(session, progress)
    return measure_flows(flows, cent, trades=session.trades_recorded)


def measure_flows(flows: list[MarketFlow], cent: int, *, trades: bool) -> Measured:
    """The figures of markets.

    Args:
        flows: of one session's markets.
        cent: tape money in a cent.
        trades: whether the session has trades.
    """
    values: dict[str, float | None] = dict.fromkeys(FIGURES)
    errors: dict[str, float] = {}
    values.update(time_figures([f.ts_ms for f in flows]))
    values["deltas_per_row"] = sum(len(f.size) for f in flows) / sum(len(f.ts_ms) for f in flows)
    errors.update(_window_errors(flows, values))
    values.update(_books(flows, cent))
    values.update(_removals(flows))
    values.update(_moves(flows, cent))
    change = values["change_60s"]
    if change is not None:
        minutes = sum(int(f.ts_ms[-1] - f.ts_ms[0]) for f in flows) / MS_PER_MINUTE
        errors["change_60s"] = change * float(np.sqrt(0.5 / minutes))
    if trades:
        values.update(_trades(flows))
        for seconds in HORIZONS_S:
            mean, error = _towards(flows, cent, seconds * MS_PER_SECOND)
            values[f"toward_{seconds}s"] = mean
            if mean is not None:
                errors[f"toward_{seconds}s"] = error
    return Measured(values, errors)


def time_figures(times: list[Int64Array]) -> dict[str, float | None]:
    """The figures of when rows come.

    Args:
        times: int64 [rows] ascending ms of each market.
    """
    gaps = np.concatenate([np.diff(ts) for ts in times])
    minutes = gaps.sum() / MS_PER_MINUTE
    return {
        "rows_per_minute": float(len(gaps) / minutes) if minutes else None,
        "gap_p50_ms": float(np.percentile(gaps, 50)),
        "gap_p90_ms": float(np.percentile(gaps, 90)),
        "burst_1s": burstiness(times, MS_PER_SECOND),
        "burst_60s": burstiness(times, MS_PER_MINUTE),
    }


def _window_errors(flows: list[MarketFlow], values: dict[str, float | None]) -> dict[str, float]:
    """Standard errors of variances over independent windows: the share sqrt(2 / windows)."""
    errors = {}
    for key, window_ms in (("burst_1s", MS_PER_SECOND), ("burst_60s", MS_PER_MINUTE)):
        windows = sum(int(f.ts_ms[-1] - f.ts_ms[0]) // window_ms for f in flows)
        value = values[key]
        if value is not None:
            errors[key] = value * float(np.sqrt(2.0 / windows))
    return errors


def burstiness(times: list[Int64Array], window_ms: int) -> float | None:
    """Variance over mean of the rows in whole windows, 1 if rows came independently.

    Each market is taken by itself; the mean over markets is weighted by their windows' rows.

    Args:
        times: int64 [rows] ascending ms of each market.
        window_ms: length of a window in ms.

    Returns:
        The ratio; None if no market lasts two windows.
    """
    found, weights = [], []
    for ts in times:
        windows = int(ts[-1] - ts[0]) // window_ms
        if windows < 2:
            continue
        counts = np.bincount((ts - ts[0]) // window_ms)[:windows]
        found.append(float(counts.var() / counts.mean()))
        weights.append(int(counts.sum()))
    return float(np.average(found, weights=weights)) if found else None


def _books(flows: list[MarketFlow], cent: int) -> dict[str, float | None]:
    spread = np.concatenate([f.spread[:-1] for f in flows])
    lasts = np.concatenate([np.diff(f.ts_ms) for f in flows])
    both = spread >= 0
    spread, lasts = spread[both], lasts[both]
    values: dict[str, float | None] = {
        "spread_rows": float(spread.mean() / cent) if len(spread) else None,
        "spread_time": float((spread * lasts).sum() / lasts.sum() / cent) if len(spread) else None,
    }
    for level in LEVELS:
        sizes = np.concatenate([f.sizes[:, :, level - 1].ravel() for f in flows])
        sizes = sizes[sizes > 0]
        values[f"size_{level}"] = float(np.median(sizes)) if len(sizes) else None
    return values


def bucket_of(distance: Int64Array) -> Int64Array:
    """The bucket of `DISTANCES` of each distance; better than the best counts as at it.

    Args:
        distance: int64 [n] cents.

    Returns:
        int64 [n] indices of `DISTANCES`.
    """
    firsts = np.array([first for first, _ in DISTANCES])
    buckets: Int64Array = np.searchsorted(firsts, np.maximum(distance, 0), side="right") - 1
    return buckets


def _removals(flows: list[MarketFlow]) -> dict[str, float | None]:
    removed = np.zeros(len(DISTANCES))
    for f in flows:
        gone = f.size < 0
        removed += np.bincount(bucket_of(f.distance[gone]), -f.size[gone], len(DISTANCES))
    total = removed.sum()
    return {f"removed_{i}": float(n / total) if total else None for i, n in enumerate(removed)}


def _moves(flows: list[MarketFlow], cent: int) -> dict[str, float | None]:
    moves = np.concatenate([np.diff(f.mark2) for f in flows])
    moved = np.abs(moves[moves != 0])
    changes = np.concatenate([_changes(f, MS_PER_MINUTE) for f in flows])
    return {
        "moves": len(moved) / len(moves),
        "move_size": float(moved.mean() / (2 * cent)) if len(moved) else None,
        "change_60s": float(np.sqrt(np.mean(changes.astype(np.float64) ** 2)) / (2 * cent))
        if len(changes)
        else None,
    }


def _changes(flow: MarketFlow, window_ms: int) -> Int64Array:
    """Changes of the doubled mark over each window, from every second on: int64 [n]."""
    seconds = np.arange(flow.ts_ms[0], flow.ts_ms[-1] - window_ms, MS_PER_SECOND)
    changes: Int64Array = mark2_at(flow, seconds + window_ms) - mark2_at(flow, seconds)
    return changes


def mark2_at(flow: MarketFlow, times: Int64Array) -> Int64Array:
    """The doubled mark in force at each time, not before the first row.

    Args:
        flow: of a market.
        times: int64 [n] ms.

    Returns:
        int64 [n] doubled marks in tape money.
    """
    marks: Int64Array = flow.mark2[np.searchsorted(flow.ts_ms, times, side="right") - 1]
    return marks


def _trades(flows: list[MarketFlow]) -> dict[str, float | None]:
    traded = np.concatenate([f.traded for f in flows])
    size = np.concatenate([f.size for f in flows])
    at_best = np.concatenate([f.distance for f in flows]) <= 0
    trade = traded > 0
    sizes = traded[trade] / SIZE_SCALE
    if not len(sizes):
        return {"trades_per_row": 0.0}
    gone = at_best & (size < 0)
    return {
        "trades_per_row": len(sizes) / sum(len(f.ts_ms) for f in flows),
        "trade_p50": float(np.percentile(sizes, 50)),
        "trade_p90": float(np.percentile(sizes, 90)),
        "traded_at_best": float(traded[trade & at_best].sum() / traded.sum()),
        "traded_of_removed": float(traded[gone].sum() / -size[gone].sum()),
    }


def _towards(flows: list[MarketFlow], cent: int, horizon_ms: int) -> tuple[float | None, float]:
    """Mean change of the mid in the direction of the taker, in cents, and its standard error.

    From the row before the trade to the horizon after the trade's row, over trades whose market
    lasts as long. The error takes trades of one market within `BLOCK_MS` for one.
    """
    sums: list[Float64Array] = [np.empty(0)]
    counts: list[Float64Array] = [np.empty(0)]
    for f in flows:
        trade = np.flatnonzero(f.traded > 0)
        until = f.ts_ms[f.row[trade] + 1] + horizon_ms
        trade, until = trade[until <= f.ts_ms[-1]], until[until <= f.ts_ms[-1]]
        if not len(trade):
            continue
        before = f.row[trade]
        # Who takes YES bids sells: towards the trade is down.
        sign = 2 * f.side[trade] - 1
        moved = sign * (mark2_at(f, until) - f.mark2[before]) / (2 * cent)
        block = (f.ts_ms[before] - f.ts_ms[0]) // BLOCK_MS
        sums.append(np.bincount(block, moved).astype(np.float64))
        counts.append(np.bincount(block).astype(np.float64))
    total, n = np.concatenate(sums), np.concatenate(counts)
    if not n.sum():
        return None, 0.0
    mean = total.sum() / n.sum()
    error = float(np.sqrt(((total - mean * n) ** 2).sum()) / n.sum())
    return float(mean), error
