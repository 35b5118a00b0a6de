"""Segments of a recording as sessions of a store: again and again the same session, never two."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from kalshi_sim.errors import ConfigError
from kalshi_sim.extras import import_module
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.readers.segments import header_of
from kalshi_sim.ingest.segments import frame_of, segments_in
from kalshi_sim.ingest.sources import Source
from kalshi_sim.live.recorder.sequence import head_of
from kalshi_sim.sealed import read_sealed, write_sealed
from kalshi_sim.session import Session, SessionInfo
from kalshi_sim.store import open_store
from kalshi_sim.store.urls import is_address, without_password
from kalshi_sim.text import printable
from kalshi_sim.units import MS_PER_SECOND

Per = Literal["recording", "day"]
Tables = Literal["own", "kalshiflow"]
"""Of a PostgreSQL database: this project's, or those of the kalshiflow recorder."""
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
    note: str | None = None
    """Why a day is not numbered by its date, and what of the session the place cannot hold."""


class Place(Protocol):
    """Where sessions are written."""

    def exists(self, session_id: int) -> bool:
        """Whether a session of this number is there."""
        ...

    def next_session_id(self) -> int:
        """A number that is free."""
        ...

    def save(self, session: Session, *, overwrite: bool = False) -> SessionInfo:
        """Store a session, whole or not at all.

        Args:
            session: what to store, under its own number.
            overwrite: replace a session of this number.

        Returns:
            Its figures.
        """
        ...


def store_segments(
    folder: Path,
    store: str,
    per: Per = "recording",
    session_id: int | None = None,
    tables: Tables = "own",
) -> list[Stored]:
    """Write the segments of a folder into a store; what was written before is replaced.

    Args:
        folder: of a recording.
        store: a folder or a postgresql:// URL.
        per: one session for all segments, or one for each day (UTC) in which some began.
        session_id: of the session of a recording; the next free one if omitted. A day has its date
            as a number (20261127), or the next free one where that is taken; of a replay it is the
            day that the frames state.
        tables: of a PostgreSQL database.

    Returns:
        The sessions, in order of time; those of earlier days that are stored are left as they are.

    Raises:
        ConfigError: there are no segments, the number is that of another session or of none, or
            nothing can be written to the store.
        DataError: the segments cannot be read.
        StoreError: the store cannot be written.
    """
    segments = segments_in(folder)
    if not segments:
        raise ConfigError(f"{folder} has no segments; kalshi-sim record --out {folder} writes some")
    target = check_target(folder, store, per, session_id, tables)
    place = _shown(store, tables)
    parts: dict[str, list[Path]] = {}
    day: str | None = None
    for segment in segments:
        if per == "day":
            day = _day_of(segment, day)
        parts.setdefault(day or _WHOLE, []).append(segment)
    out = []
    for name, paths in parts.items():
        known = _remembered(folder, place).get(name)
        finished = per == "day" and name != max(parts)
        if finished and known is not None and known[1] == len(paths) and target.exists(known[0]):
            continue
        number, note = (known[0], None) if known else _number(target, name, session_id)
        session = import_captures(paths, session_id=number)
        # Remembered first: a kill between the two leaves a number that is only ours.
        _remember(folder, place, name, number, 0)
        info = target.save(session, overwrite=True)
        _remember(folder, place, name, number, len(paths))
        notes = [text for text in (note, info.note) if text]
        out.append(Stored(session, len(paths), "; ".join(notes) or None))
    return out


