"""Small captures that are easy to import wrongly: the right book in any order of their files."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from kalshi_sim.store import open_store
from support.replayed import books

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


@pytest.mark.parametrize("names", [*permutations(["h0", "h1"]), *permutations(["book", "life"])])
def test_the_command_gives_a_close_update_its_time_in_any_order(
    recordings: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    case = recordings / "import-cases/19-lifecycle-without-time-depends-on-file-order"
    expected = json.loads((case / "expected.json").read_text())
    origin = expected["origin_ms"]
    files = [str(case / f"{name}.jsonl") for name in names]
    command = [sys.executable, "-m", "kalshi_sim.cli", "import", *files]
    subprocess.run([*command, "--store", str(tmp_path), "--session", "1"], check=True)
    (market,) = open_store(str(tmp_path)).load(1).markets
    # The frame alone in its file has no time at all, so nothing tells from when on it is known.
    wanted = expected["close_updates (known, close)"] if "h0" in names else []
    assert [[a - origin, b - origin] for a, b in market.close_updates] == wanted
