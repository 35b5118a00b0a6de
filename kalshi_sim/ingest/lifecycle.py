"""A market's life folded into its metadata: grid, fees, pauses, close times and result.

Many changes carry no time: docs/contract.md#2-book-and-events says which one they get. They are
folded market by market into a `MarketInfo`, so that neither the order of the files nor a frame
that two files share changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.lifecycle_frames import FEE_UPDATE, FeeChange, Lifecycle
from kalshi_sim.session import (
    NO_TIME,
    FeeUpdate,
    GridUpdate,
    Int64Array,
    MarketInfo,
    Pause,
)
from kalshi_sim.units import MS_PER_SECOND, MULTIPLIER_SCALE

__all__ = ["FEE_UPDATE", "Folded", "Lifecycle", "fold_lifecycles", "fold_market"]

_GRID_EVENTS: Final = ("created", "price_level_structure_updated")
_CLOSE_EVENTS: Final = ("created", "close_date_updated")
_QUADRATIC: Final = ("quadratic", "quadratic_with_maker_fees")
_SAME_FRAME_MS: Final = MS_PER_SECOND
"""Inferred times of one frame in two files differ by what only one of them saw before it."""


@dataclass(frozen=True)
class Folded:
    """Markets with what their lives were, and sentences on what could not be used."""

    markets: tuple[MarketInfo, ...]
    notes: tuple[str, ...]
    times: tuple[int, ...]
    """When the changes were known, those of markets that are not in the session too."""


@dataclass(frozen=True)
class _Recorded:
    """A change, the file that has it, and whether its time was inferred."""

    file: int
    event: Lifecycle
    inferred: bool


def fold_lifecycles(
    markets: Sequence[MarketInfo],
    numbers: Int64Array,
    lifecycles: Sequence[Lifecycle],
    rows: Int64Array,
    ts_ms: Int64Array,
    file_of: Int64Array,
) -> Folded:
    """Markets with the changes that a recording has of them.

    Args:
        markets: the session's markets, with what is known of them otherwise.
        numbers: int64 [tickers] the number of a frame's market among `markets`, -1 if none.
        lifecycles: the changes, in the order of their frames.
        rows: int64 [changes] which frames these are.
        ts_ms: int64 [frames] times as recorded, NO_TIME where none is.
        file_of: int64 [frames] which file each lies in, ascending.

    Returns:
        The markets after their changes, and notes on what could not be used.

    Raises:
        DataError: the recording has another result than the metadata.
    """
    recorded = _with_times(lifecycles, rows, ts_ms, file_of)
    notes = _timing_notes(recorded)
    by_event: dict[str, list[int]] = {}
    for i, market in enumerate(markets):
        by_event.setdefault(market.event, []).append(i)
    of_market: dict[int, list[_Recorded]] = {}
    for change in recorded:
        event = change.event
        if event.market >= 0:
            concerned = [int(numbers[event.market])]
        else:
            concerned = by_event.get(event.event_ticker or "", [])
        for i in concerned:
            if i >= 0:
                of_market.setdefault(i, []).append(change)
    out = list(markets)
    for i in sorted(of_market):
        out[i], complaints = fold_market(markets[i], _in_order(of_market[i]))
        notes += complaints
        given = markets[i].settlement_value
        if given is not None and given != out[i].settlement_value:
            raise DataError(
                f"{markets[i].ticker}: the recording has another result than the file of "
                "markets; correct the result there"
            )
    times = tuple(t.event.known_ms for t in recorded if t.event.known_ms != NO_TIME)
    return Folded(tuple(out), tuple(notes), times)


def _with_times(
    lifecycles: Sequence[Lifecycle], rows: Int64Array, ts_ms: Int64Array, file_of: Int64Array
) -> list[_Recorded]:
    """The changes with their times; one without a time follows the latest before it."""
    out = []
    latest: dict[int, tuple[int, Int64Array]] = {}
    for row, event in zip(rows.tolist(), lifecycles, strict=True):
        file = int(file_of[row])
        inferred = event.known_ms == NO_TIME
        if inferred:
            if file not in latest:
                first = int(np.searchsorted(file_of, file))
                stop = int(np.searchsorted(file_of, file, side="right"))
                latest[file] = first, np.maximum.accumulate(ts_ms[first:stop])
            first, highest = latest[file]
            if highest[row - first] != NO_TIME:
                event = replace(event, known_ms=int(highest[row - first]) + 1)
        out.append(_Recorded(file, event, inferred))
    return out


def _timing_notes(recorded: Sequence[_Recorded]) -> list[str]:
    notes = []
    inferred = sum(t.inferred and t.event.known_ms != NO_TIME for t in recorded)
    timeless = sum(t.event.known_ms == NO_TIME for t in recorded)
    if inferred:
        notes.append(
            f"{inferred} changes of a market's life had no time: taken as known right after the "
            "latest time before them in their file"
        )
    if timeless:
        notes.append(
            f"{timeless} changes of a market's life had no time, and nothing before them in their "
            "file has one: a grid or fee holds from the start, a result is known at the end, "
            "a pause is ignored"
        )
    return notes


def _in_order(recorded: Sequence[_Recorded]) -> list[Lifecycle]:
    """One market's changes by time, each once, whatever the order of the files."""
    kept = _without_repeats(recorded)
    moments: dict[int, dict[int, list[Lifecycle]]] = {}
    for change in kept:
        runs = moments.setdefault(change.event.known_ms, {})
        runs.setdefault(change.file, []).append(change.event)
    out: list[Lifecycle] = []
    for moment in sorted(moments):  # NO_TIME is the lowest number
        # Within a file their order is a fact; of several files the one with most changes has it.
        runs_here = sorted(
            moments[moment].values(), key=lambda run: (-len(run), [e.content for e in run])
        )
        seen: set[tuple[str, ...]] = set()
        for run in runs_here:
            out += [event for event in run if event.content not in seen]
            seen |= {event.content for event in run}
    return out


