"""What a recording itself tells of a market's life: close times and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kalshi_sim import Session, build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.units import PRICE_SCALE

T0 = 1_773_864_000_000
TICKER = "KXHAND-26-A"


def book_frame(seq: int) -> dict[str, Any]:
    message = {
        "market_ticker": TICKER,
        "yes_dollars_fp": [["0.4000", "10.00"]],
        "no_dollars_fp": [["0.5500", "10.00"]],
    }
    return {"type": "orderbook_snapshot", "sid": 1, "seq": seq, "msg": message}


def delta_frame(seq: int, ms: int) -> dict[str, Any]:
    message = {
        "market_ticker": TICKER,
        "price_dollars": "0.3900",
        "delta_fp": "1.00",
        "side": "yes",
        "ts_ms": T0 + ms,
    }
    return {"type": "orderbook_delta", "sid": 1, "seq": seq, "msg": message}


def life_frame(event_type: str, **fields: Any) -> dict[str, Any]:
    message = {"market_ticker": TICKER, "event_type": event_type, **fields}
    return {"type": "market_lifecycle_v2", "sid": 2, "msg": message}


def imported(folder: Path, frames: list[dict[str, Any]]) -> Session:
    path = folder / "capture.jsonl"
    path.write_text("\n".join(json.dumps(frame) for frame in frames))
    return import_captures([path], session_id=1)


def deltas(seconds: range) -> list[dict[str, Any]]:
    return [delta_frame(2 + s, 1_000 * s) for s in seconds]


def test_the_frame_that_tells_the_result_is_itself_a_message(tmp_path: Path) -> None:
    told = life_frame("determined", result="yes", determination_ts=T0 // 1000 + 60)
    session = imported(tmp_path, [book_frame(1), *deltas(range(1, 12)), told])
    assert session.last_message_ms == T0 + 60_000
    (view,) = build_tape([session]).views
    assert view.settlement_value == 100
    assert session.markets[0].settlement_value == PRICE_SCALE


def test_a_change_without_a_time_is_known_after_the_frame_before_it(tmp_path: Path) -> None:
    change = life_frame("close_date_updated", close_ts=T0 // 1000 + 12)
    frames = [book_frame(1), *deltas(range(1, 6)), change, *deltas(range(6, 20))]
    session = imported(tmp_path, frames)
    assert session.markets[0].close_updates == ((T0 + 5_001, T0 + 12_000),)
    assert any("no time" in note for note in session.quality.notes)
    (view,) = build_tape([session]).views
    assert len(view) == 11  # seconds 1 to 11; the snapshot has the time of the first delta


def test_of_two_changes_at_one_time_the_later_counts(tmp_path: Path) -> None:
    first = life_frame("close_date_updated", close_ts=T0 // 1000 + 900, ts=T0 // 1000 + 2)
    second = life_frame("close_date_updated", close_ts=T0 // 1000 + 12, ts=T0 // 1000 + 2)
    session = imported(
        tmp_path, [book_frame(1), *deltas(range(1, 3)), first, second, *deltas(range(3, 20))]
    )
    assert [close for _, close in session.markets[0].close_updates] == [T0 + 900_000, T0 + 12_000]
    (view,) = build_tape([session]).views
    assert view.rows_after_close == 8
