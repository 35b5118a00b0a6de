"""Which segments of different files are of one connection: files that hold whole subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.merging.arrival import NONE
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.segments import Segment
from kalshi_sim.ingest.merging.view import APART_MS, LATE_FRAMES, BoolArray, Frames
from kalshi_sim.session import NO_TIME, Int64Array


class _Range(NamedTuple):
    min: int
    max: int


NEVER: Final = _Range(-(2**61), 2**61)
"""Before and after any time."""
_PASSES: Final = 3
"""Parts that were placed early may fit better among those that came later."""


@dataclass(frozen=True)
class Span:
    """When frames were sent, as far as the order of their market shows, in ms: int64 [n_frames]."""

    earliest: Int64Array
    latest: Int64Array

    @staticmethod
    def of(frames: Frames, markets: Sequence[Placed]) -> Span:
        """The times between which each book frame was sent.

        A frame's own time, else those before and after it in its market.

        Args:
            frames: all frames of the import.
            markets: their book frames in order.
        """
        ts_ms = frames.batch.ts_ms
        earliest = np.full(len(ts_ms), NEVER.min, dtype=np.int64)
        latest = np.full(len(ts_ms), NEVER.max, dtype=np.int64)
        for placed in markets:
            rows = placed.sent.rows
            recorded = ts_ms[rows]
            known = recorded != NO_TIME
            low = np.maximum.accumulate(np.where(known, recorded, NEVER.min))
            high = np.minimum.accumulate(np.where(known, recorded, NEVER.max)[::-1])[::-1]
            earliest[rows], latest[rows] = (
                np.where(known, recorded, low),
                np.where(known, recorded, high),
            )
        return Span(earliest, latest)


@dataclass(frozen=True, eq=False)
class _Part:
    """Frames of one connection: a segment, or where it is of one market those of one snapshot.

    A market's own numbers need not show that its connection restarted; those of others do.
    """

    segment: int
    chain: int
    sid: int
    rows: Int64Array
    seq: Int64Array


@dataclass
class _Group:
    """Parts of one connection so far: frames sorted by number."""

    sid: int
    rows: Int64Array
    seq: Int64Array
    parts: dict[int, list[int]]
    """Of each chain the segment of each part."""

    def takes(self, part: _Part) -> bool:
        """Whether neither a number nor the order inside a chain speaks against it."""
        return (
            self.sid == part.sid
            and part.seq[0] >= 0
            and all(segment == part.segment for segment in self.parts.get(part.chain, ()))
            and not self._holds(part.seq).any()
        )

    def _holds(self, seq: Int64Array) -> BoolArray:
        at = np.minimum(np.searchsorted(self.seq, seq), max(len(self.seq) - 1, 0))
        return self.seq[at] == seq if len(self.seq) else np.zeros(len(seq), dtype=np.bool_)

    def odd(self, span: Span, part: _Part) -> int:
        """How many frames would lie on it more than a second away from their time."""
        if len(self.seq) == 0:
            return 0
        ends = np.searchsorted(self.seq, [part.seq.min(), part.seq.max()])
        around = slice(max(int(ends[0]) - LATE_FRAMES, 0), int(ends[1]) + LATE_FRAMES)
        near = self.rows[around]
        low = np.maximum.accumulate(span.earliest[near])
        high = np.minimum.accumulate(span.latest[near][::-1])[::-1]
        at = np.searchsorted(self.seq[around], part.seq)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(near) - 1)
        early = (at > 0) & (low[before] - span.latest[part.rows] > APART_MS)
        late = (at < len(near)) & (span.earliest[part.rows] - high[after] > APART_MS)
        return int((early | late).sum())

    def touching(self, part: _Part) -> int:
        """How many numbers of a part are next to one of its own."""
        return int(self._holds(part.seq - 1).sum() + self._holds(part.seq + 1).sum())

    def remove(self, part: _Part) -> None:
        """Give a part back."""
        at = np.searchsorted(self.seq, part.seq)
        self.rows, self.seq = np.delete(self.rows, at), np.delete(self.seq, at)
        self.parts[part.chain].remove(part.segment)

    def add(self, part: _Part) -> None:
        """Take a part in."""
        order = np.argsort(part.seq, kind="stable")
        at = np.searchsorted(self.seq, part.seq[order])
        self.rows = np.insert(self.rows, at, part.rows[order])
        self.seq = np.insert(self.seq, at, part.seq[order])
        self.parts.setdefault(part.chain, []).append(part.segment)


@dataclass(frozen=True)
class Grouped:
    """The connections of segments.

    of: for each segment its numbered frames int64 [n], in order, and their connection ·
    joined, apart: connections of sids that restarted, recorded in files that do not follow one
    another: those that only numbers and times put together, and the others.
    """

    of: list[list[tuple[Int64Array, int]]]
    joined: frozenset[int] = frozenset()
    apart: frozenset[int] = frozenset()

    @staticmethod
    def none(segments: Sequence[Segment]) -> Grouped:
        """Every segment a connection of its own.

        Args:
            segments: parts of connections.
        """
        return Grouped([[(segment.rows, nth)] for nth, segment in enumerate(segments)])


def grouped(frames: Frames, markets: Sequence[Placed], segments: Sequence[Segment]) -> Grouped:
    """The connections of each segment, as far as numbers and times allow.

    Args:
        frames: all frames of the import.
        markets: their book frames in order.
        segments: parts of connections, inside one chain each.

    Returns:
        The connections of each segment.
    """
    span = Span.of(frames, markets)

    def key(part: _Part) -> tuple[int, int, int, str]:
        ticker = frames.tickers[int(frames.batch.market[part.rows[0]])]
        return int(span.latest[part.rows].min()), int(part.seq.min()), -len(part.rows), ticker

    groups = _Groups(span)
    restarted = _restarted(segments)
    parts = sorted(_parts(frames, segments, restarted), key=key)
    timed = [(span.earliest[part.rows] == span.latest[part.rows]).any() for part in parts]
    for part in (part for part, is_timed in zip(parts, timed, strict=True) if is_timed):
        groups.place(part)
    # Of those without a time the ones that fit fewest groups first: the others leave them room.
    without = [part for part, is_timed in zip(parts, timed, strict=True) if not is_timed]
    for part in sorted(without, key=lambda part: len(groups.fitting(part))):
        groups.place(part)
    for _ in range(_PASSES if len(parts) > len(segments) else 0):
        moved = [groups.place(part) for part in parts if part.seq[0] >= 0]
        if not any(moved):
            break
    out: list[list[tuple[Int64Array, int]]] = [[] for _ in segments]
    for part in parts:
        out[part.segment].append((part.rows, groups.of[part]))
    chains: dict[int, set[int]] = {}
    for part in parts:
        chains.setdefault(groups.of[part], set()).add(part.chain)
    of_sid = {sid: {part.chain for part in parts if part.sid == sid} for sid in restarted}
    snapshots, deltas = frames.file_kinds
    by_type = snapshots != deltas  # of files of one type their order shows little
    several = {
        groups.of[part]
        for part in parts
        if part.sid in restarted
        and (by_type or len(of_sid[part.sid]) > 1 or segments[part.segment].beside)
    }
    joined = frozenset(at for at in several if len(chains[at]) > 1)
    return Grouped(out, joined, frozenset(several) - joined)


class _Groups:
    """The connections found so far."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._groups: list[_Group] = []
        self.of: dict[_Part, int] = {}
        """The group of each part that was placed."""

    def fitting(self, part: _Part) -> dict[int, int]:
        """The groups that may take a part, and how many of its frames are odd there."""
        return {
            at: odd
            for at, group in enumerate(self._groups)
            if group.takes(part) and 2 * (odd := group.odd(self._span, part)) <= len(part.rows)
        }

    def place(self, part: _Part) -> bool:
        """Put a part where it fits best, alone if nowhere; whether that is another group."""
        before = self.of.get(part, NONE)
        if before != NONE:
            self._groups[before].remove(part)
        odd = self.fitting(part)
        at = min(
            odd,
            key=lambda at: (
                odd[at],
                -self._groups[at].touching(part),
                part.segment not in self._groups[at].parts.get(part.chain, ()),
                at != before,
                at,
            ),
            default=len(self._groups),
        )
        if at == len(self._groups):
            nothing = np.empty(0, dtype=np.int64)
            self._groups.append(_Group(part.sid, nothing, nothing, {}))
        self._groups[at].add(part)
        self.of[part] = at
        return at != before


def _parts(frames: Frames, segments: Sequence[Segment], restarted: set[int]) -> list[_Part]:
    """The segments, those of chains that hold one market apart at each snapshot.

    Only of sids that restarted.
    """
    held: dict[int, set[int]] = {}
    for segment in segments:
        own = held.setdefault(segment.chain, set())
        own |= set(np.unique(frames.batch.market[segment.rows]).tolist())
    out = []
    for nth, segment in enumerate(segments):
        cuts = np.empty(0, dtype=np.int64)
        if len(held[segment.chain]) == 1 and segment.sid in restarted:
            cuts = np.flatnonzero(frames.is_snapshot[segment.rows][1:]) + 1
        out += [
            _Part(nth, segment.chain, segment.sid, rows, frames.seq[rows])
            for rows in np.split(segment.rows, cuts)
        ]
    return out


def _restarted(segments: Sequence[Segment]) -> set[int]:
    """The sids of which a number was given twice."""
    out = set()
    for sid in {segment.sid for segment in segments}:
        seq = np.concatenate([segment.seq for segment in segments if segment.sid == sid])
        if len(np.unique(seq)) < len(seq):
            out.add(sid)
    return out