def _without_repeats(recorded: Sequence[_Recorded]) -> list[_Recorded]:
    """The changes without those another file has too, with a better founded time."""
    by_content: dict[tuple[str, ...], list[_Recorded]] = {}
    for change in recorded:
        by_content.setdefault(change.event.content, []).append(change)
    return [c for c in recorded if not any(_is_repeat(c, o) for o in by_content[c.event.content])]


def _is_repeat(change: _Recorded, other: _Recorded) -> bool:
    if change.file == other.file or not change.inferred:
        return False
    if change.event.known_ms == NO_TIME:
        return other.event.known_ms != NO_TIME
    later = other.event.known_ms - change.event.known_ms
    return other.inferred and 0 < later <= _SAME_FRAME_MS


def fold_market(market: MarketInfo, events: Sequence[Lifecycle]) -> tuple[MarketInfo, list[str]]:
    """A market after its changes.

    Args:
        market: as known otherwise.
        events: its changes, by `known_ms`.

    Returns:
        The market, and sentences on what could not be used.
    """
    ignored = sum(
        e.known_ms == NO_TIME and e.event_type in ("deactivated", "activated") for e in events
    )
    notes = []
    if ignored:
        notes.append(f"{market.ticker}: {ignored} pauses or resumptions without a time are ignored")
    unnamed = sorted(
        {str(e.structure) for e in events if e.event_type in _GRID_EVENTS and not e.price_ranges}
        - {"None"}
    )
    if unnamed:
        notes.append(
            f"{market.ticker}: the grid {', '.join(unnamed)} was given by its name only, without "
            "price_ranges: the grid before it is kept; give the file of markets its price_ranges"
        )
    odd = sorted({e.fees.fee_type for e in events if e.fees and e.fees.fee_type} - set(_QUADRATIC))
    if odd:
        notes.append(
            f"{market.ticker}: fees of the type {', '.join(odd)} are not known: the fees before "
            "them are kept"
        )
    market = _with_result(_with_closes(market, events), events)
    market = _with_fees(_with_grids(market, events), events)
    return replace(market, pauses=fold_pauses(market.pauses, events)), notes


