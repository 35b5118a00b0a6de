"""Pieces of a market one after the other: each continues the connection of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations, pairwise, permutations, starmap
from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.merging.costs import RESTART_MS, Cost, cost_of
from kalshi_sim.ingest.merging.pieces import Piece, shared_run, snapshots_shared, whole_file
from kalshi_sim.ingest.merging.refusals import refused
from kalshi_sim.ingest.merging.view import APART_MS, Frames
from kalshi_sim.session import NO_TIME, EventFlag, Int64Array

_STEPS_BACK: Final = 1_000
"""A file that begins a second before the one ahead of it ended is less likely than any numbers."""
_OLDER_MS: Final = 5
"""A step back of so much is likelier than a file that goes on with an older sid."""
_ALL_ORDERS: Final = 6
"""Of more pieces than this not every order is tried."""


_Found = tuple[Cost, tuple[Piece, ...]]
"""How unlikely an order is, and the order."""


class _OfFiles(NamedTuple):
    """An order of pieces, judged by their files whole: by all markets in them."""

    cost: Cost
    links: int
    order: tuple[Piece, ...]


def arranged(pieces: Sequence[Piece]) -> tuple[Piece, ...] | None:
    """The pieces in order of arrival; None if they can only lie among each other.

    Args:
        pieces: of one market.

    Returns:
        The pieces in order, or None.

    Raises:
        DataError: nothing decides between two orders.
    """
    if len(pieces) == 1:
        return tuple(pieces)
    found = [(cost, order) for order in _orders(pieces) if (cost := cost_of(order)) is not None]
    if not found:
        return None
    near = _near(_forward(found))
    files: list[_OfFiles] = []
    if len(near) > 1:
        orders = [order for _, order in near]
        files = list(map(_OfFiles, map(_cost_of_files, orders), _links(orders), orders))
        # The very next number in the next file says more than a step back of some ms.
        ranks = [(of.cost[0], -of.links, of.cost) for of in files]
        least = min(ranks)
        near = [found for rank, found in zip(ranks, near, strict=True) if rank == least]
        if sum(piece.times is None for piece in pieces) > 1:
            # Of several lone snapshots without a time numbers alone do not decide the order.
            near = [
                ((0, 0, 0, 0), of.order)
                for of in files
                if of.cost[0] == least[0] and of.cost[1] <= least[2][1] + 2 * RESTART_MS
            ]
    likeliest = min(cost[:2] for cost, _ in near)
    near = [(cost, order) for cost, order in near if cost[:2] == likeliest]
    if len(near) == 1:
        return _unless_older(near[0][1], files)
    overlapping = [order for _, order in near if any(map(snapshots_shared, order, order[1:]))]
    if len(overlapping) == 1:
        return overlapping[0]
    if all(piece.times is not None for piece in pieces):
        nearest = min(cost for cost, _ in near)
        near = [(cost, order) for cost, order in near if cost == nearest]
        if len(near) == 1:
            return near[0][1]
    raise refused(pieces, "neither times nor numbers decide the order of")


def _near(found: Sequence[_Found]) -> list[_Found]:
    """The likeliest orders, and those that are hardly less likely."""
    best = min(cost for cost, _ in found)
    return [
        (cost, order)
        for cost, order in found
        if cost[0] == best[0] and cost[1] <= best[1] + 2 * RESTART_MS
    ]


def _forward(found: Sequence[_Found]) -> Sequence[_Found]:
    """Orders in which the times of no file run back, if there are any.

    A piece of snapshots alone has no times: those of other markets show where its file was.
    """
    if all(piece.times is not None for piece in found[0][1]):
        return found
    return [of for of in found if not any(starmap(_runs_back, combinations(of[1], 2)))] or found


def _runs_back(one: Piece, other: Piece) -> bool:
    """Whether the files of `other` begin more than a second before those of `one` end.

    In any market, without what they repeat.
    """
    frames, known = one.frames, one.frames.run_back
    pair = (one.files, other.files)
    if pair not in known:
        before, after = ([whole_file(frames, file) for file in files] for files in pair)
        repeated = max(shared_run(file, after[0]) for file in before)
        rows = [file.rows for file in after]
        rows[0] = rows[0][repeated:]
        ended = _exact_times(frames, np.concatenate([file.rows for file in before]))
        began = _exact_times(frames, np.concatenate(rows))
        timed = len(ended) > 0 and len(began) > 0
        known[pair] = timed and int(ended.max() - began.min()) > APART_MS
    return known[pair]


def _exact_times(frames: Frames, rows: Int64Array) -> Int64Array:
    """The times of those frames that have one, in ms: int64 [k]."""
    times = frames.batch.ts_ms[rows]
    whole_second = (frames.batch.flags[rows] & EventFlag.WHOLE_SECOND) != 0
    return np.asarray(times[(times != NO_TIME) & ~whole_second], dtype=np.int64)


def _unless_older(chosen: tuple[Piece, ...], files: Sequence[_OfFiles]) -> tuple[Piece, ...]:
    """The chosen order, or the only one with fewer older sids for a small step back.

    None in which more files go on with a sid that only a later file begins, nor fewer begin with
    the very next number: of sockets with sids of their own in one file each goes on after the
    other.
    """
    if not files:
        return chosen
    least = min(of.cost for of in files)
    links = next(of.links for of in files if of.order is chosen)
    older = _older(chosen)
    likelier = [
        of.order
        for of in files
        if of.cost[0] == least[0]
        and of.cost[1] <= least[1] + _OLDER_MS
        and of.links >= links
        and _older(of.order) < older
    ]
    return likelier[0] if len(likelier) == 1 else chosen


def _older(order: Sequence[Piece]) -> tuple[int, int]:
    """How often a piece goes on with a sid that only a later one begins, or with an older one.

    The older one is not the one on which the piece before ends.
    """
    known: set[int] = set()
    latest, early, older = -1, 0, 0
    for at, piece in enumerate(order):
        own = piece.subscriptions
        going_on = [sid for sid, of in own.items() if not of.begins_anew]
        early += len(set(going_on).intersection(_begun(order[at + 1 :])) - known)
        older += going_on[:1] == [*own][:1] and going_on[0] != latest and going_on[0] in known
        known.update(own)
        latest = int(piece.frames.batch.sid[piece.book[-1]])
    return early, older


def _begun(pieces: Sequence[Piece]) -> set[int]:
    """The sids whose first frame in one of these is a snapshot."""
    return {sid for piece in pieces for sid, of in piece.subscriptions.items() if of.begins_anew}


def is_doubtful(pieces: Sequence[Piece]) -> bool:
    """Whether a snapshot without a time could as well be of a new connection elsewhere.

    Args:
        pieces: of one market.
    """
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
        and sum(c[0] == best[0] and c[1] <= best[1] + 2 * RESTART_MS for c in costs) > 1
    )


def _links(orders: Sequence[tuple[Piece, ...]]) -> list[int]:
    """How often in each order a file begins with a sid's very next number, or repeats the last.

    Of any market.
    """
    frames = orders[0][0].frames

    @cache  # many orders have the same neighbours
    def follows(one: int, other: int) -> bool:
        last, first = frames.numbers_of(one)[1], frames.numbers_of(other)[0]
        if any(last.get(sid) == number - 1 for sid, number in first.items()):
            return True
        return shared_run(whole_file(frames, one), whole_file(frames, other)) > 0

    return [sum(follows(a.files[-1], b.files[0]) for a, b in pairwise(order)) for order in orders]


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


def _cost_of_files(order: Sequence[Piece]) -> Cost:
    """How unlikely this order of files is for the frames of all their markets."""
    frames = order[0].frames
    own = int(frames.batch.market[order[0].rows[0]])
    rows: list[Int64Array] = []
    for piece in order:
        for at, number in enumerate(piece.files):
            file = whole_file(frames, number)
            earlier = {*piece.files[:at], *(frames.file_of[rows[-1][:1]].tolist() if rows else ())}
            repeated = max((shared_run(whole_file(frames, f), file) for f in earlier), default=0)
            if repeated < len(file.rows):
                rows.append(file.rows[repeated:])
    total = [0, 0, 0, 0]
    clock = NO_TIME
    for part in rows:
        times = _exact_times(frames, part)
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
