"""All markets of an import, each merged by itself, as one table of frames and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kalshi_sim.ingest.decoding import BLOCK_TRADE, Batch
from kalshi_sim.ingest.merging.arrival import Arrival
from kalshi_sim.ingest.merging.connections import SentFrames, assign_connections
from kalshi_sim.ingest.merging.endings import Endings
from kalshi_sim.ingest.merging.holes import find_holes, holes_notes
from kalshi_sim.ingest.merging.joints import Stream, join_pieces
from kalshi_sim.ingest.merging.owners import passed_over
from kalshi_sim.ingest.merging.places import Book, Placed, Places
from kalshi_sim.ingest.merging.shared_sids import shared_sids_notes
from kalshi_sim.ingest.merging.trades import place_trades
from kalshi_sim.ingest.merging.view import Frames, distinct
from kalshi_sim.parallel import in_order
from kalshi_sim.session import NO_TIME, Int64Array, MarketQuality
from kalshi_sim.threads import usable_cpus


@dataclass(frozen=True)
class Merged:
    """What the import replays, grouped by market in order of ticker.

    rows int64 [n]: frames, -1 for a gap · market int64 [n]: the market's number in the import ·
    gap_sid int64 [n]: the sid of a gap · rank int64 [n]: the place of each in the whole stream,
    by arrival or time · quality: what was found in each market, by number ·
    notes: sentences for people.
    """

    rows: Int64Array
    market: Int64Array
    gap_sid: Int64Array
    rank: Int64Array
    quality: dict[int, MarketQuality]
    notes: tuple[str, ...]


@dataclass
class _Market:
    """One market, merged: trades stand after the book frames at `places`; -1: before the first."""

    placed: Placed
    trades: Int64Array
    places: Int64Array
    ends: list[int]
    """Places of book frames after which messages are missing."""
    quality: MarketQuality
    notes: tuple[str, ...]

    @property
    def book(self) -> Book:
        """The market's book frames in order."""
        return self.placed.book


def merge_frames(
    batch: Batch,
    file_of: Int64Array,
    files: Sequence[str],
    tickers: Sequence[str],
    *,
    find_gaps: bool,
    own_sids: bool = False,
) -> Merged:
    """Put the events of every market in order of arrival.

    Args:
        batch: decoded frames, files one after the other.
        file_of: int64 [n_frames], the file of each.
        files: their names.
        tickers: markets by number.
        find_gaps: the files hold whole subscriptions: missing numbers are missing messages.
        own_sids: no two connections have a sid in common, as segments number them.

    Returns:
        The events of all markets in order of arrival, and what the merge noticed.

    Raises:
        DataError: nothing decides the order of some files, or distinguishes frames of two sockets.
    """
    frames = Frames(batch, file_of, files, tickers)
    of_markets = sorted(frames.of_markets, key=lambda rows: tickers[batch.market[rows[0]]])
    frames.prepare()
    markets = list(in_order(of_markets, partial(_merge_market, frames), usable_cpus()))
    placed = [market.placed for market in markets]
    arrival = Arrival(frames, placed)
    endings = Endings(frames, placed, arrival, whole=find_gaps, own_sids=own_sids)
    for market in markets:
        market.ends += endings.ends(market.placed)
    notes = [note for market in markets for note in market.notes]
    notes += endings.notes()
    if not own_sids:
        notes += shared_sids_notes(frames, of_markets)
    if find_gaps and not endings.sockets.apart:
        holes = find_holes(frames, placed, endings.sockets.numbers)
        for market in markets:
            market.ends += holes.get(market.book.market, [])
        notes += holes_notes(frames, endings.sockets.numbers)
    quality = {market.book.market: market.quality for market in markets}
    return _as_table(frames, markets, arrival, quality, tuple(notes))


