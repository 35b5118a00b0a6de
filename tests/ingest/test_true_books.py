"""Legal captures of known truth, in every layout of files: the true books, or a refusal by name.

Each example draws several captures from its seed, so that a run sees thousands of imports.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim import Session
from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind, Events
from tests.support.captures import LAYOUTS, Book, Recording
from tests.support.modes import INTERPRETED, examples

_EXAMPLES = examples(100)
_CAPTURES = 1 if INTERPRETED else 3
"""Of each example: 100 x 3 captures in nine layouts are 2 700 imports."""
_MAY_BE_REFUSED = {"type", "cut", "overlap", "market and cut", "market and overlap"}
"""Layouts that, without receive times, may tell no order: files of one type, lone snapshots."""
_ORDER = "tell the order of"
_NOTED = ("taken as an overlap", "only the numbers of lone snapshots")
"""Without receive times, lone snapshots at a joint: the contract's choice, not always the truth."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def written(folder: Path, files: Sequence[Sequence[str]]) -> list[Path]:
    paths = [folder / f"{i}.jsonl" for i in range(len(files))]
    for path, lines in zip(paths, files, strict=True):
        path.write_text("".join(f"{line}\n" for line in lines))
    return paths


def imported(folder: Path, files: Sequence[Sequence[str]]) -> Session:
    return import_captures(written(folder, files), session_id=1)


