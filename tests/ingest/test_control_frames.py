"""Of which connection a control frame is: by its number and its place, else it ends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import Session
from support.imported import UNASSIGNED, says
from support.replayed import gaps
from tests.support.wire import MARKET, T0, book, delta, received, write

OTHER, THIRD = "KXGAME-26MAR18AB-B", "KXGAME-26MAR18AB-C"
Lines = list[dict[str, Any]]


def control(kind: str, seq: int | None, *listed: str, sid: int = 1) -> dict[str, Any]:
    """A control frame; `listed`: the markets that an ok leaves."""
    line: dict[str, Any] = {"type": kind, "sid": sid}
    if seq is not None:
        line["seq"] = seq
    if kind == "ok":
        line["msg"] = {"market_tickers": list(listed)}
    return line


def of_files(folder: Path, *files: Lines) -> Session:
    paths = [write(folder / f"{i}.jsonl", *lines) for i, lines in enumerate(files)]
    return import_captures(paths, session_id=1)


def ends(session: Session) -> list[set[int]]:
    """Of each market, the book events after which its book ends."""
    return [gaps(session.market_events(m.ticker)) for m in session.markets]


def is_unassigned(session: Session) -> bool:
    return says(session, UNASSIGNED)


def restarted() -> Lines:
    """The numbers of `OTHER` alone do not show that the connection starts anew."""
    return [
        *(book(1), book(2, market=OTHER), delta(3, 0), book(1), delta(2, 60_000)),
        *(book(3, market=OTHER), control("unsubscribed", 4), book(1, sid=3)),
        *(delta(2, 61_000, sid=3), book(3, market=OTHER, sid=3)),
        delta(4, 61_001, market=OTHER, sid=3),
    ]


def test_after_a_restart_in_one_file_it_is_of_the_new_connection(tmp_path: Path) -> None:
    session = of_files(tmp_path, restarted())
    assert ends(session) == [{3}, {1}]
    assert not is_unassigned(session)


@pytest.mark.parametrize("cut", range(2, 11))
def test_a_cut_or_an_overlap_anywhere_changes_nothing(tmp_path: Path, cut: int) -> None:
    lines = restarted()
    assert ends(of_files(tmp_path, lines[cut:], lines[:cut])) == [{3}, {1}]
    assert ends(of_files(tmp_path, lines[: cut + 2], lines[cut:])) == [{3}, {1}]
    assert ends(of_files(tmp_path, lines[1:cut], lines)) == [{3}, {1}]


def two_sockets() -> Lines:
    """`MARKET` and `OTHER` on one connection, `THIRD` on another, all under sid 1."""
    return [
        *(book(1), book(2, market=OTHER), book(1, market=THIRD), delta(2, 0, market=THIRD)),
        *(delta(3, 5), delta(3, 9, market=THIRD)),
    ]


def test_of_two_sockets_under_one_sid_the_number_tells(tmp_path: Path) -> None:
    """The first gave the 4 to a delta."""
    lines = [*two_sockets(), delta(4, 10), delta(5, 11, market=OTHER)]
    lines.append(control("unsubscribed", 4))
    assert ends(of_files(tmp_path, lines)) == [set(), set(), {2}]


def test_one_that_may_be_of_two_sockets_ends_nothing_and_is_said(tmp_path: Path) -> None:
    lines = [*two_sockets(), control("unsubscribed", 4)]
    session = of_files(tmp_path, lines)
    assert ends(session) == [set(), set(), set()]
    assert is_unassigned(session)


def test_the_markets_that_it_leaves_tell_its_connection(tmp_path: Path) -> None:
    """Two frames of one number: the one that leaves MARKET took OTHER off its connection."""
    lines = [*two_sockets(), control("ok", 4, MARKET), control("ok", 4, THIRD)]
    lines += [delta(5, 12), delta(5, 13, market=THIRD), book(6, market=OTHER)]
    session = of_files(tmp_path, lines)
    assert ends(session) == [set(), {0}, set()]
    assert not is_unassigned(session)


def test_without_numbers_one_that_ends_only_some_markets_ends_none(tmp_path: Path) -> None:
    """THIRD goes on: several connections tell under the sid."""
    numbered = [*two_sockets(), control("unsubscribed", None), delta(0, 20, market=THIRD)]
    lines = [{k: v for k, v in line.items() if k != "seq"} for line in numbered]
    session = of_files(tmp_path, lines)
    assert ends(session) == [set(), set(), set()]
    assert is_unassigned(session)
    assert ends(of_files(tmp_path, lines[:-1])) == [{1}, {0}, {2}]


def test_numbers_of_each_market_leave_control_frames_without(tmp_path: Path) -> None:
    lines = [book(1), book(1, market=OTHER), delta(2, 0), delta(2, 1, market=OTHER), delta(3, 2)]
    lines += [control("ok", None, MARKET), delta(4, 3), book(3, market=OTHER)]
    session = of_files(tmp_path, lines)
    assert ends(session) == [set(), {1}]
    assert not is_unassigned(session)


def test_of_files_written_at_once_receive_times_tell(tmp_path: Path) -> None:
    """By the order of its file alone the frame would end the book that sid 1 had told."""
    one = [received(book(1), 0), received(delta(2, 1), 1), received(delta(3, 45), 45)]
    one.append(received(control("unsubscribed", 4), 50))
    other = [received(book(1, sid=41), 5), received(delta(2, 40, sid=41), 40)]
    other.append(received(delta(3, 60, sid=41), 60))
    session = of_files(tmp_path, one, other)
    assert ends(session) == [set()]
    assert session.quality.total.passed_over == 1
    assert session.events.ts_ms[-1] == T0 + 60


def test_an_ok_that_leaves_no_market_is_of_the_connection_that_tells_no_more(
    tmp_path: Path,
) -> None:
    lines = [*two_sockets(), control("ok", 4), delta(5, 12), delta(6, 13, market=OTHER)]
    assert ends(of_files(tmp_path, lines)) == [set(), set(), {2}]
