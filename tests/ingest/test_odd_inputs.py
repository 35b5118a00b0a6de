"""Odd but legal input gives the right book; odd and wrong input a line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import NO_TIME, EventKind
from tests.support.wire import MARKET, T0, book, delta, frame, imported, rows, snapshot, trade

NS = 1_000_000
MICROS: dict[str, Any] = {
    "market_ticker": MARKET,
    "price": 40,
    "delta": 1,
    "side": "yes",
    "ts": T0 * 1000,
}


def refused(folder: Path, *lines: dict[str, Any] | str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        imported(folder, *lines, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([delta(2, T0 // 1000 - T0)], "looks like seconds, where milliseconds are meant"),
        ([delta(2, T0 * 999)], "looks like microseconds, where milliseconds are meant"),
        ([delta(2, 1_625_011_199_999 - T0)], "no time since 2021-06-30, when the exchange opened"),
        ([{"recv_ts_ns": T0, "raw": json.dumps(book())}], "recv_ts_ns: .* like milliseconds"),
        ([{"recv_ts_ms": T0 // 1000, "raw": json.dumps(book())}], "recv_ts_ms: .* like seconds"),
        ([{"received_at": T0 * 1000, "raw": json.dumps(book())}], "received_at: .* microseconds"),
        ([frame("orderbook_delta", 2, **MICROS)], "looks like microseconds"),
        ([{"recv_ts_us": T0 * NS, "raw": json.dumps(book())}], "recv_ts_us: .* like nanoseconds"),
    ],
)
def test_a_time_in_another_unit_is_refused_with_the_unit(
    tmp_path: Path, lines: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        imported(tmp_path, book(), *lines)


def test_the_first_millisecond_of_the_exchange_is_read(tmp_path: Path) -> None:
    session = imported(tmp_path, book(), delta(2, 1_625_011_200_000 - T0))
    assert session.events.ts_ms[-1] == 1_625_011_200_000


def test_exponents_are_exact(tmp_path: Path) -> None:
    plain = imported(tmp_path, book(), delta(2, 0, price="0.0100", size="-12.50"))
    odd = imported(tmp_path, book(), delta(2, 0, price="1e-2", size="-1.25E1"))
    assert odd.events.equals(plain.events)


NOISY: dict[str, Any] = {
    "price_dollars": 0.1 + 0.2,  # 0.30000000000000004
    "delta_fp": 1.1 + 2.2,  # 3.3000000000000003
    "side": "yes",
    "ts_ms": T0,
}


def test_binary_noise_is_rounded_only_on_request_and_counted(tmp_path: Path) -> None:
    """Money is exact: what is not a price as it stands is refused, with the option that takes it.

    Rounding it without being asked would hide a recorder that writes wrong prices.
    """
    lines = [frame("orderbook_delta", 2 + i, market_ticker=MARKET, **NOISY) for i in range(3)]
    said = refused(tmp_path, book(), *lines)
    assert "0.30000000000000004" in said
    assert "--nearest-tick" in said
    session = imported(
        tmp_path, book(), *lines, trade(1, 0, taker=""), nearest_tick=True, max_bad_lines=1
    )
    assert rows(session.events, EventKind.DELTA) == [(0, 3000, 330)] * 3
    assert "6 prices and sizes were rounded to the nearest tick" in session.quality.notes
    exact = imported(tmp_path, book(), delta(2, 0), nearest_tick=True)
    assert not any("nearest tick" in note for note in exact.quality.notes)


@pytest.mark.parametrize(
    ("price", "right"), [("0.300000000999", True), ("0.3000000011", False), ("0.30004", False)]
)
def test_more_than_noise_is_refused(tmp_path: Path, price: str, right: bool) -> None:
    line = delta(2, 0, price=price)
    if right:
        session = imported(tmp_path, book(), line, nearest_tick=True)
        assert rows(session.events, EventKind.DELTA) == [(0, 3000, 1000)]
    else:
        assert "by more than a float's noise" in refused(tmp_path, line, nearest_tick=True)


@pytest.mark.parametrize(
    "sides",
    [
        {"yes_levels": [["0.4000", "10.00"]], "no_levels": [["0.5000", "20.00"]]},
        {"yes_dollars_fp": [["0.4000", "10.00"]], "no_levels": [["0.5000", "20.00"]]},
        {"bids": [["0.4000", "10.00"]], "yes_dollars_fp": []},
        {"levels": {"yes": [[40, 10]]}},
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_levels_under_unknown_keys_are_refused_by_name(
    tmp_path: Path, sides: dict[str, Any], wrapped: bool
) -> None:
    line = frame("orderbook_snapshot", 1, market_ticker=MARKET, **sides)
    told = {"recv_ts_ms": T0, "raw": json.dumps(line)} if wrapped else line
    said = refused(tmp_path, book(), "", told, delta(2, 0))
    assert "line 3" in said
    assert repr(next(k for k in sides if not k.endswith("_fp"))) in said
    assert MARKET in said


def test_a_rest_book_with_unknown_keys_is_refused_by_name(tmp_path: Path) -> None:
    line = {"market_ticker": MARKET, "orderbook": {"var_true": [[40, 10]]}}
    assert "'var_true'" in refused(tmp_path, {**line, "recv_ts_ms": T0})


def test_other_keys_of_a_one_sided_snapshot_are_no_levels(tmp_path: Path) -> None:
    line = snapshot(1, [["0.4000", "10.00"]])
    line["msg"] |= {"market_id": "x", "version": 3, "note": None}
    assert rows(imported(tmp_path, line, delta(2, 0)).events, EventKind.LEVEL) == [(0, 4000, 1000)]


PERPS = [
    frame("orderbook_snapshot", 1, 9, market_ticker="BTCPERP", bid=[["60000.1", "1"]], ask=[]),
    frame("orderbook_delta", 2, 9, market_ticker="BTCPERP", side="bid", price="60000", delta="1"),
]


def test_frames_of_perpetual_futures_are_left_out_by_name(tmp_path: Path) -> None:
    plain = imported(tmp_path, book(), delta(2, 0))
    session = imported(tmp_path, PERPS[0], book(), PERPS[1], delta(2, 0))
    assert [m.ticker for m in session.markets] == [MARKET]
    assert session.events.ts_ms.tolist() == plain.events.ts_ms.tolist()
    assert any("BTCPERP" in note and "(2 frames)" in note for note in session.quality.notes)
    assert session.quality.other_frames == {
        "orderbook_delta of another product": 1,
        "orderbook_snapshot of another product": 1,
    }
    assert "BTCPERP" in refused(tmp_path, *PERPS)


ENVELOPES: dict[str, Any] = {
    "data": lambda f: {"data": f},
    "typed": lambda f: {"type": "message", "payload": f},
    "text": lambda f: {"payload_json": json.dumps(f)},
    "deep": lambda f: {"event": {"body": {"frame": f}}},
    "text in text": lambda f: {"a": json.dumps({"b": json.dumps(f)})},
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_unknown_envelopes_are_opened(tmp_path: Path, name: str) -> None:
    lines = [book(), delta(2, 0), trade(1, 0), delta(3, 1)]
    plain = imported(tmp_path, *lines)
    some = [lines[0], ENVELOPES[name](lines[1]), ENVELOPES[name](lines[2]), lines[3]]
    for told in (some, [ENVELOPES[name](line) for line in lines]):
        session = imported(tmp_path, *told)
        assert session.events.equals(plain.events)
        assert session.quality.notes == plain.quality.notes


def test_an_unknown_envelope_keeps_a_known_receive_time(tmp_path: Path) -> None:
    session = imported(tmp_path, {"recv_ts_ms": T0 + 5, "data": book()}, delta(2, 9))
    assert session.events.ts_ms[0] == T0 + 5


def test_an_envelope_of_several_frames_is_refused_by_name(tmp_path: Path) -> None:
    said = refused(tmp_path, book(), {"data": [delta(2, 0), delta(3, 1)]})
    assert "line 2" in said
    assert "2 frames, in data.0, data.1" in said


def test_book_words_outside_of_a_frame_are_only_counted(tmp_path: Path) -> None:
    odd = {"level": "info", "message": "subscribed to orderbook_delta", "data": {"type": "trade"}}
    session = imported(tmp_path, book(), odd, delta(2, 0))
    assert session.quality.other_frames == {"untyped": 1}


@pytest.mark.parametrize("key", ["ts_recv", "received_ns", "timestamp"])
@pytest.mark.parametrize("field", ["raw", "data"])
def test_an_unknown_receive_time_is_named(tmp_path: Path, key: str, field: str) -> None:
    session = imported(
        tmp_path,
        {key: T0 * NS, field: json.dumps(book())},
        {key: T0 * NS, field: json.dumps(delta(2, 0))},
    )
    (note,) = [n for n in session.quality.notes if "--envelope" in n]
    assert repr(key) in note
    assert f"--envelope {field}=recv:{key}" in note


@pytest.mark.parametrize("side", ["yes", "no"])
@pytest.mark.parametrize("price", ["0.40", 0.4, "40.5"])
def test_dollars_under_a_key_of_cents_are_refused(tmp_path: Path, side: str, price: Any) -> None:
    line = frame("orderbook_snapshot", 1, market_ticker=MARKET)
    line["msg"][side] = [[price, "10"]]
    said = refused(tmp_path, line)
    assert "whole cents" in said
    assert "yes_dollars" in said
    message = {"price": price, "delta": 1, "side": side, "ts_ms": T0}
    assert "whole cents" in refused(
        tmp_path, book(), frame("orderbook_delta", 2, market_ticker=MARKET, **message)
    )


@pytest.mark.parametrize("number", ["21", "26", "27", "28", "29"])
def test_the_small_captures_are_right_or_refused(recordings: Path, number: str) -> None:
    (folder,) = (recordings / "import-cases").glob(f"{number}-*")
    paths = sorted(folder.glob("*.jsonl"))
    said = {
        "21": "'yes_levels'",
        "26": "looks like seconds",
        "27": "looks like milliseconds",
    }.get(number)
    if said is not None:
        with pytest.raises(DataError, match=said):
            import_captures(paths, session_id=1)
        return
    session = import_captures(paths, session_id=1)
    assert [m.ticker for m in session.markets] == ["KXT-26JUN01-A"]
    e = session.events
    sizes = e.size[(e.side == 0) & (e.kind != EventKind.SNAPSHOT)]
    assert int(sizes.sum()) == {"28": 1600, "29": 1100}[number]
    assert (e.ts_ms != NO_TIME).all()
