"""Several files to one stream: connections, duplicates, the place of trades, gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind, Session
from support.replayed import books
from tests.support.wire import (
    MARKET,
    book,
    delta,
    frame,
    imported,
    received,
    rows,
    snapshot,
    trade,
    write,
)

OTHER = "KXGAME-26MAR18AB-B"


def of_files(folder: Path, *files: list[dict[str, Any]], **options: Any) -> Session:
    paths = [write(folder / f"{i}.jsonl", *lines) for i, lines in enumerate(files)]
    return import_captures(paths, session_id=1, **options)


def sizes(session: Session, market: str = MARKET) -> list[int]:
    """Sizes of a market's deltas and trades in stream order, in contracts."""
    e = session.market_events(market)
    chosen = np.isin(e.kind, (EventKind.DELTA, EventKind.TRADE))
    return [int(size) // 100 for size in e.size[chosen]]


def test_files_of_one_subscription_are_merged_on_seq(tmp_path: Path) -> None:
    odd = [book(1), delta(3, 30, size="3"), delta(7, 70, size="7")]
    even = [delta(2, 20, size="2"), delta(6, 60, size="6"), delta(8, 80, size="8")]
    session = of_files(tmp_path, even, odd, whole_subscription=False)
    assert sizes(session) == [2, 3, 6, 7, 8]
    assert session.events.frame.tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]
    again = of_files(tmp_path, odd, even)
    assert again.events.equals(session.events)


def test_a_seq_that_goes_back_in_a_file_starts_a_connection(tmp_path: Path) -> None:
    session = imported(
        tmp_path,
        book(1),
        delta(2, 0, size="2"),
        book(1),
        delta(2, 90, size="4"),
        whole_subscription=True,
    )
    assert sizes(session) == [2, 4]
    assert session.quality.total.gaps == 0


def test_recordings_whose_numbers_collide_follow_one_another_in_time(tmp_path: Path) -> None:
    late = [book(1), delta(2, 60_000, size="6"), delta(3, 61_000, size="7")]
    early = [book(1), delta(2, 0, size="1"), delta(3, 1_000, size="2")]
    assert sizes(of_files(tmp_path, late, early)) == [1, 2, 6, 7]


def test_a_restart_with_lower_numbers_in_another_file_is_a_later_connection(
    tmp_path: Path,
) -> None:
    first = [book(500), delta(501, 0, size="1")]
    second = [book(1), delta(2, 1_500, size="2")]
    assert sizes(of_files(tmp_path, second, first)) == [1, 2]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    lines = [book(1), delta(2, 0), trade(1, 0)]
    once, twice = of_files(tmp_path, lines), of_files(tmp_path, lines, lines)
    assert twice.events.equals(once.events)
    assert twice.quality.total == once.quality.total
    assert any("same file" in note for note in twice.quality.notes)


def test_frames_that_two_files_share_are_read_once(tmp_path: Path) -> None:
    lines = [book(1), *[delta(i, i, size=f"{i}") for i in range(2, 10)], trade(1, 9), trade(2, 9)]
    session = of_files(tmp_path, lines[:6], lines[3:])
    assert session.events.equals(of_files(tmp_path, lines).events)
    assert any("twice" in note for note in session.quality.notes)


def test_a_frame_written_twice_in_a_row_is_read_once(tmp_path: Path) -> None:
    session = imported(tmp_path, book(1), delta(2, 0), delta(2, 0), delta(3, 1))
    assert session.quality.total.deltas == 2


def test_one_market_on_two_connections_at_once_is_refused(tmp_path: Path) -> None:
    one = [book(1), *[delta(i, 1_000 * i) for i in range(2, 20)]]
    other = [book(1), *[delta(i, 1_000 * i + 7) for i in range(2, 20)]]
    with pytest.raises(DataError, match=r"0\.jsonl and 1\.jsonl.*order"):
        of_files(tmp_path, one, other)


def test_two_sockets_in_a_file_each_are_refused_not_woven(tmp_path: Path) -> None:
    times = [(3, 0), (4, 2_000)]
    one = [book(1), *[delta(*told) for told in times], delta(6, 4_000, size="5"), delta(7, 5_000)]
    other = [book(2), *[delta(*told) for told in times], delta(5, 4_000, size="5")]
    for files in ((one, other), (other, one)):
        with pytest.raises(DataError, match=r"0\.jsonl, 1\.jsonl: .*two sockets under one sid"):
            of_files(tmp_path, *files)


