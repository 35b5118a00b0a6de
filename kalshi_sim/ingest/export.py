"""A session back into captures: frames of the wire that import reads as the same events."""

from __future__ import annotations

import csv
import gzip
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.file_sets import whole_set
from kalshi_sim.ingest.export_gaps import GapWriter, check_gaps, needs_numbers
from kalshi_sim.ingest.export_life import at_start, has_time, life_frames
from kalshi_sim.ingest.wire_time import NS_PER_MS
from kalshi_sim.session import (
    NO_TIME,
    POLLED,
    EventFlag,
    EventKind,
    Events,
    Int64Array,
    MarketInfo,
    Session,
)
from kalshi_sim.text import file_names
from kalshi_sim.units import (
    MS_PER_SECOND,
    MULTIPLIER_SCALE,
    PRICE_SCALE,
    SIZE_SCALE,
    format_decimal,
    mirror,
)

_SIDES: Final = ("yes", "no")
_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".gz")
_MARKETS: Final = "markets.csv"
_TICKER: Final = "market_ticker"
_TIMED: Final = (EventKind.SNAPSHOT, EventKind.DELTA, EventKind.TRADE)


@dataclass(frozen=True)
class Exported:
    """The files written, captures first, and the command that imports them again."""

    files: tuple[Path, ...]
    import_command: str


def export_captures(
    session: Session, out: str | os.PathLike[str], *, overwrite: bool = False
) -> Exported:
    """Write a session as captures, and its markets' metadata as a CSV file beside them.

    All files appear together or not at all. Killed while it renames them in a folder that was
    there before, it leaves some, which no import takes and the next export replaces.

    Args:
        session: what to write.
        out: a file (`.jsonl`, `.ndjson`, `.json`, `.gz`): all markets in one, whose import gives
            equal events; or a folder: a file for each market, whose import gives equal events but
            for `frame`, their rank among other markets' frames.
        overwrite: replace files that are there.

    Returns:
        The files written, and the command that imports them again.

    Raises:
        ConfigError: a file is there already, or the session holds what captures cannot.
        StoreError: the files cannot be written.
    """
    instead = f"copy session {session.session_id} into a store with --to instead"
    _check(session, instead)
    target = Path(out)
    if target.suffix in _SUFFIXES and not target.is_dir():
        folder, parts = target.parent, {target.name: list(range(len(session.markets)))}
        metadata = f"{target.name.partition('.')[0]}-{_MARKETS}"
    else:
        stems = file_names([m.ticker for m in session.markets])
        folder, parts = target, {f"{stem}.ndjson.gz": [i] for i, stem in enumerate(stems)}
        metadata = _MARKETS
    # All that may be refused comes before the first file is written.
    starts = [at_start(market) for market in session.markets]
    life = [life_frames(market, instead) for market in session.markets]
    if (session.events.kind == EventKind.GAP).any():
        files = [_capture(session, members, life) for members in parts.values()]
        apart = "give a folder, which gets a file for each market, or "
        one_of_many = len(parts) == 1 and len(session.markets) > 1
        check_gaps(session, files, apart + instead if one_of_many else instead)
    try:
        with whole_set(folder, [*parts, metadata], replace=overwrite) as temporary:
            for name, members in parts.items():
                data = _capture(session, members, life)
                packed = gzip.compress(data, compresslevel=6, mtime=0)
                (temporary / name).write_bytes(packed if name.endswith(".gz") else data)
            (temporary / metadata).write_bytes(_markets_csv(starts))
    except FileExistsError as error:
        raise ConfigError(f"{error}; name another, or --overwrite") from error
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    markets_csv = folder / metadata
    captures = f"{shlex.quote(str(target))}/*.gz"
    if folder != target or {path.name for path in target.glob("*.gz")} - set(parts):
        captures = " ".join(shlex.quote(str(folder / name)) for name in parts)
    whole = " --whole-subscription" if needs_numbers(session) else ""
    rebuilt = (session.events.flags & EventFlag.REBUILT != 0).any()
    smallest = " --missing-snapshot smallest" if rebuilt else ""
    markets = shlex.quote(str(markets_csv))
    command = f"kalshi-sim import {captures} --markets {markets}{whole}{smallest}"
    return Exported((*(folder / name for name in parts), markets_csv), command)


