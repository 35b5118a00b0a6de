"""What a recording itself tells of a market's life: close times and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import Session, build_tape
from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import FeeUpdate, GridUpdate, Pause
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


# -- what changes while a market is recorded -------------------------------------------------------


def told(folder: Path, *files: list[dict[str, Any]], **options: Any) -> Session:
    """The session of several files, whose names are in their order."""
    paths = []
    for i, frames in enumerate(files):
        path = folder / f"part{i}.jsonl"
        path.write_text("\n".join(json.dumps(frame) for frame in frames))
        paths.append(path)
    session = import_captures(paths, session_id=1, **options)
    assert import_captures(paths[::-1], session_id=1, **options).markets == session.markets
    return session


def ranges(*bands: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"start": a, "end": b, "step": c} for a, b, c in bands]


CENTS = ranges(("0.0000", "1.0000", "0.0100"))
TENTHS = ranges(("0.0000", "1.0000", "0.0010"))
CENT_GRID = ((0, PRICE_SCALE, 100),)
TENTH_GRID = ((0, PRICE_SCALE, 10),)


def test_grids_are_those_of_created_and_later_updates(tmp_path: Path) -> None:
    created = life_frame("created", price_ranges=CENTS, ts_ms=T0)
    update = life_frame("price_level_structure_updated", price_ranges=TENTHS, ts_ms=T0 + 2_500)
    session = told(tmp_path, [created, book_frame(1), *deltas(range(1, 3)), update])
    (market,) = session.markets
    assert market.grid_updates == (GridUpdate(T0, CENT_GRID), GridUpdate(T0 + 2_500, TENTH_GRID))
    assert (market.price_ranges, market.first_price_ranges) == (TENTH_GRID, None)
    assert market.sub_penny
    assert session.quality.total.grid_updates == 2


def test_a_grid_without_any_time_holds_from_the_start(tmp_path: Path) -> None:
    created = life_frame("created", price_ranges=TENTHS)
    session = told(tmp_path, [created, book_frame(1), *deltas(range(1, 3))])
    (market,) = session.markets
    assert (market.price_ranges, market.grid_updates) == (TENTH_GRID, ())
    assert any("holds from the start" in note for note in session.quality.notes)


def test_a_grid_told_by_name_only_is_said_and_left_out(tmp_path: Path) -> None:
    update = life_frame("price_level_structure_updated", price_level_structure="deci_cent")
    session = told(tmp_path, [book_frame(1), *deltas(range(1, 3)), update])
    assert session.markets[0].grid_updates == ()
    assert any("deci_cent was given by its name only" in note for note in session.quality.notes)


WRONG_GRIDS = [
    ([("0.5", "0.4", "0.01")], "start < end"),
    ([("0.4", "0.4", "0.01")], "start < end"),
    ([("0", "1.01", "0.01")], "<= 1 dollar"),
    ([("0", "1", "0")], "a step above 0"),
    ([("0", "1", "0.03")], "does not lead"),
    ([("0", "0.5", "0.01"), ("0.4", "1", "0.01")], "overlaps"),
    ([("0", "1", "0.00001")], "finer than"),
    ([("", "1", "0.01")], "not a decimal number"),
]


@pytest.mark.parametrize(("bands", "why"), WRONG_GRIDS)
def test_a_grid_that_cannot_be_is_refused(
    tmp_path: Path, bands: list[tuple[str, str, str]], why: str
) -> None:
    """With the same words in a frame, in a file of markets, and there as the exchange's JSON."""
    update = life_frame("price_level_structure_updated", price_ranges=ranges(*bands), ts_ms=T0)
    with pytest.raises(DataError, match=f"line 2: .*{why}") as of_frame:
        imported(tmp_path, [book_frame(1), update])
    reason = str(of_frame.value).rpartition("line 2: ")[2].partition(". Nothing")[0]
    quoted = json.dumps(ranges(*bands)).replace('"', '""')
    for cell in (";".join(":".join(band) for band in bands), f'"{quoted}"'):
        metadata = tmp_path / "markets.csv"
        metadata.write_text(f"market_ticker,price_ranges\n{TICKER},{cell}\n")
        with pytest.raises(DataError, match="line 2, column price_ranges") as of_cell:
            told(tmp_path, [book_frame(1)], markets_csv=metadata)
        assert reason in str(of_cell.value)