def test_a_lone_snapshot_of_a_reconnect_stands_where_its_file_lies_in_time(tmp_path: Path) -> None:
    first = [book(1, market=OTHER), book(2), *[delta(i, i, market=OTHER) for i in (3, 4)]]
    changed = snapshot(2, [["0.3000", "7.00"]], [["0.5500", "80.00"]])
    second = [snapshot(1, [["0.3100", "6.00"]], market=OTHER)]
    third = [changed, delta(3, 100), delta(4, 150, market=OTHER), delta(5, 6_000, market=OTHER)]
    third += [snapshot(1, [["0.3200", "8.00"]], market=OTHER)]
    third += [snapshot(2, [["0.2000", "9.00"]]), delta(4, 6_200, size="2")]
    fourth = [delta(5, 9_000, size="3")]
    whole = of_files(tmp_path, [*first, *second, *third, *fourth])
    parts = of_files(tmp_path, second, third, fourth, first)
    for market in (MARKET, OTHER):
        assert books(parts.market_events(market)) == books(whole.market_events(market))


def test_a_snapshot_in_a_contained_file_is_read_once_where_equal_ones_lie(tmp_path: Path) -> None:
    def bare(line: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in line.items() if k != "seq"}

    others = [delta(None, i, market=OTHER) for i in (5, 6)]
    equal = bare(book())
    lines = [bare(book(market=OTHER)), equal, delta(None, 0), equal, equal, *others]
    lines.append(delta(None, 7))
    whole = of_files(tmp_path, lines)
    assert of_files(tmp_path, lines, [equal, *others]).events.equals(whole.events)
    assert of_files(tmp_path, [equal, *others], lines).events.equals(whole.events)


def test_trades_keep_their_place_in_their_own_file(tmp_path: Path) -> None:
    mine = [book(1), delta(2, 0, size="2"), trade(1, 5, size="50"), delta(5, 9, size="5")]
    theirs = [
        book(3, market=OTHER),
        trade(2, 4, size="40", market=OTHER),
        delta(4, 6, size="4", market=OTHER),
    ]
    session = of_files(tmp_path, mine, theirs)
    assert sizes(session) == [2, 50, 5]
    assert sizes(session, OTHER) == [40, 4]


def test_trades_before_the_first_book_frame_of_their_file_stay_before_it(tmp_path: Path) -> None:
    mine = [trade(1, 0, size="50"), book(2), delta(4, 9, size="5")]
    theirs = [book(1, market=OTHER), delta(3, 6, market=OTHER)]
    assert sizes(of_files(tmp_path, mine, theirs)) == [50, 5]


def test_a_trade_of_a_second_socket_stands_behind_what_was_received_before_it(
    tmp_path: Path,
) -> None:
    """One socket has it before a delta that it wrote late, the other before both changes."""
    sold = trade(1, 30, size="1", trade_id="t")

    def changes(seq: int) -> tuple[dict[str, Any], dict[str, Any]]:
        return delta(seq, 20, size="-2"), delta(seq + 1, 30, size="-1")

    early, caused = changes(2)
    late = [received(x, 40 + 10 * i) for i, x in enumerate((book(), caused, sold, early))]
    lines = (book(11), sold, *changes(12))
    other = [received(x, 39 + 22 * i) for i, x in enumerate(lines)]
    for files in ((late, other), (other, late)):
        assert sizes(of_files(tmp_path, *files)) == [-2, -1, 1]


def test_a_file_of_trades_alone_is_placed_by_time(tmp_path: Path) -> None:
    books = [book(1), delta(2, 0, size="-2"), delta(3, 5_000, size="-3"), delta(4, 9_000, size="4")]
    trades = [trade(1, 1, size="2"), trade(2, 5_001, size="3")]
    session = of_files(tmp_path, trades, books)
    assert sizes(session) == [-2, 2, -3, 3, 4]
    assert session.quality.total.trades_matched == 2


