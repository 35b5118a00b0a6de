"""Which segments of different files are of one connection: files that hold whole subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.merging.arrival import NONE
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.segments import Segment
from kalshi_sim.ingest.merging.view import APART_MS, Frames
from kalshi_sim.session import NO_TIME, Int64Array


class _Range(NamedTuple):
    min: int
    max: int


NEVER: Final = _Range(-(2**61), 2**61)
"""Before and after any time."""


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


@dataclass
class _Group:
    """Segments of one connection so far: frames sorted by number."""

    rows: Int64Array
    seq: Int64Array
    chains: set[int]
    recorded: set[tuple[int, int]]
    """(market, connection) of its frames."""

    def odd(self, span: Span, segment: Segment) -> int:
        """How many frames would lie on it more than a second away from their time."""
        low = np.maximum.accumulate(span.earliest[self.rows])
        high = np.minimum.accumulate(span.latest[self.rows][::-1])[::-1]
        at = np.searchsorted(self.seq, segment.seq)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(self.seq) - 1)
        early = (at > 0) & (low[before] - span.latest[segment.rows] > APART_MS)
        late = (at < len(self.seq)) & (span.earliest[segment.rows] - high[after] > APART_MS)
        return int((early | late).sum())

    def touching(self, segment: Segment) -> int:
        """How many numbers of a segment are next to one of its own."""
        return int(
            np.isin(segment.seq - 1, self.seq).sum() + np.isin(segment.seq + 1, self.seq).sum()
        )

    def add(self, segment: Segment, recorded: set[tuple[int, int]]) -> None:
        """Take a segment in."""
        rows, seq = np.append(self.rows, segment.rows), np.append(self.seq, segment.seq)
        order = np.argsort(seq, kind="stable")
        self.rows, self.seq = rows[order], seq[order]
        self.chains.add(segment.chain)
        self.recorded |= recorded


def grouped(frames: Frames, markets: Sequence[Placed], segments: Sequence[Segment]) -> list[int]:
    """The connection of each segment, as far as numbers and times allow.

    Args:
        frames: all frames of the import.
        markets: their book frames in order.
        segments: parts of connections, inside one chain each.
    """
    span = Span.of(frames, markets)
    connection = np.full(len(frames.batch), NONE, dtype=np.int64)
    for placed in markets:
        connection[placed.sent.rows] = placed.sent.connection

    def key(nth: int) -> tuple[int, int, int, str]:
        rows = segments[nth].rows
        begun, ticker = int(span.latest[rows].min()), int(frames.batch.market[rows[0]])
        return int(segments[nth].seq.min()), begun, -len(rows), frames.tickers[ticker]

    of = [NONE] * len(segments)
    groups: list[_Group] = []
    sids: list[int] = []
    for nth in sorted(range(len(segments)), key=key):
        segment = segments[nth]
        pairs = zip(
            frames.batch.market[segment.rows].tolist(),
            connection[segment.rows].tolist(),
            strict=True,
        )
        recorded = set(pairs)
        odd = {
            at: group.odd(span, segment)
            for at, group in enumerate(groups)
            if sids[at] == segment.sid
            and segment.chain not in group.chains
            and not np.isin(segment.seq, group.seq).any()
        }
        at = min(
            odd,
            key=lambda at: (
                odd[at],
                not groups[at].recorded & recorded,
                -groups[at].touching(segment),
                at,
            ),
            default=NONE,
        )
        if at == NONE or odd[at] * 2 > len(segment.rows):
            at = len(groups)
            nothing = np.empty(0, dtype=np.int64)
            groups.append(_Group(nothing, nothing, set(), set()))
            sids.append(segment.sid)
        groups[at].add(segment, recorded)
        of[nth] = at
    return of
