"""What a recording of the local exchange says of its books, against the exchange's own log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from kalshi_sim.ingest.segments import MARKER, segments_in, sid_of
from kalshi_sim.ingest.sources import Source
from kalshi_sim.session import EventKind, Session
from kalshi_sim.units import parse_contracts, parse_dollars

SIDES: Final = ("yes", "no")
_MASK: Final = 2**64 - 1


class _Book:
    """One book, with a sum that is the same for the same levels and sizes."""

    def __init__(self) -> None:
        self._levels: dict[tuple[int, int], int] = {}
        self.digest = 0

    def add(self, side: int, price: int, size: int) -> None:
        place = (side, price)
        before = self._levels.get(place, 0)
        after = before + size
        self._levels[place] = after
        for found, sign in ((before, -1), (after, 1)):
            if found > 0:
                self.digest = (self.digest + sign * hash((side, price, found))) & _MASK


def opened(segments: Path) -> list[int]:
    """The connections of a recording that were opened, in order: the exchange's are 1, 2, ...

    Args:
        segments: their folder.
    """
    found = []
    for path in segments_in(segments):
        for _, text in Source(path).blocks():
            for line in text.splitlines():
                if line.startswith(MARKER):
                    marker = json.loads(line)
                    if marker["marker"] == "open":
                        found.append(int(marker["connection"]))
    return found


def true_books(log: Path, connections: Sequence[int]) -> dict[tuple[int, int], tuple[str, int]]:
    """The book after every book frame of the exchange's log, those included that a fault kept back.

    Args:
        log: of the exchange.
        connections: the recorder's numbers of the exchange's connections (`opened`).

    Returns:
        (number of the subscription among all connections, seq) -> market and a digest of its book.
    """
    books: dict[tuple[int, str], _Book] = {}
    out: dict[tuple[int, int], tuple[str, int]] = {}
    for sid, frame in _in_order(log, connections):
        message = frame["msg"]
        ticker = message["market_ticker"]
        if frame["type"] == "orderbook_snapshot":
            book = books[sid, ticker] = _Book()
            for side, name in enumerate(SIDES):
                for price, size in message.get(f"{name}_dollars_fp") or ():
                    book.add(side, parse_dollars(price), parse_contracts(size))
        else:
            book = books[sid, ticker]
            price, size = message["price_dollars"], message["delta_fp"]
            sign = -1 if size.startswith("-") else 1
            change = sign * parse_contracts(size.removeprefix("-"))
            book.add(SIDES.index(message["side"]), parse_dollars(price), change)
        out[sid, frame["seq"]] = (ticker, book.digest)
    return out


def _in_order(log: Path, connections: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The book frames by subscription and number, each once, with the subscription's number."""
    at: dict[tuple[int, int], int] = {}
    with log.open("rb") as file:
        start = 0
        for text in file:
            if b"orderbook_" in text:
                line = json.loads(text)
                frame = json.loads(line["raw"])
                if frame["type"] in ("orderbook_snapshot", "orderbook_delta"):
                    if line["connection"] > len(connections):
                        break  # the recorder was stopped before it knew of the connection
                    sid = sid_of(connections[line["connection"] - 1], frame["sid"])
                    at.setdefault((sid, frame["seq"]), start)
            start += len(text)
        for (sid, _), place in sorted(at.items()):
            file.seek(place)
            yield sid, json.loads(json.loads(file.readline())["raw"])


def known_books(session: Session, true: dict[tuple[int, int], tuple[str, int]]) -> int:
    """Compare every known book of an imported session with the true one.

    Args:
        session: imported from segments of one run.
        true: see `true_books`.

    Returns:
        After how many frames a book was known.

    Raises:
        AssertionError: one of them is not the true one.
    """
    known = 0
    for i, market in enumerate(session.markets):
        events = session.events[session.market_offsets[i] : session.market_offsets[i + 1]]
        rows = zip(
            *(getattr(events, c).tolist() for c in ("kind", "side", "price", "size", "sid", "seq")),
            strict=True,
        )
        book: _Book | None = None
        last: tuple[tuple[int, int], int] | None = None
        for kind, side, price, size, sid, seq in rows:
            if kind == EventKind.TRADE:
                continue
            if last is not None and (last[0] != (sid, seq) or kind == EventKind.GAP):
                assert true[last[0]] == (market.ticker, last[1]), (market.ticker, last[0])
                known += 1
                last = None
            if kind == EventKind.GAP:
                book = None
            elif kind == EventKind.SNAPSHOT:
                book = _Book()
            if book is None:
                continue
            if kind in (EventKind.LEVEL, EventKind.DELTA):
                book.add(side, price, size)
            last = ((sid, seq), book.digest)
        if last is not None:
            assert true[last[0]] == (market.ticker, last[1]), (market.ticker, last[0])
            known += 1
    return known
