"""Two sockets under one sid whose recorders rotate their files: which file is of which."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import Session
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from support.captures import Recording
from support.imported import NOTED, imported, says
from support.layouts import files_of
from support.replayed import gaps
from tests.ingest.test_true_books import assert_true
from tests.support.wire import MARKET, T0, book, delta, received, snapshot, write

OTHER, THIRD = "KXGAME-26MAR18AB-B", "KXGAME-26MAR18AB-C"
Lines = list[dict[str, Any]]


def of_files(folder: Path, *files: Lines) -> Session:
    paths = [write(folder / f"{i}.jsonl", *lines) for i, lines in enumerate(files)]
    return import_captures(paths, session_id=1)


def numbers(session: Session) -> list[int]:
    events = session.market_events(MARKET)
    return [int(seq) for seq in events.seq[events.kind != EventKind.LEVEL]]


def two_sockets(*changes: int) -> list[Lines]:
    """The second socket is one number ahead: MARKET's changes are its 6 and so on, at these ms."""
    other: dict[str, Any] = {"market": OTHER}
    first: list[Lines] = [
        [received(book(1), 0), received(book(2, **other), 1)],
        [received(delta(3, 10, **other), 10), received(delta(4, 28, **other), 30)],
        [
            *(received(delta(5 + n, ms), ms) for n, ms in enumerate(changes)),
            received(delta(5 + len(changes), 60, **other), 60),
        ],
    ]
    second: list[Lines] = [
        [
            *(received(book(1), 5), received(book(2, **other), 6), received(book(3, **other), 7)),
            received(delta(4, 10, **other), 11),
        ],
        [
            received(delta(5, 28, **other), 29),
            *(received(delta(6 + n, ms), ms + 1) for n, ms in enumerate(changes)),
            received(delta(6 + len(changes), 60, **other), 61),
        ],
    ]
    return [*first, *second]


@pytest.mark.parametrize("order", range(5))
def test_a_file_without_the_market_shows_whose_number_comes_next(
    tmp_path: Path, order: int
) -> None:
    """The third file begins with the number that follows the last of both sockets' files."""
    files = two_sockets(40, 50)
    session = of_files(tmp_path, *files[order:], *files[:order])
    assert numbers(session) == [1, 1, 6, 7]
    assert session.quality.markets[MARKET].passed_over == 2


def test_one_number_for_two_frames_at_one_time_shows_two_sockets(tmp_path: Path) -> None:
    """Where the market's own frames do not lie among each other."""
    assert numbers(of_files(tmp_path, *two_sockets(40))) == [1, 1, 6]


@pytest.mark.parametrize("order", range(4))
def test_a_file_of_snapshots_beside_one_that_holds_both_is_of_another_socket(
    tmp_path: Path, order: int
) -> None:
    """Its numbers fall from those of a file that goes on behind it."""
    other: dict[str, Any] = {"market": OTHER}
    files: list[Lines] = [
        [
            *(received(book(1, **other), 0), received(book(2), 1)),
            received(delta(3, 20, **other), 20),
        ],
        [received(book(1), 5), received(book(2, **other), 6)],
        [received(delta(4, 40), 40), received(delta(5, 60, **other), 60)],
        [received(delta(3, 20, **other), 21), received(delta(4, 60, **other), 61)],
    ]
    session = of_files(tmp_path, *files[order:], *files[:order])
    assert numbers(session) == [2, 1, -1]  # and a gap
    assert session.quality.markets[MARKET].passed_over == 1


@pytest.mark.parametrize("order", range(4))
def test_other_markets_show_two_sockets_where_a_market_changes_too_seldom(
    tmp_path: Path, order: int
) -> None:
    """Its own frames do not lie among each other, and no number distinguishes them."""
    mine = snapshot(None, [["0.4000", "9.00"]])

    def changes(of: int, *times: int) -> Lines:
        return [received(delta(None, ms, market=OTHER), ms + of) for ms in times]

    files: list[Lines] = [
        [received(mine, 0), *changes(0, 20)],
        [received(mine, 2), *changes(1, 20, 30)],
        [*changes(0, 30, 50), received(delta(None, 60), 60)],
        [*changes(1, 50), received(delta(None, 60), 61)],
    ]
    session = of_files(tmp_path, *files[order:], *files[:order])
    counts = session.quality.markets[MARKET]
    assert (counts.deltas, counts.passed_over, counts.repeated_frames) == (1, 1, 0)


