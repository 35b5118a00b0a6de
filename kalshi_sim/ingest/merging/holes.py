"""Numbers that are missing from a whole subscription: the books of all its markets end there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kalshi_sim.ingest.decoding import OTHER
from kalshi_sim.ingest.merging.endings import Book
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import Int64Array

_SEVERAL: Final = 2
"""Markets, or more numbers than these of each, before their numbers say how they were given."""


@dataclass
class _Part:
    """A market's frames from one snapshot to the next on one sid: their numbers and places."""

    market: int
    numbers: Int64Array
    places: Int64Array


@dataclass
class _Group:
    """Numbers of one connection."""

    numbers: set[int]
    parts: list[_Part]


def find_holes(frames: Frames, books: Sequence[Book]) -> dict[int, list[int]]:
    """Places after which each market's book ends, by its number, because messages are missing."""
    out: dict[int, list[int]] = {}
    sids = np.unique(frames.batch.sid[frames.is_book & (frames.seq >= 0)])
    for sid in sids.tolist():
        parts = [part for book in books for part in _parts(frames, book, sid)]
        if _numbered_apart(parts):
            continue
        for group in _connections(parts, _controls(frames, sid)):
            numbers = np.array(sorted(group.numbers), dtype=np.int64)
            before = numbers[:-1][np.diff(numbers) > 1]
            for part in group.parts if len(before) else ():
                order = np.argsort(part.numbers, kind="stable")
                at = np.searchsorted(part.numbers[order], before, side="right") - 1
                ends = part.places[order][np.unique(at[at >= 0])]
                out.setdefault(part.market, []).extend(ends.tolist())
    return out


def _parts(frames: Frames, book: Book, sid: int) -> list[_Part]:
    places = np.flatnonzero((frames.batch.sid[book.rows] == sid) & (frames.seq[book.rows] >= 0))
    if len(places) == 0:
        return []
    cuts = np.flatnonzero(frames.is_snapshot[book.rows[places]][1:]) + 1
    return [
        _Part(book.market, frames.seq[book.rows[part]], part) for part in np.split(places, cuts)
    ]


def _numbered_apart(parts: list[_Part]) -> bool:
    """Whether a recorder numbered each market by itself: no market's own numbers have a hole."""
    if len({part.market for part in parts}) < _SEVERAL:
        return False
    return all(
        len(part.numbers) > _SEVERAL and bool((np.diff(np.sort(part.numbers)) == 1).all())
        for part in parts
    )


def _controls(frames: Frames, sid: int) -> list[int]:
    """Numbers that frames other than events consumed."""
    batch = frames.batch
    rows = (batch.kind >= OTHER) & ~frames.is_trade & (batch.sid == sid) & (batch.seq >= 0)
    return [int(number) for number in batch.seq[rows]]


def _connections(parts: list[_Part], controls: list[int]) -> list[_Group]:
    """The parts of each connection: none has a number twice."""
    everything = np.concatenate([part.numbers for part in parts]) if parts else np.empty(0)
    if len(np.unique(everything)) == len(everything):
        groups = [_Group(set(everything.tolist()), parts)] if parts else []
    else:
        groups = []
        latest: dict[int, int] = {}
        for part in sorted(parts, key=lambda part: (int(part.places[0]), int(part.numbers[0]))):
            own = set(part.numbers.tolist())
            free = [
                at
                for at in range(latest.get(part.market, 0), len(groups))
                if not groups[at].numbers & own
            ]
            at = max(free, key=lambda at: (_touching(groups[at], own), -at), default=len(groups))
            if at == len(groups):
                groups.append(_Group(set(), []))
            groups[at].numbers |= own
            groups[at].parts.append(part)
            latest[part.market] = at
    for number in sorted(controls):
        free_groups = [group for group in groups if number not in group.numbers]
        if free_groups:
            max(free_groups, key=lambda group: _touching(group, {number})).numbers.add(number)
    return groups


def _touching(group: _Group, numbers: set[int]) -> int:
    """How many numbers of the group are next to one of these."""
    return sum((number - 1 in group.numbers) + (number + 1 in group.numbers) for number in numbers)
