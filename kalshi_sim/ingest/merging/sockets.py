"""Of which connection frames are that are of no market: control frames take numbers too.

A control frame is of the one connection of its file and sid that lacks its number, had given the
numbers below it and not those above (docs/contract.md#2-book-and-events: "a control frame that
cannot be assigned to one connection ends nothing").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kalshi_sim.ingest.batch import Control
from kalshi_sim.ingest.decoding import CONTROL, OTHER
from kalshi_sim.ingest.merging.arrival import NONE, Arrival
from kalshi_sim.ingest.merging.connections import STALE
from kalshi_sim.ingest.merging.grouping import Grouped, grouped
from kalshi_sim.ingest.merging.numbers import Numbers
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.segments import Segment, segments_of
from kalshi_sim.ingest.merging.units import Units
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import NO_TIME, Int64Array

ALL: Final = -2
"""All connections of a sid: a recorder numbered each market apart, or nothing at all."""
_SEVERAL: Final = 2
"""More numbers than these of a market say how they were given."""


@dataclass(frozen=True)
class _Control:
    """A frame that is no event: where it stands, the number it took, what it says."""

    row: int
    where: tuple[int, int]
    """Its chain and sid."""
    place: int
    seq: int
    line: int
    said: Control | None

    @property
    def content(self) -> Hashable:
        """Equal of two only if the same was recorded twice."""
        return self.line, self.said

    @property
    def ends(self) -> bool:
        """Whether it ends the subscription for all markets."""
        return self.said is not None and self.said.markets is None

    @property
    def leaves_none(self) -> bool:
        """Whether no market is left, so that nothing may go on."""
        return self.said is not None and not self.said.markets

    @property
    def listed(self) -> frozenset[str]:
        """The markets that it leaves."""
        return (self.said and self.said.markets) or frozenset()


class Sockets:
    """The connections of an import, each of one sid."""

    def __init__(
        self, frames: Frames, markets: Sequence[Placed], arrival: Arrival, *, whole: bool
    ) -> None:
        """Connections of all markets.

        Args:
            frames: all frames of the import.
            markets: the frames of each as they were sent.
            arrival: in which order their frames arrived.
            whole: the files hold whole subscriptions together; else files that do not follow one
                another are of different connections, so that an additional one changes nothing.
        """
        self._frames = frames
        self._markets = markets
        self._arrival = arrival
        units = Units.of(frames, markets, self._arrival)
        controls = self._find_controls()
        taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for control in controls:
            taken.setdefault(control.where, []).append((control.place, control.seq))
        self._segments, rows = segments_of(units, taken)
        found = Grouped.none(self._segments)
        if whole:
            found = grouped(frames, markets, self._segments)
        self.numbers = Numbers(frames, arrival, self._segments, found, rows)
        self.apart = self._numbered_apart(units, whole=whole)
        """Chains (0 for all, if `whole`) in which each market of a sid was numbered by itself."""
        self._assigned: dict[int, int] = {}
        self._taken_in: dict[tuple[int, int], int] = {}
        """The file of the control frame that took a number of a segment."""
        self._lay_controls(controls, whole=whole)

    def of_control(self, row: int) -> int:
        """The connection of a control frame, ALL, or NONE if it may be of several or of none."""
        return self._assigned.get(row, NONE)

    @property
    def chains(self) -> Int64Array:
        """int64 [files]: files that follow one another have one number (see `Arrival`)."""
        return self._arrival.chain

    def _numbered_apart(self, units: Units, *, whole: bool) -> set[int]:
        """Chains whose recorder numbered each market of a sid by itself.

        No market's own numbers have a hole, and those of two are not given in order of arrival.
        """
        out = set()
        chains = np.where(whole, 0, units.chain)
        for chain in np.unique(chains).tolist():
            own = units.chosen(np.flatnonzero(chains == chain))
            order = np.lexsort((own.seq, own.unit))
            same = np.diff(own.unit[order]) == 0
            longest = int(np.unique(own.unit, return_counts=True)[1].max())
            holes = (np.diff(own.seq[order])[same] != 1).any() or (own.seq < 0).any()
            if longest > _SEVERAL and not holes and _fall(own):
                out.add(chain)
        return out

    def _find_controls(self) -> list[_Control]:
        """Frames that are no event, but took a number of a sid, in order of arrival."""
        batch = self._frames.batch
        rows = np.flatnonzero((batch.kind >= OTHER) & ~self._frames.is_trade & (batch.sid >= 0))
        places, chains = self._arrival.places(rows), self._arrival.chains(rows)
        sent = dict(
            zip(np.flatnonzero(batch.kind == CONTROL).tolist(), batch.controls, strict=True)
        )
        order = np.lexsort((batch.seq[rows], places, chains))
        columns = (rows, chains, batch.sid[rows], places, batch.seq[rows], self._frames.line[rows])
        return [
            _Control(row, (chain, sid), place, seq, line, sent.get(row))
            for row, chain, sid, place, seq, line in zip(
                *(column[order].tolist() for column in columns), strict=True
            )
        ]

    def _lay_controls(self, controls: Sequence[_Control], *, whole: bool) -> None:
        """Give every control frame to the connection whose number it took."""
        by_chain: dict[tuple[int, int], list[int]] = {}
        for nth, segment in enumerate(self._segments):
            by_chain.setdefault((segment.chain, segment.sid), []).append(nth)
        open_ones = list[_Control]()
        for control in controls:
            own = by_chain.get(control.where, [])
            if control.seq < 0:
                apart = (0 if whole else control.where[0]) in self.apart
                self._assigned[control.row] = (
                    ALL if apart else self._without_number(own, control.place)
                )
            elif not self._lay(control, self._with_number(own, control)):
                open_ones.append(control)
        left: list[tuple[int, int]] = []
        for control in open_ones:  # a number that one took shows of which connection the next is
            own = by_chain.get(control.where, [])
            if not self._lay(control, self._with_number(own, control, by_neighbours=True)):
                left.append((control.where[1], control.seq))
        if not whole:
            return
        stale = [m.sent.rows[m.sent.connection == STALE] for m in self._markets]
        rows = np.concatenate([np.empty(0, dtype=np.int64), *stale])
        numbers = (self._frames.batch.sid[rows].tolist(), self._frames.batch.seq[rows].tolist())
        left += zip(*numbers, strict=True)
        for sid, seq in left:
            self.numbers.add_where_missing(sid, seq)

    def _lay(self, control: _Control, chosen: int) -> bool:
        """Give a control frame to a segment; False if it is NONE."""
        if chosen == NONE:
            return False
        socket = self.numbers.connection(self._segments[chosen], control.place)
        self._assigned[control.row] = socket
        self.numbers.add(socket, control.seq, control.place)
        self._taken_in.setdefault((chosen, control.seq), int(self._frames.file_of[control.row]))
        self._segments[chosen].take(control.seq, control.content, control.place, ends=control.ends)
        return True

    def _without_number(self, own: Sequence[int], place: int) -> int:
        """The connection of a control frame that has no number."""
        segments = [self._segments[nth] for nth in own]
        if all(segment.seq[0] < 0 for segment in segments):
            return ALL
        alive = [
            nth
            for nth, segment in zip(own, segments, strict=True)
            if segment.has_begun(place) and not segment.is_over(place)
        ]
        return self.numbers.connection(self._segments[alive[0]], place) if len(alive) == 1 else NONE

    def _with_number(
        self, own: Sequence[int], control: _Control, *, by_neighbours: bool = False
    ) -> int:
        """The segment that a control frame with a number can be of, NONE of several."""
        seq, place = control.seq, control.place
        chosen = [nth for nth in own if self._segments[nth].takes(seq, control.content, place)]
        if self._frames.batch.recv_ns[control.row] != NO_TIME:
            # Its copy in another file took the number there, and may have ended the segment.
            file = int(self._frames.file_of[control.row])
            chosen = [n for n in chosen if self._taken_in.get((n, seq), file) != file] or chosen
        ways: tuple[Callable[[Segment], bool], ...] = (
            lambda segment: not segment.is_over(place),
            lambda segment: not (control.ends and segment.goes_on(place)),
            lambda segment: not (control.leaves_none and self._adds_more(segment, place)),
            lambda segment: self._carries(segment, control.listed),
        )
        neighbours: tuple[Callable[[Segment], bool], ...] = (
            lambda segment: segment.has(seq - 1),
            lambda segment: segment.has(seq + 1),
        )
        for is_likelier in (*ways, *neighbours) if by_neighbours else ways:
            if len(chosen) > 1:
                likelier = [nth for nth in chosen if is_likelier(self._segments[nth])]
                chosen = likelier or chosen
        return chosen[0] if len(chosen) == 1 else NONE

    def _carries(self, segment: Segment, listed: frozenset[str]) -> bool:
        """Whether one of these markets is sent by it."""
        frames = self._frames
        own = np.unique(frames.batch.market[segment.rows]).tolist()
        return any(frames.tickers[market] in listed for market in own)

    def _adds_more(self, segment: Segment, place: int) -> bool:
        """Whether a delta of it comes next."""
        following = segment.rows[np.searchsorted(2 * segment.key, place) :][:1]
        return len(following) > 0 and not bool(self._frames.is_snapshot[following[0]])


def _fall(units: Units) -> bool:
    """Whether a frame has a lower number than that of another market before it on its sid."""
    order = np.lexsort((units.key, units.chain, units.sid))
    same = np.diff(units.sid[order]) == 0
    falls = np.diff(units.seq[order]) <= 0
    return bool((same & falls & (np.diff(units.market[order]) != 0)).any())
