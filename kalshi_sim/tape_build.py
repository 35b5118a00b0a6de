"""Building a tape: sessions are replayed market by market into rows and views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError, DataError, NoViewsError
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule, FeeTerms, chosen_schedule
from kalshi_sim.kernels import layout, replay_state
from kalshi_sim.kernels import replay as kernel
from kalshi_sim.kernels.jit import say_if_compiling
from kalshi_sim.kernels.rows import MAX_SIZE, RowViews, row_views
from kalshi_sim.market_state import (
    fee_terms,
    in_unit,
    market_payout,
    off_grid,
    pause_times,
    states_of_rows,
    taker_updates,
)
from kalshi_sim.parallel import in_order
from kalshi_sim.quality import event_columns
from kalshi_sim.session import NO_TIME, EventKind, Events, MarketInfo, Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_join import Replayed
from kalshi_sim.tape_rows import best_of
from kalshi_sim.threads import usable_cpus
from kalshi_sim.units import (
    MS_PER_SECOND,
    PAYOUT_CENT,
    PAYOUT_FINE,
    STORED_PER_CENT,
    stored_per_money,
)
from kalshi_sim.views import MarketSessionView, SkippedView

_EASTERN: Final = ZoneInfo("America/New_York")


def utc_offset_ms(ts_ms: int) -> int:
    """US Eastern time minus UTC at a time, in ms."""
    offset = datetime.fromtimestamp(ts_ms // 1000, UTC).astimezone(_EASTERN).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) * 1000


def decide_payout(sessions: Sequence[Session], schedule: FeeSchedule = DEFAULT_SCHEDULE) -> int:
    """The money unit in which every price, settlement value, tick and fee unit is a whole number.

    Args:
        sessions: what the tape will hold.
        schedule: decides the fee units.

    Returns:
        Money units a winning contract pays: 100 (whole cents) or 10 000 (1/100 cents).
    """
    for session in sessions:
        for market in session.markets:
            if market_payout(market, session.first_book_ms, schedule) == PAYOUT_FINE:
                return PAYOUT_FINE
        priced = session.events.kind != EventKind.GAP
        if np.any(session.events.price[priced] % STORED_PER_CENT):
            return PAYOUT_FINE
    return PAYOUT_CENT


def known_settlement(session: Session, market: MarketInfo) -> int | None:
    """The market's settlement value in 1/100 cent if known by the session's last message.

    Args:
        session: decides until when something is known.
        market: one of its markets.
    """
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
    first_row: int
    """Where its rows are written, before they move up to those of the views before it."""
    first_flow: int
    terms: FeeTerms
    schedule: FeeSchedule


def _plan(
    sessions: Sequence[Session],
    row_interval_ms: int,
    schedule: FeeSchedule,
) -> list[_Job]:
    jobs: list[_Job] = []
    first_row = first_flow = 0
    for session in sessions:
        offsets = session.market_offsets.tolist()
        for i, market in enumerate(session.markets):
            events = session.events[slice(offsets[i], offsets[i + 1])]
            most = _rows_at_most(events, row_interval_ms)
            terms = fee_terms(market, session.first_book_ms, session.first_book_ms, schedule)
            jobs.append(
                _Job(
                    session=session,
                    market=market,
                    index=i,
                    start=offsets[i],
                    stop=offsets[i + 1],
                    most_rows=most,
                    first_row=first_row,
                    first_flow=first_flow,
                    terms=terms,
                    schedule=schedule,
                )
            )
            first_row += most
            first_flow += int(np.count_nonzero(events.kind == EventKind.DELTA))
    return jobs


def make_market_replay(
    market: MarketInfo,
    *,
    payout: int,
    depth: int,
    row_interval_ms: int,
    first_book_ms: int,
    terms: FeeTerms,
    history_rows: int,
) -> replay_state.Replay:
    """A fresh replay of one market, as the tape and a live market both use it.

    Args:
        market: its close time and fee changes are features' inputs.
        payout: money units a winning contract pays, 100 or 10 000.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
        first_book_ms: the session's first book event, in ms since 1970 UTC.
        terms: the market's fees before any change.
        history_rows: rows for which the past of the features has room at first.
    """
    return replay_state.make_replay(
        payout=payout,
        depth=depth,
        row_interval_ms=row_interval_ms,
        session_first_ms=first_book_ms,
        utc_offset_ms=utc_offset_ms(first_book_ms),
        taker_multiplier=terms.taker_multiplier,
        close_ms=market.close_time_ms,
        close_updates=market.close_updates,
        history_rows=history_rows,
        taker_updates=taker_updates(market, terms),
    )


def check_sizes(replay: replay_state.Replay, ticker: str) -> None:
    """Check that the rows of a market could hold every size they show.

    Args:
        replay: of one market; its note of a too large size is cleared.
        ticker: of the market, for the message.

    Raises:
        DataError: one was too large; that row was not written.
    """
    ts_ms = int(replay.state[replay_state.TOO_LARGE_MS])
    if ts_ms == NO_TIME:
        return
    replay.state[replay_state.TOO_LARGE_MS] = NO_TIME
    when = datetime.fromtimestamp(ts_ms / MS_PER_SECOND, UTC).isoformat(timespec="milliseconds")
    raise DataError(
        f"{ticker} shows a level of more than {MAX_SIZE:,} contracts at {when} ({ts_ms} ms), "
        "which no recorded market comes near; check the sizes of the recording"
    )


def _skip_reason(rows: int, after_close: int, min_episode_length: int, job: _Job) -> str:
    kinds = job.session.events.kind[job.start : job.stop]
    if after_close:
        return f"{rows} rows before the close time, {after_close} after; needs {min_episode_length}"
    if not np.any(kinds == EventKind.SNAPSHOT):
        return "no snapshot of the book, so no row"
    return f"{rows} rows; needs {min_episode_length}"


def _make_view(
    job: _Job, payout: int, start: int, after_close: int, rows: RowViews
) -> MarketSessionView:
    """The view of a replayed market from its rows; writes which state each is in."""
    per_money = stored_per_money(payout)
    session, market = job.session, job.market
    settlement = known_settlement(session, market)
    ts_ms = rows.i64[:, layout.ROW_TS]
    found, states = states_of_rows(market, job.terms, ts_ms)
    in_money = tuple(replace(s, tick_bands=in_unit(s.tick_bands, per_money)) for s in found)
    rows.i32[:, layout.ROW_STATE] = states
    first = in_money[0]
    first_row_ms = int(ts_ms[0])
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
        off_grid=off_grid(best_of(rows), in_money, states, payout),
        utc_offset_ms=utc_offset_ms(session.first_book_ms),
        first_book_ms=session.first_book_ms,
        trades_recorded=session.trades_recorded,
        rows_after_close=after_close,
    )


def build_tape(
    sessions: Session | Sequence[Session],
    options: TapeOptions | None = None,
    *,
    min_episode_length: int | None = None,
    depth: int | None = None,
    row_interval_ms: int | None = None,
    fee_schedule: FeeSchedule | None = None,
    payout: int | None = None,
    market_filter: Callable[[MarketInfo], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tape:
    """Replay sessions into a tape.

    Args:
        sessions: what to replay, one or several; their markets become views in this order.
        options: how; by default `TapeOptions()`. The three arguments after it change one option
            each.
        min_episode_length: fewest rows a view may have (at least 3).
        depth: levels a side that a row keeps.
        row_interval_ms: events within the same interval of this length form one row.
        fee_schedule: dated fees, by default those of the options' file or the published ones; what
            a market's metadata says itself goes before them.
        payout: what a winning contract pays in money units, 100 or 10 000; if omitted the coarsest
            in which everything is whole.
        market_filter: markets for which it is False are left out.
        progress: called with (events done, events in all) after each market.

    Returns:
        The tape; `skipped` names the markets left out, with the reason.

    Raises:
        ConfigError: an option is outside its range, or something stands there that is no session.
        NoViewsError: no market has enough rows.
        DataError: a session holds events that cannot be right.
    """
    options = (options or TapeOptions()).changed(
        min_episode_length=min_episode_length, depth=depth, row_interval_ms=row_interval_ms
    )
    sessions = gate.listed_sessions(sessions)
    if not sessions:
        raise NoViewsError("no sessions given; load at least one")
    for session in sessions:
        gate.check_session(session)
    say_if_compiling("apply_events", "the replay")
    if market_filter is not None:
        keep = market_filter
        sessions = [s.select([m.ticker for m in s.markets if keep(m)]) for s in sessions]
    made = replay_sessions(
        sessions, options, fee_schedule=fee_schedule, payout=payout, progress=progress
    )
    if not made.views:
        raise NoViewsError(
            no_views_message(
                [s.session_id for s in sessions], made.skipped, options.min_episode_length
            )
        )
    return Tape(
        payout=made.payout,
        depth=options.depth,
        row_interval_ms=options.row_interval_ms,
        min_episode_length=options.min_episode_length,
        rows=made.rows,
        flow=made.flow,
        views=tuple(made.views),
        skipped=tuple(made.skipped),
    )


def replay_sessions(
    sessions: Sequence[Session],
    options: TapeOptions,
    *,
    fee_schedule: FeeSchedule | None = None,
    payout: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Replay sessions, as `build_tape` does; no view at all is no error.

    Args:
        sessions: what to replay, checked.
        options: how.
        fee_schedule: as for `build_tape`.
        payout: as for `build_tape`.
        progress: as for `build_tape`.

    Returns:
        Rows, flow and views.

    Raises:
        ConfigError: the payout cannot be.
        DataError: a session holds events that cannot be right.
    """
    shortest, interval_ms = options.min_episode_length, options.row_interval_ms
    schedule = chosen_schedule(fee_schedule, options.fee_schedule)
    coarsest = decide_payout(sessions, schedule)
    if payout not in (None, PAYOUT_CENT, PAYOUT_FINE) or (payout or coarsest) < coarsest:
        raise ConfigError(
            f"payout={payout!r}: must be {PAYOUT_FINE}"
            + ("" if coarsest == PAYOUT_FINE else f" or {PAYOUT_CENT}")
        )
    payout = payout or coarsest
    jobs = _plan(sessions, interval_ms, schedule)
    deltas = sum(int(np.count_nonzero(s.events.kind == EventKind.DELTA)) for s in sessions)
    out = replay_state.make_rows(sum(j.most_rows for j in jobs), deltas, options.depth)
    n_rows = n_flow = done = 0
    total = sum(j.stop - j.start for j in jobs)
    views: list[MarketSessionView] = []
    skipped: list[SkippedView] = []

    def replayed(job: _Job) -> replay_state.Replay:
        """One market in its own part of `out`."""
        events = job.session.events[slice(job.start, job.stop)]
        replay = make_market_replay(
            job.market,
            payout=payout,
            depth=options.depth,
            row_interval_ms=interval_ms,
            first_book_ms=job.session.first_book_ms,
            terms=job.terms,
            history_rows=job.most_rows,
        )
        rows = replay_state.rows_from(out, job.first_row, job.first_flow)
        kernel.apply_events(replay, event_columns(events, payout), 0, len(events), rows, True)
        kernel.close_row(replay, rows, True)
        check_sizes(replay, job.market.ticker)
        return replay

    for job, replay in zip(jobs, in_order(jobs, replayed, usable_cpus()), strict=True):
        made = int(replay.state[replay_state.ROWS])
        flows = int(replay.state[replay_state.FLOWS])
        after_close = int(replay.counts[replay_state.AFTER_CLOSE])
        if made >= shortest:
            _move(out.i64, n_rows, job.first_row, made)
            _move(out.flow, n_flow, job.first_flow, flows)
            of_view = row_views(out.i64[n_rows : n_rows + made])
            views.append(_make_view(job, payout, n_rows, after_close, of_view))
            of_view.i64[:, layout.ROW_FLOW] += n_flow
            n_rows += made
            n_flow += flows
        else:
            reason = _skip_reason(made, after_close, shortest, job)
            skipped.append(SkippedView(job.session.session_id, job.market.ticker, made, reason))
        done += job.stop - job.start
        if progress is not None:
            progress(done, total)
    return Replayed(payout, out.i64[:n_rows], out.flow[:n_flow], views, skipped)


def _move(rows: npt.NDArray[Any], to: int, first: int, n: int) -> None:
    """`n` rows from `first` up to `to`, which lies at or before it."""
    if to < first:
        rows[to : to + n] = rows[first : first + n]


def no_views_message(
    session_ids: Sequence[int], skipped: Sequence[SkippedView], min_episode_length: int
) -> str:
    """Why sessions make no tape.

    Args:
        session_ids: of the sessions.
        skipped: the markets left out.
        min_episode_length: rows that a market needs.
    """
    ids = ", ".join(map(str, session_ids))
    best = max(skipped, key=lambda s: s.rows, default=None)
    longest = "" if best is None else f" (the longest, {best.market_ticker}: {best.reason})"
    return (
        f"no market of session {ids} has at least {min_episode_length} rows{longest}; "
        "lower min_episode_length or choose another session"
    )
