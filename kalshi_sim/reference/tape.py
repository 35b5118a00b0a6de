"""The slow twin of the tape: one market replayed with dicts and whole numbers.

Written from the simulation contract alone, apart from the kernels it is compared with. Nothing
here is fast; everything should be obvious.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from kalshi_sim.reference.terms import OracleTerms, stored_fee_unit, terms_at, tick_bands
from kalshi_sim.session import NO_TIME, EventKind, Session
from kalshi_sim.units import (
    SIZE_SCALE,
    stored_per_money,
)

Level = tuple[int, int]
"""(price in money units, whole contracts)."""
FlowEntry = tuple[int, int, int]
"""(removed, added, traded) in whole contracts."""


@dataclass
class OracleRow:
    """One row: the shown book of both sides, best level first, and the flow into it."""

    ts: int
    ladders: tuple[list[Level], list[Level]]
    mark2: int
    flow: dict[tuple[int, int], FlowEntry]

    def best(self, side: int) -> int:
        """The best bid of a side, 0 if the side is empty."""
        return self.ladders[side][0][0] if self.ladders[side] else 0

    def shown(self, side: int, price: int) -> int:
        """The whole contracts a level shows, 0 if it is not in the book.

        Args:
            side: 0 YES, 1 NO.
            price: in money units.
        """
        return dict(self.ladders[side]).get(price, 0)


@dataclass
class OracleView:
    """One market of one session, as the simulation sees it."""

    session_id: int
    ticker: str
    payout: int
    depth: int
    row_interval_ms: int
    rows: list[OracleRow]
    skipped: bool
    left_out: int
    counts: dict[str, int]
    terms: list[OracleTerms]
    """What holds at each row."""
    pauses: list[tuple[int, int | None]]
    """(first millisecond, the one after the last or None) of each pause."""
    settlement: int | None
    """What a YES contract pays at the last row; None if that cannot be known by then."""
    fee_unit: int
    trades_recorded: bool
    first_book_ms: int
    eastern_offset_ms: int
    close_times: list[tuple[int | None, int | None]]
    """(known since, close time), in the order they became known."""
    feature_cache: dict[int, list[float]] = field(default_factory=dict)

    def top(self, row: int, side: int) -> list[Level]:
        """The best `depth` levels of a side.

        Args:
            row: number of the row.
            side: 0 YES, 1 NO.
        """
        return self.rows[row].ladders[side][: self.depth]

    def close_time(self, ts: int) -> int | None:
        """The close time as known at `ts`."""
        return known_close_time(self.close_times, ts)

    def side_grid(self, row: int, side: int) -> list[int]:
        """The prices of a side's grid at a row; a NO price mirrors a YES price.

        Args:
            row: number of the row.
            side: 0 YES, 1 NO.
        """
        grid = self.terms[row].grid
        return grid if side == 0 else [self.payout - p for p in grid]

    def is_paused_at(self, ts: int) -> bool:
        """Whether trading is paused at a time."""
        return any(start <= ts and (end is None or ts < end) for start, end in self.pauses)


def known_close_time(close_times: list[tuple[int | None, int | None]], ts: int) -> int | None:
    """The last close time whose announcement is not after `ts`.

    Args:
        close_times: (time known, close) of each announcement, in ms since 1970 UTC, in order; None:
            known from the start, no close.
        ts: the time, in ms since 1970 UTC.
    """
    close = None
    for known_since, value in close_times:
        if known_since is None or known_since <= ts:
            close = value
    return close


@dataclass
class Book:
    """A market's book while its events are applied; sizes in hundredths of a contract."""

    sizes: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    started: bool = False
    in_gap: bool = False
    unknown: set[tuple[int, int]] = field(default_factory=set)
    flow: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> None:
        """Count one more `name`."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def apply(self, kind: int, side: int, price: int, size: int, traded: int) -> bool:
        """Apply one event.

        Args:
            kind: an `EventKind`.
            side: 0 YES, 1 NO.
            price: in money units.
            size: in 1/100 contract; signed for a delta.
            traded: of a removal, how much was traded, in 1/100 contract.

        Returns:
            Whether it is an event that can make a row.
        """
        if kind == EventKind.SNAPSHOT:
            self.started, self.in_gap = True, False
            self.unknown.clear()
            self.sizes[0].clear()
            self.sizes[1].clear()
            return True
        if kind == EventKind.GAP:
            self.count("gaps")
            self.in_gap = True
            return False
        if not self.started or self.in_gap:
            self.count("dropped_in_gap" if self.started else "dropped_before_snapshot")
            return False
        if kind == EventKind.DROP_LEVEL:  # a delta of which only the place is known
            self.count("untrusted_levels")
            self.unknown.add((side, price))
            self.sizes[side].pop(price, None)
            return True
        if kind == EventKind.LEVEL:
            self.sizes[side][price] = size
            return True
        if (side, price) in self.unknown:
            return True
        self._change(side, price, size, traded)
        return True

    def _change(self, side: int, price: int, size: int, traded: int) -> None:
        held = self.sizes[side].get(price, 0)
        removed, added = max(0, -size), max(0, size)
        if removed > held:
            self.count("clamped_deltas")
            removed = held
        self.sizes[side][price] = held + added - removed
        entry = self.flow.setdefault((side, price), [0, 0, 0])
        entry[0] += removed
        entry[1] += added
        entry[2] += min(traded, removed)

    def shown(self, side: int) -> list[Level]:
        """The whole-contract levels, best first."""
        whole = ((price, size // SIZE_SCALE) for price, size in self.sizes[side].items())
        return sorted((level for level in whole if level[1] > 0), reverse=True)

    def take_flow(self) -> dict[tuple[int, int], FlowEntry]:
        """The flow gathered since the last call, in whole contracts."""
        flow = {
            key: (entry[0] // SIZE_SCALE, entry[1] // SIZE_SCALE, entry[2] // SIZE_SCALE)
            for key, entry in sorted(self.flow.items())
        }
        self.flow = {}
        return flow


def next_mark2(mark2: int, yes_bid: int, no_bid: int, payout: int) -> int:
    """The doubled mark of a row from the one before it (absent bids are 0).

    Args:
        mark2: the doubled mark before, in money units.
        yes_bid, no_bid: best bids, 0 where there is none.
        payout: money units a winning contract pays.
    """
    if yes_bid and no_bid:
        return yes_bid + (payout - no_bid)
    if yes_bid:
        return max(mark2, 2 * yes_bid)
    return min(mark2, 2 * (payout - no_bid))


def _timed_events(
    session: Session, ticker: str, payout: int, counts: dict[str, int]
) -> list[tuple[int, int, int, int, int, int]]:
    """(time, kind, side, price, size, traded) in stream order, without trades."""
    events = session.market_events(ticker)
    unit = stored_per_money(payout)
    latest: int | None = None
    timed = []
    for i in range(len(events)):
        kind, ts = int(events.kind[i]), int(events.ts_ms[i])
        if kind == EventKind.TRADE:
            continue
        raised = ts if latest is None else max(ts, latest)
        if kind != EventKind.GAP:
            if ts == NO_TIME:
                return []
            if raised > ts:
                counts["raised_times"] = counts.get("raised_times", 0) + 1
            latest = raised
        price = int(events.price[i]) // unit
        timed.append(
            (raised, kind, int(events.side[i]), price, int(events.size[i]), int(events.traded[i]))
        )
    return timed


def _build_rows(
    session: Session, ticker: str, payout: int, interval: int, counts: dict[str, int]
) -> list[OracleRow]:
    """All rows of a market, before its close time ends the view."""
    book = Book(counts=counts)
    rows: list[OracleRow] = []
    mark2 = payout
    row_time: int | None = None  # of the last applied event of the interval in progress

    def close_row() -> None:
        nonlocal mark2, row_time
        if row_time is None:
            return
        ts, row_time = row_time, None
        ladders = (book.shown(0), book.shown(1))
        if not ladders[0] and not ladders[1]:
            book.count("empty_ms")
            return
        yes_bid, no_bid = (ladder[0][0] if ladder else 0 for ladder in ladders)
        if yes_bid + no_bid >= payout:
            book.count("crossed_ms")
            return
        mark2 = next_mark2(mark2, yes_bid, no_bid, payout)
        flow = book.take_flow()
        rows.append(OracleRow(ts, ladders, mark2, flow if rows else {}))

    for ts, kind, side, price, size, traded in _timed_events(session, ticker, payout, counts):
        if row_time is not None and ts // interval != row_time // interval:
            close_row()
        if book.apply(kind, side, price, size, traded):
            row_time = ts
    close_row()
    counts["rows"] = len(rows)
    return rows


def replay(
    session: Session,
    market_ticker: str,
    *,
    payout: int,
    min_episode_length: int = 10,
    depth: int = 10,
    row_interval_ms: int = 1,
) -> OracleView:
    """The view of one market: its rows up to the close time, and all a simulation needs of it.

    Args:
        session: the recording.
        market_ticker: one of its markets.
        payout: money units a winning contract pays, 100 or 10 000.
        min_episode_length: fewest rows of a view that is not skipped.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
    """
    market = session.markets[session.market_index(market_ticker)]
    counts: dict[str, int] = {}
    rows = _build_rows(session, market_ticker, payout, row_interval_ms, counts)
    close_times: list[tuple[int | None, int | None]] = [(None, market.close_time_ms)]
    close_times += market.close_updates
    kept: list[OracleRow] = []
    for row in rows:
        close = known_close_time(close_times, row.ts)
        if close is not None and row.ts >= close:
            break
        kept.append(row)
    known = market.settlement_known_ms
    unit = stored_per_money(payout)
    settlement = None
    if market.settlement_value is not None and (known is None or known <= session.last_message_ms):
        settlement = market.settlement_value // unit
    started = session.first_book_ms if session.started_ms is None else session.started_ms
    offset = datetime.fromtimestamp(started / 1000, ZoneInfo("America/New_York")).utcoffset()
    assert offset is not None
    first_row = kept[0].ts if kept else session.first_book_ms
    fee_unit = stored_fee_unit(session, market, tick_bands(market, first_row))
    return OracleView(
        session_id=session.session_id,
        ticker=market_ticker,
        payout=payout,
        depth=depth,
        row_interval_ms=row_interval_ms,
        rows=kept,
        skipped=len(kept) < min_episode_length,
        left_out=len(rows) - len(kept),
        counts=counts,
        terms=[terms_at(market, row.ts, unit) for row in kept],
        pauses=[(pause.start_ms, pause.end_ms) for pause in market.pauses],
        settlement=settlement,
        fee_unit=fee_unit // unit,
        trades_recorded=session.trades_recorded,
        first_book_ms=session.first_book_ms,
        eastern_offset_ms=round(offset.total_seconds() * 1000),
        close_times=close_times,
    )
