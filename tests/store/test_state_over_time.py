"""What changes in a market while it is recorded goes through both stores; older sessions load."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_sim import Session, build_tape, open_store
from kalshi_sim.errors import NoViewsError
from kalshi_sim.session import EventFlag, EventKind
from support.postgres import Database, execute
from tests.ingest.test_export_life import GAPS, HOLES, LIFE
from tests.store.test_postgres_store import assert_same
from tests.store.test_store_round_trip import assert_same_tape
from tests.support.lives import life_frame
from tests.support.modes import examples
from tests.support.strategies import sessions
from tests.support.wire import MARKET, T0, book, delta, imported

SOURCES = ("capture", "polls", "capture, rebuilt start", "polls, rebuilt start", "kalshiflow A")


@st.composite
def marked(draw: st.DrawFn) -> Session:
    """A session with every mark: its source, rebuilt events, sids of gaps."""
    session = draw(sessions(max_moments=25))
    rng = random.Random(draw(st.integers(0, 2**32)))
    events = session.events
    sid, flags = events.sid.copy(), events.flags.copy()
    sid[events.kind == EventKind.GAP] = rng.choice((-1, 1, 7))
    flags[: rng.randrange(4)] |= EventFlag.REBUILT
    quality = replace(session.quality, gaps_checked=rng.random() < 0.5)
    return replace(
        session,
        events=replace(events, sid=sid, flags=flags),
        source=rng.choice(SOURCES),
        quality=quality,
    )


def assert_goes_through(session: Session, database: Database, folder: Path) -> None:
    """From PostgreSQL into a folder, and equal in both; a single market of it too."""
    tables, files = open_store(database.url), open_store(folder)
    tables.save(session, overwrite=True)
    files.save(tables.load(session.session_id), overwrite=True)
    ticker = session.markets[-1].ticker
    for store in (tables, files):
        assert_same(store.load(session.session_id), session)
        assert_same(store.load(session.session_id, [ticker]), session.select([ticker]))
    try:
        tape = build_tape([session], min_episode_length=3)
    except NoViewsError:
        return
    assert_same_tape(build_tape([files.load(session.session_id)], min_episode_length=3), tape)


@settings(
    deadline=None,
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(marked())
def test_sessions_by_chance_go_through_both_stores(database: Database, session: Session) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_goes_through(session, database, Path(folder) / "sessions")


@pytest.mark.parametrize("name", ["life", *GAPS])
def test_hand_made_sessions_go_through_both_stores(
    name: str, database: Database, tmp_path: Path
) -> None:
    session = imported(tmp_path, *(LIFE if name == "life" else GAPS[name]))
    first = session.markets[0]
    if name == "life":
        assert (len(first.grid_updates), len(first.fee_updates), len(first.pauses)) == (2, 3, 2)
        assert first.settlement_value == 0
    else:
        assert EventKind.GAP in session.events.kind
    assert_goes_through(session, database, tmp_path / "sessions")


def test_gaps_of_missing_numbers_go_through_both_stores(database: Database, tmp_path: Path) -> None:
    session = imported(tmp_path, *HOLES["deltas go on"], whole_subscription=True)
    assert EventKind.GAP in session.events.kind
    assert session.quality.gaps_checked
    assert_goes_through(session, database, tmp_path / "sessions")


# -- sessions stored before markets had a state over time ------------------------------------------

OTHER = "KXGAME-26MAR18AB-B"
_COUNTED_SINCE = {
    *("passed_over", "repeated_frames", "late_deltas", "rebuilt_books"),
    *("pauses", "grid_updates", "fee_updates"),
}
"""What was not counted then."""


def older_market(ticker: str, **known: Any) -> dict[str, Any]:
    """A market as it was written then: no first grid, no changes of grid and fees, no pauses."""
    return {
        "ticker": ticker,
        "event_ticker": None,
        "close_time_ms": None,
        "close_updates": [],
        "settlement_value": None,
        "settlement_known_ms": None,
        "sub_penny": False,
        "price_ranges": None,
        "taker_multiplier": None,
        "maker_multiplier": None,
        "fee_unit": None,
        **known,
    }


def older_metadata(session: Session) -> str:
    """The metadata that were written of this session before: version 1 too, fewer fields."""
    counted = {
        ticker: {k: v for k, v in asdict(found).items() if k not in _COUNTED_SINCE}
        for ticker, found in session.quality.markets.items()
    }
    first = older_market(
        MARKET,
        event_ticker="KXGAME-26MAR18AB",
        close_updates=[[T0 + 2_000, T0 + 60_000]],
        settlement_value=10_000,
        settlement_known_ms=T0 + 20_000,
        price_ranges=[[0, 10_000, 100]],
        taker_multiplier=5_000,
    )
    return json.dumps(
        {
            "session_id": 1,
            "markets": [first, older_market(OTHER)],
            "market_offsets": session.market_offsets.tolist(),
            "first_book_ms": T0,
            "last_message_ms": T0 + 20_000,
            "trades_recorded": False,
            "source": "capture",
            "quality": {
                "markets": counted,
                "notes": [],
                "other_frames": {"market_lifecycle_v2": 2},
                "bad_lines": 0,
            },
            "started_ms": T0,
            "version": 1,
        }
    )


@pytest.fixture
def of_today(tmp_path: Path) -> Session:
    """The session, imported today, that was stored then."""
    metadata = tmp_path / "known.csv"
    metadata.write_text(
        "market_ticker,event_ticker,price_ranges,taker_multiplier\n"
        f"{MARKET},KXGAME-26MAR18AB,0:1:0.01,0.5\n"
    )
    lines = [book(1), book(2, market=OTHER)]
    for i in range(12):
        lines += [
            delta(3 + 2 * i, 1_000 * i, price="0.3900"),
            delta(4 + 2 * i, 1_000 * i + 1, market=OTHER, price="0.3900"),
        ]
    lines += [
        life_frame(MARKET, "close_date_updated", close_ts=T0 // 1_000 + 60, ts_ms=T0 + 2_000),
        life_frame(MARKET, "determined", result="yes", ts_ms=T0 + 20_000),
    ]
    return imported(tmp_path, *lines, markets_csv=metadata)


def assert_is_older(loaded: Session, today: Session) -> None:
    assert loaded.events.equals(today.events)
    assert loaded.markets == today.markets
    assert loaded.quality.markets == today.quality.markets
    assert not loaded.quality.gaps_checked
    first, _ = loaded.markets
    assert (first.grid_updates, first.fee_updates, first.pauses) == ((), (), ())
    assert first.starting_ranges == ((0, 10_000, 100),)
    tape = build_tape([loaded])
    assert len(tape.views) == 2
    assert np.count_nonzero(tape.states) == 0
    assert_same_tape(tape, build_tape([today]))


def test_older_parquet_sessions_load_unchanged(tmp_path: Path, of_today: Session) -> None:
    store = open_store(tmp_path / "sessions")
    store.save(of_today)
    path = tmp_path / "sessions" / "session-1.parquet"
    table = pq.read_table(path)
    header = {
        **table.schema.metadata,
        b"kalshi-sim.session": older_metadata(of_today).encode(),
    }
    del header[b"kalshi-sim.checks"]  # older than these too
    pq.write_table(table.replace_schema_metadata(header), path)
    assert_is_older(store.load(1), of_today)
    (info,) = store.list_sessions()
    assert (info.markets, info.deltas) == (2, 24)


def test_older_postgres_sessions_load_unchanged(database: Database, of_today: Session) -> None:
    store = open_store(database.url)
    store.save(of_today)
    metadata = older_metadata(of_today).replace("'", "''")
    execute(database.url, f"UPDATE kalshi_sim_sessions SET metadata = '{metadata}'")
    assert_is_older(store.load(1), of_today)
    (info,) = store.list_sessions()
    assert (info.markets, info.deltas) == (2, 24)
