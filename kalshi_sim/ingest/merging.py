"""One stream from several files: connections, duplicates, order and gaps.

`seq` is dense within a (connection, sid) and shared by the markets of a subscription. Within one
file a seq that goes back starts a new connection, unless it goes back a little and fills a hole;
runs of several files whose numbers fit together are pieces of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.decoding import Batch
from kalshi_sim.session import NO_TIME, EventFlag, EventKind, Int64Array
from kalshi_sim.units import MS_PER_SECOND

TOLERANCE_MS: Final = 5_000
"""Times of one connection, put in order of seq, run backwards by no more than this."""
_RECONNECTS: Final = 2
"""So few numbers that go back say nothing of how a recorder numbers."""
_LOCAL: Final = 1_000
"""Frames that are out of order lie within so many frames of their place."""
_CONTENT: Final = ("kind", "market", "side", "price", "size", "ts_ms", "flags")


@dataclass(frozen=True)
class Merged:
    """The order of a recording's frames.

    order int64 [kept]: frames in merged order · connection int64 [n_frames]: of each frame, -1 if
    it has no seq · duplicates: frames dropped because another file had them too · gaps: (place
    in `order` before which messages are missing, markets concerned).
    """

    order: Int64Array
    connection: Int64Array
    duplicates: int
    gaps: tuple[tuple[int, Int64Array], ...]


@dataclass
class _Run:
    """Frames (indices, ascending seq) of one sid of one connection in one file."""

    file: int
    frames: Int64Array
    start_ms: int


def merge_frames(
    frames: Batch, file_of: Int64Array, files: Sequence[str], *, find_gaps: bool
) -> Merged:
    """Put the frames of all files into one order.

    Raises:
        DataError: two connections recorded the same market at the same time.
    """
    book = (frames.kind == EventKind.SNAPSHOT) | (frames.kind == EventKind.DELTA)
    seq = _usable_seq(frames, file_of, book)
    runs = _runs(frames, file_of, seq)
    connection = np.full(len(frames), -1, dtype=np.int64)
    duplicate = np.zeros(len(frames), dtype=np.bool_)
    connections: list[Int64Array] = []
    for sid in sorted(runs):
        for members in _join(frames, seq, runs[sid]):
            rows, repeated = _ordered(frames, seq, members)
            duplicate[repeated] = True
            connection[rows] = len(connections)
            connections.append(rows)
    is_book = np.array([bool(book[rows].any()) for rows in connections], dtype=np.bool_)
    _refuse_doubles(frames, book & ~duplicate, connection, file_of, files)
    order = _order(frames, file_of, seq, connection, is_book, connections)
    order = order[~duplicate[order]]
    gaps = _gaps(frames, seq, connections, is_book, order) if find_gaps else ()
    return Merged(order, connection, int(duplicate.sum()), gaps)


def _usable_seq(frames: Batch, file_of: Int64Array, book: npt.NDArray[np.bool_]) -> Int64Array:
    """`seq`, or -1 where such numbers order nothing.

    That is where they never rise, or where a recorder numbered each market apart.
    """
    group = _groups(file_of, frames.sid)
    numbered = np.flatnonzero(frames.seq >= 0)
    back = np.bincount(_back_steps(frames.seq[numbered], group[numbered]))
    if back.max(initial=0) < _RECONNECTS:
        return frames.seq
    pairs = np.bincount(group[numbered]) - 1
    level = np.flatnonzero((back >= _RECONNECTS) & (back == pairs[: len(back)]))
    rows = np.flatnonzero(book & (frames.seq >= 0))
    apart = group[rows]
    back = np.bincount(_back_steps(frames.seq[rows], apart))
    markets = int(frames.market.max(initial=0)) + 1
    alone = apart * markets + frames.market[rows]
    within = np.bincount(_back_steps(frames.seq[rows], alone) // markets, minlength=len(back))
    each = np.flatnonzero((back > _RECONNECTS) & (back > 2 * within + 2))
    each = each[[not _mere_disorder(frames, rows[apart == g]) for g in each.tolist()]]
    return np.where(np.isin(group, np.union1d(level, each)), -1, frames.seq)


def _mere_disorder(frames: Batch, rows: Int64Array) -> bool:
    """Whether `rows` are one numbering out of order: no number twice, in order of time by it."""
    rows = rows[np.argsort(frames.seq[rows], kind="stable")]
    return bool((np.diff(frames.seq[rows]) > 0).all()) and _backwards(frames, rows) <= TOLERANCE_MS


def _groups(first: Int64Array, second: Int64Array) -> Int64Array:
    """Small numbers that are equal where both arrays are."""
    if len(first) == 0:
        return np.empty(0, dtype=np.int64)
    values, place = np.unique(second, return_inverse=True)
    numbers: Int64Array = first * len(values) + place
    return numbers


def _back_steps(seq: Int64Array, group: Int64Array) -> Int64Array:
    """The group of every frame whose number is not above the one before it in its group."""
    order = np.argsort(group, kind="stable")
    same = np.diff(group[order]) == 0
    steps: Int64Array = group[order][1:][same & (np.diff(seq[order]) <= 0)]
    return steps


def _runs(frames: Batch, file_of: Int64Array, seq: Int64Array) -> dict[int, list[_Run]]:
    numbered = np.flatnonzero(seq >= 0)
    rows = numbered[np.argsort(_groups(file_of, frames.sid)[numbered], kind="stable")]
    out: dict[int, list[_Run]] = {}
    if len(rows) == 0:
        return out
    starts = np.flatnonzero(
        (np.diff(file_of[rows]) != 0) | (np.diff(frames.sid[rows]) != 0) | (np.diff(seq[rows]) <= 0)
    )
    # A frame written twice in a row is a duplicate, not the start of a connection.
    again = [
        k for k in starts.tolist() if _same_frame(frames, seq, rows[k : k + 1], rows[k + 1 : k + 2])
    ]
    bounds = np.setdiff1d(starts, again) + 1
    for part in _reordered(frames, file_of, seq, np.split(rows, bounds)):
        times = _times(frames, part)
        start = int(times[0]) if len(times) else NO_TIME
        out.setdefault(int(frames.sid[part[0]]), []).append(
            _Run(int(file_of[part[0]]), part, start)
        )
    return out


def _reordered(
    frames: Batch, file_of: Int64Array, seq: Int64Array, parts: list[Int64Array]
) -> list[Int64Array]:
    """Rising runs, those that fill holes of the run before them joined with it, in order of seq."""
    if len(parts) == 1:
        return parts
    out: list[Int64Array] = []
    pieces = [parts[0]]
    tail = parts[0][-_LOCAL:]
    for part in parts[1:]:
        same = file_of[part[0]] == file_of[tail[0]] and frames.sid[part[0]] == frames.sid[tail[0]]
        if same and _fills_holes(frames, seq, tail, part):
            pieces.append(part)
            tail = np.concatenate([tail, part[-_LOCAL:]])[-_LOCAL:]
            continue
        out += _joined(seq, pieces)
        pieces, tail = [part], part[-_LOCAL:]
    return out + _joined(seq, pieces)


def _fills_holes(frames: Batch, seq: Int64Array, tail: Int64Array, part: Int64Array) -> bool:
    """Whether run `part` is of the connection whose latest frames, as they came, are `tail`.

    A new connection would begin with a low number, with numbers used before, with a snapshot of
    a market that had one, or later in time.
    """
    first = seq[part[0]]
    before = seq[tail]
    if first <= 1 or first <= before.min():
        return False
    beyond = tail[before > first]
    inside = part[: np.searchsorted(seq[part], before.max(), side="right")]
    if np.isin(seq[inside], before).any():
        return False
    books = frames.market[tail[frames.kind[tail] == EventKind.SNAPSHOT]]
    again = inside[frames.kind[inside] == EventKind.SNAPSHOT]
    if np.isin(frames.market[again], books).any():
        return False
    here, there = _times(frames, inside), _times(frames, beyond)
    if len(here) == 0 or len(there) == 0:
        return True
    return bool(here.max() <= there.min() + TOLERANCE_MS)


def _joined(seq: Int64Array, pieces: list[Int64Array]) -> list[Int64Array]:
    """The pieces as one run in order of seq; as they are if a number stands in two of them."""
    if len(pieces) == 1:
        return pieces
    rows = np.concatenate(pieces)
    rows = rows[np.argsort(seq[rows], kind="stable")]
    own = sum(int((np.diff(seq[piece]) == 0).sum()) for piece in pieces)
    return [rows] if int((np.diff(seq[rows]) == 0).sum()) == own else pieces


def _same_frame(frames: Batch, seq: Int64Array, a: Int64Array, b: Int64Array) -> bool:
    """Whether frames `a` and `b` (indices) are pairwise the same message."""
    columns = [seq, frames.sid, *(getattr(frames, name) for name in _CONTENT)]
    return all(np.array_equal(column[a], column[b]) for column in columns)


def _times(frames: Batch, rows: Int64Array) -> Int64Array:
    """Known times of frames other than snapshots, whose time may be another clock's."""
    times = frames.ts_ms[rows]
    known: Int64Array = times[(times != NO_TIME) & (frames.kind[rows] != EventKind.SNAPSHOT)]
    return known


