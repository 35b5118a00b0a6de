"""Which frames of several markets came on one connection and sid, by their numbers and files.

A connection gives each number of a sid once, in order of arrival. So where a market's frames begin
at a number that was passed, its connection started anew, and all that follows is of that one. Only
where frames go on that began before it, several connections use one sid.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kalshi_sim.ingest.merging.arrival import NONE
from kalshi_sim.ingest.merging.units import Units
from kalshi_sim.ingest.merging.view import BoolArray, group_numbers
from kalshi_sim.session import Int64Array

_ENDLESS = np.iinfo(np.int64).max


Taken = list[tuple[int, int]]
"""(place, number) of control frames of one chain and sid, in order."""


@dataclass
class Segment:
    """Frames of one connection and sid in one chain of files, in order of arrival.

    rows, key, seq int64 [n] · given_up: the key from which on one of its markets was recorded by
    another connection of the sid · beside: several connections used the sid at a time.
    """

    chain: int
    sid: int
    rows: Int64Array
    key: Int64Array
    seq: Int64Array
    given_up: int = _ENDLESS
    beside: bool = False
    controls: dict[int, tuple[Hashable, int]] = field(default_factory=dict)
    """Numbers that control frames took: what each says, and after how many frames."""

    ended: int = _ENDLESS
    """Where a control frame ended it."""

    def is_over(self, place: int) -> bool:
        """Whether there (see `Arrival.places`) another had taken its place, or it was ended."""
        return min(2 * self.given_up, self.ended) < place and not self.goes_on(place)

    def goes_on(self, place: int) -> bool:
        """Whether a frame of it came after that place."""
        return 2 * int(self.key[-1]) > place

    def has_begun(self, place: int) -> bool:
        """Whether a frame of it came before that place."""
        return 2 * int(self.key[0]) < place

    @cached_property
    def _rising(self) -> tuple[Int64Array, Int64Array]:
        """Twice the keys and the numbers of its frames, without those written late."""
        rising = np.flatnonzero(np.diff(np.maximum.accumulate(self.seq), prepend=NONE))
        return 2 * self.key[rising], self.seq[rising]

    @cached_property
    def numbers(self) -> Int64Array:
        """The numbers of its frames, sorted."""
        return np.sort(self.seq)

    def takes(self, number: int, content: Hashable, place: int) -> bool:
        """Whether a control frame of this number may stand there on this connection.

        Args:
            number: of the control frame.
            content: of the frame; equal for its copies in other files.
            place: where it stands in the chain.
        """
        places, numbers = self._rising
        at = int(np.searchsorted(places, place))
        if number in self.controls:
            return self.controls[number] == (content, at)  # the same in another file
        after = at == len(numbers) or bool(number < numbers[at])
        return at > 0 and bool(numbers[at - 1] < number) and after and not self.has(number)

    def take(self, number: int, content: Hashable, place: int, *, ends: bool) -> None:
        """Take a control frame in, that may end the subscription.

        Args:
            number: of the control frame.
            content: of the frame; equal for its copies in other files.
            place: where it stands in the chain.
            ends: it may end the subscription.
        """
        if ends:
            self.ended = min(self.ended, place)
        at = int(np.searchsorted(self._rising[0], place))
        self.controls.setdefault(number, (content, at))

    def has(self, number: int) -> bool:
        """Whether a frame of it has this number."""
        at = int(np.searchsorted(self.numbers, number))
        recorded = at < len(self.numbers) and bool(self.numbers[at] == number)
        return recorded or number in self.controls


def segments_of(
    units: Units, taken: Mapping[tuple[int, int], Taken]
) -> tuple[list[Segment], dict[int, Int64Array]]:
    """The connections of every chain and sid.

    Args:
        units: book frames.
        taken: by chain and sid, what control frames took.

    Returns:
        The segments, and of each the rows of its frames int64 [n], those without a number included.
    """
    out: list[Segment] = []
    rows: dict[int, Int64Array] = {}
    if len(units.row) == 0:
        return out, rows
    order = np.lexsort((units.key, units.sid, units.chain))
    cuts = np.flatnonzero((np.diff(units.chain[order]) != 0) | (np.diff(units.sid[order]) != 0))
    for part in np.split(order, cuts + 1):
        own = units.chosen(part)
        where = int(own.chain[0]), int(own.sid[0])
        connection, beside = _connections(own, taken.get(where, []))
        given_up = _given_up(own, connection)
        by_connection = np.argsort(connection, kind="stable")
        ends = np.flatnonzero(np.diff(connection[by_connection])) + 1
        for at in np.split(by_connection, ends):
            rows[len(out)] = own.row[at]
            numbered = at[own.seq[at] >= 0] if (own.seq[at] >= 0).any() else at
            columns = own.row[numbered], own.key[numbered], own.seq[numbered]
            until = given_up[int(connection[at[0]])]
            out.append(Segment(*where, *columns, until, beside))
    return out, rows


def _given_up(own: Units, connection: Int64Array) -> dict[int, int]:
    """The first key at which a market that a connection recorded is recorded by the next one."""
    numbers, at = np.unique(connection, return_inverse=True)
    keys = np.full(len(numbers), _ENDLESS, dtype=np.int64)
    order = np.lexsort((own.key, own.market))
    at = at[order]
    moves = (np.diff(at) != 0) & (np.diff(own.market[order]) == 0)
    np.minimum.at(keys, at[:-1][moves], own.key[order][1:][moves])
    return dict(zip(numbers.tolist(), keys.tolist(), strict=True))


def _connections(own: Units, taken: Taken) -> tuple[Int64Array, bool]:
    """Numbers of connections, int64 [n], of frames of one sid in order of arrival.

    And whether several were open at a time.
    """
    straight = np.flatnonzero(~own.late & (own.seq >= 0))
    unit, seq = group_numbers(own.unit[straight]), own.seq[straight]
    first = np.zeros(len(straight), dtype=np.bool_)
    first[np.unique(unit, return_index=True)[1]] = True
    late = ~own.snapshot[straight]  # in a file of deltas a unit may begin with one written late
    numbers = {number for _, number in taken}
    of_unit = _one_after_the_other(own.market[straight], unit, seq, first, late, numbers)
    beside = of_unit is None
    if of_unit is None:
        of_unit = _side_by_side(own.chosen(straight), unit, first, taken)
    names = np.unique(own.unit[straight])
    at = np.searchsorted(names, own.unit)
    known = at < len(names)
    known[known] = names[at[known]] == own.unit[known]
    connection = np.full(len(own.unit), NONE, dtype=np.int64)
    connection[known] = of_unit[at[known]]
    return connection, beside


def _one_after_the_other(
    market: Int64Array,
    unit: Int64Array,
    seq: Int64Array,
    first: BoolArray,
    may_be_late: BoolArray,
    controls: set[int],
) -> Int64Array | None:
    """The connection of each unit, if there was one at a time; else None."""
    starts, highest, before = [0], NONE, 0
    former: list[int] = []
    latest_on: dict[int, int] = {}
    for at in np.flatnonzero(first).tolist():
        highest = max(highest, int(seq[before:at].max(initial=NONE)))
        number, known = int(seq[at]), latest_on.get(int(market[at]), len(former))
        # The former connection that sent the market, if it was another.
        if highest != NONE and _continues(former[known : known + 1], number, controls):
            return None
        late = may_be_late[at] and number < highest and number not in seq[starts[-1] : at]
        if number <= highest and not late:
            starts.append(at)
            former.append(highest)
            highest = NONE
        elif (
            highest != NONE
            and _continues(former, number, controls)
            and not _continues([highest], number, controls)
        ):
            return None  # another connection, that was not over
        latest_on[int(market[at])] = len(former)
        before = at
    connection = np.searchsorted(starts, np.arange(len(seq)), side="right") - 1
    of_unit = connection[first][np.argsort(unit[first])]
    order = np.lexsort((seq, connection))
    twice = (np.diff(seq[order]) == 0) & (np.diff(connection[order]) == 0)
    if twice.any() or (connection != of_unit[unit]).any():
        return None
    return np.asarray(of_unit, dtype=np.int64)


def _continues(latest: Sequence[int], number: int, controls: set[int]) -> bool:
    """Whether a number is the very next one, or control frames have those between."""
    return any(
        last < number <= last + 1 + len(controls) and controls.issuperset(range(last + 1, number))
        for last in latest
    )


@dataclass
class _Open:
    """A connection as far as it is known: keys and numbers, sorted by key; its markets."""

    key: Int64Array
    seq: Int64Array
    numbers: set[int]
    markets: dict[int, int]
    """The key of the latest unit of each."""
    given_up: int = _ENDLESS

    def odd(self, key: Int64Array, seq: Int64Array) -> int:
        """How many of these frames would lie out of order among its own."""
        at = np.searchsorted(self.key, key)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(self.key) - 1)
        early = (at > 0) & (self.seq[before] > seq)
        late = ~early & (at < len(self.key)) & (self.seq[after] < seq)
        # One that was written late behind the very next number is one, however many it follows.
        behind = late & np.isin(self.seq[after] + 1, seq)
        return int((early | (late & ~behind)).sum()) + len(np.unique(after[behind]))

    def is_followed(self, key: int, number: int, taken: Taken) -> bool:
        """Whether a frame there has the very next number, or control frames those between."""
        at = int(np.searchsorted(self.key, key))
        last = int(self.seq[:at].max(initial=NONE))
        begin = bisect_left(taken, (2 * int(self.key[at - 1]), 0)) if at else 0
        between = {seq for _, seq in taken[begin : bisect_left(taken, (2 * key, 0))]}
        return number > last and all(seq in between for seq in range(last + 1, number))

    def add(self, market: int, key: Int64Array, seq: Int64Array) -> None:
        """Frames of a market."""
        place = np.searchsorted(self.key, key)
        self.key, self.seq = np.insert(self.key, place, key), np.insert(self.seq, place, seq)
        self.numbers.update(seq.tolist())
        self.markets[market] = int(key[0])


def _side_by_side(own: Units, unit: Int64Array, first: BoolArray, taken: Taken) -> Int64Array:
    """The connection of each unit: it goes on with the very next number where one has it."""
    out = np.full(int(unit.max()) + 1, NONE, dtype=np.int64)
    connections: list[_Open] = []
    by_unit = np.argsort(unit, kind="stable")
    frames = np.split(by_unit, np.flatnonzero(np.diff(unit[by_unit])) + 1)
    for start in np.flatnonzero(first).tolist():
        at = frames[int(unit[start])]
        market, key, seq = int(own.market[start]), own.key[at], own.seq[at]
        begins, number = int(key[0]), int(seq[0])
        numbers = set(seq.tolist())

        def unlikely(
            nth: int,
            key: Int64Array = key,
            seq: Int64Array = seq,
            market: int = market,
            begins: int = begins,
            number: int = number,
        ) -> tuple[bool, bool, int, bool, bool, int]:
            other = connections[nth]
            over = other.given_up < begins and int(other.key[-1]) < begins
            following = other.is_followed(begins, number, taken)
            other_market = market not in other.markets
            # A delta that was written late may put others out of order.
            likeliest = following and not other_market
            odd = other.odd(key, seq)
            return over, not likeliest, odd, not following, other_market, -nth

        free = [
            nth
            for nth, other in enumerate(connections)
            if not other.numbers & numbers and 2 * other.odd(key, seq) <= len(at)
        ]
        chosen = min(free, key=unlikely, default=len(connections))
        for nth, other in enumerate(connections):
            if nth != chosen and market in other.markets:
                other.given_up = min(other.given_up, begins)
        if chosen == len(connections):
            nothing = np.empty(0, dtype=np.int64)
            connections.append(_Open(nothing, nothing, set(), {}))
        connections[chosen].add(market, key, seq)
        out[unit[start]] = chosen
    return out