@pytest.mark.parametrize("order", range(2))
def test_a_delta_that_was_written_late_behind_a_cut(tmp_path: Path, order: int) -> None:
    """Received in the ms in which the file before ended: that file goes on all the same."""
    files: list[Lines] = [
        [in_ms(book(1), 0), in_ms(delta(3, 8), 10)],
        [in_ms(delta(2, 4), 10), in_ms(control(4), 20)],
    ]
    session = of_files(tmp_path, *files[order:], *files[:order])
    assert numbers(session) == [1, 2, 3, -1]  # and a gap


@pytest.mark.parametrize("order", range(3))
def test_a_file_does_not_go_on_with_a_sid_that_a_later_file_begins(
    tmp_path: Path, order: int
) -> None:
    """Though of two subscriptions at a time each file goes on with the other's sid."""
    files: list[Lines] = [
        [
            *(snapshot(None, [["0.4000", "9.00"]], sid=sid) for sid in (1, 3)),
            *(delta(None, ms, sid=3) for ms in (158, 160)),
        ],
        [delta(None, 160, sid=1)],
        [delta(None, 3_000, sid=3)],
    ]
    session = of_files(tmp_path, *files[order:], *files[:order])
    counts = session.quality.markets[MARKET]
    assert (counts.deltas, counts.passed_over, counts.dropped_before_snapshot) == (3, 1, 0)


def control(seq: int, *listed: str) -> dict[str, Any]:
    return {"type": "ok", "sid": 1, "seq": seq, "msg": {"market_tickers": list(listed)}}


def test_what_a_later_control_frame_leaves_tells_whose_an_earlier_one_is(tmp_path: Path) -> None:
    """Both sockets may have given the 4 to one that leaves no market."""
    lines = [
        *(book(1), book(2, market=OTHER), book(1, market=THIRD), delta(3, 0)),
        *(delta(2, 1, market=THIRD), delta(3, 2, market=THIRD), control(4), control(4, MARKET)),
        *(book(5), delta(6, 10)),
    ]
    session = of_files(tmp_path, lines)
    assert [gaps(session.market_events(m)) for m in (MARKET, OTHER, THIRD)] == [set(), {0}, {2}]


def test_a_file_of_snapshots_does_not_end_with_those_of_one_market(tmp_path: Path) -> None:
    """A snapshot and a delta received in one moment, in files of one type: nothing decides."""
    snapshots: Sequence[dict[str, Any]] = [
        *(received(book(1), 0), received(book(2, market=OTHER), 0), received(book(1, sid=2), 10)),
        received(book(2, market=OTHER, sid=2), 20),
    ]
    deltas: Sequence[dict[str, Any]] = [
        received(delta(3, 5, market=OTHER), 5),
        *(received(delta(4, 10), 10), received(delta(3, 30, sid=2), 30)),
    ]
    assert says(of_files(tmp_path, [*snapshots], [*deltas]), "no number shows which was first")


