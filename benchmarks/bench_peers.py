"""The replay of one market against that of hftbacktest: events a second, one thread each.

    make peers                               # once: installs hftbacktest into .venv-peers
    python -m benchmarks.bench_peers

hftbacktest wants older versions of numpy than this package is tested with, so it runs in an
environment of its own; without it nothing is measured here. It keeps two books (the exchange's and
the trader's) and a trader's clock; `build_tape` keeps one book and writes rows with 40 features;
without those, as an import counts, stands beside it ("its book alone").
Both must end with the best prices that a plain dictionary of levels ends with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import sessions
from benchmarks.figures import Figure, figure, in_turn, main, ratios
from kalshi_sim import build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.quality import audit_events
from kalshi_sim.session import EventKind, Events, Session
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, mirror

PYTHON: Final = sessions.ROOT / ".venv-peers" / "bin" / "python"
REPLAY: Final = Path(__file__).with_name("hftbacktest_replay.py")
ROUNDS: Final = 7
_NS_PER_MS: Final = 1_000_000
_EVENT: Final = np.dtype(
    {
        "names": ["ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"],
        "formats": ["u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"],
    }
)
_BOTH: Final = 1 << 31 | 1 << 30
"""An event of the exchange and of the trader."""
_BUY, _SELL = 1 << 29, 1 << 28
_CHANGE, _TRADE, _CLEAR, _SNAPSHOT = 1, 2, 3, 4
"""Kinds of hftbacktest's events: a level's new size, a trade, the end of a book, its levels."""


def longest_market(name: str) -> Session:
    """The market of most events of a session, alone and without searching its numbers for holes."""
    if name in sessions.recorded_names():
        largest = max(sessions.captures(name), key=lambda path: path.stat().st_size)
        return import_captures([largest], session_id=1)
    session = sessions.session(name)
    at = int(np.argmax(np.diff(session.market_offsets)))
    return session.select([session.markets[at].ticker])


def as_events(events: Events) -> tuple[np.ndarray, tuple[float, float]]:
    """A market's events in hftbacktest's form, and the best bid and ask they end with.

    Sizes there are absolute; a bid for NO is an ask for YES at the opposite price.
    """
    levels: dict[tuple[int, int], int] = {}
    rows: list[tuple[int, int, float, float]] = []
    times = np.maximum.accumulate(np.maximum(events.ts_ms, 0)).tolist()
    columns = zip(
        events.kind.tolist(),
        events.side.tolist(),
        events.price.tolist(),
        events.size.tolist(),
        times,
        strict=True,
    )
    for kind, side, price, size, ms in columns:
        flag = _BUY if side == 0 else _SELL
        shown = (price if side == 0 else mirror(price, PRICE_SCALE)) / PRICE_SCALE
        if kind == EventKind.SNAPSHOT or kind == EventKind.GAP:
            levels.clear()
            rows += [(_CLEAR | _BUY, ms, 0.0, 0.0), (_CLEAR | _SELL, ms, 1.0, 0.0)]
        elif kind == EventKind.TRADE:
            rows.append((_TRADE | flag, ms, shown, size / SIZE_SCALE))
        else:
            before = levels.get((side, price), 0) if kind == EventKind.DELTA else 0
            after = levels[side, price] = max(0, before + size)
            what = _SNAPSHOT if kind == EventKind.LEVEL else _CHANGE
            rows.append((what | flag, ms, shown, after / SIZE_SCALE))
    out = np.zeros(len(rows), dtype=_EVENT)
    out["ev"] = np.array([row[0] for row in rows], dtype=np.uint64) | np.uint64(_BOTH)
    out["exch_ts"] = out["local_ts"] = np.array([row[1] for row in rows]) * _NS_PER_MS
    out["px"], out["qty"] = [row[2] for row in rows], [row[3] for row in rows]
    bids = [price for (side, price), size in levels.items() if size and side == 0]
    asks = [
        mirror(price, PRICE_SCALE) for (side, price), size in levels.items() if size and side == 1
    ]
    return out, (max(bids, default=0) / PRICE_SCALE, min(asks, default=0) / PRICE_SCALE)


class Peer:
    """hftbacktest in a process of its own, which replays at every request."""

    def __init__(self, data: Path, tick: float) -> None:
        self._process = subprocess.Popen(
            [PYTHON, REPLAY, data, str(tick)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def replay(self) -> dict[str, Any]:
        """Seconds it took, events it read, the best prices it ended with."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def measure(full: bool) -> list[Figure]:
    if not PYTHON.exists():
        print("no hftbacktest here: make peers", file=sys.stderr)
        return []
    session = longest_market(sessions.main_name())
    events, best = as_events(session.events)
    tick = 0.0001 if (session.events.price % 100).any() else 0.01
    group = "Peers"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "events.npz"
        np.savez(data, data=events)
        peer = Peer(data, tick)
        try:
            theirs: list[float] = []

            def counted() -> None:
                audit_events(session.events, session.market_offsets, PRICE_SCALE)

            def their_turn() -> None:
                found = peer.replay()
                assert (found["bid"], found["ask"]) == best, (found, best)
                theirs.append(found["seconds"])

            works = (lambda: build_tape([session], min_episode_length=3), counted, their_turn)
            ours, books, _ = in_turn(works, ROUNDS)
        finally:
            peer.close()
    n = len(session.events)
    name = f"one {sessions.main_name()} market of {n:,} events".replace(",", " ")
    theirs = theirs[1:]
    return [
        figure(group, f"{name}, build_tape with its features", "events/s", [n / t for t in ours]),
        figure(group, f"{name}, its book alone", "events/s", [n / t for t in books]),
        figure(group, f"{name}, hftbacktest", "events/s", [n / t for t in theirs]),
        figure(group, f"{name}, its book alone against hftbacktest", "×", ratios(theirs, books)),
        figure(
            group,
            f"{name}, build_tape against hftbacktest",
            "×",
            ratios(theirs, ours),
            headline=True,
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
