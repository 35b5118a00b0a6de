"""The tape: every view's rows back to back in flat arrays, built once, shared by everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, SupportsIndex
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import NoViewsError
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule, FeeTerms, chosen_schedule
from kalshi_sim.kernels import layout
from kalshi_sim.kernels import replay as kernel
from kalshi_sim.kernels.jit import say_if_compiling
from kalshi_sim.kernels.tops import empty_tops, tops_fit, write_tops
from kalshi_sim.market_state import (
    fee_terms,
    in_unit,
    market_payout,
    off_grid,
    pause_times,
    states_of_rows,
    taker_updates,
)
from kalshi_sim.quality import event_columns
from kalshi_sim.session import EventKind, Events, MarketInfo, Session
from kalshi_sim.units import (
    PAYOUT_CENT,
    PAYOUT_FINE,
    STORED_PER_CENT,
    stored_per_money,
)
from kalshi_sim.views import MarketSessionView, SkippedView, view_tables

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

__all__ = [
    "MarketSessionView",
    "SkippedView",
    "Tape",
    "build_tape",
    "decide_payout",
    "known_settlement",
    "make_market_replay",
    "utc_offset_ms",
]

_EASTERN: Final = ZoneInfo("America/New_York")


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """Flat, read-only arrays of all rows; docs/contract.md#3-rows-views-tapes defines them.

    payout is what a winning contract pays, in the tape's money unit. Shapes: ts_ms int64 [rows]
    · px, qty int64 [rows, 2, depth] (best first, zero-padded; side 0 YES bids, 1 NO bids) ·
    mark2 int64 [rows] (twice the mark of YES) · features float32 [rows, 40] (0-34, then 47-51) ·
    flow_offsets int64 [rows + 1] · flow int64 [entries, 5] (side, price, and the whole contracts
    removed, added, traded since the row before; by side and price) · states int32 [rows] (which of
    its view's `states` a row is in).
    """

    payout: int
    depth: int
    row_interval_ms: int
    min_episode_length: int
    ts_ms: Int64Array
    px: Int64Array
    qty: Int64Array
    mark2: Int64Array
    features: Float32Array
    flow_offsets: Int64Array
    flow: Int64Array
    views: tuple[MarketSessionView, ...]
    skipped: tuple[SkippedView, ...] = ()
    tops: Int64Array = field(default_factory=lambda: empty_tops(0), repr=False)
    """int64 [rows, N_TOP] the tops of the rows (`layout.T_*`); made of the above if not equal."""
    states: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    """If not given, every row is in its view's first state."""
    arrays: layout.TapeArrays = field(init=False, repr=False)
    """The same, as kernels read it."""
    saved_in: Path | None = field(init=False, default=None, repr=False)
    """The folder whose files this tape maps, set by `tape_cache.open_tape`."""

    def __post_init__(self) -> None:
        if len(self.states) == 0:
            object.__setattr__(self, "states", np.zeros(len(self.ts_ms), np.int32))
        gate.check_tape(self)
        rows = (self.ts_ms, self.mark2, self.flow_offsets, self.px, self.qty)
        if not tops_fit(self.tops, *rows):
            tops = empty_tops(len(self))
            write_tops(tops, *rows)
            object.__setattr__(self, "tops", tops)
        self._set_arrays()

    def _set_arrays(self) -> None:
        views, bands, pauses = view_tables(self.views)
        columns = (self.tops, self.px, self.qty, self.features, self.states, self.flow)
        arrays = layout.TapeArrays(*columns, views, bands, pauses)
        for array in (*arrays, self.ts_ms, self.mark2, self.flow_offsets):
            array.flags.writeable = False
        object.__setattr__(self, "arrays", arrays)

    def __len__(self) -> int:
        return len(self.ts_ms)

    def __repr__(self) -> str:
        sessions = ", ".join(str(i) for i in sorted({v.session_id for v in self.views}))
        return (
            f"Tape(session {sessions}: {len(self.views):,} views, {len(self):,} rows of "
            f"{self.row_interval_ms} ms, depth {self.depth}, payout {self.payout}, "
            f"{len(self.skipped):,} markets skipped)"
        )

    @property
    def flow_side(self) -> Int64Array:
        """int64 [entries] side of each flow entry."""
        return self.flow[:, layout.FLOW_SIDE]

    @property
    def flow_price(self) -> Int64Array:
        """int64 [entries] price of each flow entry."""
        return self.flow[:, layout.FLOW_PRICE]

    @property
    def flow_removed(self) -> Int64Array:
        """int64 [entries] whole contracts removed."""
        return self.flow[:, layout.FLOW_REMOVED]

    @property
    def flow_added(self) -> Int64Array:
        """int64 [entries] whole contracts added."""
        return self.flow[:, layout.FLOW_ADDED]

    @property
    def flow_traded(self) -> Int64Array:
        """int64 [entries] whole contracts of `removed` that are known trades."""
        return self.flow[:, layout.FLOW_TRADED]

    @property
    def row_bytes(self) -> float:
        """Bytes a row takes, its flow apart."""
        single = (self.ts_ms, self.mark2, self.flow_offsets)
        rows = (*single, *self.arrays[: layout.TapeArrays._fields.index("flow")])
        return sum(c.nbytes for c in rows) / max(1, len(self))

    def select(self, views: Sequence[int]) -> Tape:
        """A tape of only these views, by index, in this order; it shares all arrays.

        Raises:
            ConfigError: an index is no whole number, or there is no such view.
        """
        chosen = gate.check_indices("the selected views", views, len(self.views))
        return self._with_views(tuple(self.views[i] for i in chosen.tolist()))

    def _with_views(self, views: tuple[MarketSessionView, ...]) -> Tape:
        made = object.__new__(Tape)
        made.__dict__.update(self.__dict__)  # the arrays were checked when this tape was made
        object.__setattr__(made, "views", views)
        made._set_arrays()
        return made

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """A mapped tape is pickled as where it lies, so that a process gets it at no cost."""
        if self.saved_in is None:
            return super().__reduce_ex__(protocol)
        return _reopen, (self.saved_in, self.views)


def _reopen(folder: Path, views: tuple[MarketSessionView, ...]) -> Tape:
    from kalshi_sim.tape_cache import open_tape

    tape = open_tape(folder)
    for view in views:
        gate.check_view(view, len(tape))
    return tape._with_views(views)


def utc_offset_ms(ts_ms: int) -> int:
    """US Eastern time minus UTC at a time, in ms."""
    offset = datetime.fromtimestamp(ts_ms // 1000, UTC).astimezone(_EASTERN).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) * 1000


def decide_payout(sessions: Sequence[Session], schedule: FeeSchedule = DEFAULT_SCHEDULE) -> int:
    """100 if every price, settlement value, tick and fee unit is a whole cent, else 10 000."""
    for session in sessions:
        for market in session.markets:
            if market_payout(market, session.first_book_ms, schedule) == PAYOUT_FINE:
                return PAYOUT_FINE
        priced = session.events.kind != EventKind.GAP
        if np.any(session.events.price[priced] % STORED_PER_CENT):
            return PAYOUT_FINE
    return PAYOUT_CENT


def known_settlement(session: Session, market: MarketInfo) -> int | None:
    """The market's settlement value in 1/100 cent if known by the session's last message."""
    known = market.settlement_known_ms
    if known is not None and known > session.last_message_ms:
        return None
    return market.settlement_value


def _rows_at_most(events: Events, row_interval_ms: int) -> int:
    """An upper bound of a market's rows: changes of the interval in stream order."""
    book = (events.kind != EventKind.TRADE) & (events.kind != EventKind.GAP)
    intervals = events.ts_ms[book] // row_interval_ms
    return int(np.count_nonzero(np.diff(intervals))) + min(1, len(intervals))


@dataclass(frozen=True)
class _Job:
    """One market to replay."""

    session: Session
    market: MarketInfo
    index: int
    start: int
    stop: int
    most_rows: int
    terms: FeeTerms
    schedule: FeeSchedule


def _plan(
    sessions: Sequence[Session],
    row_interval_ms: int,
    schedule: FeeSchedule,
) -> list[_Job]:
    jobs = []
    for session in sessions:
        offsets = session.market_offsets.tolist()
        for i, market in enumerate(session.markets):
            events = session.events[slice(offsets[i], offsets[i + 1])]
            most = _rows_at_most(events, row_interval_ms)
            terms = fee_terms(market, session.first_book_ms, session.first_book_ms, schedule)
            jobs.append(_Job(session, market, i, offsets[i], offsets[i + 1], most, terms, schedule))
    return jobs


def make_market_replay(
    market: MarketInfo,
    *,
    payout: int,
    row_interval_ms: int,
    first_book_ms: int,
    terms: FeeTerms,
    history_rows: int,
) -> kernel.Replay:
    """A fresh replay of one market, as the tape and a live market both use it."""
    return kernel.make_replay(
        payout=payout,
        row_interval_ms=row_interval_ms,
        session_first_ms=first_book_ms,
        utc_offset_ms=utc_offset_ms(first_book_ms),
        taker_multiplier=terms.taker_multiplier,
        close_ms=market.close_time_ms,
        close_updates=market.close_updates,
        history_rows=history_rows,
        taker_updates=taker_updates(market, terms),
    )


def _skip_reason(rows: int, after_close: int, min_episode_length: int, job: _Job) -> str:
    kinds = job.session.events.kind[job.start : job.stop]
    if after_close:
        return f"{rows} rows before the close time, {after_close} after; needs {min_episode_length}"
    if not np.any(kinds == EventKind.SNAPSHOT):
        return "no snapshot of the book, so no row"
    return f"{rows} rows; needs {min_episode_length}"


def _make_view(
    job: _Job, payout: int, start: int, after_close: int, rows: kernel.Rows, states: Int32Array
) -> MarketSessionView:
    """The view of a replayed market from its `rows`; writes their `states` [rows]."""
    per_money = stored_per_money(payout)
    session, market = job.session, job.market
    settlement = known_settlement(session, market)
    found, index = states_of_rows(market, job.terms, rows.ts_ms[: len(states)])
    in_money = tuple(replace(s, tick_bands=in_unit(s.tick_bands, per_money)) for s in found)
    states[:] = index
    first = in_money[0]
    first_row_ms = int(rows.ts_ms[0])
    terms = fee_terms(market, session.first_book_ms, first_row_ms, job.schedule)
    return MarketSessionView(
        session_id=session.session_id,
        market_ticker=market.ticker,
        start=start,
        stop=start + len(states),
        event=market.event,
        settlement_value=None if settlement is None else settlement // per_money,
        taker_multiplier=first.taker_multiplier,
        maker_multiplier=first.maker_multiplier,
        fee_unit=terms.fee_unit // per_money,
        tick_bands=first.tick_bands,
        paused=first.paused,
        later_states=in_money[1:],
        pauses=pause_times(market),
        off_grid=off_grid(rows.px[: len(states), :, 0], in_money, states, payout),
        utc_offset_ms=utc_offset_ms(session.first_book_ms),
        first_book_ms=session.first_book_ms,
        trades_recorded=session.trades_recorded,
        rows_after_close=after_close,
    )


def build_tape(
    sessions: Sequence[Session],
    options: TapeOptions | None = None,
    *,
    min_episode_length: int | None = None,
    depth: int | None = None,
    row_interval_ms: int | None = None,
    fee_schedule: FeeSchedule | None = None,
    market_filter: Callable[[MarketInfo], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tape:
    """Replay sessions into a tape.

    Args:
        sessions: what to replay; their markets become views in this order.
        options: how; by default `TapeOptions()`. The three arguments after it change one option
            each.
        min_episode_length: fewest rows a view may have (at least 3).
        depth: levels a side that a row keeps.
        row_interval_ms: events within the same interval of this length form one row.
        fee_schedule: dated fees, by default those of the options' file or the published ones; what
            a market's metadata says itself goes before them.
        market_filter: markets for which it is False are left out.
        progress: called with (events done, events in all) after each market.

    Raises:
        ConfigError: an option is outside its range.
        NoViewsError: no market has enough rows.
        DataError: a session holds events that cannot be right.
    """
    options = (options or TapeOptions()).changed(
        min_episode_length=min_episode_length, depth=depth, row_interval_ms=row_interval_ms
    )
    shortest, interval_ms = options.min_episode_length, options.row_interval_ms
    if not sessions:
        raise NoViewsError("no sessions given; load at least one")
    for session in sessions:
        gate.check_session(session)
    say_if_compiling("apply_events", "the replay")
    if market_filter is not None:
        keep = market_filter
        sessions = [s.select([m.ticker for m in s.markets if keep(m)]) for s in sessions]
    schedule = chosen_schedule(fee_schedule, options.fee_schedule)
    payout = decide_payout(sessions, schedule)
    jobs = _plan(sessions, interval_ms, schedule)
    deltas = sum(int(np.count_nonzero(s.events.kind == EventKind.DELTA)) for s in sessions)
    out = kernel.make_rows(sum(j.most_rows for j in jobs), deltas, options.depth)
    states = np.zeros(len(out.ts_ms), np.int32)
    n_rows = n_flow = done = 0
    total = sum(j.stop - j.start for j in jobs)
    views: list[MarketSessionView] = []
    skipped: list[SkippedView] = []
    columns: dict[int, kernel.EventColumns] = {}
    for job in jobs:
        key = id(job.session)
        if key not in columns:
            columns = {key: event_columns(job.session.events, payout)}
        replay = make_market_replay(
            job.market,
            payout=payout,
            row_interval_ms=interval_ms,
            first_book_ms=job.session.first_book_ms,
            terms=job.terms,
            history_rows=job.most_rows,
        )
        rows = kernel.rows_from(out, n_rows, n_flow)
        kernel.apply_events(replay, columns[key], job.start, job.stop, rows, True)
        kernel.close_row(replay, rows, True)
        made = int(replay.state[kernel.ROWS])
        after_close = int(replay.counts[kernel.AFTER_CLOSE])
        if made >= shortest:
            of_view = states[n_rows : n_rows + made]
            views.append(_make_view(job, payout, n_rows, after_close, rows, of_view))
            out.flow_end[n_rows : n_rows + made] += n_flow
            out.tops[n_rows : n_rows + made, layout.T_FLOW : layout.T_FLOW_END + 1] += n_flow
            n_rows += made
            n_flow += int(replay.state[kernel.FLOWS])
        else:
            reason = _skip_reason(made, after_close, shortest, job)
            skipped.append(SkippedView(job.session.session_id, job.market.ticker, made, reason))
        done += job.stop - job.start
        if progress is not None:
            progress(done, total)
    if not views:
        raise NoViewsError(_no_views_message(sessions, skipped, shortest))
    return Tape(
        payout=payout,
        depth=options.depth,
        row_interval_ms=interval_ms,
        min_episode_length=shortest,
        ts_ms=out.ts_ms[:n_rows],
        px=out.px[:n_rows],
        qty=out.qty[:n_rows],
        mark2=out.mark2[:n_rows],
        features=out.features[:n_rows],
        flow_offsets=np.concatenate([np.zeros(1, np.int64), out.flow_end[:n_rows]]),
        flow=out.flow[:n_flow],
        views=tuple(views),
        skipped=tuple(skipped),
        tops=out.tops[:n_rows],
        states=states[:n_rows],
    )


def _no_views_message(
    sessions: Sequence[Session], skipped: Sequence[SkippedView], min_episode_length: int
) -> str:
    ids = ", ".join(str(s.session_id) for s in sessions)
    best = max(skipped, key=lambda s: s.rows, default=None)
    longest = "" if best is None else f" (the longest, {best.market_ticker}: {best.reason})"
    return (
        f"no market of session {ids} has at least {min_episode_length} rows{longest}; "
        "lower min_episode_length or choose another session"
    )
