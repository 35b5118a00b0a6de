"""Assembling a session: times that were not told, grids, the session's ends, quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.kernels.recorded import resolve_times
from kalshi_sim.session import (
    NO_TIME,
    EventFlag,
    EventKind,
    Events,
    MarketInfo,
    MarketQuality,
    Session,
)
from tests.support.modes import examples

pytestmark = pytest.mark.kernel

S, L, D, T, G = (
    int(k)
    for k in (EventKind.SNAPSHOT, EventKind.LEVEL, EventKind.DELTA, EventKind.TRADE, EventKind.GAP)
)
INFERRED = int(EventFlag.TIME_INFERRED)


def resolved(*rows: tuple[int, int | None]) -> list[int | None]:
    """Times of one market's (kind, time) rows after resolving."""
    kind = np.array([k for k, _ in rows], dtype=np.int8)
    ts = np.array([NO_TIME if t is None else t for _, t in rows], dtype=np.int64)
    flags = np.zeros(len(rows), dtype=np.int8)
    resolve_times(kind, ts, flags, np.array([0, len(rows)]), np.zeros(1, dtype=np.int64))
    return [None if t == NO_TIME else t for t in ts.tolist()]


def naive(rows: list[tuple[int, int | None]]) -> list[int | None]:
    """The rule word by word: book events only, levels with their snapshot."""
    out: list[int | None] = [t for _, t in rows]
    book = [i for i, (kind, _) in enumerate(rows) if kind != T]
    snapshot: int | None = None  # the one whose levels follow
    for at, i in enumerate(book):
        kind = rows[i][0]
        snapshot = i if kind == S else snapshot if kind == L else None
        if kind == L and snapshot is not None:
            out[i] = out[snapshot]
            continue
        earlier = [t for t in (out[j] for j in book[:at]) if t is not None]
        if out[i] is None and earlier:
            out[i] = max(earlier) + (kind == S)
    for i in range(len(rows)):  # the first later book event's time
        if out[i] is None and rows[i][0] != T:
            later = (
                t
                for (k, _), t in zip(rows[i + 1 :], out[i + 1 :], strict=True)
                if k != T and t is not None
            )
            out[i] = next(later, None)
    return out


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(S, None), (L, None), (D, 50)], [50, 50, 50]),
        ([(D, 50), (D, 40), (S, None), (L, None)], [50, 40, 51, 51]),
        ([(S, 10), (L, None), (S, None), (L, None)], [10, 10, 11, 11]),
        ([(S, None), (T, 5), (D, 50)], [50, 5, 50]),
        ([(D, None), (S, None), (D, 50), (D, None), (D, 60)], [50, 50, 50, 50, 60]),
        ([(S, None), (L, None), (T, 7)], [None, None, 7]),
        ([(S, 90), (D, 50), (D, None)], [90, 50, 90]),
        ([(S, 10), (G, None), (S, None)], [10, 10, 11]),
        ([(S, 10), (L, 99), (D, 12)], [10, 10, 12]),
    ],
)
def test_times_the_wire_did_not_carry(
    rows: list[tuple[int, int | None]], expected: list[int | None]
) -> None:
    assert resolved(*rows) == expected


@settings(max_examples=examples(300))
@given(
    st.lists(
        st.tuples(st.sampled_from((S, S, L, D, D, T, G)), st.one_of(st.none(), st.integers(0, 9))),
        max_size=12,
    )
)
def test_times_agree_with_a_naive_twin(rows: list[tuple[int, int | None]]) -> None:
    assert resolved(*rows) == naive(rows)


def assembled(
    rows: list[tuple[int, int, int, int, int, int | None]],
    markets: tuple[MarketInfo, ...] = (MarketInfo("A"), MarketInfo("B")),
    **options: Any,
) -> Session:
    """A session of (market, kind, side, price, size, time) rows."""
    names = ("kind", "side", "price", "size")
    columns: dict[str, Any] = {name: [row[i + 1] for row in rows] for i, name in enumerate(names)}
    events = Events.from_columns(**columns, ts_ms=[NO_TIME if r[5] is None else r[5] for r in rows])
    options = {"trades_recorded": True, "source": "capture", **options}
    return assemble_session(7, markets, np.array([r[0] for r in rows]), events, **options)


BOOK = [
    (1, D, 0, 4000, 100, 90),
    (0, S, 0, 0, 0, None),
    (0, L, 0, 4000, 500, None),
    (0, L, 1, 5000, 700, None),
    (1, S, 0, 0, 0, None),
    (0, D, 0, 4000, -100, 100),
    (1, D, 0, 4100, 100, 300),
    (0, T, 0, 4000, 100, 150),
]


