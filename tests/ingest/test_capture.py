"""Import of captures: wire shapes, exact values, times, malformed lines, real recordings."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Session
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded
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


MALFORMED = {
    "no JSON": '{"type":"orderbook_delta"',
    "a price of 0": delta(2, 0, price="0.0000"),
    "a price of 1": delta(2, 0, price="1.0000"),
    "a negative price": delta(2, 0, price="-0.4000"),
    "too fine a price": delta(2, 0, price="0.40001"),
    "a price that is no number": delta(2, 0, price="abc"),
    "a size that is no number": delta(2, 0, size="1e"),
    "an exponent beyond all sizes": delta(2, 0, size="1e99"),
    "too large a size": delta(2, 0, size="1" * 30),
    "an unknown side": delta(2, 0, side="maybe"),
    "no side": frame("orderbook_delta", 2, market_ticker=MARKET, price=40, delta=1),
    "no ticker": frame("orderbook_delta", 2, price=40, delta=1, side="yes"),
    "no price": frame("orderbook_delta", 2, market_ticker=MARKET, delta=1, side="yes"),
    "no size": frame("orderbook_delta", 2, market_ticker=MARKET, price=40, side="yes"),
    "no message": {"type": "orderbook_delta", "sid": 1, "seq": 2},
    "a REST book of nothing known": {"orderbook": 7},
    "a level at 0": snapshot(2, [["0.0000", "1.00"]]),
    "a level at 1": snapshot(2, [["1.0000", "1.00"]]),
    "no taker": trade(1, 0, taker=""),
    "a negative count": trade(1, 0, size="-1.00"),
    "a negative level": snapshot(2, [["0.4000", "-1.00"]]),
    "a level of three": frame("orderbook_snapshot", 2, market_ticker=MARKET, yes=[[1, 2, 3]]),
    "a bad time": {**delta(2, None), "msg": {**delta(2, None)["msg"], "ts": "yesterday"}},
    "an impossible day": {
        **delta(2, None),
        "msg": {**delta(2, None)["msg"], "ts": "2026-02-30T00:00:00Z"},
    },
    "a time without zone": {
        **delta(2, None),
        "msg": {**delta(2, None)["msg"], "ts": "2026-02-03T00:00:00.5"},
    },
    "a time too late": delta(2, 10**15),
    "a time too early": received(delta(2, None), -2 * T0),
    "a list": "[1, 2]",
    "an envelope around nothing": {"recv_ts_ns": 1, "raw": "nonsense"},
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_named_by_file_and_number(
    tmp_path: Path, line: dict[str, Any] | str
) -> None:
    path = write(tmp_path / "capture.jsonl", book(), delta(2, 0), "", line, delta(3, 1))
    with pytest.raises(DataError, match=r"capture\.jsonl, line 4: ") as caught:
        import_captures([path], session_id=1)
    assert "--max-bad-lines" in str(caught.value)
    session = import_captures([path], session_id=1, max_bad_lines=1)
    assert session.quality.bad_lines == 1
    assert session.quality.total.deltas == 2
    assert any("line 4" in note for note in session.quality.notes)


def test_bytes_that_are_no_text_are_malformed(tmp_path: Path) -> None:
    path = write(tmp_path / "capture.jsonl", book(), delta(2, 0, market="HERE"))
    path.write_bytes(path.read_bytes().replace(b"HERE", b"\xff\xfe"))
    with pytest.raises(DataError, match="line 2"):
        import_captures([path], session_id=1)


def test_more_malformed_lines_than_allowed_fail(tmp_path: Path) -> None:
    lines: list[Any] = [book(), "x", delta(2, 0), "y", delta(3, 1), "z"]
    with pytest.raises(DataError, match="line 6"):
        imported(tmp_path, *lines, max_bad_lines=2)
    assert imported(tmp_path, *lines, max_bad_lines=3).quality.bad_lines == 3


def test_a_cut_short_gzip_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", book(), *[delta(2 + i, i) for i in range(200)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz is a damaged or cut-short gzip file"):
        import_captures([path], session_id=1)


def test_files_without_a_book_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no order book frame"):
        imported(tmp_path, {"type": "ok", "id": 1})
    with pytest.raises(DataError, match="no order book frame"):
        imported(tmp_path)
    with pytest.raises(DataError, match="trades alone, and no order book frame in 2 frames"):
        imported(tmp_path, trade(1, 0), trade(2, 1))
    with pytest.raises(DataError, match="check the path"):
        import_captures([tmp_path / "nowhere.jsonl"], session_id=1)
    with pytest.raises(DataError, match="no capture files"):
        import_captures([], session_id=1)


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


RECORDED = {
    "small/mixed-2026-07-01.jsonl": (2_890, 0, {"KXNEXTTEAMNBA-26LJAM-GSW": 805}),
    "small/ladder-2026-04-18.jsonl": (69, 0, {"KXBTC-26APR1817-B77875": 14}),
}
LARGE = {
    "ufc-2026-03-07/*": (
        91_222,
        9_042,
        {"KXUFCFIGHT-26MAR07TOBNUR-NUR": 33_814, "KXUFCFIGHT-26MAR07TOBNUR-TOB": 38_732},
    ),
    "btc15m-2026-05-13/*-1640.jsonl.gz": (
        37_825,
        0,
        {"KXBTC15M-26MAY131245-45": 8_167, "KXBTC15M-26MAY131300-00": 16_005},
    ),
}
if not INTERPRETED:  # as plain Python the replay of these takes minutes
    RECORDED.update(LARGE)


@pytest.mark.parametrize("pattern", RECORDED)
def test_recordings_give_the_known_counts(recordings: Path, pattern: str) -> None:
    frames, trades, row_counts = RECORDED[pattern]
    session = import_captures(
        sorted(recordings.glob(pattern)),
        session_id=1,
        markets_csv=recordings / "markets.csv",
        whole_subscription=True,
    )
    total = session.quality.total
    assert (total.frames, total.trades, total.trades_matched) == (frames, trades, trades)
    assert (total.gaps, total.clamped_deltas, total.crossed_ms) == (0, 0, 0)
    for ticker, expected in row_counts.items():
        assert session.quality.markets[ticker].rows == expected


def test_a_recording_without_its_snapshot_complains(recordings: Path) -> None:
    (path,) = (recordings / "broken").glob("*MIL*")
    session = import_captures([path], session_id=1)
    total = session.quality.total
    assert (total.rows, total.dropped_before_snapshot, total.deltas) == (0, 387, 387)
    assert any("before the first snapshot" in note for note in session.quality.notes)
    whole = import_captures([path], session_id=1, whole_subscription=True)
    assert whole.quality.total.gaps == 296
    assert any("--whole-subscription" in note for note in whole.quality.notes)


def test_an_evening_of_18_markets_is_complete(recorded: Recorded) -> None:
    session = recorded.session("nba")
    total = session.quality.total
    assert (total.frames, total.snapshots, total.gaps) == (1_484_710, 36, 0)
    assert (total.trades, total.trades_matched) == (152_167, 152_167)
    assert (total.clamped_deltas, total.crossed_ms, total.raised_times) == (0, 0, 0)
    book = session.events.kind <= EventKind.DELTA
    assert np.unique(session.events.seq[book]).tolist() == list(range(1, 1_484_711))
    for ticker, expected in (("UTAMIN-MIN", 29_670), ("UTAMIN-UTA", 34_190)):
        assert session.quality.markets[f"KXNBAGAME-26MAR18{ticker}"].rows == expected
    assert all(market.settlement_value is not None for market in session.markets)
