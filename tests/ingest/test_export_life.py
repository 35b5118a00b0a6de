"""Export of a market's life and of its gaps: importing what was written gives the same session."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, target
from hypothesis import strategies as st

from kalshi_sim import Session
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export import Exported, export_captures
from kalshi_sim.session import NO_TIME, EventKind, FeeUpdate, GridUpdate, Pause
from kalshi_sim.units import PRICE_SCALE
from support.captures import Recording
from support.layouts import LAYOUTS, texts_of
from tests.support.lives import fee_frame, life_frame, random_life, ranges
from tests.support.modes import INTERPRETED
from tests.support.wire import MARKET, T0, book, delta, imported, received, trade

OTHER = "KXGAME-26MAR18AB-B"
CENTS = (("0.0000", "1.0000", "0.0100"),)
TENTHS = (("0.0000", "1.0000", "0.0010"),)
CENT_GRID = ((0, PRICE_SCALE, 100),)
TENTH_GRID = ((0, PRICE_SCALE, 10),)


def again(written: Exported, number: int = 1) -> Session:
    """The session that the command told by the export imports."""
    *captures, markets = written.files
    smallest = "--missing-snapshot smallest" in written.import_command
    return import_captures(
        captures,
        session_id=number,
        markets_csv=markets,
        whole_subscription="--whole-subscription" in written.import_command,
        missing_snapshot="smallest" if smallest else "drop",
    )


def assert_same(one: Session, other: Session, *, frames: bool = True) -> None:
    """Two sessions are equal but for what was counted and said when they were read."""
    events = one.events if frames else replace(one.events, frame=other.events.frame)
    assert events.equals(other.events)
    assert one.markets == other.markets
    for name in ("first_book_ms", "last_message_ms", "started_ms", "trades_recorded", "source"):
        assert getattr(one, name) == getattr(other, name), name


def assert_comes_back(session: Session, folder: Path) -> None:
    """From one file, and from a file for each market."""
    assert_same(again(export_captures(session, folder / "one.jsonl")), session)
    assert_same(again(export_captures(session, folder / "out")), session, frames=False)


LIFE: list[dict[str, Any]] = [
    fee_frame("quadratic", 0.5, market_ticker=MARKET),  # before any time: from the start
    book(1),
    book(2, market=OTHER),
    delta(3, 1_000),
    life_frame(MARKET, "created", price_ranges=ranges(*CENTS), ts_ms=T0 + 1_200),
    life_frame(MARKET, "deactivated", ts_ms=T0 + 1_500),
    delta(4, 2_000, market=OTHER),
    life_frame(MARKET, "activated", ts_ms=T0 + 1_500),
    life_frame(MARKET, "deactivated", ts_ms=T0 + 1_500),
    life_frame(MARKET, "price_level_structure_updated", price_ranges=ranges(*TENTHS)),
    fee_frame("quadratic_with_maker_fees", "1.25", event_ticker="KXGAME-26MAR18AB", ts_ms=T0 + 9),
    delta(5, 3_000),
    received(life_frame(MARKET, "activated"), 3_200),
    received(life_frame(OTHER, "deactivated"), 3_300),
    fee_frame("quadratic", 2, market_ticker=MARKET, ts_ms=T0 + 4_000),
    fee_frame(None, None, market_ticker=OTHER, ts_ms=T0 + 4_100),
    life_frame(OTHER, "close_date_updated", close_ts=T0 // 1_000 + 60, ts_ms=T0 + 4_200),
    life_frame(MARKET, "determined", result="yes", ts_ms=T0 + 5_000),
    life_frame(MARKET, "determined", result="no", ts_ms=T0 + 6_000),
    life_frame(MARKET, "settled", settlement_value="0.0000", ts_ms=T0 + 8_000),
]


def test_a_life_comes_back(tmp_path: Path) -> None:
    session = imported(tmp_path, *LIFE)
    first, second = session.markets
    # What the frames above say, so that the comparison below compares something.
    assert first.fee_updates == (
        FeeUpdate(NO_TIME, 5_000, None),
        FeeUpdate(T0 + 9, 12_500, 12_500),
        FeeUpdate(T0 + 4_000, 20_000, 12_500),
    )
    assert first.grid_updates == (
        GridUpdate(T0 + 1_200, CENT_GRID),
        GridUpdate(T0 + 2_001, TENTH_GRID),
    )
    assert first.starting_ranges is None
    assert first.pauses == (Pause(T0 + 1_500, T0 + 1_500), Pause(T0 + 1_500, T0 + 3_200))
    assert (first.settlement_value, first.settlement_known_ms) == (0, T0 + 6_000)
    assert second.pauses == (Pause(T0 + 3_300),)
    assert second.fee_updates == (
        FeeUpdate(T0 + 9, 12_500, 12_500),
        FeeUpdate(T0 + 4_100, None, None),
    )
    assert_comes_back(session, tmp_path)


def test_the_grid_of_the_start_is_told_by_the_file_of_markets(tmp_path: Path) -> None:
    metadata = tmp_path / "known.csv"
    metadata.write_text(f"market_ticker,price_ranges\n{MARKET},0.04:0.6:0.02\n")
    session = imported(tmp_path, *LIFE, markets_csv=metadata)
    (first, _) = session.markets
    assert first.first_price_ranges == ((400, 6_000, 200),)
    written = export_captures(session, tmp_path / "one.jsonl")
    cells = written.files[-1].read_text().splitlines()[1]
    assert "0.0400:0.6000:0.0200" in cells
    assert_same(again(written), session)


def test_frames_are_those_of_the_wire(tmp_path: Path) -> None:
    session = imported(tmp_path, *LIFE)
    path = export_captures(session, tmp_path / "one.jsonl").files[0]
    told = [json.loads(line) for line in path.read_text().splitlines()]
    life = [f["msg"] for f in told if f["type"] == "market_lifecycle_v2"]
    assert {
        "market_ticker": MARKET,
        "event_type": "price_level_structure_updated",
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
        "ts_ms": T0 + 2_001,
    } in life
    fees = [f["msg"] for f in told if f["type"] == "event_fee_update"]
    assert fees[0] == {
        "market_ticker": MARKET,
        "fee_type_override": "quadratic",
        "fee_multiplier_override": 0.5,
    }
    assert fees[1]["fee_type_override"] == "quadratic_with_maker_fees"
    assert fees[-1]["fee_type_override"] is None


# -- gaps ------------------------------------------------------------------------------------------


def kinds(session: Session, ticker: str = MARKET) -> list[int]:
    return [int(kind) for kind in session.market_events(ticker).kind]


UNSUBSCRIBED = {"type": "unsubscribed", "sid": 1, "seq": 5}
GAPS: dict[str, list[dict[str, Any]]] = {
    "unsubscribed, then subscribed anew": [
        *(book(1), book(2, market=OTHER), delta(3, 0), delta(4, 5, market=OTHER), UNSUBSCRIBED),
        *(book(1, sid=2), delta(2, 9, sid=2), book(3, market=OTHER, sid=2)),
    ],
    "unsubscribed at the end": [book(1), delta(2, 0), {**UNSUBSCRIBED, "seq": 3}],
    "one of two markets": [
        *(book(1), book(2, market=OTHER), delta(3, 0)),
        {"type": "ok", "sid": 1, "seq": 4, "msg": {"market_tickers": [OTHER]}},
        *(delta(5, 10, market=OTHER), book(6), delta(7, 20), delta(8, 30, market=OTHER)),
    ],
    "one of two markets, the other ends with the file": [
        *(book(1), book(2, market=OTHER), delta(3, 0), delta(4, 1, market=OTHER)),
        {"type": "ok", "sid": 1, "seq": 5, "msg": {"market_tickers": [OTHER]}},
        *(received(book(6), 15), delta(7, 20)),
    ],
    "both, one after the other": [
        *(book(1), book(2, market=OTHER), delta(3, 0), delta(4, 1, market=OTHER)),
        {"type": "ok", "sid": 1, "seq": 5, "msg": {"market_tickers": [OTHER]}},
        book(6),
        {"type": "ok", "sid": 1, "seq": 7, "msg": {"market_tickers": [MARKET]}},
        *(delta(8, 10), book(9, market=OTHER)),
    ],
    "an error that ends the subscription": [
        *(book(1), delta(2, 0)),
        {"type": "error", "sid": 1, "seq": 3, "msg": {"code": 25, "msg": "overflow"}},
        *(book(1, sid=4), delta(2, 10, sid=4)),
    ],
    "without seq": [
        *(book(1), delta(2, 0), {"type": "unsubscribed", "sid": 1}),
        *(trade(1, 4, size="10.00"), book(9, sid=3), delta(10, 20, sid=3)),
    ],
}


@pytest.mark.parametrize("name", GAPS)
def test_ended_subscriptions_come_back(tmp_path: Path, name: str) -> None:
    session = imported(tmp_path, *GAPS[name])
    assert EventKind.GAP in kinds(session)
    written = export_captures(session, tmp_path / "one.jsonl")
    assert "--whole-subscription" not in written.import_command
    assert_comes_back(session, tmp_path / "again")


def test_two_sockets_that_share_a_sid_come_back(tmp_path: Path) -> None:
    one = [book(1), delta(2, 0), delta(3, 5), {"type": "unsubscribed", "sid": 1, "seq": 4}]
    other = [book(1, market=OTHER), delta(2, 3, market=OTHER), delta(3, 40, market=OTHER)]
    paths = []
    for name, lines in (("a", one), ("b", [*other, delta(4, 50, market=OTHER)])):
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    session = import_captures(paths, session_id=1)
    assert (kinds(session)[-1], EventKind.GAP in kinds(session, OTHER)) == (EventKind.GAP, False)
    assert_comes_back(session, tmp_path / "again")


HOLES: dict[str, list[dict[str, Any]]] = {
    "deltas go on": [
        *(book(1), book(2, market=OTHER), delta(3, 0), delta(5, 10), delta(6, 11, market=OTHER)),
        *(book(7), delta(8, 20), {"type": "ok", "sid": 1, "seq": 9}, delta(10, 30)),
    ],
    "a control frame in the gap of one market": [
        *(book(1), book(2, market=OTHER), delta(3, 0), {"type": "ok", "sid": 1, "seq": 4}),
        *(delta(5, 1, market=OTHER), delta(7, 10), delta(8, 11, market=OTHER)),
        *(book(9), book(10, market=OTHER), {"type": "ok", "sid": 1, "seq": 11}, delta(12, 20)),
    ],
    "and a subscription that ends": [
        *(book(1), delta(2, 0), delta(4, 5), book(5), delta(6, 10)),
        *({"type": "unsubscribed", "sid": 1, "seq": 7}, book(1, sid=2), delta(2, 20, sid=2)),
    ],
}


@pytest.mark.parametrize("name", HOLES)
def test_missing_numbers_come_back(tmp_path: Path, name: str) -> None:
    session = imported(tmp_path, *HOLES[name], whole_subscription=True)
    assert EventKind.GAP in kinds(session)
    written = export_captures(session, tmp_path / "one.jsonl")
    assert "--whole-subscription" in written.import_command
    assert_comes_back(session, tmp_path / "again")


def test_polls_come_back_as_polls(tmp_path: Path) -> None:
    def poll(ms: int, **sides: Any) -> dict[str, Any]:
        return {"ts_ms": T0 + ms, "ticker": MARKET, "orderbook": sides}

    session = imported(
        tmp_path, poll(0, yes=[[40, 10]]), poll(500, no=[[55, 3]]), poll(900), poll(2_000, yes=[])
    )
    assert session.source == "polls"
    assert_comes_back(session, tmp_path / "again")


def test_a_rebuilt_start_comes_back(tmp_path: Path) -> None:
    lines = [delta(i, i, size="-1.00") for i in range(3)]
    session = imported(
        tmp_path, *lines, book(7), life_frame(MARKET, "deactivated"), missing_snapshot="smallest"
    )
    assert session.source == "capture, rebuilt start"
    assert_comes_back(session, tmp_path / "again")


# -- by chance -------------------------------------------------------------------------------------


def with_lives(recording: Recording, draw: random.Random) -> list[str]:
    """Its lines with frames of its markets' lives among them."""
    lines = [line.text for line in recording.lines]
    for _ in range(draw.randrange(12)):
        ms = draw.randint(1_780_000_000_000, recording.ms)
        told = random_life(draw, draw.choice(recording.markets), ms)
        if recording.received and draw.random() < 0.5:
            told = {"recv_ts_ns": ms * 1_000_000, "raw": json.dumps(told)}
        lines.insert(draw.randint(0, len(lines)), json.dumps(told))
    return lines


