"""The order of the files that a market's frames lie in, by comparing each file with each other.

Written from docs/contract.md#2-book-and-events; part of the slow twin of the import.

Args of the functions here, unless they say more:
    market: ticker of the market.
    files: frames of each file, in its order.
    frames: of one file, in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from kalshi_sim.reference.frames import BEHIND_MS, Frame


class Undecided(Exception):  # noqa: N818  # no error of the twin: the contract refuses here
    """Nothing decides the order of files."""


def one_order(market: str, files: Sequence[list[Frame]]) -> list[Frame]:
    """The frames of several files as they arrived, those of shared runs once.

    Raises:
        Undecided: nothing decides the order.
    """
    left = [f for i, f in enumerate(files) if not is_repeated(market, i, files)]
    if interleaved(market, left):
        return by_receive_time(left)
    if split_by_type(market, left):
        return by_number(market, left)
    out: list[Frame] = []
    while left:
        first = [a for a in left if all(b is a or comes_before(market, a, b) for b in left)]
        if len(first) != 1:
            raise Undecided(market)
        left = [piece for piece in left if piece is not first[0]]
        out += unshared(market, out, first[0])
    return out


def book_of(market: str, frames: Sequence[Frame]) -> list[Frame]:
    """The book frames of a market."""
    return [f for f in frames if f.is_book(market)]


def texts(market: str, frames: Sequence[Frame]) -> list[str]:
    """The lines of a market's book."""
    return [f.text for f in book_of(market, frames)]


def is_repeated(market: str, at: int, files: Sequence[list[Frame]]) -> bool:
    """Whether a file's book is a run of another's that has its other frames too.

    Of equal ones the longest stays.

    Args:
        at: which file is asked about.
    """
    own = texts(market, files[at])
    others = {f.text for f in files[at] if not f.is_book(market)}
    for other, file in enumerate(files):
        lines = texts(market, file)
        held = any(lines[i : i + len(own)] == own for i in range(len(lines) - len(own) + 1))
        held = held and others <= {f.text for f in file}
        more = (len(lines), len(file), -other) > (len(own), len(files[at]), -at)
        if other != at and held and more:
            return True
    return False


def shared_run(market: str, earlier: Sequence[Frame], later: Sequence[Frame]) -> int:
    """How many book frames at the end of one file begin another.

    Args:
        earlier, later: frames of two files.
    """
    a, b = texts(market, earlier), texts(market, later)
    return next((n for n in range(min(len(a), len(b)), 0, -1) if a[-n:] == b[:n]), 0)


def unshared(market: str, earlier: Sequence[Frame], later: list[Frame]) -> list[Frame]:
    """A later piece behind the run that it shares with the earlier one.

    Args:
        earlier, later: frames of two files.
    """
    shared = shared_run(market, earlier, later)
    ends = [i + 1 for i, f in enumerate(later) if f.is_book(market)]
    return later[ends[shared - 1] :] if shared else later


def comes_before(market: str, a: list[Frame], b: list[Frame]) -> bool:
    """Whether `a` lies before `b`: by a shared run, receive times, numbers, exchange times.

    Args:
        a, b: frames of two files.

    Raises:
        Undecided: only numbers without a time could decide, or times contradict.
    """
    here, there = shared_run(market, a, b), shared_run(market, b, a)
    if bool(here) != bool(there):
        return here > 0
    one, other = book_of(market, a), book_of(market, b)
    before, after = by_received(one, other), by_received(other, one)
    if before != after:
        return before
    if any(all(f.given_ms is None for f in part) for part in (one, other)):
        raise Undecided(market)  # snapshots alone: numbers without a time
    before, after = continues(one, other), continues(other, one)
    if before != after:  # at most a second against the exchange's times, which `continues` asks
        pair = (one, other) if before else (other, one)
        if by_exchange_time(*pair[::-1]) and not next_number(*pair):
            raise Undecided(market)
        return before
    return by_exchange_time(one, other) and not by_exchange_time(other, one)


