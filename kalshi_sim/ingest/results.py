"""Results of markets that became known after their session was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from kalshi_sim.errors import DataError
from kalshi_sim.session import MarketInfo, Session

_WITHOUT_RESULT: Final = "markets have no result"


def missing_results(markets: Sequence[MarketInfo]) -> list[str]:
    """A note on the markets of a session that have no result; none if all have one."""
    missing = sum(market.settlement_value is None for market in markets)
    if not missing:
        return []
    note = (
        f"{missing} of {len(markets)} {_WITHOUT_RESULT}, so their positions are marked at the "
        "end, not settled; give a file of markets with their results (kalshi-sim import --markets, "
        "or kalshi-sim results) if it is known"
    )
    return [note]


def with_results(session: Session, known: Mapping[str, MarketInfo]) -> tuple[Session, int]:
    """A session with the results of `known`, as if they had been given at its import.

    Nothing but the results is taken: what was known of a market while it was recorded stays.

    Args:
        session: a session; it is not changed.
        known: markets by ticker, of other sessions too.

    Returns:
        The session, and how many of its markets have gained a result.

    Raises:
        DataError: a market has another result already.
    """
    markets, gained = [], 0
    for market in session.markets:
        new = known.get(market.ticker)
        if new is None or new.settlement_value is None:
            markets.append(market)
            continue
        if market.settlement_value not in (None, new.settlement_value):
            raise DataError(
                f"session {session.session_id}, market {market.ticker}: the recording has the "
                f"result {market.settlement_value}, the file {new.settlement_value} (in 1/100 "
                "cent a YES contract); correct the file"
            )
        if market.settlement_value is None:
            gained += 1
            market = replace(
                market,
                settlement_value=new.settlement_value,
                settlement_known_ms=new.settlement_known_ms,
            )
        markets.append(market)
    notes = [note for note in session.quality.notes if _WITHOUT_RESULT not in note]
    if len(notes) < len(session.quality.notes):
        notes += missing_results(markets)
    quality = replace(session.quality, notes=tuple(notes))
    return replace(session, markets=tuple(markets), quality=quality), gained
