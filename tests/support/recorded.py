"""The real recordings as sessions, imported once for a whole test run (all of its workers)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import filelock
import pytest

from kalshi_sim import Session, open_store
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.store import SessionStore
from kalshi_sim.store.parquet import ParquetStore

SESSIONS: Final = {
    "nba": (18, "nba-2026-03-18/*.gz"),
    "ufc": (7, "ufc-2026-03-07/*.gz"),
    "btc": (15, "btc15m-2026-05-13/*.gz"),
    "mixed": (71, "small/mixed-2026-07-01.jsonl"),
    "ladder": (42, "small/ladder-2026-04-18.jsonl"),
}
"""Name of a recording -> (session id, its captures)."""


class Recorded:
    """Recordings by name, as sessions of one store."""

    def __init__(self, recordings: Path, folder: Path) -> None:
        self._recordings = recordings
        self._folder = folder

    def store(self, *names: str) -> SessionStore:
        """The store, in which these recordings are."""
        for name in names:
            session_id, pattern = SESSIONS[name]
            with filelock.FileLock(f"{self._folder}.{name}.lock"):
                if (self._folder / f"session-{session_id}.parquet").exists():
                    continue
                session = import_captures(
                    sorted(self._recordings.glob(pattern)),
                    session_id=session_id,
                    markets_csv=self._recordings / "markets.csv",
                    whole_subscription=True,
                )
                ParquetStore(self._folder).save(session)
        return open_store(self._folder)

    @cache  # noqa: B019  # one object lives as long as the test run
    def session(self, name: str) -> Session:
        """One recording."""
        return self.store(name).load(SESSIONS[name][0])


@pytest.fixture(scope="session")
def recorded(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The real recordings as sessions."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    return Recorded(recordings, shared / "recorded")
