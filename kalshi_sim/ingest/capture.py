"""Import of WebSocket captures: files of frames to one `Session`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import DataError
from kalshi_sim.file_sets import check_finished
from kalshi_sim.gaps import final_gaps
from kalshi_sim.ingest.assemble import assemble_session
from kalshi_sim.ingest.decoding import BLOCK_TRADE, LIFECYCLE, Batch
from kalshi_sim.ingest.formats import Limits, MissingSnapshot
from kalshi_sim.ingest.lifecycle import fold_lifecycles
from kalshi_sim.ingest.markets_csv import read_markets_csv
from kalshi_sim.ingest.merging import Merged, merge_frames
from kalshi_sim.ingest.readers import ReadOptions
from kalshi_sim.ingest.reading import Progress, Recording, read_captures
from kalshi_sim.ingest.results import missing_results
from kalshi_sim.ingest.sources import Source
from kalshi_sim.parallel import in_order
from kalshi_sim.session import (
    NO_TIME,
    POLLED,
    EventKind,
    Events,
    Int64Array,
    MarketInfo,
    Session,
)
from kalshi_sim.spilling import spilled
from kalshi_sim.threads import usable_cpus

_IN_MEMORY_BYTES: Final = 1 << 29
"""Frames of more bytes as text do not lie in memory alone: their columns take thrice as much."""
_PART: Final = 1 << 17
"""So many frames become events at a time."""
_FEW_GAPS: Final = 5
_HOLES_BY_NATURE: Final = 100
"""More than one gap in so many frames: files of some markets, not of a subscription."""
_PERSISTENT: Final = 2
"""Books crossed in more than one of so many milliseconds are persistently crossed."""


def import_captures(
    paths: Sequence[str | Path],
    *,
    session_id: int,
    markets_csv: str | Path | None = None,
    whole_subscription: bool = False,
    use_yes_price: bool = False,
    max_bad_lines: int = 0,
    format: str = "auto",  # noqa: A002  # what the command line calls it
    envelope: str | None = None,
    nearest_tick: bool = False,
    missing_snapshot: MissingSnapshot = "drop",
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Session:
    """One session from recordings (frames of the wire, or what a reader turns into them).

    Args:
        paths: files of one recording; their frames are merged on (sid, seq).
        session_id: the id of the session.
        markets_csv: a CSV file with close times and results of the markets.
        whole_subscription: the files hold all messages of their subscriptions, so that a hole in
            the sequence numbers is a gap that invalidates the books; segments always do.
        use_yes_price: the recording subscribed with `use_yes_price`: NO prices are in YES terms.
        max_bad_lines: how many malformed lines to skip instead of failing.
        format: a reader's name (`kalshi_sim.ingest.readers`), or auto.
        envelope: FIELD[=recv:FIELD], where envelopes hold the frame and their receive time.
        nearest_tick: round prices and sizes that miss a tick by a float's noise (1e-9), counted.
        missing_snapshot: deltas before a market's first snapshot are dropped, or with "smallest"
            the market begins with the smallest book that keeps every level at zero or more.
        limits: what a line and a file may unpack to.
        progress: called with (bytes read, bytes in all).

    Returns:
        The session, validated, with its quality report.

    Raises:
        DataError: a file cannot be read, too many lines are malformed, or nothing is in them.
        ConfigError: there is no such format or envelope.
    """
    if not paths:
        raise DataError("no capture files given")
    check_finished(Path(p) for p in (*paths, *([markets_csv] if markets_csv is not None else ())))
    large = sum(Source(path).likely_bytes for path in paths) > _IN_MEMORY_BYTES
    known = read_markets_csv(markets_csv) if markets_csv is not None else {}
    with spilled() if large else nullcontext():
        recording = read_captures(
            paths,
            use_yes_price=use_yes_price,
            max_bad_lines=max_bad_lines,
            options=ReadOptions(format, envelope, nearest_tick, limits or Limits()),
            progress=progress,
        )
        session = _session(
            session_id,
            recording,
            known,
            whole_subscription=whole_subscription or recording.segments,
            missing_snapshot=missing_snapshot,
        )
    return _with_crossing_note(session, use_yes_price)


def _session(
    session_id: int,
    recording: Recording,
    known: Mapping[str, MarketInfo],
    *,
    whole_subscription: bool,
    missing_snapshot: MissingSnapshot,
) -> Session:
    """What was read, merged and assembled.

    Args:
        session_id: the id of the session.
        recording: all frames.
        known: markets of `markets_csv`, by ticker.
        whole_subscription: as of `import_captures`.
        missing_snapshot: as of `import_captures`.
    """
    frames = recording.frames
    merged = merge_frames(
        frames,
        recording.file_of,
        recording.files,
        recording.tickers,
        find_gaps=whole_subscription,
        own_sids=recording.segments,
    )
    numbers, tickers = _session_markets(recording)
    if not np.isin(frames.kind, (EventKind.SNAPSHOT, EventKind.DELTA)).any():
        held = "trades alone, and no order book frame" if tickers else "no order book frame"
        raise DataError(
            f"{', '.join(recording.files)}: {held} in "
            f"{len(frames)} frames; give recordings of the orderbook_delta channel"
            + "".join(f". {note}" for note in recording.notes)
        )
    events, market_of = _events(frames, merged, numbers)
    life = fold_lifecycles(
        [known.get(t, MarketInfo(t)) for t in tickers],
        numbers,
        frames.lifecycles,
        np.flatnonzero(frames.kind == LIFECYCLE),
        frames.ts_ms,
        recording.file_of,
    )
    times = np.concatenate([frames.ts_ms[frames.ts_ms != NO_TIME], np.array(life.times, np.int64)])
    notes = [*recording.notes, *life.notes, *missing_results(life.markets)]
    if recording.polled:
        notes.append(
            "a session of polls: a row is a poll, and what happened between two is not known, so "
            "there is no flow, and resting orders fill only where a later book crosses them"
        )
    notes += merged.notes
    repeated = sum(found.repeated_frames for found in merged.quality.values())
    if repeated:
        notes.append(f"{repeated} frames were in the files twice: read once")
    session = assemble_session(
        session_id,
        life.markets,
        market_of,
        events,
        trades_recorded=_has_trades(frames),
        source=POLLED if recording.polled else "capture",
        started_ms=int(times.min()) if len(times) else None,
        last_message_ms=int(times.max()) if len(times) else None,
        counts={recording.tickers[m]: found for m, found in merged.quality.items()},
        notes=notes,
        other_frames=dict(sorted(Counter(frames.other_types).items())),
        bad_lines=recording.bad_lines,
        missing_snapshot=missing_snapshot,
        gaps_checked=whole_subscription,
    )
    if whole_subscription and not recording.segments:
        session = _with_holes_note(session, len(frames))
    return session


def _session_markets(recording: Recording) -> tuple[Int64Array, list[str]]:
    """Markets with events, by ticker: their number in the session (-1: none) and their names."""
    frames = recording.frames
    there = (frames.kind <= EventKind.TRADE) & (frames.market >= 0)
    present = np.flatnonzero(np.bincount(frames.market[there], minlength=1))
    chosen = sorted(present.tolist(), key=lambda m: recording.tickers[m])
    numbers = np.full(len(recording.tickers), -1, dtype=np.int64)
    numbers[chosen] = np.arange(len(chosen))
    return numbers, [recording.tickers[m] for m in chosen]


def _events(frames: Batch, merged: Merged, numbers: Int64Array) -> tuple[Events, Int64Array]:
    """The event table in merged order, and each event's market."""
    snapshots = np.flatnonzero(frames.kind == EventKind.SNAPSHOT)
    sizes = frames.size[snapshots]
    levels = _Levels(snapshots, np.cumsum(sizes) - sizes)
    parts = [slice(at, at + _PART) for at in range(0, len(merged.rows), _PART)]
    counted = in_order(parts, partial(_count_events, frames, merged), usable_cpus())
    ends = np.cumsum([0, *counted])
    events = Events.zeros(int(ends[-1]))
    market = np.empty(len(events), dtype=np.int64)

    def fill(place: tuple[slice, slice]) -> None:
        part, at = place
        for name, values in _part_of_events(frames, merged, levels, part):
            if name == "market":
                market[at] = numbers[values]
            else:
                getattr(events, name)[at] = values

    places = [(part, slice(*at)) for part, at in zip(parts, pairwise(ends.tolist()), strict=True)]
    deque(in_order(places, fill, usable_cpus()), maxlen=0)
    return events, market


