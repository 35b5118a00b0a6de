"""The sessions and tapes that benchmarks run on: the real recordings where they are, generated
ones otherwise and beside them. Imported once into `.benchmarks/`, which git does not see.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim import Session, Tape, build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.kernels.layout import ROW_FLOW
from kalshi_sim.kernels.rows import empty_rows
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.synthetic.session import generate_session

ROOT: Final = Path(__file__).resolve().parents[1]
RECORDINGS: Final = ROOT.parent / "shared" / "data"
STORE: Final = ROOT / ".benchmarks" / "sessions"
GENERATED: Final = 9
_CAPTURES: Final = {"NBA": (18, "nba-2026-03-18"), "UFC": (7, "ufc-2026-03-07")}


def recorded_names() -> list[str]:
    """The recordings that this machine has."""
    return [n for n, (_, folder) in _CAPTURES.items() if (RECORDINGS / folder).is_dir()]


def main_name() -> str:
    """The session that figures are about: the NBA evening, a generated one without it."""
    return "NBA" if "NBA" in recorded_names() else "generated"


def captures(name: str) -> list[Path]:
    """The capture files of a recording."""
    return sorted((RECORDINGS / _CAPTURES[name][1]).glob("*.gz"))


def import_recording(name: str) -> Session:
    """A recording from its captures."""
    return import_captures(
        captures(name),
        session_id=session_id(name),
        markets_csv=RECORDINGS / "markets.csv",
        whole_subscription=True,
    )


def session_id(name: str) -> int:
    """The session's number in the store."""
    return _CAPTURES[name][0] if name in _CAPTURES else GENERATED


def store(*names: str) -> ParquetStore:
    """The store, with these sessions in it."""
    sessions = ParquetStore(STORE)
    for name in names:
        if not (STORE / f"session-{session_id(name)}.parquet").exists():
            sessions.save(import_recording(name) if name in _CAPTURES else _generate())
    return sessions


def _generate() -> Session:
    # as many markets and deltas as an evening has
    return generate_session(GENERATED, markets=500, minutes=35, seed=9, deltas=1_000_000)


@cache
def session(name: str) -> Session:
    """A session by name: NBA, UFC or generated."""
    return store(name).load(session_id(name))


@cache
def tape(name: str) -> Tape:
    """The tape of a session."""
    return build_tape([session(name)])


def resized(tape: Tape, rows: int) -> Tape:
    """A tape of `rows` rows in memory of its own: views of `tape`, again and again.

    It has a few rows less where what is left would be no view.
    """
    parts, views, n_rows = [], [], 0
    for view in cycle(tape.views):
        n = min(len(view), rows - n_rows)
        if n < tape.min_episode_length:
            break
        parts.append(np.arange(view.start, view.start + n))
        views.append(replace(view, start=n_rows, stop=n_rows + n))
        n_rows += n
    taken = np.concatenate(parts)
    counts = np.diff(tape.flow_offsets)[taken]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    entries = np.arange(offsets[-1]) + np.repeat(tape.flow_offsets[taken] - offsets[:-1], counts)
    records = empty_rows(n_rows, tape.depth)
    records[:] = tape.rows[taken]
    records[:, ROW_FLOW] = offsets[:-1]
    return replace(tape, rows=records, flow=tape.flow[entries], views=tuple(views))
