"""The import gives, event by event, what its slow twin reads from the same recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kalshi_sim.reference.captures import slow_import
from kalshi_sim.session import NO_TIME, EventKind
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded

FILES = {
    "ufc": "ufc-2026-03-07/KXUFCFIGHT-26MAR07TOBNUR-NUR.ndjson.gz",
    "nba": "nba-2026-03-18/KXNBAGAME-26MAR18OKCBKN-OKC.ndjson.gz",
    "btc": "btc15m-2026-05-13/KXBTC15M-1556.jsonl.gz",
    "mixed": "small/mixed-2026-07-01.jsonl",
    "ladder": "small/ladder-2026-04-18.jsonl",
}


NAMES = ["mixed", "ladder"] if INTERPRETED else list(FILES)
"""Without compilation, importing the large recordings takes too long."""


@pytest.mark.parametrize("name", NAMES)
def test_import_agrees_with_its_slow_twin(recorded: Recorded, recordings: Path, name: str) -> None:
    session = recorded.session(name)
    for ticker, told in slow_import(recordings / FILES[name]).items():
        events = session.market_events(ticker)
        columns = (events.kind, events.side, events.price, events.size, events.traded, events.ts_ms)
        got = list(zip(*(column.tolist() for column in columns), strict=True))
        expected = [
            (int(e.kind), e.side, e.price, e.size, e.traded, NO_TIME if e.ts is None else e.ts)
            for e in told
        ]
        assert len(got) == len(expected), ticker
        assert in_order(got) == in_order(expected), ticker


def in_order(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Rows with the levels of each snapshot sorted: their order tells nothing."""
    out: list[tuple[int, ...]] = []
    levels: list[tuple[int, ...]] = []
    for row in [*rows, (-1,)]:
        if row[0] == EventKind.LEVEL:
            levels.append(row)
            continue
        out += sorted(levels)
        levels = []
        out.append(row)
    return out
