"""What the way a recording lies in files must not change (docs/contract.md#2-book-and-events)."""

from __future__ import annotations

import gzip
import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_sim import Session
from kalshi_sim.errors import DataError
from kalshi_sim.session import EventKind, Events
from support.captures import Recording
from support.imported import NOTED, ORDER, TWO_SOCKETS, imported, says
from support.layouts import LAYOUTS, texts_of
from support.replayed import books
from tests.support.modes import INTERPRETED, examples

WAYS = int(os.environ.get("KALSHI_SIM_TEST_WAYS", "40"))
"""In how many random ways each real recording is cut and joined."""
LINES = int(os.environ.get("KALSHI_SIM_TEST_LINES", "800"))
"""How much of it at a time: 800 lines, or all of it where it has fewer than asked for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def lines_of(recording: Recording) -> list[str]:
    return [line.text for line in recording.lines]


def moved(text: str) -> str:
    """The same frame of another market."""
    return text.replace("KXT-26JUN01-", "KXU-26JUN01-")


def same_book(one: Session, other: Session, *, traded: bool) -> None:
    """Equal book events, market by market; `traded`: what was traded of them too."""
    columns = ["kind", "side", "price", "size", "ts_ms", "seq", "sid", "flags"]
    # Gaps apart: a control frame ends a book where its own file holds frames of the market.
    kept = [s.events[s.events.kind < EventKind.TRADE] for s in (one, other)]
    for name in [*columns, *(["traded"] if traded else [])]:
        assert getattr(kept[0], name).tolist() == getattr(kept[1], name).tolist(), name


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@settings(max_examples=examples(25))
@given(seed=st.integers(0, 10**9))
def test_the_order_of_files_changes_nothing(folder: Path, layout: str, seed: int) -> None:
    files = texts_of(Recording(seed), layout, random.Random(seed))
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


@settings(max_examples=examples(60))
@given(seed=st.integers(0, 10**9), layout=st.sampled_from(LAYOUTS))
def test_a_file_of_other_markets_and_connections_changes_nothing(
    folder: Path, seed: int, layout: str
) -> None:
    files = texts_of(Recording(seed), layout, random.Random(seed))
    more = [moved(text) for text in lines_of(Recording(seed + 1, plain=True))]
    try:
        without = imported(folder, files)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error)[-60:])):
            imported(folder, [more, *files])
        return
    added = imported(folder, [more, *files])
    for market in without.markets:
        one, both = (s.market_events(market.ticker) for s in (without, added))
        assert books(one) == books(both)
        assert one.traded.tolist() == both.traded.tolist()
        assert one.kind.tolist() == both.kind.tolist()


@settings(max_examples=examples(60))
@given(seed=st.integers(0, 10**9))
def test_one_import_or_one_a_market(folder: Path, seed: int) -> None:
    files = texts_of(Recording(seed), "market", random.Random(seed))
    try:
        together = imported(folder, files)
    except DataError as error:
        assert TWO_SOCKETS in str(error)  # noqa: PT017  # of captures by chance, some
        return
    for lines in files:
        if not any("orderbook" in line for line in lines):
            continue
        alone = imported(folder, [lines])
        for market in alone.markets:
            one, both = (s.market_events(market.ticker) for s in (alone, together))
            assert books(one) == books(both)
            assert one.traded.tolist() == both.traded.tolist()


@pytest.mark.parametrize("layout", ["cut", "overlap", "contained"])
@settings(max_examples=examples(60))
@given(seed=st.integers(0, 10**9))
def test_a_cut_at_any_line_and_any_overlap_change_nothing(
    folder: Path, layout: str, seed: int
) -> None:
    recording = Recording(seed, plain=True)
    whole = imported(folder, [lines_of(recording)])
    try:
        parts = imported(folder, texts_of(recording, layout, random.Random(seed)))
    except DataError as error:
        assert not recording.received
        assert ORDER in str(error)  # noqa: PT017  # of captures by chance, some
        return
    if not says(parts, *NOTED):
        # Without receive times a trade whose part holds no book frame of its market may move.
        same_book(whole, parts, traded=bool(recording.received) or not recording.small)


def texts(path: Path) -> list[str]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line for line in data.decode().split("\n") if line.strip()]


def slices(lines: list[str], draw: random.Random) -> list[list[str]]:
    """A slice of a recording in files: cut, rotated, overlapping or repeated, in any order."""
    start = draw.randrange(max(len(lines) - LINES, 1))
    head = [line for line in lines[:50] if '"orderbook_snapshot' in line.replace("\\", "")]
    part = [line for line in head if line not in lines[start : start + LINES]]
    part += lines[start : start + (draw.randint(100, LINES) if len(lines) > LINES else LINES)]
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
    """Cut, rotated, overlapped and out of order, in as many random ways as are asked for."""
    lines = texts(recordings / name)
    draw = random.Random(1)
    latest: list[str] = []
    for _ in range(5 if INTERPRETED else WAYS):
        part, *files = slices(lines, draw)
        if part != latest:
            latest, whole = part, imported(folder, [part])
        joined = imported(folder, files)
        if says(joined, *NOTED):
            continue
        same_book(whole, joined, traded=joined.trades_recorded is False)
        assert joined.quality.total.rows == whole.quality.total.rows
        assert joined.quality.total.trades == whole.quality.total.trades
