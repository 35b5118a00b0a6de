"""Numbers that are missing from a whole subscription: the books of all its markets end there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kalshi_sim.ingest.merging.arrival import NONE
from kalshi_sim.ingest.merging.numbers import Numbers
from kalshi_sim.ingest.merging.places import Placed
from kalshi_sim.ingest.merging.view import Frames
from kalshi_sim.session import Int64Array


@dataclass
class _Part:
    """A market's frames from one snapshot to the next on one connection: numbers and places."""

    market: int
    numbers: Int64Array
    places: Int64Array
    following: int
    """The snapshot that follows in the market's book, NONE if none does."""


def find_holes(
    frames: Frames, markets: Sequence[Placed], numbers_of: Numbers
) -> dict[int, list[int]]:
    """Find the missing numbers of whole subscriptions.

    Args:
        frames: all frames of the import.
        markets: their book frames in order.
        numbers_of: those of each connection.

    Returns:
        By number of the market, the places after which its book ends.
    """
    out: dict[int, list[int]] = {}
    parts: dict[int, list[_Part]] = {}
    for placed in markets:
        for socket, part in _parts(frames, placed, numbers_of):
            parts.setdefault(socket, []).append(part)
    for at, of in parts.items():
        numbers = numbers_of.known(at)
        before = numbers[:-1][np.diff(numbers) > 1]
        firsts = _first_numbers(of)
        for part in of if len(before) else ():
            order = np.argsort(part.numbers, kind="stable")
            # What is missing after the market's next snapshot is not missing from this book.
            numbers = firsts[part.market]
            following = numbers[numbers > part.numbers.max()]
            missing = before[before < following.min()] if len(following) else before
            # Nor is what was not sent before another connection began the book anew.
            if part.following != NONE:
                missing = missing[~numbers_of.arrived_after(at, missing, part.following)]
            place = np.searchsorted(part.numbers[order], missing, side="right") - 1
            ends = part.places[order][np.unique(place[place >= 0])]
            out.setdefault(part.market, []).extend(ends.tolist())
    return out


def holes_notes(frames: Frames, numbers_of: Numbers) -> list[str]:
    """What was taken for granted where numbers came again: a sentence for people, or none.

    Args:
        frames: all frames of the import.
        numbers_of: those of each connection.
    """
    if not numbers_of.inferred:
        return []
    names = ", ".join(sorted(frames.files[file] for file in numbers_of.inferred))
    note = (
        f"{names}: several connections gave the same numbers under one sid, and only times and "
        "numbers show which frames are of which: a gap may stand at another place or be missed; "
        "record each connection, with all its markets, to files of its own"
    )
    return [note]


def _first_numbers(parts: Sequence[_Part]) -> dict[int, Int64Array]:
    """Of each market the first numbers of its parts: those of its snapshots."""
    found: dict[int, list[int]] = {}
    for part in parts:
        found.setdefault(part.market, []).append(int(part.numbers[0]))
    return {market: np.array(numbers, dtype=np.int64) for market, numbers in found.items()}


def _parts(frames: Frames, placed: Placed, numbers_of: Numbers) -> list[tuple[int, _Part]]:
    book = placed.book
    own = numbers_of.of_row[book.rows]
    snapshots = np.flatnonzero(frames.is_snapshot[book.rows])
    out = []
    for socket in np.unique(own[own != NONE]).tolist():
        places = np.flatnonzero((own == socket) & (frames.seq[book.rows] >= 0))
        if len(places) == 0:
            continue
        cuts = np.flatnonzero(frames.is_snapshot[book.rows[places]][1:]) + 1
        for part in np.split(places, cuts):
            later = snapshots[np.searchsorted(snapshots, part[-1], side="right") :][:1]
            following = int(book.rows[later[0]]) if len(later) else NONE
            out.append((socket, _Part(book.market, frames.seq[book.rows[part]], part, following)))
    return out
