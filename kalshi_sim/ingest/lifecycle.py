"""Frames of a market's life: grid, fees, pauses, close times and results, decoded and folded.

They are `market_lifecycle_v2`, `market_lifecycle`, `multivariate_market_lifecycle` and
`event_fee_update`. Many carry no time: docs/contract.md#2-book-and-events says which one they
get. What they say is folded market by market into a `MarketInfo`, so that neither the order of the
files nor a frame that two files share changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.fees import MAX_MULTIPLIER
from kalshi_sim.ingest.frames import Message
from kalshi_sim.ingest.wire_time import scalar_ms
from kalshi_sim.session import (
    NO_TIME,
    FeeUpdate,
    GridUpdate,
    Int64Array,
    MarketInfo,
    Pause,
    PriceRanges,
)
from kalshi_sim.units import (
    MS_PER_SECOND,
    MULTIPLIER_SCALE,
    PRICE_SCALE,
    parse_decimal,
    parse_dollars,
)

LIFECYCLE_TYPES: Final = (
    "market_lifecycle_v2",
    "market_lifecycle",
    "multivariate_market_lifecycle",
    "event_fee_update",
)
FEE_UPDATE: Final = "event_fee_update"
_GRID_EVENTS: Final = ("created", "price_level_structure_updated")
_CLOSE_EVENTS: Final = ("created", "close_date_updated")
_RESULTS: Final = {"yes": PRICE_SCALE, "no": 0, "YES": PRICE_SCALE, "NO": 0}
_QUADRATIC: Final = ("quadratic", "quadratic_with_maker_fees")
_SAME_FRAME_MS: Final = MS_PER_SECOND
"""Inferred times of one frame in two files differ by what only one of them saw before it."""


@dataclass(frozen=True)
class FeeChange:
    """An override of the fees; multipliers in 1/10 000, None: back to the schedule."""

    fee_type: str | None
    multiplier: int | None


@dataclass(frozen=True)
class Lifecycle:
    """A change in a market's life; `known_ms` is NO_TIME if its frame did not say when."""

    market: int
    """-1: it concerns all markets of `event_ticker`."""
    event_type: str
    known_ms: int
    close_ms: int | None = None
    value: int | None = None
    price_ranges: PriceRanges | None = None
    structure: str | None = None
    event_ticker: str | None = None
    fees: FeeChange | None = None

    @property
    def content(self) -> tuple[str, ...]:
        """What it says, apart from when and of which market; orders and compares."""
        parts = (self.event_type, self.close_ms, self.value, self.price_ranges, self.fees)
        return tuple(map(repr, parts))


def decode_lifecycle(
    frame_type: str, message: Message, known_ms: int, market_number: Callable[[str | None], int]
) -> Lifecycle:
    """What one lifecycle frame says.

    Raises:
        ValueError: a value in it cannot be right.
    """
    fees = _fee_change(frame_type, message)
    if frame_type == FEE_UPDATE:
        if message.market_ticker is None and not message.event_ticker:
            _bad("event_ticker is missing")
        market = -1 if message.market_ticker is None else market_number(message.market_ticker)
        return Lifecycle(market, FEE_UPDATE, known_ms, event_ticker=message.event_ticker, fees=fees)
    value = None if message.settlement_value in (None, "") else _dollars(message.settlement_value)
    if value is None and message.result is not None:
        value = _RESULTS.get(message.result)
    if value is not None and not 0 <= value <= PRICE_SCALE:
        _bad(f"settlement value {message.settlement_value!r} is not between 0 and 1 dollar")
    if known_ms == NO_TIME and message.determination_ts is not None:
        known_ms = scalar_ms(message.determination_ts)[0]
    return Lifecycle(
        market=market_number(message.market_ticker),
        event_type=message.event_type or "",
        known_ms=known_ms,
        close_ms=None if message.close_ts is None else scalar_ms(message.close_ts)[0],
        value=value,
        price_ranges=_price_ranges(message),
        structure=message.price_level_structure,
        fees=fees,
    )


def _bad(why: str) -> NoReturn:
    raise ValueError(why)


def _dollars(text: str | int | float | None) -> int:
    return parse_dollars("" if text is None else text)


def _price_ranges(message: Message) -> PriceRanges | None:
    if not message.price_ranges:
        return None
    bands = sorted(
        (_dollars(b.start), _dollars(b.end), _dollars(b.step)) for b in message.price_ranges
    )
    check_price_ranges(bands)
    return tuple(bands)


def check_price_ranges(bands: Sequence[tuple[int, int, int]]) -> None:
    """Check the bands of a grid, ascending.

    Raises:
        ValueError: a band is empty, beyond 0 and 1 dollar, overlaps the one before it, or its
            step does not lead to its end.
    """
    before = 0
    for start, end, step in bands:
        told = f"price range {start}-{end} by {step} (in 1/100 cent)"
        if not 0 <= start < end <= PRICE_SCALE or step <= 0:
            _bad(f"{told}: needs 0 <= start < end <= 1 dollar and a step above 0")
        if (end - start) % step:
            _bad(f"{told}: the step does not lead from its start to its end")
        if start < before:
            _bad(f"{told} overlaps the one before it")
        before = end


def _fee_change(frame_type: str, message: Message) -> FeeChange | None:
    fee_type, told = message.fee_type_override, message.fee_multiplier_override
    if frame_type != FEE_UPDATE and fee_type is None:
        return None
    multiplier = None if told is None else parse_decimal(told, MULTIPLIER_SCALE)
    if multiplier is not None and not 0 <= multiplier <= MAX_MULTIPLIER:
        _bad(f"fee multiplier {told!r} is not between 0 and {MAX_MULTIPLIER // MULTIPLIER_SCALE}")
    return FeeChange(fee_type, multiplier)


