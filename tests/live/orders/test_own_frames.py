"""A book without one's own orders."""

from __future__ import annotations

import msgspec

from kalshi_sim.ingest.segments import frame_line, frame_of
from kalshi_sim.live.orders.account import Account
from kalshi_sim.live.orders.own_frames import cleaned, private_message, without_own

SNAPSHOT = (
    b'{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"T",'
    b'"yes_dollars_fp":[["0.4000","100.00"],["0.4100","10.00"]]}}'
)
OWN = (
    b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"T","price_dollars":"0.4000",'
    b'"delta_fp":"10.00","side":"yes","ts_ms":5,"client_order_id":"mine"}}'
)
OTHERS = OWN.replace(b',"client_order_id":"mine"', b"")
FILL = (
    b'{"type":"fill","sid":3,"msg":{"trade_id":"a","order_id":"b","client_order_id":"mine",'
    b'"market_ticker":"T","is_taker":false,"yes_price_dollars":"0.4000","count_fp":"4.00",'
    b'"fee_cost":"0.0100","ts_ms":7,"post_position_fp":"4.00","book_side":"bid"}}'
)


def line(frame: bytes) -> bytes:
    return frame_line(1, 2, 1, frame)


def rests(ticker: str) -> list[list[int]]:
    return [[0, 4_000, 400], [0, 4_100, 1_000]] if ticker == "T" else []


def test_what_rests_is_taken_out_of_a_snapshot() -> None:
    known, ticker, own = without_own(line(SNAPSHOT), rests)
    assert (ticker, own) == ("T", rests("T"))
    assert msgspec.json.decode(frame_of(known) or b"")["msg"]["yes_dollars_fp"] == [
        ["0.4000", "96.00"]
    ]
    assert without_own(line(SNAPSHOT), lambda ticker: [])[0] == line(SNAPSHOT)


def test_an_own_change_keeps_its_number_and_changes_no_book() -> None:
    known = msgspec.json.decode(frame_of(without_own(line(OWN), rests)[0]) or b"")
    assert (known["type"], known["sid"], known["seq"]) == ("fill", 1, 2)
    assert without_own(line(OTHERS), rests) == (line(OTHERS), "", [])


def test_a_recording_is_cleaned_by_the_number_of_the_frame() -> None:
    recorded = [line(OTHERS), line(SNAPSHOT), line(SNAPSHOT)]
    known = [after for _, after in cleaned(recorded, {2: [[0, 4_100, 1_000]]})]
    assert known[0] == recorded[0]
    assert b"0.4100" not in known[1]
    assert known[2] == recorded[2]


def test_a_fill_that_comes_twice_counts_once() -> None:
    account = Account()
    found = private_message(line(FILL))
    assert found is not None
    kind, message = found
    assert kind == "fill"
    fill = account.take_fill(message)
    assert fill is not None
    assert (fill.side, fill.price, fill.count, fill.fee, fill.position) == (0, 4_000, 400, 100, 400)
    assert account.take_fill(message) is None
    assert (account.filled["b"], account.held["T"].size) == (400, 400)
    assert private_message(line(OTHERS)) is None
    assert private_message(line(OWN)) is None


def test_what_came_before_does_not_come_again() -> None:
    account = Account()
    order = {
        "order_id": "b",
        "client_order_id": "mine",
        "ticker": "T",
        "status": "resting",
        "book_side": "ask",
        "yes_price_dollars": "0.4000",
        "initial_count_fp": "10.00",
        "fill_count_fp": "0.00",
        "created_ts_ms": 9,
    }
    account.take_order(order | {"fill_count_fp": "4.00"})
    assert [(o.side, o.price, o.remaining) for o in account.resting("T")] == [(1, 6_000, 600)]
    account.take_order(order)  # an older answer that came late
    assert account.resting("T")[0].remaining == 600
    account.take_order(order | {"status": "canceled"})
    account.take_order(order)
    assert account.resting("T") == []
    account.set_right(["T"], [], [])
    assert account.held == {}
