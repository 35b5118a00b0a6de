"""The figures of one episode, and of many together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.units import MS_PER_MINUTE, money_per_cent
from kalshi_train.evaluation.figures import MarketFigures, Sums, TotalFigures
from kalshi_train.evaluation.intervals import mean_interval
from kalshi_train.evaluation.marks import HORIZONS_S, mark_sums
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.split import profit_split
from kalshi_train.evaluation.statistics import (
    changes_by_period,
    max_drawdown,
    ratio,
    sharpe,
    time_weighted_mean,
)

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MS_PER_HOUR: Final = 60 * MS_PER_MINUTE
ACTION_PERIOD_MS: Final = 15 * MS_PER_MINUTE
"""Actions are counted by quarters of an hour."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One market played by one policy under one fill model."""

    view: MarketSessionView
    index: int
    """Of the view on its tape."""
    figures: MarketFigures
    """What `--json` shows of the market, money in cents."""
    sums: Sums
    """Sums that figures of many markets are made of."""
    fills: Int64Array
    """[fills, layout.N_RECORD]"""
    curve_rows: Int64Array
    """[k] rows (from the view's first) at which equity changed, the first and last row included."""
    curve_equity2: Int64Array
    """[k] twice the equity from that row on, money in tape units."""
    hours: dict[int, float]
    """Profit in cents by hour of US Eastern time, counted from the epoch."""
    quarters: npt.NDArray[np.int32]
    """int32 [quarters] of an hour of US Eastern time, counted likewise, that have a step."""
    action_counts: npt.NDArray[np.int32]
    """int32 [quarters, actions] how often each action was taken in it."""


def measure(tape: Tape, cash_start: int, played: Played) -> Episode:
    """The figures of an episode.

    Args:
        tape: what was played.
        cash_start: in cents.
        played: the episode.
    """
    view, core = played.view, played.core
    tape.will_read([played.index])
    cent = money_per_cent(tape.payout)
    rows = len(played.equity2)
    ts = tape.ts_ms[view.start : view.start + rows]
    qty = played.fills[:, layout.R_QTY]
    maker = played.fills[:, layout.R_MAKER] == 1
    names = played.table.names
    counts = np.bincount(played.actions[:-1], minlength=len(names))
    marks = mark_sums(tape, view, played.fills)
    split = profit_split(tape, cash_start * cent, played)
    contracts = int(qty.sum())
    turnover = int((qty * played.fills[:, layout.R_PRICE]).sum()) / cent
    profit2 = int(played.equity2[-1]) - 2 * cash_start * cent
    held = held_after_entry(played)
    # The agent's own drawdown is by mid; this is of the equity that is shown.
    cents = played.equity2 / (2 * cent)
    markouts = [
        ratio(*pair) for pair in zip(marks.markout_cents, marks.markout_contracts, strict=True)
    ]
    figures = MarketFigures(
        session_id=view.session_id,
        market_ticker=view.market_ticker,
        event=view.event,
        rows=rows,
        steps=int(core[layout.A_STEPS]),
        hours=int(ts[-1] - ts[0]) / MS_PER_HOUR,
        profit_cents=profit2 / (2 * cent),
        return_on_capital=profit2 / (2 * cent) / cash_start,
        sharpe=sharpe(changes_by_period(cents, ts, MS_PER_MINUTE)),
        max_drawdown_cents=max_drawdown(played.equity2) / (2 * cent),
        fees_cents=int(core[layout.A_FEES]) / cent,
        closed_cents=split.closed2 / (2 * cent),
        settled_cents=split.settled2 / (2 * cent),
        marked_cents=split.marked2 / (2 * cent),
        fills=len(played.fills),
        contracts=contracts,
        turnover_cents=turnover,
        maker_share=ratio(int(qty[maker].sum()), contracts),
        spread_capture_cents=ratio(marks.spread_cents, contracts),
        markout_1s_cents=markouts[0],
        markout_10s_cents=markouts[1],
        markout_60s_cents=markouts[2],
        inventory_mean=time_weighted_mean(held, ts),
        inventory_max=max(int(held.max()), int(np.abs(played.position).max())),
        position_at_end=int(played.position[-1]),
        settled=view.settlement_value is not None and rows == len(view),
        truncated=played.truncated,
        invalid_actions=int(core[layout.A_INVALID]),
        actions={name: int(n) / (rows - 1) for name, n in zip(names, counts.tolist(), strict=True)},
    )
    sums = Sums(
        marks=marks,
        contracts=contracts,
        maker_contracts=int(qty[maker].sum()),
        actions=tuple(counts.tolist()),
        held_ms=time_weighted_mean(held, ts) * int(ts[-1] - ts[0]),
        ms=int(ts[-1] - ts[0]),
    )
    curve = _changes(played.equity2)
    quarters, action_counts = _actions_by_period(played.actions[:-1], len(names), ts[:-1], view)
    return Episode(
        view=view,
        index=played.index,
        figures=figures,
        sums=sums,
        fills=played.fills,
        curve_rows=curve,
        curve_equity2=played.equity2[curve],
        hours=_by_period(np.diff(cents), ts[1:], view, MS_PER_HOUR),
        quarters=quarters,
        action_counts=action_counts,
    )


def held_after_entry(played: Played) -> Int64Array:
    """Contracts held in either direction from each row to the next, int64 [R].

    What an order takes as it enters is held at once, before the next row shows it.
    """
    fills = played.fills[played.fills[:, layout.R_MAKER] == 0]
    signed = np.where(fills[:, layout.R_SIDE] == 0, 1, -1) * fills[:, layout.R_QTY]
    position = played.position.copy()
    np.add.at(position, fills[:, layout.R_ROW], signed)
    return np.abs(position)


def _changes(values: Int64Array) -> Int64Array:
    """Rows at which a value differs from the row before, and the first and last row."""
    inner = np.flatnonzero(np.diff(values)) + 1
    return np.unique(np.concatenate([[0], inner, [len(values) - 1]])).astype(np.int64)


def _by_period(
    changes: FloatArray, ts: Int64Array, view: MarketSessionView, period_ms: int
) -> dict[int, float]:
    periods, index = np.unique((ts + view.utc_offset_ms) // period_ms, return_inverse=True)
    sums = np.bincount(index, weights=changes)
    return dict(zip(periods.tolist(), sums.tolist(), strict=True))


def _actions_by_period(
    actions: npt.NDArray[np.int8], n_actions: int, ts: Int64Array, view: MarketSessionView
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    stamps = (ts + view.utc_offset_ms) // ACTION_PERIOD_MS
    periods, index = np.unique(stamps, return_inverse=True)
    cells = index * n_actions + actions
    counts = np.bincount(cells, minlength=len(periods) * n_actions)
    table = counts.reshape(len(periods), n_actions)
    return periods.astype(np.int32), table.astype(np.int32)


def profits(episodes: Sequence[Episode]) -> FloatArray:
    """Profit of each episode in cents, float64 [n]."""
    return np.array([e.figures.profit_cents for e in episodes], np.float64)


def events(episodes: Sequence[Episode]) -> list[str]:
    """The event of each episode's market."""
    return [event_of(e.view) for e in episodes]


def event_of(view: MarketSessionView) -> str:
    """What moves together: the event, or the market itself where none is known."""
    return view.event or view.market_ticker


def total_curve(tape: Tape, episodes: Sequence[Episode]) -> tuple[Int64Array, Int64Array]:
    """All episodes' profit together over time.

    Args:
        tape: what was played.
        episodes: with their curves.

    Returns:
        int64 [k] times in ms since 1970 UTC, and int64 [k] twice the profit in tape units.
    """
    ts, change = [], []
    for e in episodes:
        tape.will_read([e.index])
        ts.append(tape.ts_ms[e.view.start + e.curve_rows[1:]])
        change.append(np.diff(e.curve_equity2))
    when = np.concatenate(ts)
    order = np.argsort(when, kind="stable")
    # Sessions of many markets have several changes in a millisecond: the last one counts.
    sums = np.cumsum(np.concatenate(change)[order])
    last = np.flatnonzero(np.append(np.diff(when[order]) > 0, True))
    return when[order][last], sums[last]


def summarise(
    tape: Tape,
    episodes: Sequence[Episode],
    cash_start: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> TotalFigures:
    """The figures of all episodes together.

    Args:
        tape: the markets.
        episodes: one each, at least one.
        cash_start: of each episode, in cents.
        confidence: of the interval.
        resamples: of the bootstrap over events.
        seed: of the bootstrap.
    """
    profit = profits(episodes)
    rows = [e.figures for e in episodes]
    sums = [e.sums for e in episodes]
    interval = mean_interval(
        profit, events(episodes), confidence=confidence, resamples=resamples, seed=seed
    )
    _, curve2 = total_curve(tape, episodes)
    cent2 = 2 * money_per_cent(tape.payout)
    contracts = sum(s.contracts for s in sums)
    markouts = [
        ratio(
            sum(s.marks.markout_cents[k] for s in sums),
            sum(s.marks.markout_contracts[k] for s in sums),
        )
        for k in range(len(HORIZONS_S))
    ]
    names = list(rows[0].actions)
    actions = [sum(s.actions[i] for s in sums) for i in range(len(names))]
    return TotalFigures(
        markets=len(episodes),
        events=len(set(events(episodes))),
        profit_cents=float(profit.sum()),
        profit_per_market_cents=interval.mean,
        profit_per_market_low_cents=interval.low,
        profit_per_market_high_cents=interval.high,
        return_on_capital=float(profit.sum()) / (cash_start * len(episodes)),
        sharpe=sharpe(profit),
        win_rate=float((profit > 0).mean()),
        losing_rate=float((profit < 0).mean()),
        max_drawdown_cents=max_drawdown(np.concatenate([[0], curve2])) / cent2,
        worst_market_drawdown_cents=max(r.max_drawdown_cents for r in rows),
        worst_market_profit_cents=float(profit.min()),
        best_market_profit_cents=float(profit.max()),
        fees_cents=sum(r.fees_cents for r in rows),
        closed_cents=sum(r.closed_cents for r in rows),
        settled_cents=sum(r.settled_cents for r in rows),
        marked_cents=sum(r.marked_cents for r in rows),
        fills=sum(r.fills for r in rows),
        contracts=contracts,
        turnover_cents=sum(r.turnover_cents for r in rows),
        maker_share=ratio(sum(s.maker_contracts for s in sums), contracts),
        spread_capture_cents=ratio(sum(s.marks.spread_cents for s in sums), contracts),
        markout_1s_cents=markouts[0],
        markout_10s_cents=markouts[1],
        markout_60s_cents=markouts[2],
        inventory_mean=ratio(sum(s.held_ms for s in sums), sum(s.ms for s in sums)) or 0.0,
        inventory_max=max(r.inventory_max for r in rows),
        invalid_actions=sum(r.invalid_actions for r in rows),
        actions={name: n / sum(actions) for name, n in zip(names, actions, strict=True)},
    )