@dataclass(frozen=True)
class _Levels:
    """Where the levels of snapshots lie: int64 [n] the snapshots' frames, and each one's first."""

    snapshots: Int64Array
    first: Int64Array


def _count_events(frames: Batch, merged: Merged, part: slice) -> int:
    """How many events come of frames in merged order: one each, and a snapshot's levels."""
    rows = merged.rows[part]
    rows = rows[rows >= 0]
    rows = rows[frames.kind[rows] == EventKind.SNAPSHOT]
    return len(merged.rows[part]) + int(frames.size[rows].sum())


def _part_of_events(
    frames: Batch, merged: Merged, levels: _Levels, part: slice
) -> Iterator[tuple[str, npt.NDArray[np.integer]]]:
    """The columns of the events of some frames in merged order, and the market's number."""
    is_gap = merged.rows[part] < 0
    rows = np.maximum(merged.rows[part], 0)  # of a gap any: what is taken there is overwritten
    kind = np.where(is_gap, EventKind.GAP, frames.kind[rows])
    has_levels = kind == EventKind.SNAPSHOT
    bare = is_gap | has_levels
    # Each frame becomes one event, each level of a snapshot another one after it.
    size = frames.size[rows]
    counts = np.where(has_levels, size, 0) + 1
    owner = np.repeat(np.arange(len(rows)), counts)
    nth = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    is_level = nth > 0
    of = owner[is_level]
    level = levels.first[np.searchsorted(levels.snapshots, rows[of])] + nth[is_level] - 1

    def column(
        values: npt.NDArray[np.integer], of_levels: npt.NDArray[np.integer] | int | None = None
    ) -> npt.NDArray[np.integer]:
        out = values[owner]
        if of_levels is not None:
            out[is_level] = of_levels
        return out

    yield "kind", column(kind, EventKind.LEVEL)
    yield "side", column(np.where(bare, 0, frames.side[rows]), frames.level_side[level])
    yield "price", column(np.where(bare, 0, frames.price[rows]), frames.level_price[level])
    yield "size", column(np.where(bare, 0, size), frames.level_size[level])
    yield "ts_ms", column(np.where(is_gap, NO_TIME, frames.ts_ms[rows]))
    yield "seq", column(np.where(is_gap, -1, frames.seq[rows]))
    yield "sid", column(np.where(is_gap, merged.gap_sid[part], frames.sid[rows]))
    yield "flags", column(np.where(is_gap, 0, frames.flags[rows]))
    yield "frame", column(merged.rank[part])
    yield "market", column(merged.market[part])