def test_frames_without_seq_keep_the_order_of_their_file(tmp_path: Path) -> None:
    lines = [{**book(), "seq": None}, *[delta(None, 9 - i, size=f"{i}") for i in range(1, 6)]]
    session = imported(tmp_path, *[{k: v for k, v in x.items() if v is not None} for x in lines])
    assert sizes(session) == [1, 2, 3, 4, 5]
    assert set(session.events.seq.tolist()) == {-1}


def test_a_seq_of_each_market_alone_orders_nothing_but_stays(tmp_path: Path) -> None:
    lines = [book(1), book(1, market=OTHER)]
    for i in range(2, 12):
        lines += [delta(i, i, size=f"{i}"), delta(i, i, size=f"{i}", market=OTHER)]
    session = imported(tmp_path, *lines, whole_subscription=True)
    assert sizes(session) == sizes(session, OTHER) == list(range(2, 12))
    assert session.quality.total.gaps == 0
    assert session.market_events(MARKET).seq[-1] == 11


def test_a_seq_of_each_market_alone_is_known_even_where_no_number_stands_twice(
    tmp_path: Path,
) -> None:
    lines = [book(1), book(901, market=OTHER)]
    for i in range(2, 12):
        lines += [delta(i, 1_000 * i), delta(900 + i, 1_000 * i, market=OTHER)]
    session = imported(tmp_path, *lines, whole_subscription=True)
    assert session.quality.total.gaps == 0
    assert session.quality.total.raised_times == 0


def test_a_hole_is_a_gap_in_every_market_of_the_subscription(tmp_path: Path) -> None:
    lines = [
        book(1),
        book(2, market=OTHER),
        book(1, market="KXALONE-1", sid=7),
        delta(3, 0),
        delta(5, 10),
        delta(2, 12, market="KXALONE-1", sid=7),
        book(6),
        delta(7, 20, market=OTHER),
    ]
    session = imported(tmp_path, *lines, whole_subscription=True)
    gaps = {t: q.gaps for t, q in session.quality.markets.items()}
    assert gaps == {MARKET: 1, OTHER: 1, "KXALONE-1": 0}
    assert session.quality.markets[MARKET].dropped_in_gap == 1
    assert session.quality.markets[OTHER].dropped_in_gap == 1
    kinds = session.market_events(MARKET).kind
    assert [EventKind(k).name for k in kinds if k != EventKind.LEVEL] == [
        "SNAPSHOT",
        "DELTA",
        "GAP",
        "DELTA",
        "SNAPSHOT",
    ]
    assert imported(tmp_path, *lines).quality.total.gaps == 0


def test_a_hole_is_no_gap_of_books_that_a_snapshot_had_replaced(tmp_path: Path) -> None:
    """5 to 8 are missing: the book of the snapshot 3 ends, that of 1 had ended before."""
    lines = [book(1), delta(2, 0), book(3), delta(4, 10), delta(9, 20), book(10), delta(11, 30)]
    session = imported(tmp_path, *lines, whole_subscription=True)
    kinds = session.events.kind[session.events.kind != EventKind.LEVEL].tolist()
    assert kinds == [
        *(EventKind.SNAPSHOT, EventKind.DELTA, EventKind.SNAPSHOT, EventKind.DELTA),
        *(EventKind.GAP, EventKind.DELTA, EventKind.SNAPSHOT, EventKind.DELTA),
    ]
    assert session.quality.total.dropped_in_gap == 1


def test_control_frames_consume_numbers(tmp_path: Path) -> None:
    lines = [book(1), {"type": "ok", "sid": 1, "seq": 2}, delta(3, 0)]
    assert imported(tmp_path, *lines, whole_subscription=True).quality.total.gaps == 0
    del lines[1]
    assert imported(tmp_path, *lines, whole_subscription=True).quality.total.gaps == 1


def test_holes_of_the_trade_channel_are_no_gaps(tmp_path: Path) -> None:
    lines = [book(1), delta(2, 0), trade(1, 0), trade(9, 1), delta(3, 2)]
    assert imported(tmp_path, *lines, whole_subscription=True).quality.total.gaps == 0


def test_a_reconnect_that_begins_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    lines = [book(1), delta(2, 0), delta(3, 5), delta(2, 9_000, size="9")]
    session = imported(tmp_path, *lines, whole_subscription=True)
    assert session.quality.total.gaps == 1
    assert session.quality.total.passed_over == 1


