"""In which order the pieces of a market follow one another.

Receive times decide, where all frames have them. Else a piece continues the connection and sid
on which the pieces before it end; a new connection is likelier than a step back in time. Where
the market's own frames leave it open, the other frames of its files are asked. What nothing
decides is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from typing import Final

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.merging.interleaving import interleaved_by_receive_time
from kalshi_sim.ingest.merging.pieces import (
    Piece,
    Subscription,
    joined,
    pieces_of,
    shared_run,
    snapshots_shared,
    whole_file,
    without_overlaps,
)
from kalshi_sim.ingest.merging.view import APART_MS, Frames, two_sockets
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Int64Array

_RESTART_MS: Final = 20
"""A new connection is as likely as times that run back by so much."""
_STEPS_BACK: Final = 1_000
"""A file that begins a second before the one ahead of it ended is less likely than any numbers."""
_TYPES: Final = 2
"""Snapshots and deltas."""
_ALL_ORDERS: Final = 6
"""Of more pieces than this not every order is tried."""
Cost = tuple[int, int, int, int]
"""Frames that continue nothing · restarts and steps back in time · numbers that are not the very
next · by how much they are not."""


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
        names = _names_of(frames, {*frames.file_of[[*dropped, *dropped.values()]].tolist()})
        notes.append(
            f"{names}: {taken} equal snapshots of {ticker} lie in several of these files: taken as "
            "an overlap, read once; with receive times they would be distinguished"
        )
    if len(pieces) == 1:
        return Stream(book, np.zeros(len(book), np.int64), dropped, tuple(notes))
    if frames.received(book):
        ordered, recorder, open_ties = interleaved_by_receive_time(pieces)
        if open_ties:
            ticker = frames.tickers[int(frames.batch.market[rows[0]])]
            notes.append(
                f"{_names(frames, pieces)}: {open_ties} times a snapshot of {ticker}, or the last "
                "frame before one, was received in the same moment as a frame in another file, and "
                "no number shows which was first; record receive times in nanoseconds, or all "
                "frames in one file"
            )
        return Stream(ordered, recorder, dropped, tuple(notes))
    if any(_record_the_same(one, other) for one, other in combinations(pieces, 2)):
        raise two_sockets(frames, book)
    if any(_record_in_parallel(one, other) for one, other in combinations(pieces, 2)):
        raise _refuse(
            pieces,
            "two subscriptions sent the same at the same time, and neither receive times nor "
            "numbers decide the order of",
        )
    by_type = _is_split_by_type(frames, pieces)
    # Of three files and more those of one type may as well be parts that follow one another.
    if (not by_type or len(pieces) > _TYPES) and _is_doubtful(pieces):
        ticker = frames.tickers[int(frames.batch.market[rows[0]])]
        notes.append(
            f"{_names(frames, pieces)}: only the numbers of lone snapshots of {ticker} show where "
            "they belong; add the other markets of the recording, or record receive times"
        )
    if by_type:
        ordered = _interleaved_by_seq(pieces, settled=True)
        return Stream(ordered, np.zeros(len(ordered), np.int64), dropped, tuple(notes))
    found = _arranged(pieces)
    if found is None:
        ordered = _interleaved_by_seq(pieces, settled=False)
        return Stream(ordered, np.zeros(len(ordered), np.int64), dropped, tuple(notes))
    return _one_after_the_other(found, dropped, notes)


def _is_doubtful(pieces: Sequence[Piece]) -> bool:
    """Whether a snapshot without a time could as well be of a new connection elsewhere."""
    frames = pieces[0].frames
    whole_second = (frames.batch.flags & EventFlag.WHOLE_SECOND) != 0
    timed = (frames.is_book | frames.is_trade) & (frames.batch.ts_ms != NO_TIME) & ~whole_second
    recorded = frozenset(np.unique(frames.file_of[timed]).tolist())
    if all(piece.times is not None or recorded.intersection(piece.files) for piece in pieces):
        return False  # frames of other markets in their files show it
    costs = [cost for order in _orders(pieces) if (cost := cost_of(order)) is not None]
    best = min(costs, default=None)
    return (
        best is not None
        and sum(c[0] == best[0] and c[1] <= best[1] + 2 * _RESTART_MS for c in costs) > 1
    )


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
                f"{_names(piece.frames, (whole, piece))}: {shared} equal snapshots of {ticker} end "
                "one file and begin the next: taken as an overlap, read once"
            )
        whole = joined(whole, piece, len(whole.rows) - shared, shared)
    book = whole.book
    return Stream(book, np.zeros(len(book), np.int64), {**dropped, **whole.dropped}, tuple(notes))


def _names(frames: Frames, pieces: Sequence[Piece]) -> str:
    return _names_of(frames, {file for piece in pieces for file in piece.files})


def _names_of(frames: Frames, files: set[int]) -> str:
    names = sorted({frames.files[file] for file in files})
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _refuse(pieces: Sequence[Piece], why: str) -> DataError:
    frames = pieces[0].frames
    ticker = frames.tickers[int(frames.batch.market[pieces[0].rows[0]])]
    return DataError(
        f"{_names(frames, pieces)}: {why} their frames of {ticker}; import them as sessions of "
        "their own, or join them in order of arrival to one file"
    )


def _record_the_same(one: Piece, other: Piece) -> bool:
    """Whether two sockets recorded the same time under one sid, each with numbers of its own."""
    if one.times is None or other.times is None:
        return False
    begin, end = max(one.times[0], other.times[0]), min(one.times[1], other.times[1])
    first, second = (_changes(piece, begin, end) for piece in (one, other))
    shared = first.keys() & second.keys()
    again = sum(not first[change] & second[change] for change in shared)
    # Equal changes of one moment may be recorded twice by one socket, but seldom most of them.
    return begin < end and again > 0 and 2 * len(shared) > min(len(first), len(second))


def _record_in_parallel(one: Piece, other: Piece) -> bool:
    """Whether their files hold the same changes of different moments under different sids.

    Of one moment a file may hold one, and the next the other: cut between two subscriptions.
    """
    if one.times is None or other.times is None:
        return False
    if max(one.times[0], other.times[0]) >= min(one.times[1], other.times[1]):
        return False
    frames = one.frames
    if (one.files, other.files) not in frames.in_parallel:
        a, b = (_sent_in(piece) for piece in (one, other))
        _, at_a, at_b = np.intersect1d(frames.content[a], frames.content[b], return_indices=True)
        a, b = a[at_a], b[at_b]
        again = frames.batch.sid[a] != frames.batch.sid[b]
        moments = np.unique(frames.batch.ts_ms[a[again]])
        frames.in_parallel[one.files, other.files] = len(moments) > 1
    return frames.in_parallel[one.files, other.files]


def _sent_in(piece: Piece) -> Int64Array:
    """The deltas of its files, of all markets, that no subscription of the file repeats."""
    frames = piece.frames
    rows = np.concatenate([whole_file(frames, file).rows for file in piece.files])
    rows = rows[frames.batch.kind[rows] == EventKind.DELTA]
    _, at, times = np.unique(frames.content[rows], return_index=True, return_counts=True)
    return rows[at[times == 1]]


def _changes(piece: Piece, begin: int, end: int) -> dict[tuple[int, int], set[int]]:
    """Changes from `begin` to `end` by sid and content, and the numbers they have."""
    frames, rows = piece.frames, piece.book
    ts_ms = frames.batch.ts_ms[rows]
    rows = rows[~frames.is_snapshot[rows] & (ts_ms >= begin) & (ts_ms <= end)]
    rows = rows[frames.seq[rows] >= 0]
    columns = (frames.batch.sid[rows], frames.content[rows], frames.seq[rows])
    out: dict[tuple[int, int], set[int]] = {}
    for sid, change, seq in zip(*(column.tolist() for column in columns), strict=True):
        out.setdefault((sid, change), set()).add(seq)
    return out


# Numbers of one subscription.


def _is_split_by_type(frames: Frames, pieces: Sequence[Piece]) -> bool:
    """Whether snapshots lie in files of their own, and deltas in others."""
    snapshots, deltas = frames.file_kinds
    if any(piece.has_snapshot and piece.has_delta for piece in pieces):
        return False
    if len({piece.has_delta for piece in pieces}) == 1:
        return False
    times = sorted(piece.times for piece in pieces if piece.times is not None)
    if len(times) == len(pieces) and all(a[1] < b[0] for a, b in pairwise(times)):
        return False
    return all(
        not deltas.intersection(piece.files)
        if piece.has_snapshot
        else not snapshots.intersection(piece.files)
        for piece in pieces
    )


def _interleaved_by_seq(pieces: Sequence[Piece], *, settled: bool) -> Int64Array:
    """Frames in order of the numbers of one sid without a restart.

    `settled`: files of snapshots beside files of deltas may also follow one another, where
    every delta is of the last snapshot's subscription.
    """
    frames = pieces[0].frames
    rows = np.concatenate([piece.book for piece in pieces])
    rows = rows[np.lexsort((frames.line[rows], frames.message[rows], frames.seq[rows]))]
    sid, seq = frames.batch.sid[rows], frames.seq[rows]
    # A delta that two files have is left to `connections` to drop.
    twice = ~frames.is_snapshot[rows[1:]] & (np.diff(frames.message[rows]) == 0)
    rising = bool(((np.diff(seq) > 0) | twice).all())
    times = frames.batch.ts_ms[rows]
    times = times[times != NO_TIME]
    # Where the times of the numbers run back, a connection started anew.
    rising = rising and bool((np.maximum.accumulate(times) - times <= APART_MS).all())
    if rising and seq[0] >= 0 and len(np.unique(sid)) == 1 and _ascend(pieces):
        return rows
    if settled:
        snapshots = [piece for piece in pieces if piece.has_snapshot]
        others = [piece for piece in pieces if not piece.has_snapshot]
        found = _arranged(others) if len(others) > 1 else tuple(others)
        if len(snapshots) == 1 and found is not None and _all_after(snapshots[0], others):
            return np.concatenate([snapshots[0].book, *(piece.book for piece in found)])
    raise _refuse(
        pieces,
        "neither receive times nor the numbers of one subscription decide the order of",
    )


def _ascend(pieces: Sequence[Piece]) -> bool:
    """Whether no snapshot of a piece has a lower or used number: that is a restart."""
    frames = pieces[0].frames
    for piece in pieces:
        seq = frames.seq[piece.book]
        before = np.concatenate([[-1], np.maximum.accumulate(seq)[:-1]])
        if (frames.is_snapshot[piece.book] & (seq <= before)).any():
            return False
    return True


def _all_after(snapshots: Piece, others: Sequence[Piece]) -> bool:
    """Whether all of `others` can only come after the last of the snapshots."""
    frames = snapshots.frames
    last = snapshots.book[-1]
    sid, seq = int(frames.batch.sid[last]), int(frames.seq[last])
    earlier = snapshots.book[:-1]
    if (frames.batch.sid[earlier] == sid).any():
        return False
    if len(earlier) == 0 and seq < 0:
        return True
    rows = np.concatenate([piece.book for piece in others])
    return bool(((frames.batch.sid[rows] == sid) & (seq >= 0) & (frames.seq[rows] > seq)).all())


# One piece after the other.


def _arranged(pieces: Sequence[Piece]) -> tuple[Piece, ...] | None:
    """The pieces in order of arrival; None if they can only lie among each other.

    Raises:
        DataError: nothing decides between two orders.
    """
    if len(pieces) == 1:
        return tuple(pieces)
    found = [(cost, order) for order in _orders(pieces) if (cost := cost_of(order)) is not None]
    if not found:
        return None
    best = min(cost for cost, _ in found)
    near = [
        (cost, order)
        for cost, order in found
        if cost[0] == best[0] and cost[1] <= best[1] + 2 * _RESTART_MS
    ]
    if len(near) > 1:
        files = [(_cost_of_files(order), cost, order) for cost, order in near]
        # The very next number in the next file says more than a step back of some ms.
        least = min((whole[0], -_links(order), whole) for whole, _, order in files)
        near = [
            (cost, order)
            for whole, cost, order in files
            if (whole[0], -_links(order), whole) == least
        ]
        if sum(piece.times is None for piece in pieces) > 1:
            # Of several lone snapshots without a time numbers alone do not decide the order.
            near = [
                ((0, 0, 0, 0), order)
                for whole, _, order in files
                if whole[0] == least[0] and whole[1] <= least[1] + 2 * _RESTART_MS
            ]
    likeliest = min(cost[:2] for cost, _ in near)
    near = [(cost, order) for cost, order in near if cost[:2] == likeliest]
    if len(near) == 1:
        return near[0][1]
    overlapping = [order for _, order in near if any(map(snapshots_shared, order, order[1:]))]
    if len(overlapping) == 1:
        return overlapping[0]
    if all(piece.times is not None for piece in pieces):
        nearest = min(cost for cost, _ in near)
        near = [(cost, order) for cost, order in near if cost == nearest]
        if len(near) == 1:
            return near[0][1]
    raise _refuse(pieces, "neither times nor numbers decide the order of")


def _links(order: Sequence[Piece]) -> int:
    """How often a file begins with the very next number of a sid, of any market."""
    numbers_of = order[0].frames.numbers_of
    pairs = [(numbers_of(a.files[-1])[1], numbers_of(b.files[0])[0]) for a, b in pairwise(order)]
    return sum(any(last.get(s) == n - 1 for s, n in first.items()) for last, first in pairs)


def _orders(pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
    """Orders worth a look: all, or of many pieces those by time and their neighbours."""
    if len(pieces) <= _ALL_ORDERS:
        return list(permutations(pieces))
    timed = sorted((p for p in pieces if p.times is not None), key=lambda p: p.times or (0, 0))
    order = _improved(timed)
    for piece in (p for p in pieces if p.times is None):
        places = [(*order[:at], piece, *order[at:]) for at in range(len(order) + 1)]
        costs = [(cost, at) for at, place in enumerate(places) if (cost := cost_of(place))]
        order = list(places[min(costs)[1] if costs else -1])  # of impossible ones, any
    swaps = [
        (*order[:at], order[at + 1], order[at], *order[at + 2 :]) for at in range(len(order) - 1)
    ]
    return [tuple(order), *swaps]


def _improved(order: list[Piece]) -> list[Piece]:
    """Neighbours exchanged as long as that costs less."""
    for at in range(len(order) - 1):
        pair = (order[at], order[at + 1])
        before = order[max(at - 3, 0) : at]
        kept, swapped = cost_of((*before, *pair)), cost_of((*before, *pair[::-1]))
        if swapped is not None and (kept is None or swapped < kept):
            order[at], order[at + 1] = pair[::-1]
    return order


def cost_of(order: Sequence[Piece]) -> Cost | None:
    """How unlikely this order is; None if times would run back by more than a second."""
    continues_nothing = restarts = back = not_next = distance = 0
    latest: dict[int, Subscription] = {}
    clock = NO_TIME
    for at, piece in enumerate(order):
        overlaps = at > 0 and not piece.has_delta and snapshots_shared(order[at - 1], piece) > 0
        if piece.times is not None:
            step_back = max(clock - piece.times[0], 0)
            if step_back > APART_MS:
                return None
            back += step_back
            clock = max(clock, piece.times[1])
        for sid, own in piece.subscriptions.items():
            before = latest.get(sid)
            if own.first < 0:
                continue
            latest[sid] = own
            if before is not None and own.first > before.last:
                not_next += own.first > before.last + 1
                distance += own.first - before.last - 1
                if not own.begins_anew and own.snapshot < 0:
                    latest[sid] = _continued(before, own)
            elif own.begins_anew:
                restarts += before is not None and not overlaps
            elif before is not None and _is_late(before, own.first):
                latest[sid] = _continued(before, own)
            else:
                continues_nothing += 2 if before is not None else 1
    return continues_nothing, restarts * _RESTART_MS + back, not_next, distance


def _continued(before: Subscription, own: Subscription) -> Subscription:
    return Subscription(
        own.first,
        own.begins_anew,
        max(before.last, own.last),
        max(before.snapshot, own.snapshot),
        before.used | own.used,
    )


def _is_late(before: Subscription, first: int) -> bool:
    """Whether a lower number may be that of a delta that was written late."""
    return before.snapshot < first < before.last and first not in before.used


def _cost_of_files(order: Sequence[Piece]) -> Cost:
    """How unlikely this order of files is for the frames of all their markets."""
    frames = order[0].frames
    own = int(frames.batch.market[order[0].rows[0]])
    rows: list[Int64Array] = []
    for piece in order:
        file = whole_file(frames, piece.files[0])
        before = whole_file(frames, int(frames.file_of[rows[-1][0]])) if rows else None
        repeated = shared_run(before, file) if before is not None else 0
        if repeated < len(file.rows):
            rows.append(file.rows[repeated:])
    total = [0, 0, 0, 0]
    clock = NO_TIME
    for part in rows:
        times = frames.batch.ts_ms[part]
        whole_second = (frames.batch.flags[part] & EventFlag.WHOLE_SECOND) != 0
        times = times[(times != NO_TIME) & ~whole_second]
        if len(times):
            back = max(clock - int(times.min()), 0) if clock != NO_TIME else 0
            total[0] += _STEPS_BACK * (back > APART_MS)
            total[1] += back
            clock = max(clock, int(times.max()))
    markets = np.unique(np.concatenate([frames.batch.market[part] for part in rows]))
    for market in markets[markets != own].tolist():
        parts = [
            part[(frames.batch.market[part] == market) & frames.is_book[part]] for part in rows
        ]
        cost = cost_of([Piece(frames, (), part, {}) for part in parts if len(part)])
        for k, value in enumerate(cost or (1, APART_MS, 0, 0)):
            total[k] += value
    mine = cost_of(order) or (0, 0, 0, 0)
    return total[0] + mine[0], total[1] + mine[1], total[2], total[3]
