"""Polls of the REST order book become snapshots, one a poll, in every shape pollers write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import build_tape
from kalshi_sim.errors import DataError
from kalshi_sim.session import EventKind
from kalshi_sim.store import open_store
from tests.support.wire import MARKET, T0, delta, imported, rows

FP = {"yes_dollars": [["0.4200", "13.00"]], "no_dollars": [["0.5000", "7.00"]]}
LEVELS = [(0, 4200, 1300), (1, 5000, 700)]
SHAPES: dict[str, dict[str, Any]] = {
    "fp": {"orderbook_fp": FP},
    "cents": {"orderbook": {"yes": [[42, 13]], "no": [[50, 7]]}},
    "floats": {"orderbook": {"yes": [[0.42, 13.0]], "no": [[0.5, 7.0]]}},
    "dollar texts under yes": {"orderbook": {"yes": [["0.42", "13"]], "no": [["0.50", "7"]]}},
    "both generations": {"orderbook": {"yes": [[42, 13]], "no": [[50, 7]], **FP}},
    "answer": {"response": {"orderbook_fp": FP}},
    "data": {"data": {"orderbook": {"yes": [[42, 13]], "no": [[50, 7]]}}},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("market", ["market_ticker", "ticker", "market"])
@pytest.mark.parametrize(
    ("time", "value"),
    [
        ("ts_ms", T0),
        ("ts", T0 / 1000),
        ("timestamp", "2026-03-18T19:36:06Z"),
        ("fetched_at", T0 * 10**6),
        ("recv_ts_ns", T0 * 10**6),
    ],
)
def test_every_shape_is_a_snapshot(
    tmp_path: Path, shape: str, market: str, time: str, value: Any
) -> None:
    session = imported(tmp_path, {time: value, market: MARKET, **SHAPES[shape]})
    assert [m.ticker for m in session.markets] == [MARKET]
    assert rows(session.events, EventKind.LEVEL) == LEVELS
    assert session.events.ts_ms.tolist() == [T0] * 3
    assert session.source == "polls"


def test_a_session_of_polls_has_a_row_a_poll_and_no_flow(tmp_path: Path) -> None:
    lines = [
        {"ts_ms": T0 + 1000 * i, "ticker": MARKET, "orderbook": {"yes": [[40, i]], "no": [[50, 5]]}}
        for i in range(1, 21)
    ]
    session = imported(tmp_path, *lines)
    tape = build_tape([session])
    assert len(tape.ts_ms) == 20
    assert len(tape.flow_price) == 0
    assert any("a session of polls" in note for note in session.quality.notes)
    store = open_store(str(tmp_path / "sessions"))
    store.save(session)
    assert store.list_sessions()[0].source == store.load(1).source == "polls"


def test_polls_among_changes_are_a_capture(tmp_path: Path) -> None:
    poll = {"ts_ms": T0, "ticker": MARKET, "orderbook_fp": FP}
    assert imported(tmp_path, poll, delta(None, 5, sid=None)).source == "capture"


def test_an_empty_book_is_a_poll(tmp_path: Path) -> None:
    polls = [{"ts_ms": T0 + i, "ticker": MARKET, "orderbook": {"yes": None}} for i in range(2)]
    session = imported(tmp_path, *polls)
    assert session.quality.total.snapshots == 2
    assert session.quality.total.empty_ms == 2


@pytest.mark.parametrize(
    ("poll", "said"),
    [
        ({"ticker": MARKET}, "a poll without a time"),
        ({"ts": T0}, "a poll without a market"),
        ({"ts": 17, "ticker": MARKET}, "not a time since the exchange opened"),
        ({"ts": "2026-03-18T19:36:06", "ticker": MARKET}, "not a time like"),
    ],
)
def test_a_poll_that_lacks_something_is_named_by_line(
    tmp_path: Path, poll: dict[str, Any], said: str
) -> None:
    good = {"ts_ms": T0, "ticker": MARKET, "orderbook_fp": FP}
    with pytest.raises(DataError, match=rf"line 2: .*{said}"):
        imported(tmp_path, good, {**poll, "orderbook_fp": FP})
    session = imported(tmp_path, good, {**poll, "orderbook_fp": FP}, max_bad_lines=1)
    assert session.quality.bad_lines == 1


def test_unknown_levels_of_a_poll_are_refused(tmp_path: Path) -> None:
    poll = {"ts_ms": T0, "ticker": MARKET, "orderbook": {"bids": [[40, 1]]}}
    with pytest.raises(DataError, match="'bids'"):
        imported(tmp_path, poll)