def test_a_skipped_line_of_a_whole_subscription_leaves_a_gap(tmp_path: Path) -> None:
    lines: list[Any] = [book(1), "{", delta(3, 0)]
    session = imported(tmp_path, *lines, whole_subscription=True, max_bad_lines=1)
    assert session.quality.total.gaps == 1


def test_a_market_moved_to_another_subscription_goes_on_there(tmp_path: Path) -> None:
    lines = [
        book(1),
        delta(2, 0, size="2"),
        frame("unsubscribed", None, 1),
        snapshot(1, [["0.4", "7"]], sid=4),
        delta(2, 9_000, size="3", sid=4),
    ]
    session = imported(tmp_path, *lines)
    assert sizes(session) == [2, 3]
    assert rows(session.events, EventKind.LEVEL)[-1] == (0, 4000, 700)


@pytest.mark.parametrize("numbers", [[1, 3, 2], [1, 4, 2, 3], [1, 2, 5, 3, 6, 4, 7], [1, 3, 2, 4]])
def test_frames_a_little_out_of_order_are_put_in_order_of_seq(
    tmp_path: Path, numbers: list[int]
) -> None:
    lines = [book(1) if i == 1 else delta(i, 10 * i, size=f"{i}") for i in numbers]
    session = imported(tmp_path, *lines, whole_subscription=True)
    assert sizes(session) == sorted(numbers)[1:]
    assert session.quality.total.gaps == 0
    assert session.quality.total.raised_times == 0


def test_many_places_out_of_order_leave_no_gap_and_trades_in_place(tmp_path: Path) -> None:
    lines = [book(1), book(2, market=OTHER)]
    for i in range(3, 43, 2):  # pairs of two markets, each the wrong way round
        lines += [delta(i + 1, i, market=OTHER), delta(i, i, size=f"{i}"), trade(i, i, size="50")]
    lines += [delta(44, 50, size="44"), delta(43, 49, size="43")]
    session = imported(tmp_path, *lines, whole_subscription=True)
    told = [size for size in sizes(session) if size != 50]
    assert told == [*range(3, 43, 2), 43, 44]
    assert sizes(session)[:4] == [3, 50, 5, 50]
    assert session.quality.total.gaps == 0


def test_a_return_to_unused_numbers_much_later_is_a_connection(tmp_path: Path) -> None:
    lines = [book(1), delta(5, 0, size="5"), delta(9, 1, size="9")]
    later = [delta(3, 60_000, size="3"), delta(12, 60_001, size="12")]
    session = imported(tmp_path, *lines, *later)
    assert sizes(session) == [5, 9]
    assert session.quality.total.passed_over == 2
    assert session.quality.total.gaps == 1
    again = [book(3), delta(4, 100, size="4"), delta(12, 101, size="12")]
    assert sizes(imported(tmp_path, *lines, *again)) == [5, 9, 4, 12]


@pytest.mark.parametrize("number", [0, 7])
def test_numbers_that_never_rise_are_none(tmp_path: Path, number: int) -> None:
    lines = [book(number), *[delta(number, 5, size="2")] * 3, *[trade(number, 6)] * 3]
    session = imported(tmp_path, *lines, whole_subscription=True)
    assert session.quality.total.deltas == 3
    assert session.quality.total.trades == 3
    assert session.quality.total.gaps == 0
    assert not any("twice" in note for note in session.quality.notes)


def test_files_without_numbers_follow_one_another_in_time(tmp_path: Path) -> None:
    def bare(line: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in line.items() if k != "seq"}

    early = [bare(book()), delta(None, 0, size="1")]
    late = [delta(None, 9_000, size="2")]
    timeless = [delta(None, None, size="3")]
    assert sizes(of_files(tmp_path, late, early)) == [1, 2]
    with pytest.raises(DataError, match="order"):
        of_files(tmp_path, late, timeless, early)


def test_a_new_subscription_that_begins_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    lines = [book(1), book(2, market=OTHER), delta(3, 0)]
    middle = [delta(4, 9_000, sid=3), book(5, market=OTHER, sid=3)]
    session = imported(tmp_path, *lines, *middle, whole_subscription=True)
    assert {t: q.gaps for t, q in session.quality.markets.items()} == {MARKET: 1, OTHER: 0}
