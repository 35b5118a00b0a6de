"""Recordings without a first snapshot: the smallest book, by the definition and on real markets."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim import build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export import export_captures
from kalshi_sim.ingest.missing_snapshot import with_smallest_books
from kalshi_sim.session import EventFlag, EventKind, Events, MarketQuality, Session
from kalshi_sim.store import open_store
from tests.support.wire import MARKET, T0, book, delta, imported, rows, snapshot, trade

REST = "KXREST-26-B"


def smallest(events: Events) -> dict[tuple[int, int], int]:
    """The slow twin: one market's first book, by trying what each level lacks."""
    lacking: dict[tuple[int, int], int] = defaultdict(int)
    held: dict[tuple[int, int], int] = defaultdict(int)
    for kind, side, price, size in zip(
        events.kind.tolist(),
        events.side.tolist(),
        events.price.tolist(),
        events.size.tolist(),
        strict=True,
    ):
        if kind in (EventKind.SNAPSHOT, EventKind.GAP):
            break
        if kind == EventKind.DELTA:
            held[side, price] += size
            if held[side, price] < 0:
                lacking[side, price] -= held[side, price]
                held[side, price] = 0
    return dict(lacking)


_EVENT = st.tuples(
    st.sampled_from((*[EventKind.DELTA] * 8, EventKind.TRADE, EventKind.SNAPSHOT, EventKind.GAP)),
    st.integers(0, 1),
    st.integers(1, 3),
    st.integers(-500, 500),
)