def _check(session: Session, instead: str) -> None:
    events = session.events
    if (events.kind == EventKind.DROP_LEVEL).any():
        raise ConfigError(f"captures cannot say that a level's size is unknown; {instead}")
    if ((events.kind == EventKind.GAP) & (events.sid < 0)).any():
        raise ConfigError(f"captures cannot say where messages without seq are missing; {instead}")


def _capture(session: Session, members: Sequence[int], life: Sequence[Sequence[bytes]]) -> bytes:
    """The capture of some markets, by index, a frame a line; `life` are all markets' changes."""
    return b"".join(line + b"\n" for line in _lines(session, members, life))


def _lines(
    session: Session, members: Sequence[int], life: Sequence[Sequence[bytes]]
) -> Iterator[bytes]:
    encode = msgspec.json.encode
    changes = [line for i in members for line in life[i]]
    # A change without a time holds from the start only where nothing before it has one.
    yield from (line for line in changes if not has_time(line))
    if session.source.startswith(POLLED):
        yield encode({"type": "recording"})  # a file that begins with a poll is one of polls alone
    if session.trades_recorded:
        yield encode({"type": "subscribed", "id": 1, "msg": {"channel": "trade"}})
    yield from _session_ends(session)
    yield from (line for line in changes if has_time(line))
    chosen = session.select([session.markets[i].ticker for i in members])
    yield from _frames(chosen, by_numbers=needs_numbers(session))


def _session_ends(session: Session) -> Iterator[bytes]:
    """Frames that carry the times of the first and last message, where no event has them."""
    events = session.events
    timed = np.isin(events.kind, _TIMED) & (events.flags & EventFlag.TIME_INFERRED == 0)
    times = events.ts_ms[timed & (events.ts_ms != NO_TIME)]
    first = session.started_ms
    ends = (
        (first, int(times.min()) if len(times) else None),
        (session.last_message_ms, int(times.max()) if len(times) else None),
    )
    for wanted, found in ends:
        if wanted is not None and wanted != found:
            yield msgspec.json.encode({"type": "recording", "msg": {"ts_ms": wanted}})


def _frames(session: Session, *, by_numbers: bool) -> Iterator[bytes]:
    events, offsets = session.events, session.market_offsets
    market = np.repeat(np.arange(len(session.markets)), np.diff(offsets))
    tickers = [m.ticker for m in session.markets]
    # What was never recorded is not written: the import rebuilds it.
    heads = np.flatnonzero(
        (events.kind != EventKind.LEVEL) & (events.flags & EventFlag.REBUILT == 0)
    )
    heads = heads[np.argsort(events.frame[heads], kind="stable")]
    next_head = _ends_of_levels(events)
    prices = {p: format_decimal(p, PRICE_SCALE) for p in np.unique(events.price).tolist()}
    sizes = {s: format_decimal(s, SIZE_SCALE) for s in np.unique(events.size).tolist()}
    polled = session.source.startswith(POLLED)
    has_gaps = bool((events.kind == EventKind.GAP).any())
    gaps = GapWriter(session, heads, market, by_numbers=by_numbers)
    columns = (events.kind, events.side, events.price, events.size, events.ts_ms, events.sid)
    for i, kind, side, price, size, ts_ms, sid, seq, flags in zip(
        heads.tolist(),
        *(column[heads].tolist() for column in columns),
        events.seq[heads].tolist(),
        events.flags[heads].tolist(),
        strict=True,
    ):
        if has_gaps:
            yield from gaps.before(i, int(market[i]))
        if kind == EventKind.GAP:
            continue
        message: dict[str, Any] = {_TICKER: tickers[market[i]]}
        frame: dict[str, Any] = {"type": "", "sid": sid, "seq": seq, "msg": message}
        if sid < 0:
            del frame["sid"]
        if seq < 0:
            del frame["seq"]
        if kind == EventKind.SNAPSHOT:
            frame["type"] = "orderbook_snapshot"
            _add_levels(message, events, i + 1, int(next_head[i]), prices, sizes)
            if polled and sid < 0 and seq < 0:
                frame = _poll(message)
            yield _with_receive_time(frame, ts_ms, flags)
            continue
        if kind == EventKind.DELTA:
            frame["type"] = "orderbook_delta"
            message["price_dollars"] = prices[price]
            message["delta_fp"] = sizes[size]
            message["side"] = _SIDES[side]
        else:
            frame["type"] = "trade"
            other = format_decimal(mirror(price, PRICE_SCALE), PRICE_SCALE)
            message[f"{_SIDES[side]}_price_dollars"] = prices[price]
            message[f"{_SIDES[1 - side]}_price_dollars"] = other
            message["count_fp"] = sizes[size]
            message["taker_side"] = _SIDES[1 - side]
        if flags & EventFlag.WHOLE_SECOND:
            message["ts"] = ts_ms // MS_PER_SECOND
        elif not flags & EventFlag.TIME_INFERRED and ts_ms != NO_TIME:
            message["ts_ms"] = ts_ms
        yield msgspec.json.encode(frame)
    yield from gaps.at_end()


