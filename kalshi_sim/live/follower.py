"""A market followed event by event: the replay kernel fed as the market happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from kalshi_sim import gate
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule
from kalshi_sim.ingest.decoding import MALFORMED, Batch, FrameDecoder
from kalshi_sim.ingest.lifecycle import Lifecycle, fold_market
from kalshi_sim.kernels import replay as kernel
from kalshi_sim.kernels import replay_state
from kalshi_sim.live.rows import LiveRows
from kalshi_sim.live.subscription import Subscription, book_events
from kalshi_sim.market_state import fee_terms, market_payout, taker_updates
from kalshi_sim.quality import event_columns
from kalshi_sim.session import NO_TIME, EventKind, Events, MarketInfo
from kalshi_sim.tape_build import check_sizes, make_market_replay
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE, stored_per_money


class MarketFollower(LiveRows):
    """One market, followed event by event.

    A row closes at the first event of a later interval, at `advance(now_ms)`, or at `finish()`.
    `ts_ms`, `px`, `qty`, `mark2`, `features` and `flow` are the rows so far, as in `Tape`.
    """

    def __init__(
        self,
        market: MarketInfo,
        *,
        first_book_ms: int | None = None,
        payout: int | None = None,
        depth: int = 10,
        row_interval_ms: int = 1,
        fee_schedule: FeeSchedule = DEFAULT_SCHEDULE,
        use_yes_price: bool = False,
        whole_subscription: bool = True,
    ) -> None:
        """Follow `market`, of which nothing is known yet but its metadata.

        Args:
            market: its metadata as known now (grid, close time, fees).
            first_book_ms: time of the session's first book event of any market; without, the
                first one of this market.
            payout: the money unit of the tape a policy was trained on (100 or 10 000); without,
                the coarsest that fits the market.
            depth: levels a side that a row keeps.
            row_interval_ms: as in `build_tape`.
            fee_schedule: as in `build_tape`.
            use_yes_price: frames state NO prices in YES terms (`feed_frame`).
            whole_subscription: `feed_frame` is given every frame of the subscription, so that a
                hole in its numbers is a gap; False: frames of this market alone, whose numbers
                have holes by nature and say nothing about a missed frame.

        Raises:
            ConfigError: an option is outside its range.
        """
        TapeOptions(depth=depth, row_interval_ms=row_interval_ms)  # checks them
        if payout is not None and payout not in (PAYOUT_CENT, PAYOUT_FINE):
            raise ConfigError(f"payout={payout!r}: must be {PAYOUT_CENT} or {PAYOUT_FINE}")
        if first_book_ms is not None:
            first_book_ms = gate.check_int("first_book_ms", first_book_ms, 0, gate.MAX_TIME_MS)
        super().__init__(depth)
        self.market = market
        self._base = market
        self._changes: list[Lifecycle] = []
        self._latest_ms = NO_TIME
        self.row_interval_ms = row_interval_ms
        self._schedule = fee_schedule
        self._payout = payout
        self._first_book_ms = first_book_ms
        self._decoder = FrameDecoder(use_yes_price=use_yes_price)
        self._subscription = Subscription(market.ticker, whole=whole_subscription)
        self.noticed: Counter[str] = Counter()
        """Why frames made the book unknown or were passed over, and how often."""
        self._early: list[Events] = []
        if first_book_ms is not None:
            self._begin(first_book_ms)

    def _begin(self, first_book_ms: int) -> replay_state.Replay:
        self._first_book_ms = first_book_ms
        if self._payout is None:
            self._payout = market_payout(self.market, first_book_ms, self._schedule)
        self._terms = fee_terms(self.market, first_book_ms, first_book_ms, self._schedule)
        self._replay = make_market_replay(
            self.market,
            payout=self._payout,
            depth=self.depth,
            row_interval_ms=self.row_interval_ms,
            first_book_ms=first_book_ms,
            terms=self._terms,
            history_rows=len(self._out.i64),
        )
        return self._replay

    def begin(self, first_book_ms: int, payout: int) -> None:
        """Another market of the session has shown the session's first book; once.

        Args:
            first_book_ms: its time.
            payout: the money unit.

        Raises:
            DataError: an earlier price does not fit the money unit.
        """
        if self._replay is None:
            self._payout = payout
            self._begin(first_book_ms)
            early, self._early = self._early, []
            for events in early:
                self.feed(events)

    @property
    def book_is_known(self) -> bool:
        """Whether there is a book, and nothing of it was missed."""
        state = None if self._replay is None else self._replay.state
        return state is not None and bool(
            state[replay_state.HAS_BOOK] == 1 and state[replay_state.IN_GAP] == 0
        )

    def book_is_of(self, sid: int) -> bool:
        """Whether a subscription carries the book.

        Args:
            sid: its number.
        """
        return self._subscription.sid == sid

    @property
    def is_over(self) -> bool:
        """Whether the market's close time has come, so that there are no more rows."""
        return self._replay is not None and bool(self._replay.state[replay_state.ENDED] == 1)

    @property
    def open_until_ms(self) -> int | None:
        """The first millisecond after the interval of the row that is open; None: none is."""
        if self._replay is None or self._replay.state[replay_state.IN_INTERVAL] == 0:
            return None
        interval = self.row_interval_ms
        return (int(self._replay.state[replay_state.INTERVAL_LAST]) // interval + 1) * interval

    @property
    def payout(self) -> int:
        """What a winning contract pays, in money units.

        Raises:
            DataError: nothing was fed yet and neither payout nor first_book_ms was given.
        """
        if self._payout is None:
            raise DataError(f"{self.market.ticker}: no book event was fed yet")
        return self._payout

    def feed(self, events: Events) -> int:
        """Apply events of this market in stream order; returns how many rows that closed.

        Args:
            events: events of this market, in stream order.

        Returns:
            How many rows they closed.

        Raises:
            DataError: a price does not fit the money unit, or a snapshot has no time.
        """
        gate.check_events(events, self.market.ticker)
        if self._replay is None:
            # The session begins with the first snapshot; what comes before it only gives the time.
            self._early.append(events)
            events = Events.concatenate(self._early)
            snapshots = np.flatnonzero(events.kind == EventKind.SNAPSHOT)
            if not len(snapshots):
                return 0
            book = (events.kind != EventKind.TRADE) & (events.kind != EventKind.GAP)
            first = int(snapshots[0])
            if events.ts_ms[first] == NO_TIME:
                self._early = []
                raise DataError(f"{self.market.ticker}: a live snapshot needs its receive time")
            self._begin(int(events.ts_ms[: first + 1][book[: first + 1]].max()))
            self._early = []
        if np.any(events.price % stored_per_money(self.payout)):
            raise DataError(
                f"{self.market.ticker}: a price is finer than the money unit; "
                "follow the market with payout=10_000, as a tape that holds sub-penny prices"
            )
        self._make_room(len(events))
        before = len(self)
        columns = event_columns(events, self.payout)
        kernel.apply_events(self._current, columns, 0, len(events), self._out, True)
        check_sizes(self._current, self.market.ticker)
        return len(self) - before

    @property
    def _current(self) -> replay_state.Replay:
        assert self._replay is not None  # feed and advance see to it
        return self._replay

    def feed_frame(self, frame: bytes | str, recv_ms: int | None = None) -> int:
        """Apply one WebSocket frame (JSON); frames that are not of this market move no book.

        The book is unknown until the market's next snapshot (`gap`) after a hole in the numbers
        of its subscription, a frame that is refused, and a frame that ends the subscription or
        drops the market from it; `noticed` counts which.

        Args:
            frame: the frame as received.
            recv_ms: when it was received; snapshots carry no time of their own and need it.

        Returns:
            How many rows that closed.

        Raises:
            DataError: the frame cannot be read, or a snapshot has no time.
        """
        line = frame.encode() if isinstance(frame, str) else frame
        try:
            return self._apply(self._decode(line, recv_ms), recv_ms)
        except MALFORMED as error:
            self._lose("a frame was refused")
            raise DataError(f"{self.market.ticker}: {error}") from None
        except DataError:
            self._lose("a frame was refused")
            raise

    def _apply(self, batch: Batch, recv_ms: int | None) -> int:
        return self.feed_batch(batch, self._decoder.tickers.get(self.market.ticker, -1), recv_ms)

    def feed_batch(
        self, batch: Batch, number: int, recv_ms: int | None = None, latest_ms: int = NO_TIME
    ) -> int:
        """Apply one decoded frame, for a caller that decodes the frames of many markets once.

        Args:
            batch: one frame.
            number: of this market in the decoder's table; -1: the frame has nothing of it.
            recv_ms: when the frame was received; None: what it says of that itself.
            latest_ms: the latest time of any market that frames before this one stated.

        Returns:
            How many rows that closed.

        Raises:
            DataError: a price does not fit the money unit, or a snapshot has no time.
        """
        self._latest_ms = max(self._latest_ms, latest_ms)
        reason = self._subscription.lost(batch)
        if reason is not None:
            self._lose(reason)
        for change in batch.lifecycles:
            if change.market == number or (
                change.market < 0 and change.event_ticker == self.market.event
            ):
                self._change(change)
        self._latest_ms = max(self._latest_ms, int(batch.ts_ms.max(initial=NO_TIME)))
        events, sid = book_events(batch, number, recv_ms)
        if events is None:
            return 0
        if not self._subscription.owns(events, sid):
            self.noticed["a frame of another subscription than the book's was passed over"] += 1
            return 0
        return self.feed(events)

    def _lose(self, reason: str) -> None:
        self.noticed[reason] += 1
        self.gap()

    def _decode(self, line: bytes, recv_ms: int | None) -> Batch:
        try:
            return self._decoder.decode(line, recv_ms)
        except MALFORMED:
            try:
                return self._decoder.decode_other(line)
            except MALFORMED:
                pass
            raise

    def update_close(self, known_ms: int, close_ms: int) -> None:
        """The market's close time was changed: from `known_ms` on it is `close_ms`.

        Args:
            known_ms: when the change was known, ms UTC.
            close_ms: the new close time, ms UTC.

        Raises:
            ConfigError: a time is no whole number of milliseconds.
        """
        known_ms = gate.check_int("known_ms", known_ms, 0, gate.MAX_TIME_MS)
        close_ms = gate.check_int("close_ms", close_ms, 0, gate.MAX_TIME_MS)
        self._change(Lifecycle(0, "close_date_updated", known_ms, close_ms))

    def _change(self, change: Lifecycle) -> None:
        """Follow a change in the market's life; its rows from `known_ms` on have it."""
        if change.known_ms == NO_TIME and self._latest_ms != NO_TIME:
            change = replace(change, known_ms=self._latest_ms + 1)
        changes = sorted([*self._changes, change], key=lambda c: c.known_ms)
        market, _ = fold_market(self._base, changes)
        numbers = [n for grid in market.known_ranges for band in grid for n in band]
        if self._payout is not None and any(n % stored_per_money(self._payout) for n in numbers):
            raise DataError(
                f"{self.market.ticker}: the new grid is finer than the money unit; "
                "follow the market with payout=10_000, as a tape that holds sub-penny prices"
            )
        self._changes, self.market = changes, market
        if self._replay is not None:
            self._replay = self._replay._replace(
                closes=replay_state.by_time(market.close_updates),
                takers=replay_state.by_time(taker_updates(market, self._terms)),
            )
            # From the first on again: a change may be older than one that was followed before.
            self._replay.state[[replay_state.CLOSE_AT, replay_state.FEE_AT]] = 0

    def gap(self) -> None:
        """Messages were missed: the book is invalid until the next snapshot."""
        if self._replay is not None:
            self.feed(
                Events.from_columns(kind=[EventKind.GAP], side=[0], price=[0], size=[0], ts_ms=[0])
            )

    def advance(self, now_ms: int) -> int:
        """Close the open row if `now_ms` lies in a later interval; returns rows closed (0, 1).

        Args:
            now_ms: the time now, ms UTC.

        Returns:
            Rows closed: 0 or 1.

        Raises:
            ConfigError: the time is no whole number of milliseconds.
        """
        now_ms = gate.check_int("now_ms", now_ms, 0, gate.MAX_TIME_MS)
        if self._replay is None:
            return 0
        state = self._replay.state
        interval = self.row_interval_ms
        open_interval = int(state[replay_state.INTERVAL_LAST]) // interval
        if state[replay_state.IN_INTERVAL] == 0 or now_ms // interval <= open_interval:
            return 0
        closed = self.finish()
        # what still arrives for the closed interval belongs to the next one
        next_start = (open_interval + 1) * interval
        state[replay_state.LATEST] = max(int(state[replay_state.LATEST]), next_start)
        return closed

    def finish(self) -> int:
        """Close the open row, if there is one; returns rows closed (0 or 1).

        Returns:
            Rows closed: 0 or 1.
        """
        if self._replay is None:
            return 0
        before = len(self)
        self._make_room(1)
        kernel.close_row(self._replay, self._out, True)
        check_sizes(self._replay, self.market.ticker)
        return len(self) - before
