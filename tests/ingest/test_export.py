"""Export of captures: importing what was written gives the same events again."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export import Exported, export_captures
from kalshi_sim.session import EventKind, Events, MarketInfo, Session
from kalshi_sim.synthetic.session import generate_session
from tests.support.modes import INTERPRETED
from tests.support.wire import MARKET, T0, book, delta, frame, imported, received, trade

OTHER = "KXGAME-26MAR18AB-B"


def again(written: Exported, number: int = 1) -> Session:
    *captures, markets = written.files
    whole = "--whole-subscription" in written.import_command
    return import_captures(
        captures, session_id=number, markets_csv=markets, whole_subscription=whole
    )


def assert_same(one: Session, other: Session, *, frames: bool = True) -> None:
    events = one.events if frames else replace(one.events, frame=other.events.frame)
    assert events.equals(other.events)
    assert one.markets == other.markets
    assert one.quality.markets == other.quality.markets
    for name in ("first_book_ms", "last_message_ms", "started_ms", "trades_recorded"):
        assert getattr(one, name) == getattr(other, name)


EVERYTHING: list[dict[str, Any]] = [
    {"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}},
    {**book(1), "msg": {**book(1)["msg"], "yes_dollars_fp": [["0.0010", "1596.82"]]}},
    received(book(2, market=OTHER), 3),
    {"type": "ok", "sid": 1, "seq": 3},
    delta(4, 0, size="-10.00"),
    trade(1, 1, size="10.00"),
    frame("orderbook_delta", 5, market_ticker=OTHER, side="no", price=40, delta=2, ts=T0 // 1000),
    delta(9, 10, market=OTHER),
    delta(10, None),
    received(book(11), 30),
    trade(2, None, "yes", "0.4000", "3", market=OTHER, ts=T0 // 1000),
    received(
        frame(
            "market_lifecycle_v2",
            market_ticker=MARKET,
            event_type="close_date_updated",
            close_ts=T0 // 1000 + 3600,
        ),
        40,
    ),
    received({"type": "ticker", "sid": 3, "msg": {}}, 99_000),
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", ["one.jsonl", "one.ndjson.gz"])
def test_one_file_gives_equal_events(tmp_path: Path, name: str, whole: bool) -> None:
    session = imported(tmp_path, *EVERYTHING, whole_subscription=whole)
    assert (session.quality.total.gaps > 0) == whole
    written = export_captures(session, tmp_path / "out" / name)
    assert_same(again(written), session)


def test_a_folder_has_a_file_for_each_market(tmp_path: Path) -> None:
    session = imported(tmp_path, *EVERYTHING)
    written = export_captures(session, tmp_path / "out")
    assert [f.name for f in written.files] == [
        f"{MARKET}.ndjson.gz",
        f"{OTHER}.ndjson.gz",
        "markets.csv",
    ]
    assert_same(again(written), session, frames=False)


def test_metadata_come_back(tmp_path: Path) -> None:
    market = MarketInfo(
        MARKET,
        event_ticker="KXGAME-26MAR18AB",
        close_time_ms=T0 + 3_600_001,
        settlement_value=3755,
        settlement_known_ms=T0 + 77,
        sub_penny=True,
        price_ranges=((0, 1000, 10), (1000, 10_000, 100)),
        taker_multiplier=5_000,
        maker_multiplier=10_000,
        fee_unit=1,
    )
    session = replace(imported(tmp_path, book(), delta(2, 0)), markets=(market,))
    written = export_captures(session, tmp_path / "one.jsonl")
    assert again(written).markets == (market,)


def test_generated_sessions_come_back(tmp_path: Path) -> None:
    session = generate_session(4, markets=5, minutes=5, seed=3)
    assert_same(again(export_captures(session, tmp_path / "a.jsonl.gz"), 4), session)


RECORDED = ["small/mixed*", "small/ladder*", "broken/*MIL*"]
if not INTERPRETED:
    RECORDED += ["ufc-2026-03-07/*", "btc15m-2026-05-13/*"]


@pytest.mark.parametrize("pattern", RECORDED)
def test_recordings_come_back(recordings: Path, tmp_path: Path, pattern: str) -> None:
    session = import_captures(
        sorted(recordings.glob(pattern)),
        session_id=1,
        markets_csv=recordings / "markets.csv",
        whole_subscription="broken" not in pattern,
    )
    assert_same(again(export_captures(session, tmp_path / "a.jsonl")), session)


def test_the_same_session_gives_the_same_bytes(tmp_path: Path) -> None:
    session = imported(tmp_path, *EVERYTHING)
    one = export_captures(session, tmp_path / "a.jsonl.gz").files[0].read_bytes()
    other = export_captures(session, tmp_path / "b.jsonl.gz").files[0].read_bytes()
    assert one == other
    assert gzip.decompress(one).count(b"\n") > 10


def test_files_that_are_there_are_kept_unless_overwritten(tmp_path: Path) -> None:
    session = imported(tmp_path, *EVERYTHING)
    target = tmp_path / "kept.jsonl"
    target.write_text("mine")
    with pytest.raises(ConfigError, match=r"kept\.jsonl is there already"):
        export_captures(session, target)
    assert target.read_text() == "mine"
    export_captures(session, target, overwrite=True)
    assert target.read_text() != "mine"


@pytest.mark.parametrize("kind", [EventKind.DROP_LEVEL, EventKind.GAP])
def test_what_captures_cannot_say_is_refused(tmp_path: Path, kind: EventKind) -> None:
    events = Events.from_columns(
        kind=[EventKind.SNAPSHOT, kind], side=[0, 0], price=[0, 4000], size=[0, 0], ts_ms=[1, 2]
    )
    session = assemble_session(
        9, [MarketInfo("A")], np.zeros(2, np.int64), events, trades_recorded=False, source="x"
    )
    with pytest.raises(ConfigError, match="with --to instead"):
        export_captures(session, tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []
