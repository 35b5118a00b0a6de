"""Frames of the wire for tests: written as a recorder would, a frame a line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind, Events, Session

T0 = 1_773_862_566_000
"""2026-03-18T19:36:06Z in ms."""
MARKET = "KXGAME-26MAR18AB-A"


def frame(kind: str, seq: int | None = None, sid: int | None = 1, **message: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"type": kind, "sid": sid, "seq": seq, "msg": message}
    return {k: v for k, v in out.items() if v is not None}


def snapshot(
    seq: int | None,
    yes: list[list[str]] | None = None,
    no: list[list[str]] | None = None,
    *,
    market: str = MARKET,
    sid: int | None = 1,
) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    if yes:
        sides["yes_dollars_fp"] = yes
    if no:
        sides["no_dollars_fp"] = no
    return frame("orderbook_snapshot", seq, sid, market_ticker=market, **sides)


def delta(
    seq: int | None,
    ms: int | None,
    side: str = "yes",
    price: str = "0.4000",
    size: str = "10.00",
    *,
    market: str = MARKET,
    sid: int | None = 1,
) -> dict[str, Any]:
    message: dict[str, Any] = {"price_dollars": price, "delta_fp": size, "side": side}
    if ms is not None:
        message["ts_ms"] = T0 + ms
    return frame("orderbook_delta", seq, sid, market_ticker=market, **message)


def trade(
    seq: int | None,
    ms: int | None,
    taker: str = "no",
    yes_price: str = "0.4000",
    size: str = "10.00",
    *,
    market: str = MARKET,
    sid: int | None = 2,
    **more: Any,
) -> dict[str, Any]:
    message: dict[str, Any] = {"yes_price_dollars": yes_price, "count_fp": size, **more}
    message["taker_side"] = taker
    if ms is not None:
        message["ts_ms"] = T0 + ms
    return frame("trade", seq, sid, market_ticker=market, **message)


def book(seq: int = 1, *, market: str = MARKET, sid: int = 1) -> dict[str, Any]:
    """A snapshot of an ordinary book."""
    yes, no = [["0.3900", "20.00"], ["0.4000", "100.00"]], [["0.5500", "80.00"]]
    return snapshot(seq, yes, no, market=market, sid=sid)


def received(line: dict[str, Any], ms: int) -> dict[str, Any]:
    """An envelope with the receive time around a frame."""
    return {"recv_ts_ns": (T0 + ms) * 1_000_000 + 999_999, "raw": json.dumps(line)}


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def imported(folder: Path, *lines: dict[str, Any] | str, **options: Any) -> Session:
    """The session that a single capture of these lines makes."""
    return import_captures([write(folder / "capture.jsonl", *lines)], session_id=1, **options)


def rows(events: Events, kind: EventKind) -> list[tuple[int, int, int]]:
    """(side, price, size) of the events of a kind."""
    e = events[events.kind == kind]
    return list(zip(e.side.tolist(), e.price.tolist(), e.size.tolist(), strict=True))