def _backwards(frames: Batch, rows: Int64Array) -> int:
    """By how much the times of `rows`, in this order, run backwards at most."""
    times = _times(frames, rows)
    return int((np.maximum.accumulate(times) - times).max(initial=0))


def _join(frames: Batch, seq: Int64Array, runs: list[_Run]) -> list[list[_Run]]:
    """Runs of one sid, grouped into connections in order of time."""
    runs = sorted(runs, key=lambda r: (r.start_ms, r.file, int(r.frames[0])))
    if len({r.file for r in runs}) == len(runs) and _fits(frames, seq, runs):
        return [runs]
    if len({r.file for r in runs}) == 1:
        return [[run] for run in runs]  # runs of one file are connections of their own
    groups: list[list[_Run]] = []
    for run in runs:
        for group in groups:
            if all(member.file != run.file for member in group) and _fits(
                frames, seq, [*group, run]
            ):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _fits(frames: Batch, seq: Int64Array, runs: list[_Run]) -> bool:
    """Whether runs can be pieces of one connection: no number twice, unless the same frame."""
    if len(runs) == 1:
        return True
    rows = np.concatenate([r.frames for r in runs])
    rows = rows[np.argsort(seq[rows], kind="stable")]
    twice = np.flatnonzero(np.diff(seq[rows]) == 0)
    if len(twice) and not _same_frame(frames, seq, rows[twice], rows[twice + 1]):
        return False
    own = max(_backwards(frames, r.frames) for r in runs)
    timed = sorted((r for r in runs if r.start_ms != NO_TIME), key=lambda r: int(seq[r.frames[0]]))
    for one, other in pairwise(timed):
        apart = seq[one.frames[-1]] < seq[other.frames[0]]
        if apart and one.start_ms > other.start_ms + own:
            return False  # the later piece has the lower numbers: a new connection
    return _backwards(frames, rows) <= own + TOLERANCE_MS


