"""Which sessions cannot be evidence of a profit, and why."""

from __future__ import annotations

from collections.abc import Iterable

from kalshi_sim.session import POLLED, REBUILT_SUFFIX, SessionInfo


def caveats(sessions: Iterable[SessionInfo]) -> tuple[str, ...]:
    """A sentence for each session whose books were not recorded as they changed.

    Returns:
        The sentences.
    """
    found = []
    for info in sessions:
        if info.source.endswith(REBUILT_SUFFIX):
            found.append(
                f"session {info.session_id} has markets that began without a recorded snapshot "
                f"(`kalshi-sim analyze {info.session_id}` names them): their sizes are "
                "understated, and no result on them is evidence."
            )
        if info.source.startswith(POLLED):
            found.append(
                f"session {info.session_id} is made of polls: what happened between two of them "
                "is not known, so fills of resting orders are a guess, and no result on it is "
                "evidence."
            )
    return tuple(found)