@pytest.mark.parametrize(
    ("seed", "layout"),
    [
        (2001536, "socket and cut"),
        (2001800, "socket and cut"),
        (2001843, "socket and cut"),
        (2002084, "socket and cut"),
        (2002255, "cut"),
        (2101463, "one"),
        (2101679, "overlap"),
        (2101940, "socket and cut"),
        (2201040, "overlap"),
        (2214376, "socket and cut"),
        (2219321, "one"),
        (2230615, "channel"),
        (2233428, "socket and cut"),
        (2300125, "socket"),
        (2300336, "socket and cut"),
        (2300389, "overlap"),
        (2508556, "overlap"),
        (6001319, "one"),
        (9000159, "overlap"),
        (14006613, "cut"),
        (21001381, "cut"),
        (31000375, "socket and cut"),
        (41000253, "socket and cut"),
        (41001876, "socket and cut"),
        (41003596, "socket and cut"),
        (41003979, "socket and cut"),
        (51000337, "socket and cut"),
        (53001024, "cut"),
        (53001072, "cut"),
        (53001594, "cut"),
    ],
)
def test_captures_that_once_gave_wrong_books(tmp_path: Path, seed: int, layout: str) -> None:
    recording = Recording(seed)
    files = files_of(recording, layout, random.Random(seed))
    session = imported(tmp_path, [[line.text for line in file] for file in files])
    assert_true(recording, layout, files, session)


TWICE = "taken as an overlap, read once"


def in_ms(line: dict[str, Any], ms: int) -> dict[str, Any]:
    return {"recv_ts_ms": T0 + ms, "raw": json.dumps(line)}


@pytest.mark.parametrize(
    "again", [in_ms(snapshot(None, [["0.4000", "9.00"]]), 5), in_ms(delta(None, 5), 5)]
)
def test_an_equal_frame_of_the_same_ms_may_have_been_sent_twice(
    tmp_path: Path, again: dict[str, Any]
) -> None:
    """Where one file ends with it and the other begins with it, and it has no number."""
    begin, end = in_ms(snapshot(None, [["0.3900", "7.00"]]), 0), in_ms(delta(None, 7), 7)
    session = of_files(tmp_path, [begin, again], [again, end])
    assert says(session, TWICE)
    assert session.quality.markets[MARKET].repeated_frames == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            [received(snapshot(None, [["0.4000", "9.00"]]), 0)],
            [received(snapshot(None, [["0.4000", "9.00"]]), 0), received(delta(None, 5), 5)],
        ),
        (
            [in_ms(book(1), 0), in_ms(delta(2, 5), 5)],
            [in_ms(delta(2, 5), 5), in_ms(delta(3, 7), 7)],
        ),
        (
            [
                in_ms(snapshot(None, [["0.4000", "9.00"]]), 0),
                *(in_ms(delta(None, 4), 4), in_ms(delta(None, 5), 5)),
            ],
            [
                *(in_ms(delta(None, 4), 4), in_ms(delta(None, 5), 5)),
                in_ms(delta(None, 7), 7),
            ],
        ),
        (
            [
                *(in_ms(snapshot(None, [["0.4000", "9.00"]]), 0), in_ms(delta(None, 5), 5)),
                in_ms(delta(None, 7), 7),
            ],
            [in_ms(delta(None, 5), 5)],
        ),
        (
            [
                in_ms(snapshot(None, [["0.4000", "9.00"]]), 0),
                *(in_ms(delta(None, 2, market=OTHER), 4), in_ms(delta(None, 5), 5)),
            ],
            [
                *(in_ms(delta(None, 2, market=OTHER), 4), in_ms(delta(None, 5), 5)),
                in_ms(delta(None, 7), 7),
            ],
        ),
    ],
    ids=["nanoseconds", "numbers", "several moments", "amid a file", "other markets"],
)
def test_what_distinguishes_an_overlap_from_a_frame_that_was_sent_twice(
    tmp_path: Path, first: Lines, second: Lines
) -> None:
    session = of_files(tmp_path, first, second)
    assert not says(session, TWICE)
    assert session.quality.markets[MARKET].repeated_frames > 0


@pytest.mark.parametrize(("seed", "layout"), [(19002244, "market and overlap")])
def test_captures_that_nothing_decides_are_noted(tmp_path: Path, seed: int, layout: str) -> None:
    """They once were imported without a word."""
    files = files_of(Recording(seed), layout, random.Random(seed))
    session = imported(tmp_path, [[line.text for line in file] for file in files])
    assert says(session, *NOTED)