def come_back(recording: Recording, files: list[list[str]], **options: Any) -> Session | None:
    """The session of these lines, None if the import refuses it; its exports come back.

    Where several connections gave the same numbers under one sid, an export may be refused, but
    to a file for each market only where missing numbers are gaps.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for i, lines in enumerate(files):
            paths.append(folder / f"part{i}.jsonl")
            paths[-1].write_text("".join(line + "\n" for line in lines))
        try:
            session = import_captures(paths, session_id=1, **options)
        except DataError:
            return None
        for out in ("one.jsonl", "out"):
            try:
                written = export_captures(session, folder / out)
            except ConfigError:
                one_connection = len(recording.sockets) == 1 and not recording.restarts
                if (
                    one_connection
                    or not session.quality.total.gaps
                    or (out == "out" and not options)
                ):
                    raise
                continue
            assert_same(again(written), session, frames=out != "out")
    return session


@settings(deadline=None, max_examples=15 if INTERPRETED else 60)
@given(st.integers(0, 2**32))
def test_lives_by_chance_come_back(seed: int) -> None:
    recording = Recording(seed, plain=True)
    come_back(recording, [with_lives(recording, random.Random(seed))])


@settings(deadline=None, max_examples=15 if INTERPRETED else 60)
@given(st.integers(0, 2**32), st.sampled_from(LAYOUTS))
def test_captures_in_every_layout_come_back(seed: int, layout: str) -> None:
    recording = Recording(seed, plain=True)
    come_back(recording, texts_of(recording, layout, random.Random(seed)))


@settings(deadline=None, max_examples=15 if INTERPRETED else 50)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_holes_by_chance_come_back(seed: int, lost: int) -> None:
    recording = Recording(seed, plain=True)
    assume(not recording.restarts)
    lines = [line.text for line in recording.lines]
    draw = random.Random(seed)
    for _ in range(lost):
        del lines[draw.randrange(1, len(lines))]
    session = come_back(recording, [lines], whole_subscription=True)
    target(0.0 if session is None else float(session.quality.total.gaps))


@pytest.mark.parametrize(
    ("markets", "out", "instead"),
    [
        (1, "out/one.jsonl", "copy session 1 into a store with --to"),
        (2, "out/one.jsonl", "give a folder, which gets a file for each market, or copy session 1"),
        (2, "out", "copy session 1 into a store with --to"),
    ],
)
def test_gaps_that_captures_cannot_tell_are_refused(
    tmp_path: Path, markets: int, out: str, instead: str
) -> None:
    """A gap before the first snapshot, where no book is that could end."""
    others = [book(9, market=OTHER)] if markets > 1 else []
    session = imported(tmp_path, *GAPS["unsubscribed at the end"], *others)
    events, stop = session.events, int(session.market_offsets[1])
    assert events.kind[stop - 1] == EventKind.GAP
    moved = np.concatenate([[stop - 1], np.arange(stop - 1), np.arange(stop, len(events))])
    session = replace(session, events=replace(events[moved], frame=events.frame))
    with pytest.raises(ConfigError, match=f"where the book of {MARKET} ends; {instead}"):
        export_captures(session, tmp_path / out)
    assert not (tmp_path / "out").exists()


# -- what no frame tells ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fee_updates": (FeeUpdate(T0, None, 5_000),)}, "taker multiplier none and the maker"),
        ({"fee_updates": (FeeUpdate(T0, 10_000, 5_000),)}, "1.0000 and the maker multiplier 0.5"),
        ({"fee_updates": (FeeUpdate(T0, 10**9, None),)}, "fee multiplier .* is not between"),
        ({"pauses": (Pause(T0), Pause(T0 + 5))}, "its pauses"),
        ({"pauses": (Pause(T0 + 5, T0 + 9), Pause(T0))}, "its pauses"),
        ({"pauses": (Pause(NO_TIME, T0),)}, "its pauses"),
        ({"close_updates": ((T0 + 5, T0 + 9), (T0, T0 + 9))}, "its close times"),
        ({"grid_updates": (GridUpdate(T0, ((0, 1_000, 300),)),)}, "does not lead"),
        ({"grid_updates": (GridUpdate(T0, ()),)}, "its changes of the grid"),
        ({"grid_updates": (GridUpdate(NO_TIME, CENT_GRID),)}, "its changes of the grid"),
        ({"grid_updates": (GridUpdate(1_000, CENT_GRID),)}, "1000 is no time since"),
    ],
)
def test_changes_that_no_frame_tells_are_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    session = imported(tmp_path, book(1), delta(2, 0))
    session = replace(session, markets=(replace(session.markets[0], **changes),))
    with pytest.raises(ConfigError, match=f"{MARKET}: .*{said}.*copy session 1 into a store"):
        export_captures(session, tmp_path / "out" / "one.jsonl")
    assert not (tmp_path / "out").exists()
