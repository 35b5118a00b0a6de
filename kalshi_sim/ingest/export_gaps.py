"""A session's gaps as control frames of the wire, and as numbers that are missing.

A gap that ends with the market's next book frame is written as a frame that ends its subscription.
Where deltas go on before the next snapshot, only a number that no frame has shows it, so that
then every other missing number has to be written as consumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.ingest.decoding import FrameDecoder
from kalshi_sim.ingest.merging import merge_frames
from kalshi_sim.ingest.reading import concatenate
from kalshi_sim.session import EventFlag, EventKind, Events, Int64Array, Session

_BOOK = (EventKind.SNAPSHOT, EventKind.DELTA)
_Connection = tuple[int, int]
"""A sid, and how often its numbers restarted before."""


def needs_numbers(session: Session) -> bool:
    """Whether a missing number alone shows a gap: deltas go on before the next snapshot."""
    for market in range(len(session.markets)):
        first, stop = session.market_offsets[market : market + 2].tolist()
        kind = session.events.kind[first:stop]
        kind = kind[np.isin(kind, (*_BOOK, EventKind.GAP))]
        if ((kind[:-1] == EventKind.GAP) & (kind[1:] == EventKind.DELTA)).any():
            return True
    return False


@dataclass
class _Numbers:
    """The numbers of one connection."""

    used: set[int] = field(default_factory=set)
    consumed: set[int] = field(default_factory=set)
    """Numbers that some frame had, as no gap lies between those around them."""


class GapWriter:
    """Control frames among the frames of a session, which come in the order of `Events.frame`."""

    def __init__(
        self, session: Session, heads: Int64Array, market_of: Int64Array, *, by_numbers: bool
    ) -> None:
        """Find which frames are needed.

        Args:
            session: the markets that are written to one file.
            heads: int64 [n] its frames and gaps: rows of the event table, in order.
            market_of: int64 [events] the market of each event.
            by_numbers: missing numbers are gaps (`needs_numbers`, of all markets that are written).
        """
        self._tickers = [market.ticker for market in session.markets]
        events = session.events
        self._events = events
        self._sid: dict[int, int] = {}
        self._latest: dict[int, int] = {}
        self._ended: dict[int, set[int]] = defaultdict(set)
        self._shared = _shared_sids(events, heads, market_of)
        self._by_number = _shown_by_numbers(events, heads, market_of)
        self._missing: dict[_Connection, list[int]] = {}
        self._connection: dict[int, _Connection] = {}
        if by_numbers:
            self._connection, numbers = _numbers(events, heads, market_of)
            self._missing = {
                key: sorted(found.consumed - found.used, reverse=True)
                for key, found in numbers.items()
            }

    def before(self, row: int, market: int) -> Iterator[bytes]:
        """Control frames that stand before a snapshot, delta or gap of the event table.

        Args:
            row: of the event.
            market: number of its market.

        Yields:
            Frames as JSON.
        """
        kind, sid = EventKind(self._events.kind[row]), int(self._events.sid[row])
        if kind == EventKind.GAP:
            if row not in self._by_number:
                self._ended[self._sid.get(market, sid)].add(market)
            return
        if kind not in _BOOK:
            return
        seq = int(self._events.seq[row])
        missing = self._missing.get(self._connection.get(row, (-1, -1)), [])
        while missing and missing[-1] < seq:
            yield msgspec.json.encode({"type": "ok", "sid": sid, "seq": missing.pop()})
        for ended in [s for s, markets in self._ended.items() if market in markets]:
            yield from self._end(ended)
        restarts = kind == EventKind.SNAPSHOT and (
            sid != self._sid.get(market) or seq <= self._latest.get(market, -1)
        )
        self._latest[market] = seq if restarts else max(seq, self._latest.get(market, -1))
        self._sid[market] = sid

    def at_end(self) -> Iterator[bytes]:
        """Control frames after the last frame."""
        for sid in list(self._ended):
            yield from self._end(sid)

    def _end(self, sid: int) -> Iterator[bytes]:
        ended = self._ended.pop(sid)
        on_sid = {market for market, own in self._sid.items() if own == sid}
        frame: dict[str, Any] = {"type": "unsubscribed", "sid": sid}
        if sid in self._shared:  # two connections: the number says which one is meant
            for market in sorted(ended):
                number = {"seq": self._latest[market] + 1} if self._latest[market] >= 0 else {}
                yield msgspec.json.encode(
                    {"type": "ok", "sid": sid, **number, "msg": self._remaining(on_sid - {market})}
                )
        elif ended:
            if on_sid - ended:
                frame = {"type": "ok", "sid": sid, "msg": self._remaining(on_sid - ended)}
            yield msgspec.json.encode(frame)

    def _remaining(self, markets: set[int]) -> dict[str, Any]:
        return {"market_tickers": [self._tickers[market] for market in sorted(markets)]}


def _shown_by_numbers(events: Events, heads: Int64Array, market_of: Int64Array) -> set[int]:
    """The gaps after which deltas go on: no control frame ends these books, a number is missing."""
    rows = heads[np.isin(events.kind[heads], (*_BOOK, EventKind.GAP))]
    rows = rows[np.argsort(market_of[rows], kind="stable")]
    kind, market = events.kind[rows], market_of[rows]
    go_on = (kind[:-1] == EventKind.GAP) & (kind[1:] == EventKind.DELTA)
    return set(rows[:-1][go_on & (market[:-1] == market[1:])].tolist())


def _shared_sids(events: Events, heads: Int64Array, market_of: Int64Array) -> set[int]:
    """Sids on which two markets have a number in common, so that they lie on two connections."""
    book = heads[np.isin(events.kind[heads], _BOOK) & (events.seq[heads] >= 0)]
    keys = np.stack([events.sid[book], events.seq[book], market_of[book]], axis=1)
    unique = np.unique(keys, axis=0)
    again = (unique[1:, :2] == unique[:-1, :2]).all(axis=1)
    return set(unique[1:, 0][again].tolist())


def _numbers(
    events: Events, heads: Int64Array, market_of: Int64Array
) -> tuple[dict[int, _Connection], dict[_Connection, _Numbers]]:
    """The connection of each book frame with a number, and the numbers of each connection."""
    connections: dict[int, _Connection] = {}
    numbers: dict[_Connection, _Numbers] = defaultdict(_Numbers)
    restarts: dict[int, int] = defaultdict(int)
    latest: dict[tuple[int, int], tuple[int, int]] = {}
    in_gap: set[int] = set()
    for row in heads.tolist():
        market, sid, seq = int(market_of[row]), int(events.sid[row]), int(events.seq[row])
        kind = events.kind[row]
        if kind == EventKind.GAP:
            in_gap.add(market)
        if kind not in _BOOK or seq < 0:
            continue
        own, before = latest.get((market, sid), (restarts[sid], seq))
        if kind == EventKind.SNAPSHOT:
            # Other markets' frames may show first that the numbers restarted.
            if own == restarts[sid] and seq <= before and (market, sid) in latest:
                restarts[sid] += 1
            if own != restarts[sid]:
                own, before = restarts[sid], seq
        key = (sid, own)
        connections[row] = key
        numbers[key].used.add(seq)
        if market not in in_gap:
            numbers[key].consumed.update(range(before + 1, seq))
        in_gap.discard(market)
        latest[market, sid] = own, max(before, seq)
    return connections, numbers


def check_gaps(session: Session, files: Sequence[bytes], instead: str) -> None:
    """Whether import finds in these files the gaps that the session has.

    Args:
        session: what the files were written from.
        files: frames, one a line.
        instead: what to do if it does not, for the error.

    Raises:
        ConfigError: it does not.
    """
    decoder = FrameDecoder()
    batches = [decoder.decode(data) for data in files]
    batch = concatenate(batches)
    tickers = [str(ticker) for ticker in decoder.tickers]
    file_of = np.repeat(np.arange(len(files)), [len(b) for b in batches])
    names = [f"file {i}" for i in range(len(files))]
    try:
        merged = merge_frames(batch, file_of, names, tickers, find_gaps=needs_numbers(session))
    except DataError as error:
        raise ConfigError(f"captures cannot express this session: {error}; {instead}") from error
    for number, ticker in enumerate(tickers):
        found = merged.market == number
        written = session.market_events(ticker)
        heads = (written.kind != EventKind.LEVEL) & (written.flags & EventFlag.REBUILT == 0)
        gaps = written.kind[heads] == EventKind.GAP
        if not np.array_equal(merged.rows[found] < 0, gaps) or not np.array_equal(
            merged.gap_sid[found][gaps], written.sid[heads][gaps]
        ):
            raise ConfigError(f"captures cannot show where the book of {ticker} ends; {instead}")
