"""Events as hftbacktest reads them: absolute sizes, bids for NO as asks for YES."""

from __future__ import annotations

import pytest

from benchmarks.bench_peers import as_events
from kalshi_sim.session import EventKind, Events


def test_events_become_absolute_sizes_of_yes() -> None:
    events = Events.from_columns(
        kind=[
            EventKind.SNAPSHOT,
            EventKind.LEVEL,
            EventKind.LEVEL,
            EventKind.DELTA,
            EventKind.TRADE,
            EventKind.DELTA,
        ],
        side=[0, 0, 1, 0, 1, 1],
        price=[0, 4200, 5500, 4200, 5500, 5500],
        size=[0, 1300, 700, -300, 200, -700],
        ts_ms=[5, 5, 5, 6, 7, 7],
    )
    rows, best = as_events(events)
    assert best == (0.42, 0.0)
    assert rows["px"].tolist() == pytest.approx([0.0, 1.0, 0.42, 0.45, 0.42, 0.45, 0.45])
    assert rows["qty"].tolist() == [0, 0, 13, 7, 10, 2, 0]
    assert (rows["ev"] & 7).tolist() == [3, 3, 4, 4, 1, 2, 1]
    assert rows["local_ts"].tolist() == [ms * 1_000_000 for ms in (5, 5, 5, 5, 6, 7, 7)]


def test_the_best_ask_is_the_best_bid_for_no() -> None:
    kinds = [EventKind.SNAPSHOT, EventKind.LEVEL, EventKind.LEVEL]
    events = Events.from_columns(
        kind=kinds, side=[0, 1, 1], price=[0, 5500, 5400], size=[0, 700, 100], ts_ms=[5, 5, 5]
    )
    assert as_events(events)[1] == (0.0, 0.45)
