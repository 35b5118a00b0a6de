"""Trades to removals: each rule by example, and all together against a naive twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim.ingest.matching import match_trades
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Events
from tests.support.modes import examples

pytestmark = pytest.mark.kernel

WHOLE = int(EventFlag.WHOLE_SECOND)
REMOVAL, TRADE = int(EventKind.DELTA), int(EventKind.TRADE)
Row = tuple[int, int, int, int, int, int]
"""(kind, side, price, size, ts_ms, flags)"""


def removal(ms: int, size: int, *, price: int = 4000, side: int = 0, flags: int = 0) -> Row:
    return (REMOVAL, side, price, -size, ms, flags)


def trade(ms: int, size: int, *, price: int = 4000, side: int = 0, flags: int = 0) -> Row:
    return (TRADE, side, price, size, ms, flags)


def table(rows: list[Row]) -> Events:
    names = ("kind", "side", "price", "size", "ts_ms", "flags")
    columns: dict[str, Any] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Events.from_columns(**columns)


def matched(rows: list[Row]) -> list[int]:
    """`traded` of each row after matching."""
    traded: list[int] = match_trades(table(rows), np.array([0, len(rows)])).traded.tolist()
    return traded


def window(row: Row) -> tuple[int, int]:
    return row[4], row[4] + (999 if row[5] & WHOLE else 0)


def naive(rows: list[Row]) -> list[int]:
    """The rule word by word."""
    traded = [0] * len(rows)
    used: set[int] = set()
    for t, told in enumerate(rows):
        if told[0] != TRADE or told[4] == NO_TIME or told[3] == 0:
            continue
        low, high = window(told)

        def fits(i: int, t: Row = told, low: int = low, high: int = high) -> bool:
            other = rows[i]
            if other[0] != REMOVAL or other[3] >= 0 or other[4] == NO_TIME or i in used:
                return False
            if other[1:3] != t[1:3] or -other[3] < t[3]:
                return False
            first, last = window(other)
            return first - high <= 2000 and low - last <= 2000

        earlier = [i for i in range(t) if fits(i)]
        exact = [i for i in earlier if -rows[i][3] == told[3]]
        later = [i for i in range(t + 1, len(rows)) if fits(i)]
        chosen = exact[-1:] or earlier[-1:] or later[:1]
        if chosen:
            used.add(chosen[0])
            traded[chosen[0]] = traded[t] = told[3]
    return traded


def test_the_latest_earlier_removal_of_exactly_the_count_is_taken() -> None:
    rows = [removal(0, 5), removal(1, 5), removal(2, 9), trade(3, 5)]
    assert matched(rows) == [0, 5, 0, 5]


def test_else_the_latest_earlier_one_of_at_least_the_count() -> None:
    assert matched([removal(0, 8), removal(1, 9), removal(2, 3), trade(3, 5)]) == [0, 5, 0, 5]


def test_else_the_next_later_one_of_at_least_the_count() -> None:
    assert matched([removal(0, 3), trade(1, 5), removal(2, 9), removal(3, 5)]) == [0, 5, 5, 0]


def test_one_trade_a_removal() -> None:
    assert matched([removal(0, 9), trade(1, 4), trade(2, 5)]) == [4, 4, 0]


def test_an_earlier_trade_chooses_first() -> None:
    assert matched([removal(0, 9), trade(1, 4), trade(2, 9)]) == [4, 4, 0]


@pytest.mark.parametrize("other", [{"price": 4100}, {"side": 1}])
def test_another_price_or_side_does_not_match(other: dict[str, int]) -> None:
    assert matched([removal(0, 5), trade(0, 5, **other)]) == [0, 0]


def test_an_addition_is_no_removal() -> None:
    assert matched([(REMOVAL, 0, 4000, 5, 0, 0), trade(0, 5)]) == [0, 0]


@pytest.mark.parametrize(("apart", "found"), [(2000, True), (2001, False)])
def test_two_seconds_apart_at_most(apart: int, found: bool) -> None:
    expected = [5, 5] if found else [0, 0]
    assert matched([removal(0, 5), trade(apart, 5)]) == expected
    assert matched([removal(apart, 5), trade(0, 5)]) == expected


@pytest.mark.parametrize(
    ("ms", "found"), [(6000 - 2001, False), (6000 - 2000, True), (8999, True), (9000, False)]
)
def test_a_whole_second_stands_for_all_of_it(ms: int, found: bool) -> None:
    expected = [5, 5] if found else [0, 0]
    assert matched([removal(ms, 5), trade(6000, 5, flags=WHOLE)]) == expected
    assert matched([removal(6000, 5, flags=WHOLE), trade(ms, 5)]) == expected


def test_whole_seconds_on_both_sides() -> None:
    assert matched([removal(3000, 5, flags=WHOLE), trade(5000, 5, flags=WHOLE)]) == [5, 5]
    assert matched([removal(2000, 5, flags=WHOLE), trade(5000, 5, flags=WHOLE)]) == [0, 0]
    assert matched([removal(3001, 5), trade(6000, 5)]) == [0, 0]


def test_what_has_no_time_matches_nothing() -> None:
    inferred = int(EventFlag.TIME_INFERRED)
    assert matched([removal(0, 5), trade(NO_TIME, 5)]) == [0, 0]
    assert matched([removal(NO_TIME, 5), trade(0, 5)]) == [0, 0]
    assert matched([removal(0, 5, flags=inferred), trade(0, 5)]) == [0, 0]


def test_markets_are_matched_apart() -> None:
    rows = [removal(0, 5), trade(0, 5)]
    assert match_trades(table(rows), np.array([0, 1, 2])).traded.tolist() == [0, 0]


_ROWS = st.lists(
    st.builds(
        lambda kind, side, price, size, ms, flags: (
            kind,
            side,
            price,
            -size if kind == REMOVAL else abs(size),
            ms,
            flags,
        ),
        st.sampled_from((REMOVAL, TRADE)),
        st.sampled_from((0, 0, 0, 1)),
        st.sampled_from((4000, 4000, 4100)),
        st.integers(-2, 4),
        st.one_of(st.integers(0, 6_000), st.sampled_from((NO_TIME, 1_000, 3_000))),
        st.sampled_from((0, 0, WHOLE)),
    ),
    max_size=25,
)


@settings(max_examples=examples(400))
@given(_ROWS)
def test_all_rules_together_agree_with_a_naive_twin(rows: list[Row]) -> None:
    assert matched(rows) == naive(rows)