@dataclass(frozen=True)
class Folded:
    """Markets with what their lives were, and sentences on what could not be used."""

    markets: tuple[MarketInfo, ...]
    notes: tuple[str, ...]
    times: tuple[int, ...]
    """When the changes were known, those of markets that are not in the session too."""


@dataclass(frozen=True)
class _Told:
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
    """Markets with the changes that a recording tells of them.

    Args:
        markets: the session's markets, with what is known of them otherwise.
        numbers: int64 [tickers] the number of a frame's market among `markets`, -1 if none.
        lifecycles: the changes, in the order of their frames.
        rows: int64 [changes] which frames these are.
        ts_ms: int64 [frames] times as told, NO_TIME where none is.
        file_of: int64 [frames] which file each lies in, ascending.

    Raises:
        DataError: the recording tells another result than the metadata.
    """
    told = _with_times(lifecycles, rows, ts_ms, file_of)
    notes = _timing_notes(told)
    by_event: dict[str, list[int]] = {}
    for i, market in enumerate(markets):
        by_event.setdefault(market.event, []).append(i)
    of_market: dict[int, list[_Told]] = {}
    for change in told:
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
                f"{markets[i].ticker}: the recording tells another result than the file of "
                "markets; correct the result there"
            )
    times = tuple(t.event.known_ms for t in told if t.event.known_ms != NO_TIME)
    return Folded(tuple(out), tuple(notes), times)


def _with_times(
    lifecycles: Sequence[Lifecycle], rows: Int64Array, ts_ms: Int64Array, file_of: Int64Array
) -> list[_Told]:
    """The changes with their times; one without has the millisecond after what its file told."""
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
        out.append(_Told(file, event, inferred))
    return out


def _timing_notes(told: Sequence[_Told]) -> list[str]:
    notes = []
    inferred = sum(t.inferred and t.event.known_ms != NO_TIME for t in told)
    timeless = sum(t.event.known_ms == NO_TIME for t in told)
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


def _in_order(told: Sequence[_Told]) -> list[Lifecycle]:
    """One market's changes by time, each once, whatever the order of the files."""
    kept = _without_repeats(told)
    moments: dict[int, dict[int, list[Lifecycle]]] = {}
    for change in kept:
        runs = moments.setdefault(change.event.known_ms, {})
        runs.setdefault(change.file, []).append(change.event)
    out: list[Lifecycle] = []
    for moment in sorted(moments):  # NO_TIME is the lowest number
        # Within a file their order is a fact; of several files the fullest one tells it.
        runs_here = sorted(
            moments[moment].values(), key=lambda run: (-len(run), [e.content for e in run])
        )
        seen: set[tuple[str, ...]] = set()
        for run in runs_here:
            out += [event for event in run if event.content not in seen]
            seen |= {event.content for event in run}
    return out


def _without_repeats(told: Sequence[_Told]) -> list[_Told]:
    """The changes without those another file tells too, with a better founded time."""
    by_content: dict[tuple[str, ...], list[_Told]] = {}
    for change in told:
        by_content.setdefault(change.event.content, []).append(change)
    return [c for c in told if not any(_is_repeat(c, o) for o in by_content[c.event.content])]


def _is_repeat(change: _Told, other: _Told) -> bool:
    if change.file == other.file or not change.inferred:
        return False
    if change.event.known_ms == NO_TIME:
        return other.event.known_ms != NO_TIME
    later = other.event.known_ms - change.event.known_ms
    return other.inferred and 0 < later <= _SAME_FRAME_MS


def fold_market(market: MarketInfo, events: Sequence[Lifecycle]) -> tuple[MarketInfo, list[str]]:
    """A market after its changes, which come by `known_ms`, and what could not be used of them."""
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
            f"{market.ticker}: the grid {', '.join(unnamed)} was told by its name only, without "
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
    told = [
        GridUpdate(e.known_ms, e.price_ranges)
        for e in events
        if e.event_type in _GRID_EVENTS and e.price_ranges is not None
    ]
    from_start = [u for u in told if u.known_ms == NO_TIME]
    updates = (*market.grid_updates, *(u for u in told if u.known_ms != NO_TIME))
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
    """The fees after a change: a type without maker fees leaves the maker's as they are."""
    before = updates[-1] if updates else FeeUpdate(known_ms)
    if change.fee_type is None:
        return FeeUpdate(known_ms)
    if change.fee_type not in _QUADRATIC:
        return replace(before, known_ms=known_ms)
    multiplier = MULTIPLIER_SCALE if change.multiplier is None else change.multiplier
    maker = multiplier if "maker" in change.fee_type else before.maker_multiplier
    return FeeUpdate(known_ms, multiplier, maker)


def fold_pauses(pauses: Sequence[Pause], events: Sequence[Lifecycle]) -> tuple[Pause, ...]:
    """Pauses after `deactivated` and `activated`; either does nothing where it changes nothing."""
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
    """The last result told; one without a time was known at the end, so it is the last."""
    told = [e for e in events if e.event_type in ("determined", "settled") and e.value is not None]
    found: Lifecycle | None = None
    for event in sorted(told, key=lambda e: e.known_ms == NO_TIME):
        if event.event_type == "determined" or found is None or event.value != found.value:
            found = event
    if found is None:
        return market
    known = market.settlement_known_ms if found.known_ms == NO_TIME else found.known_ms
    return replace(market, settlement_value=found.value, settlement_known_ms=known)
