"""Import of captures: wire shapes, exact values, times."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Session
from tests.support.wire import (
    MARKET,
    T0,
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


def only(session: Session, kind: EventKind) -> list[tuple[int, int, int]]:
    return rows(session.events, kind)


@pytest.mark.parametrize(
    "keys",
    [
        {"price": 42, "delta": -54},
        {"price": "42", "delta": "-54"},
        {"price_dollars": "0.42", "delta_fp": "-54.00"},
        {"price_dollars": "0.4200", "delta_fp": "-54.00", "price": 42, "delta": -54},
        {"price_dollars": 0.42, "delta_fp": -54},
        {"price_dollars": "0.420", "delta": -54},
    ],
)
def test_every_generation_of_delta_keys_gives_the_same_event(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    line = frame("orderbook_delta", 2, market_ticker=MARKET, side="no", ts_ms=T0, **keys)
    assert only(imported(tmp_path, book(), line), EventKind.DELTA) == [(1, 4200, -5400)]


def test_the_finer_keys_of_a_transition_frame_win(tmp_path: Path) -> None:
    message: dict[str, Any] = {
        "price": 42,
        "price_dollars": "0.4250",
        "delta": 3,
        "delta_fp": "3.25",
    }
    line = frame("orderbook_delta", 2, market_ticker=MARKET, side="yes", ts_ms=T0, **message)
    session = imported(tmp_path, book(), line)
    assert only(session, EventKind.DELTA) == [(0, 4250, 325)]
    assert session.markets[0].sub_penny


@pytest.mark.parametrize(
    "sides",
    [
        {"yes_dollars_fp": [["0.4200", "13.00"]], "no_dollars_fp": [["0.5000", "7.00"]]},
        {"yes_dollars": [["0.42", 13]], "no_dollars": [["0.50", 7]]},
        {"yes": [[42, 13]], "no": [[50, 7]]},
        {"yes": [["42", "13"]], "no": [["50", "7.00"]]},
        {"yes": [[41, 1]], "yes_dollars_fp": [["0.42", "13"]], "no_dollars_fp": [["0.5", "7"]]},
    ],
)
def test_every_generation_of_snapshot_keys_gives_the_same_levels(
    tmp_path: Path, sides: dict[str, Any]
) -> None:
    line = frame("orderbook_snapshot", 1, market_ticker=MARKET, **sides)
    session = imported(tmp_path, line, delta(2, 0))
    assert only(session, EventKind.LEVEL) == [(0, 4200, 1300), (1, 5000, 700)]


@pytest.mark.parametrize("sides", [{}, {"yes": None, "no": None}, {"yes": [], "no": []}])
def test_absent_and_null_sides_are_empty(tmp_path: Path, sides: dict[str, Any]) -> None:
    line = frame("orderbook_snapshot", 1, market_ticker=MARKET, **sides)
    session = imported(tmp_path, line, delta(2, 0))
    assert session.quality.total.snapshots == 1
    assert only(session, EventKind.LEVEL) == []


@pytest.mark.parametrize(
    "message",
    [
        {"orderbook_fp": {"yes_dollars": [["0.42", "13.00"]], "no_dollars": [["0.5", "7.00"]]}},
        {"orderbook": {"yes": [[42, 13]], "no": [[50, 7]]}},
    ],
)
def test_rest_order_books_are_snapshots(tmp_path: Path, message: dict[str, Any]) -> None:
    session = imported(tmp_path, {"recv_ts_ms": T0, "market_ticker": MARKET, **message})
    assert only(session, EventKind.LEVEL) == [(0, 4200, 1300), (1, 5000, 700)]
    assert session.events.ts_ms.tolist() == [T0] * 3


def test_an_envelope_may_name_the_market_of_a_rest_order_book(tmp_path: Path) -> None:
    raw = {"orderbook": {"yes": [[42, 13]], "no": [[50, 7]]}}
    session = imported(tmp_path, {"recv_ts_ms": T0, "ticker": MARKET, "raw": json.dumps(raw)})
    assert session.markets[0].ticker == MARKET
    assert only(session, EventKind.LEVEL) == [(0, 4200, 1300), (1, 5000, 700)]


@pytest.mark.parametrize("key", ["yes_dollars_fp", "yes"])
def test_a_level_of_nothing_at_0_or_1_dollar_is_left_out(tmp_path: Path, key: str) -> None:
    low, middle, high = (0, 42, 100) if key == "yes" else ("0.0000", "0.4200", "1.0000")
    sides: dict[str, Any] = {key: [[low, 0], [middle, 13], [high, "0.00"]]}
    line = frame("orderbook_snapshot", 1, market_ticker=MARKET, **sides)
    assert only(imported(tmp_path, line, delta(2, 0)), EventKind.LEVEL) == [(0, 4200, 1300)]


def test_odd_spellings_change_nothing(tmp_path: Path) -> None:
    plain = imported(tmp_path, book(), delta(2, 0, "no"), trade(1, 1))
    odd = [
        {**book(), "sid": "1", "seq": "1"},
        delta(2, 0, "NO", sid="1"),  # type: ignore[arg-type]  # a wrong value is the point
        trade(1, 1, "NO", is_block_trade="false"),
        trade(2, 1, is_block_trade=1),
        trade(3, 1, is_block_trade="true"),
    ]
    session = imported(tmp_path, *odd)
    assert session.events.equals(plain.events)
    assert session.quality.total.block_trades_dropped == 2


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"taker_side": "yes", "yes_price": 40, "no_price": 60, "count": 7}, (1, 6000, 700)),
        ({"taker_side": "no", "yes_price": 40, "no_price": 60, "count": 7}, (0, 4000, 700)),
        ({"taker_side": "yes", "yes_price": 40, "count": 7}, (1, 6000, 700)),
        ({"taker_book_side": "bid", "yes_price_dollars": "0.405", "count": 7}, (1, 5950, 700)),
        ({"taker_book_side": "ask", "no_price_dollars": "0.405", "count": 7}, (0, 5950, 700)),
        (
            {"taker_outcome_side": "yes", "taker_side": "no", "no_price": 60, "count_fp": "0.07"},
            (1, 6000, 7),
        ),
        (
            {
                "taker_side": "no",
                "yes_price": 40,
                "yes_price_dollars": "0.4050",
                "count": 7,
                "count_fp": "7.5",
            },
            (0, 4050, 750),
        ),
    ],
)
def test_a_taker_consumes_the_resting_bids_of_the_other_side(
    tmp_path: Path, message: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    session = imported(tmp_path, book(), frame("trade", 1, 2, market_ticker=MARKET, **message))
    assert only(session, EventKind.TRADE) == [expected]
    assert session.trades_recorded


def test_values_are_exact_however_they_are_written(tmp_path: Path) -> None:
    lines = [
        delta(2, 0, price="0.0010", size="1596.82"),
        frame(
            "orderbook_delta",
            3,
            market_ticker=MARKET,
            side="yes",
            ts_ms=T0,
            price_dollars=0.07,
            delta_fp=1.1,
        ),
        delta(4, 0, price="0.9999", size="-250000.01"),
    ]
    session = imported(tmp_path, book(), *lines)
    assert only(session, EventKind.DELTA) == [
        (0, 10, 159_682),
        (0, 700, 110),
        (0, 9999, -25_000_001),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_envelopes_blank_lines_and_compression_change_nothing(tmp_path: Path, name: str) -> None:
    plain = imported(tmp_path, received(book(), 0), delta(2, 5), delta(3, 9))
    held = {"recv_ts_ms": T0 + 7, "raw": delta(2, 5)}
    path = write(tmp_path / name, received(book(), 0), "", held, "  ", delta(3, 9))
    assert import_captures([path], session_id=1).events.equals(plain.events)
    path = write(
        tmp_path / name, received(book(), 0), "", received(delta(2, 5), 7), "  ", delta(3, 9)
    )
    assert import_captures([path], session_id=1).events.equals(plain.events)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", book(), delta(2, 5))
    plain = import_captures([path], session_id=1)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert import_captures([path], session_id=1).events.equals(plain.events)


def test_a_gzip_file_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.jsonl", book(), delta(2, 0))
    (tmp_path / "other.ndjson").write_bytes(gzip.compress(plain.read_bytes()))
    other = import_captures([tmp_path / "other.ndjson"], session_id=1)
    assert other.events.equals(import_captures([plain], session_id=1).events)


@pytest.mark.parametrize(
    ("times", "ms", "flags"),
    [
        ({"ts_ms": T0 + 5, "ts": "2026-03-18T19:36:07Z"}, T0 + 5, 0),
        ({"ts_ms": str(T0 + 5)}, T0 + 5, 0),
        ({"ts": "2026-03-18T19:36:06.826925Z"}, T0 + 826, 0),
        ({"ts": "2026-03-18T19:36:06.8Z"}, T0 + 800, 0),
        ({"ts": "2026-03-18T19:36:06Z"}, T0, 0),
        ({"ts": "2026-03-18T14:36:06.0019-05:00"}, T0 + 1, 0),
        ({"ts": T0 // 1000}, T0, EventFlag.WHOLE_SECOND),
        ({"ts": str(T0 // 1000)}, T0, EventFlag.WHOLE_SECOND),
        ({"ts": T0 / 1000}, T0, EventFlag.WHOLE_SECOND),
        ({"ts": T0 + 7}, T0 + 7, 0),
        ({"ts": T0 / 1000 + 0.25}, T0 + 250, 0),
    ],
)
def test_times_are_floored_to_the_millisecond(
    tmp_path: Path, times: dict[str, Any], ms: int, flags: int
) -> None:
    message = {"price": 40, "delta": 1, "side": "yes", **times}
    line = frame("orderbook_delta", 2, market_ticker=MARKET, **message)
    events = imported(tmp_path, book(), line).events
    assert int(events.ts_ms[-1]) == ms
    assert int(events.flags[-1]) == flags


def test_a_time_is_read_alike_whatever_its_neighbours_are(tmp_path: Path) -> None:
    def at(seq: int, **times: Any) -> dict[str, Any]:
        message = {"price": 40, "delta": 1, "side": "yes", **times}
        return frame("orderbook_delta", seq, market_ticker=MARKET, **message)

    second = T0 // 1000
    session = imported(tmp_path, book(), at(2, ts=str(second)), at(3, ts=second), at(4, ts_ms=T0))
    whole = int(EventFlag.WHOLE_SECOND)
    assert session.events.flags[-3:].tolist() == [whole, whole, 0]
    mixed = imported(
        tmp_path, book(), at(2, ts_ms=T0 - 2), at(3, ts_ms=f"{T0 - 1}"), at(4, ts=second)
    )
    assert mixed.events.ts_ms[-3:].tolist() == [T0 - 2, T0 - 1, T0]
    assert mixed.events.flags[-3:].tolist() == [0, 0, whole]


@pytest.mark.parametrize(
    "envelope",
    [
        {"recv_ts_ns": T0 * 10**6 + 3},
        {"recv_ts_us": T0 * 1000 + 3},
        {"recv_ts_ms": T0},
        {"recv_ts_ms": str(T0)},
        {"recv_ts_ns": str(T0 * 10**6 + 3)},
        {"recv_ts": "2026-03-18T19:36:06.000900Z"},
        {"received_at": T0 / 1000},
    ],
)
def test_without_an_exchange_time_the_receive_time_counts(
    tmp_path: Path, envelope: dict[str, Any]
) -> None:
    session = imported(tmp_path, {**book(), **envelope}, {**delta(2, None), **envelope})
    assert set(session.events.ts_ms.tolist()) == {T0}
    assert session.quality.total.inferred_times == 0


def test_a_sending_time_stands_for_a_missing_time(tmp_path: Path) -> None:
    lines = [{**book(), "sending_ts_ms": T0 + 1}, {**delta(2, None), "sending_ts_ms": T0 + 3}]
    assert set(imported(tmp_path, *lines).events.ts_ms.tolist()) == {T0 + 1, T0 + 3}


def test_block_trades_are_dropped_and_counted(tmp_path: Path) -> None:
    session = imported(tmp_path, book(), delta(2, 0), trade(1, 0, is_block_trade=True))
    assert session.quality.total.block_trades_dropped == 1
    assert session.quality.total.trades == 0
    assert session.trades_recorded


def test_other_frames_are_counted_by_type(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"type": "ok", "id": 1, "sid": 1, "seq": 2, "msg": {"market_tickers": [MARKET]}},
        {"type": "ok", "id": 2, "msg": [{"channel": "trade", "sid": 3}]},
        {"type": "error", "id": 1, "msg": {"code": 8, "msg": "Unknown channel name"}},
        {"type": "ticker", "sid": 3, "msg": {"market_ticker": MARKET, "price": 40, "yes": 3}},
        {"type": "unheard_of", "msg": 7},
        {"sid": 9, "seq": 2, "msg": {}},
        received({"type": "unheard_of", "sid": {}, "msg": 7}, 70),
        {"recv_ts_ms": T0 + 80, "raw": {"type": "unheard_of", "msg": {"ts": "soon"}}},
        {"recv_ts_ms": T0 + 90, "raw": {"price": 7.5, "market_ticker": 8}},
    ]
    session = imported(tmp_path, book(), *lines, delta(3, 0))
    assert session.quality.other_frames == {
        "error": 1,
        "ok": 2,
        "ticker": 1,
        "unheard_of": 3,
        "untyped": 2,
    }
    assert session.last_message_ms == T0 + 90
    assert not session.trades_recorded


def test_a_confirmed_trade_channel_counts_as_recorded_without_a_trade(tmp_path: Path) -> None:
    line = {"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}}
    assert imported(tmp_path, line, book(), delta(2, 0)).trades_recorded


def test_lifecycle_frames_tell_close_times_and_results(tmp_path: Path) -> None:
    def life(event: str, ms: int, **more: Any) -> dict[str, Any]:
        kind, sid = "market_lifecycle_v2", 5
        return received(frame(kind, None, sid, market_ticker=MARKET, event_type=event, **more), ms)

    session = imported(
        tmp_path,
        book(),
        delta(2, 0),
        life("close_date_updated", 50, close_ts=T0 // 1000 + 60),
        life("price_level_structure_updated", 55),
        life("determined", 90, result="yes", determination_ts=T0 // 1000 + 80),
        received(
            frame("market_lifecycle_v2", market_ticker="KXELSE-1", event_type="activated"), 95
        ),
    )
    (market,) = session.markets
    assert market.close_updates == ((T0 + 50, T0 + 60_000),)
    assert (market.settlement_value, market.settlement_known_ms) == (10_000, T0 + 90)
    assert session.last_message_ms == T0 + 95
    assert session.quality.other_frames == {"market_lifecycle_v2": 4}


def test_a_scalar_settlement_is_exact(tmp_path: Path) -> None:
    message = {"event_type": "determined", "result": "scalar", "settlement_value": "0.3700"}
    line = frame("market_lifecycle_v2", None, 5, market_ticker=MARKET, **message)
    (market,) = imported(tmp_path, book(), delta(2, 0), line).markets
    assert market.settlement_value == 3700


def test_yes_prices_of_the_no_side_are_mirrored_on_request(tmp_path: Path) -> None:
    lines = [
        snapshot(1, [["0.4000", "5.00"]], [["0.4500", "6.00"]]),
        delta(2, 0, "no", "0.4600"),
        trade(1, 0, "yes", "0.4500"),
    ]
    session = imported(tmp_path, *lines, use_yes_price=True)
    assert only(session, EventKind.LEVEL) == [(0, 4000, 500), (1, 5500, 600)]
    assert only(session, EventKind.DELTA) == [(1, 5400, 1000)]
    assert only(session, EventKind.TRADE) == [(1, 5500, 1000)]
    assert not any("crossed" in note for note in session.quality.notes)


def test_persistently_crossed_books_suggest_the_option(tmp_path: Path) -> None:
    lines = [snapshot(1, [["0.6000", "5.00"]], [["0.6500", "6.00"]])]
    lines += [delta(2 + i, i, "no", "0.6500", "1.00") for i in range(20)]
    session = imported(tmp_path, *lines)
    assert session.quality.total.crossed_ms == 20
    assert any("--use-yes-price" in note for note in session.quality.notes)


def test_blocks_of_lines_do_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [book(), *[delta(2 + i, i, size=f"{i}.25") for i in range(50)]]
    whole = imported(tmp_path, *lines)
    monkeypatch.setattr("kalshi_sim.ingest.sources._BLOCK", 100)
    seen: list[tuple[int, int]] = []
    small = imported(tmp_path, *lines, progress=lambda done, total: seen.append((done, total)))
    assert small.events.equals(whole.events)
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_trade_without_a_time_stays_and_matches_nothing(tmp_path: Path) -> None:
    session = imported(tmp_path, book(), delta(2, 0, size="-10.00"), trade(1, None))
    assert int(session.events.ts_ms[-1]) == NO_TIME
    assert session.quality.total.trades_unmatched == 1