def test_pauses_begin_and_end_once(tmp_path: Path) -> None:
    def at(event_type: str, second: int) -> dict[str, Any]:
        return life_frame(event_type, ts_ms=T0 + 1_000 * second)

    frames = [
        at("activated", 1),
        at("deactivated", 2),
        at("deactivated", 3),
        at("activated", 4),
        at("activated", 5),
        at("deactivated", 6),
        at("activated", 6),
        at("deactivated", 7),
    ]
    session = told(tmp_path, [book_frame(1), *deltas(range(1, 3)), *frames])
    assert session.markets[0].pauses == (
        Pause(T0 + 2_000, T0 + 4_000),
        Pause(T0 + 6_000, T0 + 6_000),
        Pause(T0 + 7_000),
    )
    assert session.quality.total.pauses == 3


def test_a_pause_without_any_time_is_said_and_ignored(tmp_path: Path) -> None:
    session = told(tmp_path, [life_frame("deactivated"), book_frame(1), *deltas(range(1, 3))])
    assert session.markets[0].pauses == ()
    assert any("pauses or resumptions" in note for note in session.quality.notes)


def fee_frame(event: str, kind: str | None, multiplier: Any, second: int) -> dict[str, Any]:
    message = {
        "event_ticker": event,
        "fee_type_override": kind,
        "fee_multiplier_override": multiplier,
        "ts_ms": T0 + 1_000 * second,
    }
    return {"type": "event_fee_update", "sid": 2, "msg": message}


def test_a_fee_update_holds_for_all_markets_of_its_event(tmp_path: Path) -> None:
    other = json.loads(json.dumps([book_frame(2), delta_frame(3, 1_000)]).replace("26-A", "26-B"))
    metadata = tmp_path / "markets.csv"
    metadata.write_text("market_ticker,event_ticker\nKXHAND-26-B,KXOTHER-26\n")
    updates = [
        fee_frame("KXHAND-26", "quadratic", 0.5, 2),
        fee_frame("KXHAND-26", "quadratic_with_maker_fees", "1.25", 3),
        fee_frame("KXHAND-26", "quadratic", 2, 4),
        fee_frame("KXHAND-26", None, None, 5),
        fee_frame("KXOTHER-26", "quadratic_with_maker_fees", 1, 6),
    ]
    frames = [book_frame(1), *other, *updates]
    first, second = told(tmp_path, frames, markets_csv=metadata).markets
    assert first.fee_updates == (
        FeeUpdate(T0 + 2_000, 5_000, None),
        FeeUpdate(T0 + 3_000, 12_500, 12_500),
        FeeUpdate(T0 + 4_000, 20_000, 12_500),
        FeeUpdate(T0 + 5_000, None, None),
    )
    assert second.fee_updates == (FeeUpdate(T0 + 6_000, 10_000, 10_000),)


def test_a_multivariate_market_has_a_life_too(tmp_path: Path) -> None:
    pause = {**life_frame("deactivated", ts_ms=T0), "type": "multivariate_market_lifecycle"}
    session = told(tmp_path, [book_frame(1), *deltas(range(1, 3)), pause])
    assert session.markets[0].pauses == (Pause(T0),)


def test_the_receive_time_goes_before_the_sending_time(tmp_path: Path) -> None:
    frame = {**life_frame("deactivated"), "sending_ts_ms": T0 + 9}
    received = {"recv_ts_ns": (T0 + 7) * 1_000_000, "raw": json.dumps(frame)}
    session = told(tmp_path, [book_frame(1), *deltas(range(1, 3)), received])
    assert session.markets[0].pauses == (Pause(T0 + 7),)


def test_changes_in_overlapping_files_count_once(tmp_path: Path) -> None:
    update = life_frame("price_level_structure_updated", price_ranges=TENTHS)
    pause, resume = life_frame("deactivated"), life_frame("activated")
    whole = [book_frame(1), *deltas(range(1, 4)), update, pause, *deltas(range(4, 6)), resume]
    alone = told(tmp_path, whole).markets
    assert alone[0].pauses == (Pause(T0 + 3_001, T0 + 5_001),)
    assert told(tmp_path, whole, [update, pause, *whole[6:]]).markets == alone
    assert told(tmp_path, whole[:6], whole[3:]).markets == alone