def _with_grids(market: MarketInfo, events: Sequence[Lifecycle]) -> MarketInfo:
    recorded = [
        GridUpdate(e.known_ms, e.price_ranges)
        for e in events
        if e.event_type in _GRID_EVENTS and e.price_ranges is not None
    ]
    from_start = [u for u in recorded if u.known_ms == NO_TIME]
    updates = (*market.grid_updates, *(u for u in recorded if u.known_ms != NO_TIME))
    first = from_start[-1].price_ranges if from_start else market.starting_ranges
    if not updates:
        return replace(market, price_ranges=first)
    return replace(
        market,
        first_price_ranges=first,
        grid_updates=updates,
        price_ranges=updates[-1].price_ranges,
    )


def _with_fees(market: MarketInfo, events: Sequence[Lifecycle]) -> MarketInfo:
    updates = list(market.fee_updates)
    for event in events:
        if event.fees is not None:
            updates.append(next_fees(updates, event.known_ms, event.fees))
    return replace(market, fee_updates=tuple(updates))


def next_fees(updates: Sequence[FeeUpdate], known_ms: int, change: FeeChange) -> FeeUpdate:
    """The fees after a change: a type without maker fees leaves the maker's as they are.

    Args:
        updates: the market's changes so far.
        known_ms: when the new one was known, in ms since 1970 UTC.
        change: its type and multiplier.
    """
    before = updates[-1] if updates else FeeUpdate(known_ms)
    if change.fee_type is None:
        return FeeUpdate(known_ms)
    if change.fee_type not in _QUADRATIC:
        return replace(before, known_ms=known_ms)
    multiplier = MULTIPLIER_SCALE if change.multiplier is None else change.multiplier
    maker = multiplier if "maker" in change.fee_type else before.maker_multiplier
    return FeeUpdate(known_ms, multiplier, maker)


def fold_pauses(pauses: Sequence[Pause], events: Sequence[Lifecycle]) -> tuple[Pause, ...]:
    """Pauses after `deactivated` and `activated`; either does nothing where it changes nothing.

    Args:
        pauses: those known otherwise.
        events: the market's changes, by `known_ms`.

    Returns:
        Pauses by start; the last is open if trading was not resumed.
    """
    out = list(pauses)
    for event in events:
        if event.known_ms == NO_TIME:
            continue
        paused = bool(out) and out[-1].end_ms is None
        if event.event_type == "deactivated" and not paused:
            out.append(Pause(event.known_ms))
        elif event.event_type == "activated" and paused:
            out[-1] = replace(out[-1], end_ms=event.known_ms)
    return tuple(out)


def _with_closes(market: MarketInfo, events: Sequence[Lifecycle]) -> MarketInfo:
    for event in events:
        if event.event_type not in _CLOSE_EVENTS or event.close_ms is None:
            continue
        if event.known_ms == NO_TIME:  # only a first time is of use
            if market.close_time_ms is None and event.event_type == "created":
                market = replace(market, close_time_ms=event.close_ms)
            continue
        updates = dict.fromkeys([*market.close_updates, (event.known_ms, event.close_ms)])
        in_time = sorted(updates, key=lambda update: update[0])  # of one time, the later counts
        market = replace(market, close_updates=tuple(in_time))
    return market


def _with_result(market: MarketInfo, events: Sequence[Lifecycle]) -> MarketInfo:
    """The last result recorded; one without a time was known at the end, so it is the last.

    When a recording has a result, that is when it was known, whatever the file of markets says.
    """
    recorded = [
        e for e in events if e.event_type in ("determined", "settled") and e.value is not None
    ]
    found: Lifecycle | None = None
    for event in sorted(recorded, key=lambda e: e.known_ms == NO_TIME):
        if event.event_type == "determined" or found is None or event.value != found.value:
            found = event
    if found is None:
        return market
    known = None if found.known_ms == NO_TIME else found.known_ms
    return replace(market, settlement_value=found.value, settlement_known_ms=known)
