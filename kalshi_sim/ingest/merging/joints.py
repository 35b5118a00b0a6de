"""In which order the pieces of a market follow one another.

Receive times decide, where all frames have them. Else a piece continues the connection and sid
on which the pieces before it end; a new connection is likelier than a step back in time. Where
the market's own frames leave it open, the other frames of its files are asked. What nothing
decides is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from kalshi_sim.ingest.merging.arranging import arranged, is_doubtful
from kalshi_sim.ingest.merging.by_number import interleaved_by_seq, is_split_by_type
from kalshi_sim.ingest.merging.interleaving import interleaved_by_receive_time
from kalshi_sim.ingest.merging.parallel import record_in_parallel, record_the_same
from kalshi_sim.ingest.merging.pieces import (
    Piece,
    joined,
    pieces_of,
    snapshots_shared,
    without_overlaps,
)
from kalshi_sim.ingest.merging.refusals import names, names_of, refused
from kalshi_sim.ingest.merging.view import Frames, two_sockets
from kalshi_sim.session import Int64Array

_TYPES: Final = 2
"""Snapshots and deltas."""


@dataclass(frozen=True)
class Stream:
    """The book frames of one market in order of arrival.

    rows int64 [n] · recorder int64 [n]: frames of different ones are of different connections ·
    dropped: repeated frames -> the frame they repeat · notes: what was taken for granted.
    """

    rows: Int64Array
    recorder: Int64Array
    dropped: dict[int, int]
    notes: tuple[str, ...] = ()


def join_pieces(frames: Frames, rows: Int64Array) -> Stream:
    """The book frames of one market, of all its files, in order of arrival.

    Args:
        frames: all frames of the import.
        rows: int64 [n] all event frames of the market that lie in files with book frames of it.

    Raises:
        DataError: nothing decides the order of its files, or two sockets recorded the same in them.
    """
    pieces = without_overlaps(pieces_of(frames, rows))
    dropped = {k: v for piece in pieces for k, v in piece.dropped.items()}
    pieces = [piece for piece in pieces if len(piece.book)]
    book = np.concatenate([piece.book for piece in pieces])
    notes = []
    if taken := sum(piece.taken for piece in pieces):
        ticker = frames.tickers[int(frames.batch.market[rows[0]])]
        known = names_of(frames, {*frames.file_of[[*dropped, *dropped.values()]].tolist()})
        notes.append(
            f"{known}: {taken} equal frames of {ticker} lie in several of these files: taken as "
            "an overlap, read once; with receive times in nanoseconds they would be distinguished"
        )
    if len(pieces) == 1:
        return Stream(book, np.zeros(len(book), np.int64), dropped, tuple(notes))
    if frames.received(book):
        ordered, recorder, open_ties = interleaved_by_receive_time(pieces)
        if open_ties:
            ticker = frames.tickers[int(frames.batch.market[rows[0]])]
            notes.append(
                f"{names(frames, pieces)}: {open_ties} times a snapshot of {ticker}, or the last "
                "frame before one, was received in the same moment as a frame in another file, and "
                "no number shows which was first; record receive times in nanoseconds, or all "
                "frames in one file"
            )
        return Stream(ordered, recorder, dropped, tuple(notes))
    if any(record_the_same(one, other) for one, other in combinations(pieces, 2)):
        raise two_sockets(frames, book)
    if any(record_in_parallel(one, other) for one, other in combinations(pieces, 2)):
        raise refused(
            pieces,
            "two subscriptions sent the same at the same time, and neither receive times nor "
            "numbers decide the order of",
        )
    by_type = is_split_by_type(frames, pieces)
    # Of three files and more those of one type may as well be parts that follow one another.
    if (not by_type or len(pieces) > _TYPES) and is_doubtful(pieces):
        ticker = frames.tickers[int(frames.batch.market[rows[0]])]
        notes.append(
            f"{names(frames, pieces)}: only the numbers of lone snapshots of {ticker} show where "
            "they belong; add the other markets of the recording, or record receive times"
        )
    if by_type:
        ordered = interleaved_by_seq(pieces, settled=True)
        return Stream(ordered, np.zeros(len(ordered), np.int64), dropped, tuple(notes))
    found = arranged(pieces)
    if found is None:
        ordered = interleaved_by_seq(pieces, settled=False)
        return Stream(ordered, np.zeros(len(ordered), np.int64), dropped, tuple(notes))
    return _one_after_the_other(found, dropped, notes)


def _one_after_the_other(
    pieces: Sequence[Piece], dropped: dict[int, int], notes: list[str]
) -> Stream:
    """Pieces in order; snapshots that end one and begin the next are read once, noted."""
    whole = pieces[0]
    for piece in pieces[1:]:
        shared = snapshots_shared(whole, piece)
        if shared:
            ticker = piece.frames.tickers[int(piece.frames.batch.market[piece.rows[0]])]
            notes.append(
                f"{names(piece.frames, (whole, piece))}: {shared} equal snapshots of {ticker} end "
                "one file and begin the next: taken as an overlap, read once"
            )
        whole = joined(whole, piece, len(whole.rows) - shared, shared)
    book = whole.book
    return Stream(book, np.zeros(len(book), np.int64), {**dropped, **whole.dropped}, tuple(notes))