def _ordered(frames: Batch, seq: Int64Array, runs: list[_Run]) -> tuple[Int64Array, Int64Array]:
    """Frames of a connection by seq, and those among them that repeat the one before."""
    rows = np.sort(np.concatenate([r.frames for r in runs]))
    rows = rows[np.argsort(seq[rows], kind="stable")]
    return rows, rows[1:][np.diff(seq[rows]) == 0]


def _refuse_doubles(
    frames: Batch,
    book: npt.NDArray[np.bool_],
    connection: Int64Array,
    file_of: Int64Array,
    files: Sequence[str],
) -> None:
    """Two connections that carry one market at one time would mix two copies of its book."""
    rows = np.flatnonzero(book & (connection >= 0) & (frames.kind == EventKind.DELTA))
    rows = rows[frames.ts_ms[rows] != NO_TIME]
    if len(rows) == 0 or connection[rows].min() == connection[rows].max():
        return
    # One group for each market on each connection: when it began and ended.
    key = frames.market[rows] * (int(connection.max()) + 1) + connection[rows]
    rows = rows[np.argsort(key, kind="stable")]
    first = np.flatnonzero(np.diff(np.sort(key), prepend=-1))
    begin = np.minimum.reduceat(frames.ts_ms[rows], first)
    end = np.maximum.reduceat(frames.ts_ms[rows], first)
    market, file = frames.market[rows[first]], file_of[rows[first]]
    order = np.lexsort((begin, market))
    for one, other in pairwise(order.tolist()):
        if market[one] == market[other] and begin[other] < end[one] - TOLERANCE_MS:
            names = dict.fromkeys((files[file[one]], files[file[other]]))
            raise DataError(
                f"{' and '.join(names)}: the same market was recorded on two connections at the "
                "same time; import them as sessions of their own"
            )


