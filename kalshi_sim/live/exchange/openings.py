"""Markets that are not there from the start: created, and opened for trading, while time runs.

    [{"ticker": "KXGEN-1-A", "created": 30, "opens": 60}]

lets a market of the session be created 30 seconds after the session's start and open 30 seconds
later. A market that is not created is unknown to everybody; until it opens its book is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.live.exchange.schedule import Change, first_ms
from kalshi_sim.session import Session
from kalshi_sim.units import MS_PER_DAY, MS_PER_SECOND

_LONGEST_S = 10 * MS_PER_DAY // MS_PER_SECOND


class Opening(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """When one market of the session comes to be; seconds after the session's start."""

    ticker: str
    opens: float
    """When trading begins; no frame says so."""
    created: float = 0.0
    """When the exchange has the market; 0: from the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.created <= self.opens <= _LONGEST_S or self.opens == 0:
            raise ValueError(
                f"{self.ticker}: created must be 0 or more, opens after it and at most {_LONGEST_S}"
            )


def load_openings(path: Path) -> list[Opening]:
    """The openings of a file.

    Raises:
        ConfigError: the file cannot be read.
        DataError: it holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Opening])
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: {error}") from error


def opening_changes(session: Session, openings: Iterable[Opening]) -> list[tuple[int, Change]]:
    """The openings as changes of markets' lives.

    Args:
        session: whose markets they are.
        openings: at most one for a market.

    Returns:
        (time in ms since 1970 UTC, change); what is there from the start is not created.

    Raises:
        ConfigError: the session has no such market, or it opens twice or after the end.
    """
    numbers = {market.ticker: i for i, market in enumerate(session.markets)}
    start = first_ms(session)
    found: list[tuple[int, Change]] = []
    for opening in openings:
        number = numbers.pop(opening.ticker, None)
        if number is None:
            raise ConfigError(
                f"openings: {opening.ticker}: the session has no such market, or it opens twice"
            )
        opens = start + round(opening.opens * MS_PER_SECOND)
        if opens > session.last_message_ms:
            raise ConfigError(f"openings: {opening.ticker} opens after the session's end")
        if opening.created > 0:
            created = start + round(opening.created * MS_PER_SECOND)
            found.append((created, Change(number, "created")))
        found.append((opens, Change(number, "opened")))
    return found
