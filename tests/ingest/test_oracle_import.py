"""The import gives, event by event, what its slow twin reads from the same recording."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.reference.captures import WireEvent, slow_import
from kalshi_sim.reference.file_order import Undecided
from kalshi_sim.session import NO_TIME, EventKind, Events
from support.captures import Line, Recording
from support.imported import NOTED, says
from support.layouts import LAYOUTS, files_of
from support.replayed import books
from support.truth import truth
from tests.ingest.test_true_books import assert_rightly_refused
from tests.support.modes import INTERPRETED, examples
from tests.support.recorded import Recorded

FILES = {
    "ufc": "ufc-2026-03-07/KXUFCFIGHT-26MAR07TOBNUR-NUR.ndjson.gz",
    "nba": "nba-2026-03-18/KXNBAGAME-26MAR18OKCBKN-OKC.ndjson.gz",
    "btc": "btc15m-2026-05-13/KXBTC15M-1556.jsonl.gz",
    "mixed": "small/mixed-2026-07-01.jsonl",
    "ladder": "small/ladder-2026-04-18.jsonl",
}


NAMES = ["mixed", "ladder"] if INTERPRETED else list(FILES)
"""Without compilation, importing the large recordings takes too long."""


_CAPTURES = 1 if INTERPRETED else 6
"""Of each example."""


@pytest.mark.parametrize("name", NAMES)
def test_import_agrees_with_its_slow_twin(recorded: Recorded, recordings: Path, name: str) -> None:
    session = recorded.session(name)
    for ticker, told in slow_import(recordings / FILES[name]).items():
        got, expected = rows(session.market_events(ticker)), twin_rows(told)
        assert len(got) == len(expected), ticker
        assert in_order(got) == in_order(expected), ticker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=examples(5), phases=(Phase.generate,))
@given(seed=st.integers(0, 10**9))
def test_generated_captures_agree_with_the_slow_twin(folder: Path, layout: str, seed: int) -> None:
    for nth in range(_CAPTURES):
        recording = Recording(seed * 1_000 + nth)
        files = files_of(recording, layout, random.Random(seed))
        if is_told(recording, layout):
            assert_agree(folder, recording, layout, files)


@pytest.mark.parametrize(
    ("seed", "layout"),
    [
        (7000006, "market and overlap"),
        (7000146, "overlap"),
        (7000170, "overlap"),
        (7000231, "market and overlap"),
        (7003027, "market and overlap"),
        (7003441, "market and overlap"),
        (7010494, "market and cut"),
        (7040155, "market and cut"),
        (7050686, "cut"),
    ],
)
def test_captures_on_which_they_once_differed(tmp_path: Path, seed: int, layout: str) -> None:
    recording = Recording(seed)
    assert_agree(tmp_path, recording, layout, files_of(recording, layout, random.Random(seed)))


def assert_agree(
    folder: Path, recording: Recording, layout: str, files: Sequence[Sequence[Line]]
) -> None:
    """The import refuses or notes what the twin cannot decide, and agrees with what it can."""
    paths = written(folder, files)
    try:
        twin = slow_import(*paths)
    except Undecided:
        assert recording.received != "recv_ts_ns"
        assert_refused_or_decided(recording, layout, files, paths)
        return
    session = import_captures(paths, session_id=1)
    if not says(session, *NOTED):
        for ticker, told in twin.items():
            assert_equal(recording, layout, rows(session.market_events(ticker)), twin_rows(told))


def assert_refused_or_decided(
    recording: Recording, layout: str, files: Sequence[Sequence[Line]], paths: Sequence[Path]
) -> None:
    """What the twin cannot decide is refused by name, noted, or decided by other markets' frames.

    Those of the connection, which the twin does not ask: then the books are the true ones.
    """
    try:
        session = import_captures(paths, session_id=1)
    except DataError as error:
        assert_rightly_refused(recording, layout, error)
        return
    if not says(session, *NOTED):
        for market in recording.markets:
            true = truth(recording, market, files)
            if true.books and true.books[-1][0] is not None:
                assert books(session.market_events(market)) == true.books


def is_told(recording: Recording, layout: str) -> bool:
    """Whether anything tells the frames of two sockets apart."""
    if layout.startswith("socket"):
        return recording.setting != "redundant"  # two whole recordings of the same markets
    return not recording.equal_sids


def assert_equal(
    recording: Recording,
    layout: str,
    got: Sequence[tuple[int, ...]],
    expected: Sequence[tuple[int, ...]],
) -> None:
    """Everything but what the contract leaves open."""
    assert in_order(of_book(got)) == in_order(of_book(expected))
    # A trade channel cut from its book without exact receive times stands where it can.
    if layout in ("one", "market", "contained") or recording.received == "recv_ts_ns":
        assert in_order(without_gaps(got)) == in_order(without_gaps(expected))
    if recording.setting == "one" and layout in ("one", "contained", "cut", "overlap"):
        assert gap_places(got) == gap_places(expected)
    # Of two sockets the twin sees only the sid, as if each control frame were of both.


def of_book(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Snapshots, levels and deltas, without what was traded of them."""
    return [(*row[:4], row[5]) for row in without_gaps(rows) if row[0] != EventKind.TRADE]


def written(folder: Path, files: Sequence[Sequence[Line]]) -> list[Path]:
    """The files of a recording."""
    paths = [folder / f"{i}.jsonl" for i in range(len(files))]
    for path, lines in zip(paths, files, strict=True):
        path.write_text("".join(f"{line.text}\n" for line in lines))
    return paths


def rows(events: Events) -> list[tuple[int, ...]]:
    """An event table: (kind, side, price, size, traded, ms) of each event."""
    columns = (events.kind, events.side, events.price, events.size, events.traded, events.ts_ms)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def twin_rows(told: Sequence[WireEvent]) -> list[tuple[int, ...]]:
    """What the slow twin read, likewise."""
    return [
        (int(e.kind), e.side, e.price, e.size, e.traded, NO_TIME if e.ts is None else e.ts)
        for e in told
    ]


def without_gaps(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All but the gaps."""
    return [row for row in rows if row[0] != EventKind.GAP]


def gap_places(rows: Sequence[tuple[int, ...]]) -> set[int]:
    """How many book events lie before each gap: a trade beside it changes nothing."""
    book = [row for row in rows if row[0] != EventKind.TRADE]
    gaps = [at for at, row in enumerate(book) if row[0] == EventKind.GAP]
    return {at - nth for nth, at in enumerate(gaps)}


def in_order(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Rows with the levels of each snapshot sorted: their order tells nothing."""
    out: list[tuple[int, ...]] = []
    levels: list[tuple[int, ...]] = []
    for row in [*rows, (-1,)]:
        if row[0] == EventKind.LEVEL:
            levels.append(row)
            continue
        out += sorted(levels)
        levels = []
        out.append(row)
    return out
