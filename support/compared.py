"""An import of a generated capture against the truth: where they differ, what may be refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from kalshi_sim.errors import DataError
from kalshi_sim.session import EventKind, Session
from support.captures import Line, Recording
from support.imported import ORDER, TWO_SOCKETS, UNASSIGNED, UNNUMBERED, says
from support.layouts import LAYOUTS
from support.replayed import books, gaps
from support.truth import holds, truth

TRADES_APART: Final = "trades apart"
"""The one difference that the contract allows without a note: trades lie apart from their books,
and no time tells which of several changes each one caused."""
_MISSING: Final = "missing gaps"
_FALSE: Final = "false gaps"
_MAY_BE_REFUSED: Final = {*LAYOUTS} - {"one", "market", "channel", "contained"}
"""Layouts that, without receive times, may tell no order: files of one type, lone snapshots."""


def differences(
    recording: Recording, files: Sequence[Sequence[Line]], session: Session
) -> dict[str, list[str]]:
    """The markets in which the session is not the truth, by what differs."""
    out: dict[str, list[str]] = defaultdict(list)
    for market in recording.markets:
        true = truth(recording, market, files)
        if not true.books or true.books[-1][0] is None:
            continue  # no time at all: no rows, and nothing to compare
        events = session.market_events(market)
        counts = session.quality.markets[market]
        traded = events.traded[events.kind == EventKind.DELTA] // 100
        ends = gaps(events)
        apart = not _trades_keep_their_place(recording, market, files)
        found = {
            "books": books(events) != true.books,
            "frames": counts.frames != len(true.books),
            "clamped deltas": counts.clamped_deltas != 0,
            "trades": (events.kind == EventKind.TRADE).sum() != true.trades,
            TRADES_APART if apart else "traded contracts": traded.tolist() != true.traded,
            _MISSING: not ends >= true.ends,
            _FALSE: not ends <= true.ends,
        }
        for what, differs in found.items():
            if differs:
                out[what].append(market)
    return dict(out)


def allowed(recording: Recording, session: Session) -> set[str]:
    """The differences that the session may have: of trades, and of gaps that a note tells."""
    out = {TRADES_APART}
    if recording.setting != "one":
        if says(session, UNASSIGNED, UNNUMBERED):
            out.add(_MISSING)
        if says(session, UNNUMBERED):
            out.add(_FALSE)
    return out


def is_rightly_refused(recording: Recording, layout: str, error: DataError) -> bool:
    """Whether nothing in the files decides, and the error says so."""
    if TWO_SOCKETS in str(error):
        return recording.equal_sids
    return ORDER in str(error) and not recording.received and layout in _MAY_BE_REFUSED


def _trades_keep_their_place(
    recording: Recording, market: str, files: Sequence[Sequence[Line]]
) -> bool:
    """Whether every trade lies in a file with book frames of its market, or times are exact."""
    if recording.received == "recv_ts_ns" or not recording.small:
        return True
    return all(
        any(holds(line, market) for line in part)
        for part in files
        if any(line.kind == "trade" and line.market == market for line in part)
    )
