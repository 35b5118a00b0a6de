"""Legal captures of known truth, in every layout of files: the true books, or a refusal by name.

Each example draws several captures from its seed: a run sees more than two thousand.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kalshi_sim import Session
from kalshi_sim.errors import DataError
from kalshi_sim.session import EventKind
from tests.support.captures import Line, Recording
from tests.support.imported import (
    NOTED,
    ORDER,
    TWO_SOCKETS,
    UNASSIGNED,
    UNNUMBERED,
    imported,
    says,
)
from tests.support.layouts import LAYOUTS, files_of
from tests.support.modes import INTERPRETED, examples
from tests.support.replayed import books, gaps
from tests.support.truth import holds, truth

_CAPTURES = 1 if INTERPRETED else 6
"""Of each example: 31 x 6 captures in eleven layouts are 2 046."""
_MAY_BE_REFUSED = {*LAYOUTS} - {"one", "market", "channel", "contained"}
"""Layouts that, without receive times, may tell no order: files of one type, lone snapshots."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def assert_true(
    recording: Recording, layout: str, files: Sequence[Sequence[Line]], session: Session
) -> None:
    for market in recording.markets:
        true = truth(recording, market, files)
        if not true.books or true.books[-1][0] is None:
            continue  # no time at all: no rows, and nothing to compare
        events = session.market_events(market)
        assert books(events) == true.books, market
        counts = session.quality.markets[market]
        assert counts.frames == len(true.books), market
        assert counts.clamped_deltas == 0, market
        assert (events.kind == EventKind.TRADE).sum() == true.trades, market
        if trades_keep_their_place(recording, market, files):
            traded = events.traded[events.kind == EventKind.DELTA] // 100
            assert traded.tolist() == true.traded, market
        if recording.setting != "one" and says(session, UNNUMBERED):
            continue
        if says(session, UNASSIGNED):
            assert recording.setting != "one"
            assert gaps(events) <= true.ends, market
        else:
            assert gaps(events) == true.ends, market


def trades_keep_their_place(
    recording: Recording, market: str, files: Sequence[Sequence[Line]]
) -> bool:
    """Whether every trade lies in a file with book frames of its market, or times are exact."""
    if recording.received == "recv_ts_ns" or not recording.small:
        return True
    return all(
        any(holds(line, market) for line in part)
        for part in files
        if any(line.kind == "trade" and line.market == market for line in part)
    )


def assert_rightly_refused(recording: Recording, layout: str, error: DataError) -> None:
    if TWO_SOCKETS in str(error):
        assert recording.equal_sids
    else:
        assert ORDER in str(error)
        assert not recording.received
        assert layout in _MAY_BE_REFUSED


def recordings(seed: int) -> list[Recording]:
    return [Recording(seed * 1_000 + nth) for nth in range(_CAPTURES)]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=examples(31), phases=(Phase.generate,))
@given(seed=st.integers(0, 10**9))
def test_every_layout_gives_the_true_books(folder: Path, layout: str, seed: int) -> None:
    for recording in recordings(seed):
        files = files_of(recording, layout, random.Random(seed))
        try:
            session = imported(folder, [[line.text for line in file] for file in files])
        except DataError as error:
            assert_rightly_refused(recording, layout, error)
            continue
        if not says(session, *NOTED):
            assert_true(recording, layout, files, session)
