"""Imports of captures in tests, and what they may say instead of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import Session

SHARED: Final = "sockets that share it"
"""What an import says of two sockets under one sid in one file."""
NOTED: Final = (
    SHARED,
    "taken as an overlap",
    "only the numbers of lone snapshots",
    "no number shows which was",
    "is the same file as",
)
"""What the contract lets an import take for granted, and note: not always the truth."""
ORDER: Final = "decide the order of"
UNNUMBERED: Final = "of two sockets nothing would show"
UNASSIGNED: Final = "assigned to no one connection"
"""What an import says of control frames that end nothing."""
RESTARTED: Final = "gave the same numbers under one sid"
"""What it says where only times and numbers show whose numbers are missing."""
TWO_SOCKETS: Final = "by two sockets under one sid"
"""What an import that is refused says."""


def imported(
    folder: Path, files: Sequence[Sequence[str]], *, whole_subscription: bool = False
) -> Session:
    """The session of files of these lines, written into `folder`."""
    paths = [folder / f"{i}.jsonl" for i in range(len(files))]
    for path, lines in zip(paths, files, strict=True):
        path.write_text("".join(f"{line}\n" for line in lines))
    return import_captures(paths, session_id=1, whole_subscription=whole_subscription)


def says(session: Session, *texts: str) -> bool:
    """Whether a note of the session has one of these texts."""
    return any(text in note for text in texts for note in session.quality.notes)
