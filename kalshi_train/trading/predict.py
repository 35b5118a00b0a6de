"""What fill models say of single orders: each alone, arrived where it arrived at the exchange."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kalshi_sim.config import FillModel, SimConfig
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.entry import enter_order
from kalshi_sim.kernels.trading import view_at
from kalshi_sim.live.band import Band, settings_of_band
from kalshi_sim.session import EventKind, Events, Session
from kalshi_sim.tape import Tape
from kalshi_sim.units import SIZE_SCALE, stored_per_money
from kalshi_train.trading.stream import StreamOrder
from kalshi_train.trading.verify import endless

MODELS: tuple[FillModel, ...] = ("through", "queue", "prob", "touch")
_PLENTY_CENTS = 10**9
"""No order of the exchange is cut for lack of cash."""


@dataclass
class Predicted:
    """An order under each fill model."""

    fills: list[list[tuple[int, int, int, int]]] = field(
        default_factory=lambda: [[] for _ in MODELS]
    )
    """By model: time (ms), price (1/100 cent), size (1/100 contract), fee (1/100 cent)."""
    ahead: dict[int, list[int]] = field(default_factory=dict)
    """By row: contracts ahead, by model; -1: it no longer rests."""


def with_trades_of_own(session: Session, orders: Sequence[StreamOrder]) -> Session:
    """The session with the trades in which orders alone met others' orders.

    The book without own orders has no contracts that such a trade could have removed, so it would
    be lost to every fill model although the feed has it: the contracts come and go within it.

    Args:
        session: as imported, without own orders.
        orders: of the run.
    """
    added: dict[str, list[tuple[int, int, int, int]]] = {}
    for order in orders:
        for fill in order.fills:
            if order.alone[fill.trade_id]:
                what = (fill.ms, order.side, fill.price, fill.count)
                added.setdefault(order.ticker, []).append(what)
    parts = []
    for i, market in enumerate(session.markets):
        rows = slice(int(session.market_offsets[i]), int(session.market_offsets[i + 1]))
        parts.append(_with_trades(session.events[rows], sorted(added.get(market.ticker, []))))
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return replace(session, events=Events.concatenate(parts), market_offsets=offsets)


def _with_trades(events: Events, added: list[tuple[int, int, int, int]]) -> Events:
    out, start = [], 0
    book = np.flatnonzero(events.kind != EventKind.TRADE)
    for ms, side, price, size in added:
        later = book[events.ts_ms[book] > ms]
        at = max(start, int(later[0]) if len(later) else len(events))
        pair = Events.from_columns(
            kind=[EventKind.DELTA, EventKind.DELTA],
            side=[side, side],
            price=[price, price],
            size=[size, -size],
            ts_ms=[ms, ms],
            traded=[0, size],
        )
        out += [events[slice(start, at)], pair]
        start = at
    return Events.concatenate([*out, events[slice(start, len(events))]])


class Predictor:
    """Plays orders against the rows of one market."""

    def __init__(self, tape: Tape, view: int, config: SimConfig) -> None:
        """Play nothing yet.

        Args:
            tape: the book without own orders.
            view: number of the market's view.
            config: settings of the run; its fill model is replaced.
        """
        config = replace(
            config, cash_start=_PLENTY_CENTS, latency_ms=0, history=1, time_in_force="gtc"
        )
        self._arrays = endless(tape)
        self._view = view
        self._first = tape.views[view].start
        self._depth = tape.depth
        self._per_money = stored_per_money(tape.payout)
        self.times: list[int] = tape.ts_ms[self._first : tape.views[view].stop].tolist()
        self._settings = settings_of_band(config, MODELS, tape)

    def row_at(self, ms: int) -> int:
        """The last row that is not later than a time; -1: there is none.

        Args:
            ms: the time.
        """
        return bisect.bisect_right(self.times, ms) - 1

    def play(self, order: StreamOrder, until_ms: int) -> Predicted | None:
        """An order under each fill model.

        Args:
            order: it.
            until_ms: after it the book is not known.

        Returns:
            What fills it; None: it came before the first row.
        """
        assert order.arrived_ms is not None
        row = self.row_at(order.arrived_ms)
        if row < 0:
            return None
        last = self.row_at(until_ms)
        if order.ended_ms is not None and order.filled < order.count:
            last = min(last, self.row_at(order.ended_ms))
        band = Band(self._settings, self._depth, 1)
        band.start(self._arrays, self._view)
        out = Predicted()
        self._enter(band, order, row)
        if order.once:
            band.cancel()
        self._note(out, band, row, order.came_ms)
        while row < last and band.agents.core[:, [layout.A_SIZE, layout.A_SIZE_NO]].any():
            band.step(self._arrays, layout.HOLD)
            row += 1
            # What the order took is no longer in the exchange's book either.
            band.agents.core[:, [layout.A_CONSUMED, layout.A_CONSUMED_NO]] = 0
            self._note(out, band, row, self.times[row])
        return out

    def _enter(self, band: Band, order: StreamOrder, row: int) -> None:
        arrays, at = self._arrays, self._first + row
        for i, settings in enumerate(band.settings):
            core = band.agents.core[i]
            core[layout.A_ROW] = at
            view = arrays.views[view_at(arrays, self._view, at)]
            enter_order(
                arrays,
                view,
                core,
                band.agents.consumed[i],
                band.agents.records[i],
                settings.ints,
                at,
                order.side,
                order.price // self._per_money,
                order.count // SIZE_SCALE,
                order.arrived_ms or 0,
            )

    def _note(self, out: Predicted, band: Band, row: int, ms: int) -> None:
        per = self._per_money
        for model, fills in enumerate(band.fills()):
            for fill in fills:
                price, size, fee = (
                    fill[layout.R_PRICE],
                    fill[layout.R_QTY],
                    fill[layout.R_FEE],
                )
                out.fills[model].append((ms, price * per, size * SIZE_SCALE, fee * per))
        core = band.agents.core
        rests = core[:, [layout.A_SIZE, layout.A_SIZE_NO]].sum(axis=1) > 0
        ahead = core[:, [layout.A_AHEAD, layout.A_AHEAD_NO]].sum(axis=1)
        out.ahead[row] = np.where(rests, ahead, -1).tolist()
