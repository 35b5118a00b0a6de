"""Counts of the real recordings after their import."""

from __future__ import annotations

import gzip
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import threads
from kalshi_sim.ingest import capture
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded

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


def test_an_import_is_the_same_by_any_number_of_threads(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for path in [*sorted(recordings.glob("btc*/*.gz"))[:2], *sorted(recordings.glob("ufc*/*.gz"))]:
        with gzip.open(path, "rb") as whole:
            files.append(tmp_path / path.name.removesuffix(".gz"))
            files[-1].write_bytes(b"".join(itertools.islice(whole, 3000)))
    modules = [m for n, m in sys.modules.items() if n.startswith("kalshi_sim") and m != threads]
    monkeypatch.setattr(capture, "_PART", 1 << 10)
    sessions = []
    for n in (1, 4):
        for module in modules:
            if hasattr(module, "usable_cpus"):
                monkeypatch.setattr(module, "usable_cpus", lambda n=n: n)
        sessions.append(import_captures(files, session_id=1))
    one, four = sessions
    assert len(one.events) > 9_000
    assert one.events.equals(four.events)
    assert np.array_equal(one.market_offsets, four.market_offsets)
    assert (one.markets, one.quality) == (four.markets, four.quality)