def _order(
    frames: Batch,
    file_of: Int64Array,
    seq: Int64Array,
    connection: Int64Array,
    is_book: npt.NDArray[np.bool_],
    connections: list[Int64Array],
) -> Int64Array:
    """All frames in merged order.

    One file keeps its order, but for book frames of a connection that go back in seq. Of several,
    book connections follow one another in time, each by seq; every other frame keeps its place
    after the book frame before it in its own file. Files without any such book frame are placed
    as a whole: by time if they hold only trades, so that these come near their deltas, else one
    after the other in order of their first times.
    """
    n = len(frames)
    here = np.arange(n, dtype=np.int64)
    if n == 0 or file_of[0] == file_of[-1]:
        for rows, wanted in zip(connections, is_book, strict=True):
            if wanted and (np.diff(rows) < 0).any():
                here[np.sort(rows)] = rows
        return here
    starts = [_start(frames, rows) for rows in connections]
    rank = np.empty(len(connections), dtype=np.int64)
    rank[np.lexsort((np.arange(len(connections)), np.array(starts, dtype=np.int64)))] = np.arange(
        len(connections)
    )
    anchored = np.zeros(n, dtype=np.bool_)
    numbered = connection >= 0
    anchored[numbered] = is_book[connection[numbered]]
    anchor = _anchors(anchored, file_of)
    placed = anchor >= 0
    major = np.where(placed, rank[connection[anchor]] if len(rank) else 0, len(connections))
    minor = np.where(placed, seq[anchor], 0)
    major[~placed] += _ranks_by_time(frames, file_of)[file_of[~placed]]
    order = np.lexsort((here, file_of, minor, major)).astype(np.int64)
    return _place_by_time(frames, file_of, order, placed)


def _ranks_by_time(frames: Batch, file_of: Int64Array) -> Int64Array:
    """Places int64 [n_files] of the files by their first time; without one, after the file before.

    The time of a snapshot may be another clock's: it counts only where no other frame has one.
    """
    starts: list[int] = []
    for rows in np.split(
        np.arange(len(file_of)), np.searchsorted(file_of, range(1, 1 + file_of[-1]))
    ):
        times = _times(frames, rows)
        if len(times) == 0:
            times = frames.ts_ms[rows][frames.ts_ms[rows] != NO_TIME]
        starts.append(int(times[0]) if len(times) else max(starts[-1:], default=NO_TIME))
    ranks = np.empty(len(starts), dtype=np.int64)
    ranks[np.argsort(np.array(starts, dtype=np.int64), kind="stable")] = np.arange(len(starts))
    return ranks


