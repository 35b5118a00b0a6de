"""What a recording's import must give: events, books, times, traded contracts, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kalshi_sim.reference.captures import WireEvent, match_trades
from kalshi_sim.session import EventKind
from support.captures import Book, Line, Recording


@dataclass
class Truth:
    """One market: (ms, book) after each book event, contracts traded by each delta, ends."""

    books: list[tuple[int | None, Book]] = field(default_factory=list)
    traded: list[int] = field(default_factory=list)
    trades: int = 0
    ends: set[int] = field(default_factory=set)
    """Book events after which the book ends."""


def truth(
    recording: Recording, market: str, files: Sequence[Sequence[Line]], *, whole: bool = False
) -> Truth:
    """Of one market. A control frame counts in files that hold book frames of it.

    `whole`: numbers that are missing from a subscription end the books that were its own then.
    """
    seen = {line for part in files if any(holds(x, market) for x in part) for line in part}
    out = Truth()
    told: list[WireEvent] = []
    lines: list[Line] = []
    owner: tuple[int, int] | None = None
    waiting = False
    ended: int | None = None
    trades: set[str] = set()
    for line in in_order(recording, market):
        key = (line.connection, line.sid)
        if line.kind == "trade" and line.market == market and line.trade not in trades:
            trades.add(line.trade)
            told.append(as_told(line))
        counts = line.ends and line in seen and recording.has_sid
        if counts and key == owner and market not in (line.listed or ()):
            ended = len(lines) - 1
        if not holds(line, market):
            continue
        if line.kind == "orderbook_snapshot":
            if waiting:
                out.ends.add(len(lines) - 1)
            owner = key
        elif key != owner:
            waiting = owner is not None or waiting
            continue
        if ended is not None and line.kind == "orderbook_snapshot":
            out.ends.add(ended)
        waiting, ended = False, None
        lines.append(line)
        told.append(as_told(line))
    for last in ([len(lines) - 1] if waiting else []), ([ended] if ended is not None else []):
        out.ends.update(last)
    if whole:
        out.ends |= holes(recording, lines)
    match_trades(told)
    out.traded = [t.traded // 100 for t in told if t.kind == EventKind.DELTA]
    out.trades = len(trades)
    out.books = list(zip(times(lines), books(lines), strict=True))
    return out


def holes(recording: Recording, lines: Sequence[Line]) -> set[int]:
    """The frames of a market's book after which a number of its subscription is missing."""
    number = {line: at for at, line in enumerate(recording.sent)}
    kept = sorted(recording.lines, key=number.__getitem__)
    out = set()
    for lost in recording.lost:
        same = [x for x in kept if (x.connection, x.sid) == (lost.connection, lost.sid)]
        before = [x for x in same if number[x] < number[lost]]
        if not before or before == same:
            continue  # nothing shows that a number was given
        known = [at for at, x in enumerate(lines) if number[x] <= number[before[-1]]]
        latest = [at for at in known if lines[at].kind == "orderbook_snapshot"]
        owner = latest and lines[latest[-1]]
        if owner and (owner.connection, owner.sid) == (lost.connection, lost.sid):
            out.add(known[-1])
    return out


def in_order(recording: Recording, market: str) -> list[Line]:
    """The lines as written, but deltas of the market that were written late where they belong."""
    number = {line: at for at, line in enumerate(recording.sent)}
    out: list[Line] = []
    for line in recording.lines:
        key = (line.connection, line.sid)
        passed = (
            at
            for at, other in enumerate(out)
            if holds(other, market)
            and (other.connection, other.sid) == key
            and number[other] > number[line]
        )
        out.insert(next(passed, len(out)) if holds(line, market) else len(out), line)
    return out


def holds(line: Line, market: str) -> bool:
    """Whether it is a book frame of the market."""
    return line.is_book and line.market == market


def as_told(line: Line) -> WireEvent:
    """A frame as the slow twin of the import reads it."""
    kind = {
        "orderbook_snapshot": EventKind.SNAPSHOT,
        "orderbook_delta": EventKind.DELTA,
        "trade": EventKind.TRADE,
    }[line.kind]
    window = None if line.told is None else (line.told, line.told + 999 * line.second)
    return WireEvent(kind, line.side, line.price * 100, line.size * 100, line.told, window)


def times(lines: Sequence[Line]) -> list[int | None]:
    """Times of book events: raised to the running maximum; those of snapshots inferred."""
    out: list[int | None] = []
    latest: int | None = None
    for at, line in enumerate(lines):
        time = line.told
        if time is None and any(earlier.told is not None for earlier in lines[:at]):
            time = (latest or 0) + 1
        elif time is None:
            time = next((later.told for later in lines[at:] if later.told is not None), None)
        latest = time if latest is None else max(latest, time) if time is not None else latest
        out.append(latest)
    return out


def books(lines: Sequence[Line]) -> list[Book]:
    """The book after each frame."""
    out: list[Book] = []
    book: Book = ({}, {})
    for line in lines:
        if line.kind == "orderbook_snapshot":
            book = ({**line.levels[0]}, {**line.levels[1]})
        else:
            side = book[line.side]
            side[line.price] = max(side.get(line.price, 0) + line.size, 0)
        yes, no = ({p: n for p, n in side.items() if n} for side in book)
        out.append((yes, no))
    return out