def _has_trades(frames: Batch) -> bool:
    """Whether the recording had a trade channel: it says so, or there are trades."""
    if "trade" in frames.channels:
        return True
    return bool(np.isin(frames.kind, (EventKind.TRADE, BLOCK_TRADE)).any())


def _with_holes_note(session: Session, frames: int) -> Session:
    """Advise against the option where there are as many holes as files of single markets have."""
    final = final_gaps(session)
    gaps = session.quality.total.gaps - int(final.sum())
    if gaps <= _FEW_GAPS or gaps * _HOLES_BY_NATURE <= frames:
        return session
    note = (
        f"{gaps} gaps in {frames} frames: the files do not hold the whole "
        "subscription (files of single markets have holes by nature); import them again "
        "without --whole-subscription, or with the files of all markets"
    )
    return _noted(session, note)


def _noted(session: Session, note: str) -> Session:
    quality = replace(session.quality, notes=(*session.quality.notes, note))
    return replace(session, quality=quality)


def _with_crossing_note(session: Session, use_yes_price: bool) -> Session:
    total = session.quality.total
    if total.crossed_ms * _PERSISTENT <= total.crossed_ms + total.rows + total.empty_ms:
        return session
    hint = "without" if use_yes_price else "with"
    note = (
        f"the books are crossed in {total.crossed_ms} of "
        f"{total.crossed_ms + total.rows + total.empty_ms} milliseconds: the recording seems to "
        f"state NO prices in {'NO' if use_yes_price else 'YES'} terms; import it again "
        f"{hint} --use-yes-price"
    )
    return _noted(session, note)
