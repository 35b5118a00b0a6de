"""Where a session's books come from: recorded, generated, or reconstructed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from kalshi_sim.session import GENERATED_PREFIX, POLLED, REBUILT_SUFFIX

Origin = Literal["recorded", "generated", "reconstructed"]

SYNTHETIC: Final = "synthetic"
"""`source` of a session that the generator made."""


def origin_of(source: str, tickers: Iterable[str] = ()) -> Origin:
    """What the books of a session are.

    Args:
        source: as the session has it.
        tickers: of its markets; a generated one shows whatever the source says.

    Returns:
        "generated" by a program; "reconstructed" where a book was not recorded as it changed
        (polls, or a market without its first snapshot); else "recorded".
    """
    if source.startswith(SYNTHETIC) or any(t.startswith(GENERATED_PREFIX) for t in tickers):
        return "generated"
    if source.startswith(POLLED) or source.endswith(REBUILT_SUFFIX):
        return "reconstructed"
    return "recorded"