def test_events_are_grouped_by_market_in_stream_order() -> None:
    session = assembled(BOOK)
    assert session.market_offsets.tolist() == [0, 5, 8]
    assert session.market_events("A").kind.tolist() == [S, L, L, D, T]
    assert session.market_events("B").ts_ms.tolist() == [90, 91, 300]
    assert session.market_events("A").ts_ms.tolist() == [100, 100, 100, 100, 150]
    assert session.events.frame.tolist() == [1, 2, 3, 5, 7, 0, 4, 6]


def test_the_sessions_ends() -> None:
    session = assembled(BOOK)
    assert session.first_book_ms == 91  # dropped events do not count
    assert session.last_message_ms == 300
    given_ends = assembled(BOOK, started_ms=5, last_message_ms=999)
    assert (given_ends.started_ms, given_ends.last_message_ms) == (5, 999)


def test_quality_joins_what_reader_table_and_replay_counted() -> None:
    counts = {"A": MarketQuality(block_trades_dropped=3, bad_rows=2)}
    session = assembled(BOOK, counts=counts, notes=("said",), other_frames={"ok": 2}, bad_lines=4)
    quality = session.quality
    a, b = quality.markets["A"], quality.markets["B"]
    assert (a.frames, a.snapshots, a.levels, a.deltas, a.trades) == (2, 1, 2, 1, 1)
    assert (a.trades_matched, a.trades_unmatched, a.inferred_times) == (1, 0, 1)
    assert (a.block_trades_dropped, a.bad_rows, a.rows) == (3, 2, 1)
    assert (b.dropped_before_snapshot, b.rows) == (1, 1)
    assert (quality.notes, quality.other_frames, quality.bad_lines) == (("said",), {"ok": 2}, 4)


def test_matching_can_be_left_to_who_knows() -> None:
    assert assembled(BOOK).events.traded.sum() == 200
    assert assembled(BOOK, match_trades=False).events.traded.sum() == 0


@pytest.mark.parametrize(
    ("market", "price", "expected"),
    [
        (MarketInfo("A"), 4000, False),
        (MarketInfo("A"), 4010, True),
        (MarketInfo("A", sub_penny=True), 4000, True),
        (MarketInfo("A", price_ranges=((0, 10_000, 100),)), 4000, False),
        (MarketInfo("A", price_ranges=((0, 1000, 10), (1000, 10_000, 100))), 4000, True),
    ],
)
def test_the_grid_is_told_or_else_seen_in_the_prices(
    market: MarketInfo, price: int, expected: bool
) -> None:
    session = assembled([(0, S, 0, 0, 0, 1), (0, L, 0, price, 100, 1)], (market,))
    assert session.markets[0].sub_penny is expected


def test_a_market_without_any_time_has_no_rows_and_is_named() -> None:
    session = assembled([(0, S, 0, 0, 0, None), (0, L, 0, 4000, 9, None), (1, S, 0, 0, 0, 50)])
    assert session.market_events("A").ts_ms.tolist() == [NO_TIME, NO_TIME]
    assert session.quality.markets["A"].rows == 0
    assert session.first_book_ms == 50
    assert "A: no event has a time, so no row" in session.quality.notes


def test_a_session_without_any_time_is_still_a_session() -> None:
    session = assembled([(0, S, 0, 0, 0, None)], (MarketInfo("A"),))
    assert (session.first_book_ms, session.last_message_ms) == (0, 0)


def test_a_session_without_events_is_empty() -> None:
    nothing = Events.concatenate([])
    session = assemble_session(
        1, [MarketInfo("A")], np.empty(0, np.int64), nothing, trades_recorded=False, source="x"
    )
    assert session.market_offsets.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((0, D, 0, 10_000, 5, 1), "price"),
        ((0, D, 2, 4000, 5, 1), "side"),
        ((0, L, 0, 4000, -5, 1), "size"),
        ((0, 9, 0, 4000, 5, 1), "kind"),
    ],
)
def test_values_that_cannot_be_right_are_refused(
    row: tuple[int, int, int, int, int, int], column: str
) -> None:
    with pytest.raises(DataError, match=rf"session 7, market A, event 1: {column}"):
        assembled([(0, S, 0, 0, 0, 1), row], (MarketInfo("A"),))


def test_inferred_times_are_flagged() -> None:
    flags = assembled(BOOK).market_events("A").flags.tolist()
    assert flags == [INFERRED, INFERRED, INFERRED, 0, 0]
