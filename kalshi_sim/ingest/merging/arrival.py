"""In which order the frames of several markets arrived, as far as their files show.

Inside a file the order of lines is a fact, and of files that follow one another in a market the
order is known too: such files are one chain. Files whose frames of a market lie among each other
were written at the same time, and are of different chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations, groupby, pairwise, product
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.merging.places import Placed, end_of
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.ingest.wire_time import NS_PER_MS
from kalshi_sim.session import NO_TIME, Int64Array

NONE: Final = -1
"""No chain, no place: a file without book frames."""
_ENDLESS: Final = np.iinfo(np.int64).max


class Arrival:
    """Chains of files, and the place of every frame in its chain."""

    def __init__(self, frames: Frames, markets: Sequence[Placed]) -> None:
        """Find which files follow one another.

        Args:
            frames: all frames of the import.
            markets: their book frames in order.
        """
        self._frames = frames
        files = len(frames.files)
        self.chain = np.full(files, NONE, dtype=np.int64)
        """int64 [files]: the chain of each."""
        at = np.zeros(files, dtype=np.int64)
        for number, chain in enumerate(_chains(frames, markets)):
            self.chain[chain] = number
            at[chain] = np.arange(len(chain))
        self.key = self._keys(markets, at)
        """int64 [n_frames]: rises in order of arrival inside a chain, equal for the copies of a
        frame; NONE of frames that are of no book."""

    @cached_property
    def _known(self) -> Int64Array:
        """The frames that have a key, int64 [k]."""
        return np.flatnonzero(self.key != NONE)

    def _keys(self, markets: Sequence[Placed], at: Int64Array) -> Int64Array:
        frames, n = self._frames, len(self._frames.batch)
        key = np.full(n, NONE, dtype=np.int64)
        if not any(placed.repeated for placed in markets):
            for placed in markets:
                rows = placed.sent.rows
                key[rows] = at[frames.file_of[rows]] * n + rows
            return key
        original = np.full(n, NONE, dtype=np.int64)
        for placed in markets:
            original[placed.sent.rows] = placed.sent.rows
            for row in placed.repeated:
                if frames.is_book[row]:
                    original[row] = end_of(placed.repeated, row)
        rows = np.flatnonzero(original != NONE)
        own = at[frames.file_of[rows]] * n + rows
        chain = self.chain[frames.file_of[rows]]
        same = chain == self.chain[frames.file_of[original[rows]]]
        first = np.full(n, _ENDLESS, dtype=np.int64)
        np.minimum.at(first, original[rows[same]], own[same])
        key[rows] = np.where(same, first[original[rows]], own)
        return key

    @property
    def is_one_chain(self) -> bool:
        """Whether all files with book frames follow one another."""
        return len(np.unique(self.chain[self.chain != NONE])) == 1

    def chains(self, rows: Int64Array) -> Int64Array:
        """The chain of each frame, int64 [n], NONE in files without book frames."""
        return self.chain[self._frames.file_of[rows]]

    def places(self, rows: Int64Array) -> Int64Array:
        """The places int64 [n] of frames of no book: between twice the keys of their neighbours."""
        if len(rows) == 0:
            return rows
        file, known = self._frames.file_of, self._known
        if len(known) == 0:
            return np.full(len(rows), NONE, dtype=np.int64)
        at = np.searchsorted(known, rows)
        before = np.where(at > 0, known[at - 1], NONE)
        after = known[np.minimum(at, len(known) - 1)]
        follows = (before != NONE) & (file[before] == file[rows])
        place = np.where(follows, 2 * self.key[before] + 1, 2 * self.key[after] - 1)
        return np.where(follows | (file[after] == file[rows]), place, NONE)


def _chains(frames: Frames, markets: Sequence[Placed]) -> list[list[int]]:
    """Files that follow one another, each chain in order of arrival."""
    begin = _begin(frames, markets)
    mixed = {pair for placed in markets for pair in _mixed(frames, placed)}
    chain_of = {file: {file} for file in begin}
    for pair in _successive(frames, markets, begin, any_mixed=bool(mixed)):
        one, other = (chain_of[file] for file in pair)
        if one is other or any((min(p), max(p)) in mixed for p in product(one, other)):
            continue
        one |= other
        for file in other:
            chain_of[file] = one
    chains = sorted({min(chain): chain for chain in chain_of.values()}.items())
    follow = {pair for placed in markets for pair in _follow(placed)}
    return [_in_order(chain, follow, begin) for _, chain in chains]


def _successive(
    frames: Frames, markets: Sequence[Placed], begin: dict[int, _Begin], *, any_mixed: bool
) -> list[tuple[int, int]]:
    """Pairs of files that may follow one another, the likeliest first.

    Neighbours in a market; where several recorders wrote at once, also files of which one
    continues the numbers of the other, and these before neighbours. Numbers come again after a
    restart: of several such files the next one received is the likeliest.
    """
    beside = {pair for placed in markets for pair in pairwise(placed.places.order)}
    began, ended = frames.spans

    def likeliest(pair: tuple[int, int]) -> tuple[int, bool, int, _Begin, _Begin]:
        one, other = pair
        known = any_mixed and NO_TIME not in (ended[one], ended[other])
        later = int(began[other] - ended[one]) if known else 0
        return steps.get(pair, 0), later < 0, later, begin[one], begin[other]

    steps: dict[tuple[int, int], int] = {}
    if any_mixed:
        for pair in {p for placed in markets for p in combinations(placed.places.order, 2)}:
            last, first = frames.numbers_of(pair[0])[1], frames.numbers_of(pair[1])[0]
            shared = [number - last[sid] for sid, number in first.items() if sid in last]
            steps[pair] = min([step for step in shared if step > 0], default=_ENDLESS)
        beside |= {pair for pair, step in steps.items() if step < _ENDLESS}
    return sorted(beside, key=likeliest)


def _mixed(frames: Frames, placed: Placed) -> list[tuple[int, int]]:
    """Pairs of files whose frames of a market lie among each other."""
    files = frames.file_of[placed.stream]
    files = files[np.flatnonzero(np.diff(files, prepend=NONE))]
    names, first = np.unique(files, return_index=True)
    if len(names) == len(files):
        return []
    last = len(files) - 1 - np.unique(files[::-1], return_index=True)[1]
    spans = list(zip(names.tolist(), first.tolist(), last.tolist(), strict=True))
    return [(a[0], b[0]) for a, b in combinations(spans, 2) if a[1] < b[2] and b[1] < a[2]]


def _follow(placed: Placed) -> list[tuple[int, int]]:
    """Files that come one after the other in a market, as its first frames in them show."""
    first = placed.places.first
    groups = [list(same) for _, same in groupby(placed.places.order, key=first.__getitem__)]
    return [pair for one, other in pairwise(groups) for pair in product(one, other)]


def _in_order(
    files: set[int],
    follow: set[tuple[int, int]],
    begin: dict[int, _Begin],
) -> list[int]:
    """The files of a chain, so that each follows those that it follows in any market."""
    earlier: dict[int, set[int]] = {file: set() for file in files}
    for before, after in follow:
        if before in files and after in files:
            earlier[after].add(before)
    left, out = set(files), list[int]()
    while left:
        ready = [file for file in left if not earlier[file] & left] or list(left)
        ready.sort(key=lambda file: begin[file])
        lower = [file for file in ready if begin[file].precedes(begin[ready[0]])]
        out.append((lower or ready)[0])
        left.remove(out[-1])
    return out


class _Begin(NamedTuple):
    """How a file begins, however it is called: its earliest time in ns, its first book frame."""

    ns: int
    seq: int
    sid: int
    line: int

    def precedes(self, other: _Begin) -> bool:
        """Whether it has no time, and the lower number of one sid."""
        return self.ns == _ENDLESS and self.sid == other.sid and 0 <= self.seq < other.seq


def _begin(frames: Frames, markets: Sequence[Placed]) -> dict[int, _Begin]:
    files = sorted(set().union(*(placed.places.files for placed in markets)))
    out = {}
    for file in files:
        begin, end = np.searchsorted(frames.file_of, [file, file + 1]).tolist()
        rows = begin + np.flatnonzero(frames.is_book[begin:end])
        times, first = frames.batch.ts_ms[rows], int(rows[0])
        # When frames were received comes before when they say they were sent.
        times = times[times != NO_TIME] * NS_PER_MS
        if frames.received(rows):
            times = frames.batch.recv_ns[rows]
        out[file] = _Begin(
            int(times.min(initial=_ENDLESS)),
            int(frames.seq[first]),
            int(frames.batch.sid[first]),
            int(frames.line[rows[:1]][0]) >> 1,
        )
    return out