def check_target(
    folder: Path,
    store: str,
    per: Per = "recording",
    session_id: int | None = None,
    tables: Tables = "own",
) -> Place:
    """The store, if the segments of a folder can be stored there as asked.

    Args:
        folder: of a recording, which need not have begun.
        store: a folder or a postgresql:// URL.
        per: one session for all segments, or one for each day.
        session_id: the number that is asked for.
        tables: of a PostgreSQL database.

    Returns:
        The store, opened.

    Raises:
        ConfigError: the number is that of another session or of none, or it is no store.
        StoreError: the store does not answer.
    """
    if per == "day" and session_id is not None:
        raise ConfigError(
            f"--session {session_id}: with --per day each day has its date; leave one out"
        )
    if not is_address(store):
        place = Path(store.strip()).absolute()
        there = next(p for p in (place, *place.parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(
                f"--into {printable(store)}: {printable(str(there))} is no folder that can be "
                "written; name another store"
            )
    target = _open(store, tables)
    known = _remembered(folder, _shown(store, tables)).get(_WHOLE)
    if per == "recording" and known is not None and session_id not in (None, known[0]):
        raise ConfigError(
            f"--session {session_id}: the recording in {folder} is session {known[0]} of the store "
            "already; leave --session out, or record to another --out"
        )
    if known is None:
        _number(target, _WHOLE, session_id)
    return target


def _open(store: str, tables: Tables) -> Place:
    if tables == "own":
        return open_store(store)
    if not is_address(store):
        raise ConfigError(f"--tables {tables}: --into must be a postgresql:// URL")
    place: Place = import_module("kalshi_sim.store.kalshiflow.tables").KalshiflowTables(store)
    return place


def _day_of(segment: Path, before: str | None) -> str:
    """The day (YYYYMMDD, UTC) in which a segment began; of a replay, the one its frames state.

    Args:
        segment: of a recording.
        before: day of the segment before, which that of a replay without a time continues.
    """
    source = Source(segment)
    if not header_of(source).replay:
        return segment.name.split("-")[3][:_DAY]
    stated = next(_stated_ms(source), None)
    if stated is None:
        return before or segment.name.split("-")[3][:_DAY]
    return datetime.fromtimestamp(stated / MS_PER_SECOND, UTC).strftime("%Y%m%d")


def _stated_ms(source: Source) -> Iterator[int]:
    """The times that frames of a segment state, in ms since 1970 UTC."""
    for _, text in source.blocks():
        for line in text.split(b"\n"):
            with contextlib.suppress(ValueError):  # a cut line, or a frame that is no JSON
                frame = frame_of(line)
                head = None if frame is None else head_of(frame)
                if head is not None and (ms := head.sending_ts_ms or head.message.ts_ms):
                    yield ms


def _number(target: Place, name: str, asked: int | None) -> tuple[int, str | None]:
    """A number for a session that was not stored before, and why it is not the day's date.

    Raises:
        ConfigError: the one that was asked for is taken.
    """
    if name == _WHOLE and asked is not None:
        if target.exists(asked):
            raise ConfigError(
                f"the store already has session {asked}, and it is not of this recording; "
                "choose another --session"
            )
        return asked, None
    if name != _WHOLE and not target.exists(int(name)):
        return int(name), None
    number = target.next_session_id()
    if name == _WHOLE:
        return number, None
    return number, (
        f"the store already has session {name}, and it is not of this recording: its {name} is "
        f"session {number}"
    )


def _remembered(folder: Path, place: str) -> dict[str, tuple[int, int]]:
    """The sessions of a recording in a place: name -> (number, segments in it)."""
    found = _every(folder / _REMEMBERED)
    return {k: (int(v[0]), int(v[1])) for k, v in found.get(place, {}).items()}


def _every(path: Path) -> dict[str, Any]:
    return read_sealed(path, "list of stored sessions") if path.exists() else {}


def _remember(folder: Path, place: str, name: str, number: int, segments: int) -> None:
    path = folder / _REMEMBERED
    every = _every(path)
    every.setdefault(place, {})[name] = [number, segments]
    write_sealed(path, every)


def _shown(store: str, tables: Tables) -> str:
    """The store without its password, a folder by its full path."""
    shown = without_password(store) if "://" in store else str(Path(store).resolve())
    return shown if tables == "own" else f"{shown} ({tables} tables)"


def main(arguments: Sequence[str]) -> int:
    """Store the segments of a folder while they are still written: FOLDER PER TABLES [SESSION].

    Args:
        arguments: of the process; the store is named by an environment variable.

    Returns:
        The exit code.
    """
    folder, per, tables, *session = arguments
    os.nice(10)
    stored = store_segments(
        Path(folder),
        os.environ[STORE_VARIABLE],
        "day" if per == "day" else "recording",
        int(session[0]) if session else None,
        "kalshiflow" if tables == "kalshiflow" else "own",
    )
    return 0 if stored is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