@given(st.lists(st.lists(_EVENT, max_size=30), min_size=1, max_size=4))
def test_it_is_the_smallest_that_stays_at_zero_or_more(
    markets: list[list[tuple[EventKind, int, int, int]]],
) -> None:
    parts = [
        Events.from_columns(
            kind=[e[0] for e in m],
            side=[e[1] for e in m],
            price=[e[2] for e in m],
            size=[abs(e[3]) if e[0] == EventKind.TRADE else e[3] for e in m],
            ts_ms=[0] * len(m),
            frame=[100 * i + k for k in range(len(m))],
        )
        for i, m in enumerate(markets)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    out, new_offsets, rebuilt = with_smallest_books(Events.concatenate(parts), offsets)
    for i, part in enumerate(parts):
        mine = out[slice(int(new_offsets[i]), int(new_offsets[i + 1]))]
        made = mine.flags == EventFlag.REBUILT
        kept = mine[~made]
        assert kept.size.tolist() == part.size.tolist()
        assert kept.kind.tolist() == part.kind.tolist()
        until = np.isin(part.kind, (EventKind.SNAPSHOT, EventKind.GAP))
        first = int(np.argmax(until)) if until.any() else len(part)
        begins = bool((part.kind[:first] == EventKind.DELTA).any())
        assert begins == (i in rebuilt.tolist())
        assert int(made.sum()) == int(begins) + len(smallest(part))
        if begins:
            assert mine.kind[0] == EventKind.SNAPSHOT
            levels = mine[made][1:]
            assert (levels.kind == EventKind.LEVEL).all()
            keys = zip(levels.side.tolist(), levels.price.tolist(), strict=True)
            assert dict(zip(keys, levels.size.tolist(), strict=True)) == smallest(part)
    assert len(np.unique(out.frame[out.kind != EventKind.LEVEL])) == int(
        (out.kind != EventKind.LEVEL).sum()
    )


LINES = [
    delta(5, 0, "yes", "0.4000", "-10.25"),
    delta(6, 10, "no", "0.5500", "7.00"),
    delta(7, 20, "yes", "0.4000", "-5.00"),
    delta(8, 30, "no", "0.5500", "-9.50"),
]


def test_a_market_begins_with_what_its_deltas_take(tmp_path: Path) -> None:
    session = imported(tmp_path, *LINES, missing_snapshot="smallest")
    assert rows(session.events, EventKind.LEVEL) == [(0, 4000, 1525), (1, 5500, 250)]
    made = session.events.flags & EventFlag.REBUILT != 0
    assert made.tolist() == [True] * 3 + [False] * 4
    assert session.events.ts_ms[:4].tolist() == [T0] * 4
    quality = session.quality.markets[MARKET]
    assert (quality.rebuilt_books, quality.snapshots, quality.levels) == (1, 0, 0)
    assert (quality.clamped_deltas, quality.dropped_before_snapshot) == (0, 0)
    assert (quality.rows, quality.inferred_times, quality.frames) == (3, 0, 4)
    (note,) = [n for n in session.quality.notes if "no first snapshot" in n]
    assert note.startswith(MARKET)
    assert "evidence" in note


def test_only_markets_without_a_first_snapshot_are_rebuilt(tmp_path: Path) -> None:
    lines = [book(1, market=REST), *LINES, book(9), delta(10, 40, market=REST)]
    plain = imported(tmp_path, *lines)
    session = imported(tmp_path, *lines, missing_snapshot="smallest")
    assert {t: q.rebuilt_books for t, q in session.quality.markets.items()} == {MARKET: 1, REST: 0}
    assert session.market_events(REST).ts_ms.tolist() == plain.market_events(REST).ts_ms.tolist()
    assert plain.quality.total == MarketQuality(**{**vars(plain.quality.total), "rebuilt_books": 0})
    assert any("--missing-snapshot smallest" in n for n in imported(tmp_path, *LINES).quality.notes)


def test_a_recording_with_its_snapshots_stays_as_it_is(tmp_path: Path) -> None:
    lines = [book(), delta(2, 0), trade(1, 0)]
    plain = imported(tmp_path, *lines)
    session = imported(tmp_path, *lines, missing_snapshot="smallest")
    assert session.events.equals(plain.events)
    assert session.quality == plain.quality


def test_the_mark_survives_store_and_export(tmp_path: Path) -> None:
    session = imported(tmp_path, *LINES, snapshot(9), missing_snapshot="smallest")
    store = open_store(str(tmp_path / "sessions"))
    store.save(session)
    loaded = store.load(1)
    assert loaded.events.equals(session.events)
    assert loaded.quality == session.quality
    assert loaded.source == store.list_sessions()[0].source == "capture, rebuilt start"
    written = export_captures(session, tmp_path / "again.jsonl")
    assert "--missing-snapshot smallest" in written.import_command
    again = import_captures([written.files[0]], session_id=1, missing_snapshot="smallest")
    assert again.events.equals(session.events)


def without_first_snapshot(source: Path, target: Path) -> Path:
    """A copy of a recording of one market that lacks the first snapshot."""
    lines = [line for line in gzip.decompress(source.read_bytes()).split(b"\n") if line.strip()]
    first = next(i for i, x in enumerate(lines) if json.loads(x)["type"] == "orderbook_snapshot")
    target.write_bytes(b"\n".join(lines[:first] + lines[first + 1 :]))
    return target


@pytest.mark.parametrize("market", ["OKCBKN-OKC", "TORCHI-TOR", "UTAMIN-MIN"])
def test_real_markets_agree_with_their_smallest_book(
    recordings: Path, tmp_path: Path, market: str
) -> None:
    (source,) = (recordings / "nba-2026-03-18").glob(f"*{market}.ndjson.gz")
    true = build_tape([import_captures([source], session_id=1)])
    copy = without_first_snapshot(source, tmp_path / "copy.jsonl")
    made = build_tape([import_captures([copy], session_id=1, missing_snapshot="smallest")])
    common, a, b = np.intersect1d(true.ts_ms, made.ts_ms, return_indices=True)
    assert len(common) == len(true.ts_ms)
    same_price = (true.px[a, :, 0] == made.px[b, :, 0]).all(axis=1)
    same_size = true.qty[a, :, 0] == made.qty[b, :, 0]
    assert same_price.mean() == 1
    assert same_size[same_price].mean() > 0.7
    assert (made.qty[b, :, 0] <= true.qty[a, :, 0])[same_price].all()


def test_an_evening_without_snapshots_gives_uncrossed_rows(recordings: Path) -> None:
    paths = sorted((recordings / "nba-2026-03-17-no-snapshot").glob("*.gz"))
    session: Session = import_captures(
        paths, session_id=1, markets_csv=recordings / "markets.csv", missing_snapshot="smallest"
    )
    total = session.quality.total
    assert total.rebuilt_books == len(session.markets) == 16
    assert total.dropped_before_snapshot == 0
    assert total.clamped_deltas == 0
    assert total.rows > 1_000_000
    assert total.crossed_ms == 0
