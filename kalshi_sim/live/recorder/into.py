"""Segments of a recording as sessions of a store: again and again the same session, never two."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.sealed import read_sealed, write_sealed
from kalshi_sim.session import Session
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.store.urls import without_password

Per = Literal["recording", "day"]
STORE_VARIABLE: Final = "KALSHI_SIM_RECORD_INTO"
"""Names the store to a process of its own: an address may hold a password."""
_REMEMBERED: Final = "sessions.json"
_WHOLE: Final = "recording"
_DAY: Final = 8
"""Digits of a date in a segment's name."""


@dataclass(frozen=True)
class Stored:
    """A session that was written."""

    session: Session
    segments: int


def store_segments(
    folder: Path, store: str, per: Per = "recording", session_id: int | None = None
) -> list[Stored]:
    """Write the segments of a folder into a store; what was written before is replaced.

    Args:
        folder: of a recording.
        store: a folder or a postgresql:// URL.
        per: one session for all segments, or one for each day (UTC) in which some began.
        session_id: of the session of a recording; the next free one if omitted. A day has its date
            as a number (20261127), or the next free one where that is taken.

    Returns:
        The sessions, in order of time; those of earlier days that are stored are left as they are.

    Raises:
        ConfigError: there are no segments, or the number is that of another session.
        DataError: the segments cannot be read.
        StoreError: the store cannot be written.
    """
    segments = segments_in(folder)
    if not segments:
        raise ConfigError(f"{folder} has no segments; kalshi-sim record --out {folder} writes some")
    target = open_store(store)
    parts: dict[str, list[Path]] = {}
    for segment in segments:
        parts.setdefault(_day_of(segment) if per == "day" else _WHOLE, []).append(segment)
    out = []
    for name, paths in parts.items():
        known = _remembered(folder, store).get(name)
        finished = per == "day" and name != max(parts)
        if finished and known is not None and known[1] == len(paths) and target.exists(known[0]):
            continue
        number = known[0] if known is not None else _number(target, name, session_id)
        session = import_captures(paths, session_id=number)
        # Remembered first: a kill between the two leaves a number that is only ours.
        _remember(folder, store, name, number, 0)
        target.save(session, overwrite=True)
        _remember(folder, store, name, number, len(paths))
        out.append(Stored(session, len(paths)))
    return out


def _day_of(segment: Path) -> str:
    return segment.name.split("-")[3][:_DAY]


def _number(target: SessionStore, name: str, asked: int | None) -> int:
    """A number for a session that was not stored before.

    Raises:
        ConfigError: the one that was asked for is taken.
    """
    if name == _WHOLE and asked is not None:
        if target.exists(asked):
            raise ConfigError(
                f"the store already has session {asked}, and it is not of this recording; "
                "choose another --session"
            )
        return asked
    if name != _WHOLE and not target.exists(int(name)):
        return int(name)
    return target.next_session_id()


def _remembered(folder: Path, store: str) -> dict[str, tuple[int, int]]:
    """The sessions of a recording in a store: name -> (number, segments in it)."""
    found = _every(folder / _REMEMBERED)
    return {k: (int(v[0]), int(v[1])) for k, v in found.get(_shown(store), {}).items()}


def _every(path: Path) -> dict[str, Any]:
    return read_sealed(path, "list of stored sessions") if path.exists() else {}


def _remember(folder: Path, store: str, name: str, number: int, segments: int) -> None:
    path = folder / _REMEMBERED
    every = _every(path)
    every.setdefault(_shown(store), {})[name] = [number, segments]
    write_sealed(path, every)


def _shown(store: str) -> str:
    """The store without its password, a folder by its full path."""
    return without_password(store) if "://" in store else str(Path(store).resolve())


def main(arguments: Sequence[str]) -> int:
    """Store the segments of a folder while they are still written: FOLDER PER [SESSION].

    Args:
        arguments: of the process; the store is named by an environment variable.

    Returns:
        The exit code.
    """
    folder, per, *session = arguments
    os.nice(10)
    stored = store_segments(
        Path(folder),
        os.environ[STORE_VARIABLE],
        "day" if per == "day" else "recording",
        int(session[0]) if session else None,
    )
    return 0 if stored is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