def by_received(one: list[Frame], other: list[Frame]) -> bool:
    """Whether every receive time of `one` is at most each of `other`.

    Args:
        one, other: book frames of two files.
    """
    a = [f.received for f in one if f.received is not None]
    b = [f.received for f in other if f.received is not None]
    return len(a) == len(one) and len(b) == len(other) and max(a) <= min(b)


def by_exchange_time(one: list[Frame], other: list[Frame]) -> bool:
    """Whether every known time of `one` is at most each of `other`.

    Args:
        one, other: book frames of two files.
    """
    a, b = ([f.given_ms for f in part if f.given_ms is not None] for part in (one, other))
    return bool(a) and bool(b) and max(a) <= min(b)


def continues(one: list[Frame], other: list[Frame]) -> bool:
    """Whether `other` holds a higher number of the connection on which `one` ends.

    Args:
        one, other: book frames of two files.
    """
    last = one[-1]
    numbers = [f.seq for f in other if f.sid == last.sid and f.seq is not None]
    if last.seq is None or not numbers:
        return False
    for frame in (f for f in other if f.sid == last.sid and f.seq is not None):
        assert frame.seq is not None
        if frame.seq > last.seq:
            times = [f.given_ms for f in one if f.given_ms is not None]
            after = next(
                (f.given_ms for f in other[other.index(frame) :] if f.given_ms is not None), None
            )
            return not times or after is None or after >= max(times) - BEHIND_MS
        if frame.is_snapshot:
            return False
    return False


def next_number(one: list[Frame], other: list[Frame]) -> bool:
    """Whether `other` holds the very next number of the sid on which `one` ends.

    Args:
        one, other: book frames of two files.
    """
    last = one[-1]
    return any(f.sid == last.sid and f.seq == (last.seq or 0) + 1 for f in other)


def interleaved(market: str, files: Sequence[list[Frame]]) -> bool:
    """Whether receive times say that frames of one file lie among those of another."""
    books = [book_of(market, file) for file in files]
    return all(f.received is not None for book in books for f in book) and any(
        not by_received(a, b) and not by_received(b, a) for a in books for b in books if a is not b
    )


def by_receive_time(files: Sequence[list[Frame]]) -> list[Frame]:
    """All frames by receive time; a line that two files hold stands once.

    Raises:
        Undecided: frames of two files were received at the same time.
    """
    frames = [f for file in files for f in file]
    holder = {(f.text, f.received): f.file for f in reversed(frames)}
    out = [f for f in frames if holder[f.text, f.received] == f.file]
    out.sort(key=lambda f: f.received or 0)
    # Trades are not asked: they stand between frames whose order is known.
    for a, b in pairwise(f for f in out if f.kind != "trade"):
        if a.received == b.received and a.file != b.file:
            raise Undecided(a.market)
    return out


def split_by_type(market: str, files: Sequence[list[Frame]]) -> bool:
    """Whether snapshots of a market lie in files of their own, its deltas in others, untimed."""
    kinds = [{f.is_snapshot for f in book_of(market, file)} for file in files]
    if all(f.received is not None for file in files for f in book_of(market, file)):
        return False
    return all(len(kind) == 1 for kind in kinds) and {True} in kinds and {False} in kinds


def by_number(market: str, files: Sequence[list[Frame]]) -> list[Frame]:
    """The book frames by the numbers of one subscription.

    Raises:
        Undecided: they are not of one, or its connection started anew.
    """
    books = [book_of(market, file) for file in files]
    frames = [f for book in books for f in book]
    numbers = {(f.sid, f.seq) for f in frames}
    restarts = any(a.seq >= b.seq for book in books for a, b in pairwise(book) if a.seq and b.seq)
    one = len({f.sid for f in frames}) == 1 and all(f.seq is not None for f in frames)
    if restarts or not one or len(numbers) < len(frames):
        raise Undecided(market)
    return sorted(frames, key=lambda f: f.seq or 0)