def _merge_market(frames: Frames, rows: Int64Array) -> _Market:
    """One market's frames (by file and line): its book, its trades, where the book ends."""
    is_book = frames.is_book[rows]
    nothing = np.empty(0, dtype=np.int64)
    stream, sent = Stream(nothing, nothing, {}), SentFrames(nothing, nothing, 0, {})
    if is_book.any():
        files = distinct(frames.file_of[rows[is_book]])
        stream = join_pieces(frames, rows[np.isin(frames.file_of[rows], files)])
        sent = assign_connections(frames, stream)
    over, ends = passed_over(sent.connection, frames.is_snapshot[sent.rows])
    book = Book(int(frames.batch.market[rows[0]]), sent.rows[~over], sent.connection[~over])
    repeated = {**stream.dropped, **sent.repeated}
    known = Places(frames, stream.rows, sent.rows, over, repeated)
    kept = np.cumsum(~over) - 1
    dropped = np.array(list(repeated), dtype=np.int64)
    trades, places, twice = place_trades(
        frames,
        np.setdiff1d(rows[~is_book], dropped),
        book.rows,
        known,
        beside=_is_beside(frames, stream),
    )
    block = frames.batch.kind[trades] == BLOCK_TRADE
    quality = MarketQuality(
        passed_over=int(over.sum()),
        repeated_frames=len(repeated) + twice,
        late_deltas=sent.late,
        block_trades_dropped=int(block.sum()),
    )
    return _Market(
        Placed(book, known, sent, stream.rows, repeated),
        trades[~block],
        places[~block],
        kept[ends].tolist(),
        quality,
        stream.notes,
    )


def _is_beside(frames: Frames, stream: Stream) -> bool:
    """Whether several recorders wrote a market's files, or its files lie among each other."""
    file = frames.file_of[stream.rows]
    runs = int(np.count_nonzero(np.diff(file, prepend=-1)))
    return len(distinct(stream.recorder)) > 1 or runs > len(distinct(file))


def _as_table(
    frames: Frames,
    markets: Sequence[_Market],
    arrival: Arrival,
    quality: dict[int, MarketQuality],
    notes: tuple[str, ...],
) -> Merged:
    nothing = np.empty(0, dtype=np.int64)
    events = partial(_events, frames, one_chain=arrival.is_one_chain, key=arrival.key)
    parts = list(in_order(markets, events, usable_cpus()))
    rows = np.concatenate([nothing, *(part[0] for part in parts)])
    sids = np.concatenate([nothing, *(part[1] for part in parts)])
    clock = np.concatenate([nothing, *(part[2] for part in parts)])
    market_of = np.repeat(
        np.array([market.book.market for market in markets], dtype=np.int64),
        [len(part[0]) for part in parts],
    )
    rank = np.empty(len(rows), dtype=np.int64)
    rank[np.argsort(clock, kind="stable")] = np.arange(len(rows))
    return Merged(rows, market_of, sids, rank, quality, notes)


def _events(
    frames: Frames, market: _Market, *, one_chain: bool, key: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Frames of a market in order, -1 for a gap; the sid of each gap; a clock that never falls.

    The clock is the place of arrival, if one chain of files holds all, else the time.
    """
    book, trades = market.book.rows, market.trades
    ends = np.unique(np.array([end for end in market.ends if end >= 0], dtype=np.int64))
    rows = np.concatenate([book, np.full(len(ends), -1, dtype=np.int64), trades])
    sids = np.concatenate(
        [
            np.full(len(book), -1, dtype=np.int64),
            frames.batch.sid[book[ends]],
            np.full(len(trades), -1, dtype=np.int64),
        ]
    )
    place = np.concatenate([np.arange(len(book)), ends, market.places])
    rank = np.repeat([0, 1, 2], [len(book), len(ends), len(trades)])
    order = np.lexsort((rank, place))  # stable: trades of one place keep their order
    clock = np.full(len(rows), NO_TIME, dtype=np.int64)
    if one_chain:
        # A delta that was written late stands before the frame that it was put before.
        clock[: len(book)] = np.minimum.accumulate(key[book][::-1])[::-1]
    else:
        source = book if len(book) else trades
        first = 0 if len(book) else len(ends)
        clock[first : first + len(source)] = frames.batch.ts_ms[source]
    clock = np.maximum.accumulate(clock[order])
    known = clock[clock != NO_TIME]
    if len(known):
        clock[clock == NO_TIME] = known[0]
    return rows[order], sids[order], clock