def _start(frames: Batch, rows: Int64Array) -> int:
    times = _times(frames, rows)
    return int(times[0]) if len(times) else NO_TIME


def _anchors(anchored: npt.NDArray[np.bool_], file_of: Int64Array) -> Int64Array:
    """For each frame the last anchored one up to it in its file, else the file's first, else -1."""
    n = len(anchored)
    here = np.where(anchored, np.arange(n), -1)
    latest = np.maximum.accumulate(here)
    wrong = (latest < 0) | (file_of[np.maximum(latest, 0)] != file_of)
    first = np.full(int(file_of[-1]) + 1, -1, dtype=np.int64)
    at = np.flatnonzero(anchored)[::-1]
    first[file_of[at]] = at
    return np.where(wrong, first[file_of], latest)


def _place_by_time(
    frames: Batch, file_of: Int64Array, order: Int64Array, placed: npt.NDArray[np.bool_]
) -> Int64Array:
    """Move the frames of files that hold trades only among the others, by time."""
    has_book = np.zeros(int(file_of[-1]) + 1, dtype=np.bool_)
    book = (frames.kind == EventKind.SNAPSHOT) | (frames.kind == EventKind.DELTA)
    has_book[file_of[book]] = True
    loose = ~placed[order] & ~has_book[file_of[order]] & (frames.ts_ms[order] != NO_TIME)
    if not loose.any() or loose.all():
        return order
    fixed, moving = order[~loose], order[loose]
    clock = np.maximum.accumulate(frames.ts_ms[fixed])
    whole = (frames.flags[moving] & EventFlag.WHOLE_SECOND) != 0
    latest = frames.ts_ms[moving] + np.where(whole, MS_PER_SECOND - 1, 0)
    return np.insert(fixed, np.searchsorted(clock, latest, side="right"), moving)


def _gaps(
    frames: Batch,
    seq: Int64Array,
    connections: list[Int64Array],
    is_book: npt.NDArray[np.bool_],
    order: Int64Array,
) -> tuple[tuple[int, Int64Array], ...]:
    """Holes in the numbers of each book connection, and connections that begin in the middle."""
    place = np.full(len(frames), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    known: dict[int, Int64Array] = {}
    everywhere = np.empty(0, dtype=np.int64)
    out: list[tuple[int, Int64Array]] = []
    books = [
        rows[place[rows] >= 0] for rows, book in zip(connections, is_book, strict=True) if book
    ]
    for kept in sorted((rows for rows in books if len(rows)), key=lambda rows: int(place[rows[0]])):
        markets = np.unique(frames.market[kept][frames.kind[kept] <= EventKind.DELTA])
        markets = markets[markets >= 0]
        sid = int(frames.sid[kept[0]])
        earlier = known.get(sid, markets[:0])
        if seq[kept[0]] > 1:
            # Under a new sid a market may go on with a snapshot and have missed nothing.
            moved = np.setdiff1d(everywhere, _snapshot_first(frames, kept))
            again = np.intersect1d(markets, np.union1d(earlier, moved))
            if len(again):
                out.append((int(place[kept[0]]), again))
        known[sid] = np.union1d(earlier, markets)
        everywhere = np.union1d(everywhere, markets)
        holes = np.flatnonzero(np.diff(seq[kept]) > 1)
        out += [(int(place[kept[at + 1]]), markets) for at in holes.tolist()]
    return tuple(sorted(out, key=lambda gap: gap[0]))


def _snapshot_first(frames: Batch, rows: Int64Array) -> Int64Array:
    """Markets whose first book frame among `rows` is a snapshot."""
    rows = rows[(frames.kind[rows] <= EventKind.DELTA) & (frames.market[rows] >= 0)]
    markets, first = np.unique(frames.market[rows], return_index=True)
    found: Int64Array = markets[frames.kind[rows[first]] == EventKind.SNAPSHOT]
    return found