def _poll(message: dict[str, Any]) -> dict[str, Any]:
    """An order book of the REST API, which makes a session one of polls."""
    book = {key.removesuffix("_fp"): value for key, value in message.items() if key != _TICKER}
    return {_TICKER: message[_TICKER], "orderbook_fp": book}


def _ends_of_levels(events: Events) -> Int64Array:
    """For each event the first one after it that is no level."""
    n = len(events)
    at = np.where(events.kind != EventKind.LEVEL, np.arange(n), n)
    following = np.minimum.accumulate(at[::-1])[::-1]
    return np.append(following[1:], n).astype(np.int64)


def _add_levels(
    message: dict[str, Any],
    events: Events,
    first: int,
    stop: int,
    prices: dict[int, str],
    sizes: dict[int, str],
) -> None:
    for k in range(first, stop):
        levels = message.setdefault(f"{_SIDES[events.side[k]]}_dollars_fp", [])
        levels.append((prices[int(events.price[k])], sizes[int(events.size[k])]))


def _with_receive_time(frame: dict[str, Any], ts_ms: int, flags: int) -> bytes:
    """A snapshot has no time of its own: its receive time stands around it, if it had one."""
    raw = msgspec.json.encode(frame)
    if flags & EventFlag.TIME_INFERRED or ts_ms == NO_TIME:
        return raw
    return msgspec.json.encode({"recv_ts_ns": ts_ms * NS_PER_MS, "raw": raw.decode()})


def _time(ms: int | None) -> str:
    if ms is None:
        return ""
    moment = datetime.fromtimestamp(ms // MS_PER_SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % MS_PER_SECOND:03d}Z"


def _dollars(value: int | None) -> str:
    return "" if value is None else format_decimal(value, PRICE_SCALE)


def _multiplier(value: int | None) -> str:
    return "" if value is None else format_decimal(value, MULTIPLIER_SCALE)


def _markets_csv(markets: Sequence[MarketInfo]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "market_ticker",
            "event_ticker",
            "close_time",
            "settlement_value",
            "settlement_time",
            "sub_penny",
            "price_ranges",
            "taker_multiplier",
            "maker_multiplier",
            "fee_unit",
        )
    )
    for m in markets:
        bands = [":".join(map(_dollars, band)) for band in m.price_ranges or ()]
        writer.writerow(
            (
                m.ticker,
                m.event_ticker or "",
                _time(m.close_time_ms),
                _dollars(m.settlement_value),
                _time(m.settlement_known_ms),
                "true" if m.sub_penny else "",
                ";".join(bands),
                _multiplier(m.taker_multiplier),
                _multiplier(m.maker_multiplier),
                _dollars(m.fee_unit),
            )
        )
    return text.getvalue().encode()
