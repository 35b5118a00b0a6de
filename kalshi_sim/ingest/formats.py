"""Names and limits of an import: what the command line shows without loading any reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

FORMATS: Final = "segments, wire, polls, event-log, envelope, kalshibook, absolute, sqlite"
"""The names of `kalshi_sim.ingest.readers.READERS` that read something."""
MissingSnapshot = Literal["drop", "smallest"]
"""What to do with deltas before a market's first snapshot: drop them, or begin with that book."""
_MIB: Final = 1 << 20
MAX_LINE_BYTES: Final = 65 * _MIB
"""The exchange's largest message has 64 MiB, and a recorder writes something around it."""
MAX_UNPACKED_BYTES: Final = 64 * 1024 * _MIB


@dataclass(frozen=True)
class Limits:
    """What a file may unpack to, so that a small file cannot fill the memory or run for ever."""

    max_line_bytes: int = MAX_LINE_BYTES
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES
