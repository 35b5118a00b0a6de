"""What is seen of the queue in front of one's own orders, out of a recording and their log.

A spell begins where the contracts in front are known: at entry (all that the level shows), or
where the exchange said them. It ends where they are known again: the exchange says them, or a fill
does (of a trade of 30 that fills 10, 20 were in front). A trade that does not fill the order says
that at least so much was in front. Own contracts stand in the recorded book as all others do; the
delta that put them there is found by its size and time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from kalshi_sim.calibration.own_book import nearest
from kalshi_sim.calibration.own_log import OwnLog, OwnOrder
from kalshi_sim.errors import SessionNotFoundError
from kalshi_sim.events import EventKind, Events
from kalshi_sim.session import Session

_NEVER_MS: Final = 2**62


class Seen(Enum):
    """How the contracts in front are known."""

    EXACTLY = 0
    AT_LEAST = 1
    AT_MOST = 2


@dataclass(frozen=True)
class Change:
    """A change of the level while the order rested; 1/100 contract."""

    traded: int
    cancelled: int
    added: int


@dataclass(frozen=True)
class Sight:
    """What is known of the contracts in front at a moment; 1/100 contract."""

    how: Seen
    ahead: int


@dataclass
class Spell:
    """Changes and sights in order, from a known place in the queue on; 1/100 contract."""

    order: int
    """Number of the order."""
    ahead: int
    behind: int
    steps: list[Change | Sight] = field(default_factory=list)

    @property
    def says_something(self) -> bool:
        """Whether contracts were cancelled before something was seen."""
        cancelled = False
        for step in self.steps:
            if isinstance(step, Change):
                cancelled = cancelled or step.cancelled > 0
            elif cancelled:
                return True
        return False


def spells_of(session: Session, log: OwnLog) -> list[Spell]:
    """All spells of the orders of a log; what cannot be used is counted in it.

    Args:
        session: the recording, with trades.
        log: of one's own orders.

    Returns:
        Those that say something, in the order of the log.
    """
    found: list[Spell] = []
    for number, order in enumerate(log.orders):
        try:
            events = session.market_events(order.market)
        except SessionNotFoundError:
            log.leave_out("orders in markets that the recording lacks")
            continue
        found += _Walk(number, order, events, log).spells()
    return [spell for spell in found if spell.says_something]


class _Walk:
    """One order, and the level it rests at."""

    def __init__(self, number: int, order: OwnOrder, events: Events, log: OwnLog) -> None:
        self._number = number
        self._order = order
        self._log = log
        mine = (events.side == order.side) & (events.price == order.price)
        whole = np.isin(events.kind, (EventKind.SNAPSHOT, EventKind.GAP))
        kept = np.flatnonzero((mine & np.isin(events.kind, _OF_LEVEL)) | whole)
        self._rows = list(
            zip(
                *(
                    column[kept].tolist()
                    for column in (events.kind, events.ts_ms, events.size, events.traded)
                ),
                strict=True,
            )
        )

    def spells(self) -> list[Spell]:
        """The spells of the order."""
        start = self._begin()
        if start is None:
            self._log.leave_out("orders whose book is unknown where they came to rest")
            return []
        at, shown, own = start
        if shown < own:
            self._log.leave_out("orders that the recorded level does not hold")
            return []
        spell = Spell(self._number, shown - own, 0)
        done: list[Spell] = []
        filled_at = self._fills()
        places = sorted(self._order.places)
        end = self._order.ended_ms or _NEVER_MS
        for i, (kind, ts, size, traded) in enumerate(self._rows[at:], start=at):
            while places and places[0][0] < ts and places[0][0] <= end:
                spell = self._seen(spell, places.pop(0)[1], shown - own, done)
            if ts > end or kind in (EventKind.SNAPSHOT, EventKind.GAP):
                break
            filled = filled_at.get(i, 0)
            change = _change(size, max(traded, filled))
            if change.traded:
                spell.steps.append(self._sight(change.traded, filled))
            if filled:
                done.append(spell)
                return done
            shown += size
            spell.steps.append(change)
        else:
            while places and places[0][0] <= end:
                spell = self._seen(spell, places.pop(0)[1], shown - own, done)
        done.append(spell)
        return done

    def _fills(self) -> dict[int, int]:
        """The first fill, by the event of the level that was its trade."""
        for at, size in sorted(self._order.fills)[:1]:
            deltas = [
                (i, ts, change, traded)
                for i, (kind, ts, change, traded) in enumerate(self._rows)
                if kind == EventKind.DELTA
            ]
            # The local exchange takes what own orders filled from the book without a trade.
            own = ((i, ts) for i, ts, change, _ in deltas if change == -size and abs(ts - at) <= 1)
            trade = nearest(own, at)
            if trade is None:
                trade = nearest(((i, ts) for i, ts, _, traded in deltas if traded >= size), at)
            if trade is not None:
                return {trade: size}
            # Without its trade nothing says what was in front of it: the order ends before it.
            self._log.leave_out("fills whose trade is not in the recording")
            self._order.ended_ms = min(self._order.ended_ms or at, at - 1)
        return {}

    def _begin(self) -> tuple[int, int, int] | None:
        """The next event, what the level shows then, and how much of that is one's own."""
        order, shown, known = self._order, 0, False
        own_at = nearest(
            (
                (i, ts)
                for i, (kind, ts, size, _) in enumerate(self._rows)
                if kind == EventKind.DELTA and size == order.size
            ),
            order.rested_ms,
        )
        for i, (kind, ts, size, _) in enumerate(self._rows):
            if own_at is None and ts > order.rested_ms:
                return (i, shown, 0) if known else None
            if kind == EventKind.GAP:
                known = False
            elif kind == EventKind.SNAPSHOT:
                known, shown = True, 0
            elif kind == EventKind.LEVEL:
                shown = size
            else:
                shown += size
            if i == own_at:
                return (i + 1, shown, order.size) if known else None
        return (len(self._rows), shown, 0) if known and own_at is None else None

    def _sight(self, traded: int, filled: int) -> Sight:
        """What a trade at the order's price says of the contracts in front of it."""
        if not filled:
            return Sight(Seen.AT_LEAST, traded)
        whole = filled >= self._order.size
        return Sight(Seen.AT_MOST if whole else Seen.EXACTLY, max(0, traded - filled))

    def _seen(self, spell: Spell, ahead: int, others: int, done: list[Spell]) -> Spell:
        """The exchange said the place: the spell ends, and another one begins."""
        if ahead > others:
            self._log.leave_out("places that the recorded level is too small for")
            return spell
        spell.steps.append(Sight(Seen.EXACTLY, ahead))
        done.append(spell)
        return Spell(self._number, ahead, others - ahead)


_OF_LEVEL: Final = (EventKind.LEVEL, EventKind.DELTA)


def _change(size: int, traded: int) -> Change:
    if size >= 0:
        return Change(0, 0, size)
    return Change(traded, -size - traded, 0)
