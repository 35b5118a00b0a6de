"""Two sockets under one sid in one file: nothing tells them apart, and the import says so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import Session
from support.captures import Recording
from support.imported import SHARED, says
from support.imported import imported as of_texts
from support.layouts import files_of
from support.replayed import books
from tests.support.wire import MARKET, book, delta, imported, received, trade

Lines = list[dict[str, Any]]


def is_noted(session: Session) -> bool:
    return says(session, SHARED)


def changes(first: int, *moments: int, **told: Any) -> Lines:
    """A change at each of these ms, numbered from `first`."""
    return [delta(first + n, ms, size=f"{n + 1}", **told) for n, ms in enumerate(moments)]


def control(seq: int) -> dict[str, Any]:
    return {"type": "ok", "sid": 1, "seq": seq, "msg": {"market_tickers": [MARKET]}}


def in_turn(*sockets: Lines) -> Lines:
    return [line for pair in zip(*sockets, strict=True) for line in pair]


def many(first: int, count: int) -> Lines:
    """Changes that come once, a second apart."""
    return [delta(first + n, 10_000 + 1_000 * n, size=f"{n + 1}") for n in range(count)]


def test_frames_of_another_socket_among_those_of_the_first_are_noted(tmp_path: Path) -> None:
    """The second begins anew while the first goes on: a short time in a long recording."""
    lines = [book(1), *many(2, 40), book(1), delta(42, 60_000, size="5")]
    lines += in_turn(changes(43, 70_000, 80_000), changes(2, 70_000, 80_000))
    session = imported(tmp_path, *lines, delta(4, 90_000), book(5), *many(6, 40))
    assert is_noted(session)
    (note,) = [note for note in session.quality.notes if SHARED in note]
    assert note.startswith("capture.jsonl: ")
    assert "under sid 1," in note
    assert "record each socket to files of its own" in note


def test_a_number_received_twice_is_read_once_and_noted(tmp_path: Path) -> None:
    """Content, number and exchange time are equal: duplicates; the book of one is that of both."""
    one = [book(1), *changes(2, 10, 20)]
    twice = in_turn(one, one)
    session = imported(tmp_path, *(received(line, n) for n, line in enumerate(twice)))
    assert is_noted(session)
    once = imported(tmp_path, *one)
    assert books(session.market_events(MARKET))[-1] == books(once.market_events(MARKET))[-1]
    assert session.quality.total.repeated_frames == 2


def test_without_numbers_changes_that_mostly_came_twice_are_noted(tmp_path: Path) -> None:
    sockets = changes(0, 10, 20, 30)
    lines = [book(1), *in_turn(sockets, sockets), *many(0, 3)]
    bare = [{key: value for key, value in line.items() if key != "seq"} for line in lines]
    assert is_noted(imported(tmp_path, *bare))


def test_a_trade_that_came_twice_on_its_sid_is_noted(tmp_path: Path) -> None:
    lines = [book(1), delta(2, 0, size="-10"), trade(1, 0, trade_id="t"), trade(9, 0, trade_id="t")]
    assert is_noted(imported(tmp_path, *lines))
    lines[-1]["sid"] = 4
    assert not is_noted(imported(tmp_path, *lines))


def test_files_joined_by_cat_that_overlap_are_not_two_sockets(tmp_path: Path) -> None:
    lines = [book(1), *changes(2, 10, 20, 30, 40), trade(1, 40, trade_id="t"), delta(6, 50)]
    session = imported(tmp_path, *lines[:6], *lines[2:])
    assert session.quality.total.deltas == 5
    assert not is_noted(session)


def test_equal_changes_of_one_moment_are_not_two_sockets(tmp_path: Path) -> None:
    """Markets in which most changes are equal: nor are they where a connection starts anew."""
    lines = [book(1), *(delta(2 + n, n // 2) for n in range(20))]
    anew = [control(1), book(2), *(delta(3 + n, 100 + n // 2) for n in range(20))]
    session = imported(tmp_path, *lines, *anew)
    assert session.quality.total.deltas == 40
    assert not is_noted(session)


def test_equal_changes_beside_some_that_were_written_late_are_not_two_sockets(
    tmp_path: Path,
) -> None:
    late = [delta(5, 30, size="5"), delta(4, 29, size="4")]
    lines = [book(1), delta(2, 10), delta(3, 10), *late, *many(6, 20)]
    session = imported(tmp_path, *lines)
    assert session.quality.total.late_deltas == 1
    assert not is_noted(session)


@pytest.mark.parametrize(
    ("seed", "layout"),
    [
        (9100727, "market"),
        (9102033, "one"),
        (9300043, "cut"),
        (9300340, "cut"),
        (9300509, "contained"),
        (9300891, "overlap"),
        (9301123, "market and cut"),
        (9301216, "market"),
        (9301521, "contained"),
        (9301960, "market and overlap"),
    ],
)
def test_captures_that_once_gave_wrong_books_in_silence(
    tmp_path: Path, seed: int, layout: str
) -> None:
    files = files_of(Recording(seed), layout, random.Random(seed))
    assert is_noted(of_texts(tmp_path, [[line.text for line in file] for file in files]))
