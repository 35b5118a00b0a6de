"""The gap between simulation and exchange: each order as it was filled, and as models fill it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.errors import NoViewsError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.kernels.layout import BEYOND_DEPTH
from kalshi_sim.session import EventKind, Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT, mirror
from kalshi_train.trading.legs import legs_of
from kalshi_train.trading.log import read_log
from kalshi_train.trading.predict import MODELS, Predicted, Predictor, with_trades_of_own
from kalshi_train.trading.recording import lines_of, recording_of, segments_of, sends_orders
from kalshi_train.trading.stream import Stream, StreamOrder

_FIRST = 20
"""So many orders that break a bound are described."""


@dataclass
class ModelGap:
    """One fill model against the exchange; sizes in 1/100 contract."""

    predicted: int = 0
    """Filled by the model."""
    matched: int = 0
    """Filled by both, order by order."""
    early: int = 0
    """Filled by the model before the exchange filled it."""
    more: int = 0
    """Filled by the model and never by the exchange."""
    missed: int = 0
    """Filled by the exchange and never by the model."""
    missed_alone: int = 0
    """Of these, met by orders that no book showed: the doing of the order itself."""
    delays_ms: list[tuple[int, int]] = field(default_factory=list)
    """(ms later than the exchange, size)."""
    profit: int = 0
    """Twice the profit, in 1/100 cent times 1/100 contract."""
    profit_resting: int = 0
    """Of this, that of orders which took nothing at the exchange."""
    ahead: list[tuple[int, int]] = field(default_factory=list)
    """(predicted, by the exchange) contracts in front of orders that rest in both."""


@dataclass
class Gap:
    """What a run's orders came to at the exchange and under each fill model."""

    orders: int = 0
    markets: int = 0
    real: int = 0
    """Filled by the exchange, 1/100 contract."""
    taken: int = 0
    """Of these, by taking what rested."""
    alone: int = 0
    """Of these, by orders that no book showed, for they met the run's own."""
    profit: int = 0
    profit_resting: int = 0
    unseen: int = 0
    """Filled after the book was lost, 1/100 contract: an order is compared up to a gap."""
    not_compared: int = 0
    """Orders that came where there was no book, or of which the recording has no frame."""
    shared: int = 0
    """Orders that came or ended within a millisecond of the book."""
    models: dict[str, ModelGap] = field(default_factory=lambda: {m: ModelGap() for m in MODELS})
    described: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The figures, as JSON has them: contracts, cents and ms."""
        return {
            "orders": self.orders,
            "markets": self.markets,
            "contracts": self.real / SIZE_SCALE,
            "taken": self.taken / SIZE_SCALE,
            "own_impact": self.alone / SIZE_SCALE,
            "profit_cents": _cents(self.profit),
            "profit_resting_cents": _cents(self.profit_resting),
            "after_a_gap": self.unseen / SIZE_SCALE,
            "not_compared": self.not_compared,
            "shared_millisecond": self.shared,
            "models": {name: self._model(gap) for name, gap in self.models.items()},
            "described": self.described,
        }

    def _model(self, gap: ModelGap) -> dict[str, Any]:
        delays = [ms for ms, size in gap.delays_ms for _ in range(max(1, size // SIZE_SCALE))]
        errors = [predicted - real for predicted, real in gap.ahead if predicted < BEYOND_DEPTH]
        return {
            "contracts": gap.predicted / SIZE_SCALE,
            "recall": gap.matched / self.real if self.real else None,
            "precision": gap.matched / gap.predicted if gap.predicted else None,
            "delay_ms_median": median(delays) if delays else None,
            "early": gap.early / SIZE_SCALE,
            "more": gap.more / SIZE_SCALE,
            "missed": gap.missed / SIZE_SCALE,
            "missed_own_impact": gap.missed_alone / SIZE_SCALE,
            "profit_cents": _cents(gap.profit),
            "profit_resting_cents": _cents(gap.profit_resting),
            "places": len(errors),
            "place_error_median": median(errors) if errors else None,
            "place_error_mean_abs": sum(map(abs, errors)) / len(errors) if errors else None,
        }


def _cents(doubled: int) -> float:
    return doubled / 2 / SIZE_SCALE / STORED_PER_CENT


def gap_of(run: Path) -> Gap | None:
    """The gap of a run.

    Args:
        run: its folder.

    Returns:
        It; None: the run sent no orders.

    Raises:
        ConfigError: there is no such run, or its log was changed.
        DataError: the recording cannot be read.
    """
    legs = [leg for leg in legs_of(read_log(run)) if sends_orders(leg[0])]
    if not legs:
        return None
    gap = Gap()
    for leg in legs:
        _leg(run, leg, gap)
    return gap


def _leg(run: Path, lines: list[dict[str, Any]], gap: Gap) -> None:
    stream = Stream(lines)
    recorded = (line for path in segments_of(run, lines[0]) for line in lines_of(path))
    orders = stream.read(recorded)
    gap.not_compared += len(stream.orders) - len(orders)
    if not orders:
        return
    with recording_of(run, lines) as segments:
        session = import_captures(segments, session_id=1)
    session = session.select([m.ticker for m in session.markets if m.ticker in _tickers(orders)])
    tape = _tape(with_trades_of_own(session, orders), lines)
    if tape is None:
        gap.not_compared += len(orders)
        return
    config = SimConfig(**lines[0]["config"])
    views = {view.market_ticker: i for i, view in enumerate(tape.views)}
    by_market: defaultdict[str, list[StreamOrder]] = defaultdict(list)
    for order in orders:
        by_market[order.ticker].append(order)
    for ticker, own in by_market.items():
        if ticker not in views:
            gap.not_compared += len(own)
            continue
        gap.markets += 1
        predictor = Predictor(tape, views[ticker], config)
        _market(own, predictor, _gaps(session, ticker), _mark2(tape, views[ticker]), gap)


def _tickers(orders: Sequence[StreamOrder]) -> set[str]:
    return {order.ticker for order in orders}


def _tape(session: Session, lines: list[dict[str, Any]]) -> Tape | None:
    payout = next((line["payout"] for line in lines if line["t"] == "book"), None)
    options = TapeOptions(**(lines[0]["tape"] | {"row_interval_ms": 1}))
    try:
        return build_tape(session, min_episode_length=3, options=options, payout=payout)
    except NoViewsError:
        return None


def _gaps(session: Session, ticker: str) -> list[int]:
    """Times at which a book was lost, but for the end of the recording."""
    number = [market.ticker for market in session.markets].index(ticker)
    rows = slice(int(session.market_offsets[number]), int(session.market_offsets[number + 1]))
    events = session.events[rows]
    at = np.flatnonzero(events.kind == EventKind.GAP)
    book = np.flatnonzero(events.kind == EventKind.DELTA)
    last = int(book[-1]) if len(book) else -1
    return [int(events.ts_ms[i]) for i in at if i < last]


def _mark2(tape: Tape, view: int) -> int:
    """Twice the last mark of YES, in 1/100 cent."""
    return int(tape.mark2[tape.views[view].stop - 1]) * (PRICE_SCALE // tape.payout)


def _market(
    orders: list[StreamOrder], predictor: Predictor, gaps: list[int], mark2: int, gap: Gap
) -> None:
    for order in orders:
        came = order.arrived_ms or 0
        # Of the millisecond in which a book was lost only a part is known.
        lost = min((ms - 1 for ms in gaps if ms >= came), default=predictor.times[-1])
        until = predictor.times[max(0, predictor.row_at(lost))]
        unheard = any(came <= ms <= order.came_ms for ms in gaps) or not order.silent
        unknown = not order.heard and unheard
        predicted = None if unknown else predictor.play(order, until)
        if predicted is None:
            gap.not_compared += 1
            gap.unseen += order.filled
        else:
            _order(order, predicted, predictor, mark2, gap, until)


def _order(
    order: StreamOrder,
    predicted: Predicted,
    predictor: Predictor,
    mark2: int,
    gap: Gap,
    until_ms: int,
) -> None:
    seen = [fill for fill in order.fills if fill.ms <= until_ms or fill.taker]
    real = sorted((fill.ms, fill.price, fill.count, fill.fee) for fill in seen)
    filled = sum(fill.count for fill in seen)
    gap.orders += 1
    gap.shared += order.shared
    gap.real += filled
    gap.unseen += order.filled - filled
    gap.taken += sum(fill.count for fill in seen if fill.taker)
    alone = sum(order.alone[fill.trade_id] for fill in seen)
    gap.alone += alone
    worth2 = mark2 if order.side == 0 else mirror(mark2, 2 * PRICE_SCALE)
    earned = _profit(real, worth2)
    rested = not any(fill.taker for fill in seen)
    gap.profit += earned
    gap.profit_resting += earned * rested
    for number, name in enumerate(MODELS):
        model, fills = gap.models[name], predicted.fills[number]
        size = sum(fill[2] for fill in fills)
        model.predicted += size
        model.matched += min(size, filled)
        model.more += max(0, size - filled)
        missed = max(0, filled - size)
        model.missed += missed
        model.missed_alone += min(missed, alone)
        earned = _profit(fills, worth2)
        model.profit += earned
        model.profit_resting += earned * rested
        early = _compare_times(fills, real, model)
        model.early += early
        broken = (early or size > filled) if name == "through" else missed
        if broken and name in ("through", "touch") and len(gap.described) < _FIRST:
            gap.described.append(
                f"{name} {order.ticker} {order.client_order_id}: model {fills}, exchange {real}, "
                f"came {order.arrived_ms}, ended {order.ended_ms}, shared {order.shared}, "
                f"alone {alone}"
            )
        for ms, ahead in order.places:
            found = predicted.ahead.get(predictor.row_at(ms))
            if found is not None and found[number] >= 0:
                model.ahead.append((found[number], ahead // SIZE_SCALE))


def _profit(fills: Sequence[tuple[int, int, int, int]], worth2: int) -> int:
    return sum(size * (worth2 - 2 * price) - 2 * fee * SIZE_SCALE for _, price, size, fee in fills)


def _compare_times(
    fills: Sequence[tuple[int, int, int, int]],
    real: Sequence[tuple[int, int, int, int]],
    model: ModelGap,
) -> int:
    """Pair contracts first to first; how many the model filled before the exchange did."""
    early = 0
    left = [[ms, size] for ms, _, size, _ in real]
    for ms, _, size, _ in fills:
        while size and left:
            part = min(size, left[0][1])
            late = ms - left[0][0]
            model.delays_ms.append((late, part))
            early += part if late < 0 else 0
            size -= part
            left[0][1] -= part
            if left[0][1] == 0:
                left.pop(0)
    return early
