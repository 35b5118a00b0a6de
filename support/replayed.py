"""The books of an imported market, event by event."""

from __future__ import annotations

from kalshi_sim.session import EventKind, Events
from support.captures import Book


def books(events: Events) -> list[tuple[int | None, Book]]:
    """(ms, book in cents and contracts) after each book event."""
    out: list[tuple[int | None, Book]] = []
    book: Book = ({}, {})
    latest: int | None = None
    columns = (events.kind, events.side, events.price, events.size, events.ts_ms)
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    for at, (kind, side, price, size, ts_ms) in enumerate(rows):
        if kind in (EventKind.TRADE, EventKind.GAP):
            continue
        latest = ts_ms if latest is None else max(latest, ts_ms)
        if kind == EventKind.SNAPSHOT:
            book = ({}, {})
        elif kind == EventKind.LEVEL:
            book[side][price // 100] = size // 100
        else:
            level = book[side].get(price // 100, 0) + size // 100
            book[side][price // 100] = max(level, 0)
        if at + 1 == len(rows) or rows[at + 1][0] != EventKind.LEVEL:
            yes, no = ({p: n for p, n in levels.items() if n} for levels in book)
            out.append((latest, (yes, no)))
    return out


def gaps(events: Events) -> set[int]:
    """The book events (snapshots and deltas) after which the book ends."""
    out: set[int] = set()
    last = -1
    for kind in events.kind.tolist():
        last += kind in (EventKind.SNAPSHOT, EventKind.DELTA)
        if kind == EventKind.GAP:
            out.add(last)
    return out