def test_the_later_result_stands(tmp_path: Path) -> None:
    first = life_frame("determined", result="yes", determination_ts=T0 // 1000 + 60)
    second = life_frame("determined", result="no", determination_ts=T0 // 1000 + 70)
    settled = life_frame("settled", settlement_value="0.0000", ts_ms=T0 + 90_000)
    lines = [book_frame(1), *deltas(range(1, 3))]
    session = told(tmp_path, [*lines, second, settled], [*lines, first])
    (market,) = session.markets
    assert (market.settlement_value, market.settlement_known_ms) == (0, T0 + 70_000)


@pytest.mark.parametrize(
    ("told_ms", "known_ms"),
    [
        ({"ts_ms": T0 + 5_000}, T0 + 5_000),  # its own time
        ({"determination_ts": T0 // 1000 + 4}, T0 + 4_000),
        ({}, T0 + 2_001),  # none: right after the latest time before it in its file
    ],
)
def test_a_recorded_result_was_known_when_the_recording_tells_it(
    tmp_path: Path, told_ms: dict[str, int], known_ms: int
) -> None:
    """The file of markets, written afterwards, is compared by the value and decides no time."""
    metadata = tmp_path / "markets.csv"
    metadata.write_text(
        f"market_ticker,result,settlement_time\n{TICKER},yes,2026-03-18T23:00:00Z\n"
    )
    result = life_frame("determined", result="yes", **told_ms)
    lines = [book_frame(1), *deltas(range(1, 3))]
    (alone,) = told(tmp_path, lines, markets_csv=metadata).markets
    assert alone.settlement_known_ms == T0 + 3 * 3_600_000
    (market,) = told(tmp_path, [*lines, result], markets_csv=metadata).markets
    assert (market.settlement_value, market.settlement_known_ms) == (PRICE_SCALE, known_ms)
    other = life_frame("determined", result="no", **told_ms)
    with pytest.raises(DataError, match=f"{TICKER}: the recording has another result"):
        told(tmp_path, [*lines, other], markets_csv=metadata)


def test_a_recorded_result_without_any_time_is_known_at_the_end(tmp_path: Path) -> None:
    """Also where the file of markets tells a time after the last message."""
    metadata = tmp_path / "markets.csv"
    metadata.write_text(
        f"market_ticker,result,settlement_time\n{TICKER},yes,2026-03-19T23:00:00Z\n"
    )
    lines = [book_frame(1), *deltas(range(1, 15))]
    (view,) = build_tape([told(tmp_path, lines, markets_csv=metadata)]).views
    assert view.settlement_value is None
    result = life_frame("determined", result="yes")
    (view,) = build_tape([told(tmp_path, [result, *lines], markets_csv=metadata)]).views
    assert view.settlement_value == 100


def test_missing_results_are_said(tmp_path: Path) -> None:
    lines = [book_frame(1), *deltas(range(1, 3))]
    said = "1 of 1 markets have no result"
    assert any(said in note for note in told(tmp_path, lines).quality.notes)
    known = life_frame("determined", result="yes", ts_ms=T0 + 5_000)
    assert not any(said in note for note in told(tmp_path, [*lines, known]).quality.notes)


@pytest.mark.parametrize("newest_first", [False, True])
def test_cases_of_changes_are_right(recordings: Path, newest_first: bool) -> None:
    def case(name: str) -> tuple[Session, dict[str, Any]]:
        (folder,) = (recordings / "import-cases").glob(f"{name}-*")
        expected = json.loads((folder / "expected.json").read_text())
        paths = sorted(p for p in folder.glob("*.jsonl"))
        if name == "19":  # book.jsonl and life.jsonl are the same recording cut by type
            paths = [p for p in paths if p.stem in ("h0", "h1")]
        return import_captures(paths[:: -1 if newest_first else 1], session_id=1), expected

    session, expected = case("19")
    origin = expected["origin_ms"]
    updates = [(a - origin, b - origin) for a, b in session.markets[0].close_updates]
    assert [list(update) for update in updates] == expected["close_updates (known, close)"]
    session, expected = case("30")
    assert session.markets[0].settlement_value == expected["settlement_value"]
    assert session.markets[0].settlement_known_ms == expected["known_ms"]
    session, expected = case("32")
    assert session.markets[0].price_ranges == tuple(map(tuple, expected["price_ranges"]))
    assert session.markets[0].sub_penny is expected["sub_penny"]
