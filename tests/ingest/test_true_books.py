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
from support.captures import Line, Recording
from support.compared import allowed, differences, is_rightly_refused
from support.imported import NOTED, UNASSIGNED, imported, says
from support.layouts import LAYOUTS, files_of
from tests.support.modes import INTERPRETED, examples

_CAPTURES = 1 if INTERPRETED else 6
"""Of each example: 31 x 6 captures in eleven layouts are 2 046."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def assert_true(
    recording: Recording, layout: str, files: Sequence[Sequence[Line]], session: Session
) -> None:
    if says(session, UNASSIGNED):
        assert recording.setting != "one"
    found = differences(recording, files, session)
    assert found.keys() <= allowed(recording, session), (layout, found)


def assert_rightly_refused(recording: Recording, layout: str, error: DataError) -> None:
    assert is_rightly_refused(recording, layout, error), error


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
