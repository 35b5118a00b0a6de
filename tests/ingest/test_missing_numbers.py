"""Frames that a recorder lost of whole subscriptions: gaps where they are missing, nowhere else."""

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
from support.captures import Line, Recording
from support.imported import NOTED, RESTARTED, UNASSIGNED, UNNUMBERED, imported, says
from support.layouts import LAYOUTS, files_of
from support.replayed import books, gaps
from support.truth import truth
from tests.ingest.test_true_books import assert_rightly_refused
from tests.support.modes import INTERPRETED, examples

_CAPTURES = 1 if INTERPRETED else 4
"""Of each example."""
_IN_ORDER = ("one", "cut", "overlap", "contained", "channel")
"""Layouts in which every market lies in the same files, so that their order is known."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def numbered(seed: int) -> Recording | None:
    """A recording whose numbers show what is missing, with some frames lost, or none."""
    recording = Recording(seed)
    if recording.numbering != "sid" or not recording.has_sid or recording.equal_sids:
        return None
    recording.lose(seed % 4)
    return recording


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=examples(5), phases=(Phase.generate,))
@given(seed=st.integers(0, 10**9))
def test_lost_frames_are_gaps_in_every_layout(folder: Path, layout: str, seed: int) -> None:
    for nth in range(_CAPTURES):
        recording = numbered(seed * 1_000 + nth)
        if recording is None:
            continue
        files = files_of(recording, layout, random.Random(seed))
        texts = [[line.text for line in file] for file in files]
        try:
            session = imported(folder, texts, whole_subscription=True)
        except DataError as error:
            assert_rightly_refused(recording, layout, error)
            continue
        if not says(session, *NOTED):
            assert_gaps(recording, layout, files, session)


def assert_gaps(
    recording: Recording, layout: str, files: Sequence[Sequence[Line]], session: Session
) -> None:
    for market in recording.markets:
        true = truth(recording, market, files, whole=True)
        if not true.books or true.books[-1][0] is None:
            continue
        events = session.market_events(market)
        assert books(events) == true.books, market
        if says(session, UNASSIGNED, UNNUMBERED, RESTARTED):
            continue
        found = gaps(events)
        heads = events.kind[events.kind != EventKind.LEVEL]
        heads = heads[(heads == EventKind.SNAPSHOT) | (heads == EventKind.DELTA)]
        if layout in _IN_ORDER:
            assert found == true.ends, market
            continue
        # Of files that nothing orders a number may be missing before another connection's snapshot.
        assert true.ends <= found, market
        assert all(heads[end + 1] == EventKind.SNAPSHOT for end in found - true.ends), market