def books(events: Events) -> list[tuple[int | None, Book]]:
    """(ms, book in cents and contracts) after each book event."""
    out: list[tuple[int | None, Book]] = []
    book: Book = ({}, {})
    latest: int | None = None
    columns = (events.kind, events.side, events.price, events.size, events.ts_ms)
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    for at, (kind, side, price, size, ts_ms) in enumerate(rows):
        if kind in (EventKind.TRADE, EventKind.GAP):
            continue
        latest = ts_ms if latest is None else max(latest, ts_ms)
        if kind == EventKind.SNAPSHOT:
            book = ({}, {})
        elif kind == EventKind.LEVEL:
            book[side][price // 100] = size // 100
        else:
            level = book[side].get(price // 100, 0) + size // 100
            book[side][price // 100] = max(level, 0)
        if at + 1 == len(rows) or rows[at + 1][0] != EventKind.LEVEL:
            yes, no = ({p: n for p, n in levels.items() if n} for levels in book)
            out.append((latest, (yes, no)))
    return out


def assert_true(recording: Recording, session: Session) -> None:
    for market in recording.markets:
        truth = recording.truth[market].timed()
        if not truth or truth[-1][0] is None:
            continue  # no time at all: no rows, and nothing to compare
        events = session.market_events(market)
        assert books(events) == truth, market
        traded = events.traded[events.kind == EventKind.DELTA] // 100
        assert traded.tolist() == recording.truth[market].traded, market
        assert (events.kind == EventKind.TRADE).sum() == recording.truth[market].trades, market
        counts = session.quality.markets[market]
        assert counts.frames == len(truth), market
        assert counts.clamped_deltas == 0, market


def noted(session: Session) -> bool:
    return any(text in note for text in _NOTED for note in session.quality.notes)


def assert_rightly_refused(recording: Recording, layout: str, error: DataError) -> None:
    assert not recording.received
    assert layout in _MAY_BE_REFUSED
    assert _ORDER in str(error)


def recordings(seed: int) -> list[Recording]:
    return [Recording(seed * 1_000 + nth) for nth in range(_CAPTURES)]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=_EXAMPLES)
@given(seed=st.integers(0, 10**9))
def test_every_layout_gives_the_true_books(folder: Path, layout: str, seed: int) -> None:
    for recording in recordings(seed):
        files = recording.files(layout, random.Random(seed))
        try:
            session = imported(folder, files)
        except DataError as error:
            assert_rightly_refused(recording, layout, error)
            continue
        if noted(session):
            assert not recording.received
        else:
            assert_true(recording, session)


@pytest.mark.parametrize("layout", ["market", "channel", "cut", "overlap", "type"])
@settings(max_examples=examples(25))
@given(seed=st.integers(0, 10**9))
def test_the_order_of_files_changes_nothing(folder: Path, layout: str, seed: int) -> None:
    for recording in recordings(seed):
        files = recording.files(layout, random.Random(seed))
        found: list[Events | str] = []
        for order in (files, files[::-1], files[1:] + files[:1]):
            try:
                found.append(imported(folder, order).events)
            except DataError as error:
                found.append(str(error)[-60:])
        first, *others = found
        for other in others:
            if isinstance(first, Events):
                assert isinstance(other, Events)
                assert first.equals(other)
            else:
                assert first == other


@settings(max_examples=examples(50))
@given(seed=st.integers(0, 10**9), layout=st.sampled_from(["one", "market", "overlap"]))
def test_a_file_of_other_markets_changes_nothing(folder: Path, seed: int, layout: str) -> None:
    (recording, *_), other = recordings(seed), Recording(seed + 1)
    files = recording.files(layout, random.Random(seed))
    more = [line.text.replace("KXT-26JUN01-", "KXU-26JUN01-") for line in other.lines]
    assert_true(recording, imported(folder, [more, *files]))


@settings(max_examples=examples(50))
@given(seed=st.integers(0, 10**9))
def test_one_import_or_one_a_market(folder: Path, seed: int) -> None:
    for recording in recordings(seed):
        files = recording.files("market", random.Random(seed))
        together = imported(folder, files)
        for lines in files:
            if not any("market_ticker" in line and "trade" in line for line in lines):
                continue
            alone = imported(folder, [lines])
            for market in alone.markets:
                one = alone.market_events(market.ticker)
                both = together.market_events(market.ticker)
                assert books(one) == books(both)
                assert one.traded.tolist() == both.traded.tolist()


@pytest.mark.parametrize("layout", ["cut", "overlap", "contained"])
@settings(max_examples=examples(50))
@given(seed=st.integers(0, 10**9))
def test_a_cut_at_any_line_and_any_overlap_change_nothing(
    folder: Path, layout: str, seed: int
) -> None:
    for recording in recordings(seed):
        whole = imported(folder, [[line.text for line in recording.lines]])
        try:
            parts = imported(folder, recording.files(layout, random.Random(seed)))
        except DataError as error:
            assert_rightly_refused(recording, layout, error)
            continue
        if noted(parts):
            continue
        # Without receive times a trade whose part holds no book frame of its market may move.
        kept = [e.events[e.events.kind < EventKind.TRADE] for e in (whole, parts)]
        for name in ("kind", "side", "price", "size", "traded", "ts_ms", "seq", "sid"):
            assert getattr(kept[0], name).tolist() == getattr(kept[1], name).tolist(), name


def slices(lines: list[str], draw: random.Random) -> list[list[str]]:
    """A slice of a recording in files: cut, rotated, overlapping or repeated, in any order."""
    start = draw.randrange(max(len(lines) - 800, 1))
    head = [line for line in lines[:50] if '"orderbook_snapshot' in line.replace("\\", "")]
    part = [*(line for line in head if line not in lines[start : start + 800])]
    part += lines[start : start + draw.randint(100, 800)]
    cuts = sorted(draw.sample(range(1, len(part)), draw.randint(1, 4)))
    files = [
        part[begin : min(end + draw.choice((0, 0, 1, 30)), len(part))]
        for begin, end in zip([0, *cuts], [*cuts, len(part)], strict=True)
    ]
    draw.shuffle(files)
    return [part, *files]


@pytest.mark.parametrize(
    "name",
    [
        "ufc-2026-03-07/KXUFCFIGHT-26MAR07TOBNUR-NUR.ndjson.gz",
        "nba-2026-03-18/KXNBAGAME-26MAR18OKCBKN-OKC.ndjson.gz",
        "btc15m-2026-05-13/KXBTC15M-1556.jsonl.gz",
        "small/mixed-2026-07-01.jsonl",
    ],
)
def test_parts_of_real_recordings_join_to_the_same_session(
    folder: Path, recordings: Path, name: str
) -> None:

    path = recordings / name
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [line for line in text.decode().split("\n") if line.strip()]
    draw = random.Random(1)
    for _ in range(5 if INTERPRETED else 50):
        part, *files = slices(lines, draw)
        whole, joined = imported(folder, [part]), imported(folder, files)
        if noted(joined):
            continue
        kept = [e.events[e.events.kind < EventKind.TRADE] for e in (whole, joined)]
        for column in ("kind", "side", "price", "size", "ts_ms", "seq", "sid", "flags"):
            assert getattr(kept[0], column).tolist() == getattr(kept[1], column).tolist()
        assert joined.quality.total.rows == whole.quality.total.rows
        assert joined.quality.total.trades == whole.quality.total.trades


CASES = sorted(
    path.parent.name
    for path in (Path(__file__).resolve().parents[3] / "shared/data/import-cases").glob(
        "*/expected.json"
    )
)


@pytest.mark.parametrize("case", CASES)
def test_cases_are_right_in_any_order_of_their_files(recordings: Path, case: str) -> None:
    folder = recordings / "import-cases" / case
    expected = json.loads((folder / "expected.json").read_text())
    told = expected.get("books_by_market_then_ms_after_origin", {})
    names = sorted(path.name for path in folder.glob("*.jsonl"))
    if "close_updates (known, close)" in expected:
        names = ["h0.jsonl", "h1.jsonl"]
    refused = any("refused" in key for book in told.values() for key in book)
    for order in (names, names[::-1]):
        paths = [folder / name for name in order]
        try:
            session = import_captures(paths, session_id=1, **expected.get("options", {}))
        except DataError:
            assert refused
            continue
        origin = expected.get("origin_ms", 0)
        for market, wanted in told.items():
            if any("refused by name" in key for key in wanted):
                assert market not in {m.ticker for m in session.markets}
                assert any(market in note for note in session.quality.notes)
                continue
            found = {
                str((ms or 0) - origin): {
                    side: {str(float(p)): float(n) for p, n in sorted(levels.items())}
                    for side, levels in zip(("yes", "no"), book, strict=True)
                }
                for ms, book in books(session.market_events(market))
            }
            assert found == {ms: book for ms, book in wanted.items() if isinstance(book, dict)}
        (first, *_) = session.markets
        if "settlement_value" in expected:
            assert first.settlement_value == expected["settlement_value"]
            assert first.settlement_known_ms == expected["known_ms"]
        if "close_updates (known, close)" in expected:
            updates = [[a - origin, b - origin] for a, b in first.close_updates]
            assert updates == expected["close_updates (known, close)"]
        if expected.get("events_of_A_contain_a_gap"):
            events = session.market_events("KXT-26JUN01-A")
            assert (events.kind == EventKind.GAP).any()
