"""The slow twin of the import: files of wire frames, read line by line, matched by search.

Written from docs/contract.md#2-book-and-events and the description of the wire alone; holes in the
numbers are no gaps to it. `kalshi_sim.reference.joining` makes one stream of a market's frames.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from kalshi_sim.reference.frames import Frame
from kalshi_sim.reference.joining import stream_of
from kalshi_sim.session import NO_TIME, EventKind
from kalshi_sim.units import CENTS_PER_DOLLAR, PRICE_SCALE, SIZE_SCALE

APART_MS = 2_000
WHOLE_SECOND_MS = 999
NS_PER_MS = 1_000_000


@dataclass
class WireEvent:
    """One event as the wire reported it; `window` is the time it may stand for."""

    kind: EventKind
    side: int = 0
    price: int = 0
    size: int = 0
    ts: int | None = None
    window: tuple[int, int] | None = None
    traded: int = 0


@cache
def scaled(text: Any, scale: int) -> int:
    """An exact decimal in 1/`scale`.

    Args:
        text: as the wire has it.
        scale: a power of ten.
    """
    value = Decimal(str(text)) * scale
    assert value == int(value)
    return int(value)


def wire_price(msg: dict[str, Any], prefix: str = "") -> int:
    """A price in 1/100 cent, from dollars or else from cents.

    Args:
        msg: body of the frame.
        prefix: of the keys, "yes_" or "no_" for a trade.
    """
    if f"{prefix}price_dollars" in msg:
        return scaled(msg[f"{prefix}price_dollars"], PRICE_SCALE)
    return scaled(msg[f"{prefix}price"], PRICE_SCALE // CENTS_PER_DOLLAR)


def wire_size(msg: dict[str, Any], name: str) -> int:
    """A size in 1/100 contract.

    Args:
        msg: body of the frame.
        name: of its older key; the newer one ends in `_fp`.
    """
    return scaled(msg.get(f"{name}_fp", msg.get(name)), SIZE_SCALE)


def wire_levels(msg: dict[str, Any], side: str) -> list[tuple[int, int]]:
    """The levels of one side of a snapshot, by its newest keys.

    (price in 1/100 cent, size in 1/100 contract) of each.

    Args:
        msg: body of the frame.
        side: "yes" or "no".
    """
    for key in (f"{side}_dollars_fp", f"{side}_dollars"):
        if msg.get(key):
            return [(scaled(p, PRICE_SCALE), scaled(n, SIZE_SCALE)) for p, n in msg[key]]
    cents = PRICE_SCALE // CENTS_PER_DOLLAR
    return [(scaled(p, cents), scaled(n, SIZE_SCALE)) for p, n in msg.get(side) or []]


def wire_time(msg: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    """When a frame says it happened.

    Returns:
        The time in ms since 1970 UTC, and the first and last ms it may stand for.
    """
    if "ts_ms" in msg:
        ms = int(msg["ts_ms"])
        return ms, (ms, ms)
    if isinstance(msg["ts"], str):
        moment = datetime.fromisoformat(msg["ts"])
        ms = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
        return ms, (ms, ms)
    ms = int(msg["ts"]) * 1000
    return ms, (ms, ms + WHOLE_SECOND_MS)


def read_frame(frame: dict[str, Any], received_ms: int | None) -> list[WireEvent]:
    """The events of one frame.

    Args:
        frame: as the wire has it.
        received_ms: time of receipt in ms since 1970 UTC; None if unknown.
    """
    msg = frame.get("msg", {})
    if frame["type"] == "orderbook_snapshot":
        levels = [
            WireEvent(EventKind.LEVEL, side, price, size, received_ms)
            for side, name in enumerate(("yes", "no"))
            for price, size in wire_levels(msg, name)
        ]
        return [WireEvent(EventKind.SNAPSHOT, ts=received_ms), *levels]
    if frame["type"] == "orderbook_delta":
        side = ("yes", "no").index(msg["side"])
        return [
            WireEvent(
                EventKind.DELTA, side, wire_price(msg), wire_size(msg, "delta"), *wire_time(msg)
            )
        ]
    if frame["type"] == "trade":
        resting = 1 if msg["taker_side"] == "yes" else 0
        price = wire_price(msg, ("yes_", "no_")[resting])
        return [
            WireEvent(EventKind.TRADE, resting, price, wire_size(msg, "count"), *wire_time(msg))
        ]
    return []


def resolve_times(events: list[WireEvent]) -> None:
    """A snapshot without a time: 1 ms after the latest book event, else the next known time."""
    latest: int | None = None
    snapshot: int | None = None
    book = [e for e in events if e.kind not in (EventKind.TRADE, EventKind.GAP)]
    first = next((e.ts for e in book if e.ts is not None), NO_TIME)
    known = False
    for event in book:
        if event.ts is not None:
            known = True
        elif event.kind == EventKind.LEVEL:
            event.ts = snapshot
        else:
            event.ts = latest + 1 if known and latest is not None else first
        if event.kind == EventKind.SNAPSHOT:
            snapshot = event.ts
        assert event.ts is not None
        latest = event.ts if latest is None else max(latest, event.ts)


def match_trades(events: list[WireEvent]) -> None:
    """Give each trade, in arrival order, the removal it caused."""
    removals: dict[tuple[int, int], list[int]] = {}
    for i, event in enumerate(events):
        if event.kind == EventKind.DELTA and event.size < 0:
            removals.setdefault((event.side, event.price), []).append(i)
    for at, trade in enumerate(events):
        if trade.kind != EventKind.TRADE:
            continue
        unused = removals.get((trade.side, trade.price), [])
        near = [i for i in unused if -events[i].size >= trade.size and close(events[i], trade)]
        earlier = [i for i in near if i < at]
        exact = [i for i in earlier if -events[i].size == trade.size]
        chosen = exact[-1:] or earlier[-1:] or [i for i in near if i > at][:1]
        if chosen:
            unused.remove(chosen[0])
            events[chosen[0]].traded = trade.traded = trade.size


def close(one: WireEvent, other: WireEvent) -> bool:
    """Whether two events may have happened within two seconds.

    Args:
        one, other: both with a time.
    """
    assert one.window is not None
    assert other.window is not None
    apart = max(one.window[0] - other.window[1], other.window[0] - one.window[1])
    return apart <= APART_MS


def received_at(record: dict[str, Any]) -> int | None:
    """The receive time of a line in nanoseconds, if it is an envelope that has one."""
    if "recv_ts_ns" in record:
        return int(record["recv_ts_ns"])
    return int(record["recv_ts_ms"]) * NS_PER_MS if "recv_ts_ms" in record else None


def read_file(path: Path, number: int) -> list[Frame]:
    """The frames of one file, in its order.

    Args:
        path: JSON lines, gzip if its name ends in `.gz`.
        number: of the file among those of the import.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    frames: list[Frame] = []
    with opener(path, "rt") as lines:
        for place, line in enumerate(line for line in lines if line.strip()):
            record = json.loads(line)
            received = received_at(record)
            wire = json.loads(record["raw"]) if "raw" in record else record
            received_ms = None if received is None else received // NS_PER_MS
            if received_ms is None and "sending_ts_ms" in wire:
                received_ms = int(wire["sending_ts_ms"])
            frames.append(Frame(wire, line.strip(), number, place, received))
            frames[-1].events = read_frame(wire, received_ms)
    return frames


def slow_import(*paths: Path) -> dict[str, list[WireEvent]]:
    """The events of each market of one recording, whatever files it lies in.

    Raises:
        Undecided: nothing decides the order of the files.
    """
    files = [read_file(path, number) for number, path in enumerate(paths)]
    tickers = dict.fromkeys(f.market for file in files for f in file if f.events)
    markets: dict[str, list[WireEvent]] = {}
    for ticker in tickers:
        assert ticker is not None
        events: list[WireEvent] = []
        for frame in stream_of(ticker, files):
            events += [WireEvent(EventKind.GAP)] if frame is None else frame.events
        resolve_times(events)
        match_trades(events)
        markets[ticker] = events
    return markets
