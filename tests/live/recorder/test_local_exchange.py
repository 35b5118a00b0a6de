"""The local exchange recorded with faults: known books are the true ones, frames are its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import Header, connection_number, segments_in, sid_of
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.recorder.discovery import Selection
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_sim.live.recorder.subscriber import Timing
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic.session import generate_session
from tests.live.recorder.test_recorder import lines

BOOKS = "orderbook_delta"
FAULTS = [
    Fault(fault="skip_seq", channel=BOOKS, after=60),
    Fault(fault="repeat_seq", channel=BOOKS, after=120),
    Fault(fault="reorder_seq", channel=BOOKS, after=180),
    Fault(fault="error_10", channel=BOOKS, after=240),
    Fault(fault="error_25", channel=BOOKS, after=320),
    Fault(fault="ignore_subscribe", after=4),
    Fault(fault="close", channel=BOOKS, after=400),
    Fault(fault="silence", channel=BOOKS, after=480, seconds=0.2),
    Fault(fault="abort", channel=BOOKS, after=600),
    Fault(fault="half_close", channel=BOOKS, after=640),
    Fault(fault="http", path="/markets", after=2, count=2),
]
Book = dict[tuple[int, int], int]


async def record(session: Session, folder: Path, faults: list[Fault], speed: float) -> list[str]:
    """Record a replay; the faults that happened."""
    writer = SegmentWriter(
        folder / "out",
        Header(run=0, number=0, began_ns=0, url="", use_yes_price=False),
        WriterOptions(flush_seconds=0.05, floor_bytes=0),
    )
    async with LocalExchange(
        session, speed=speed, faults=faults, log=folder / "log.jsonl"
    ) as exchange:
        assert exchange.private_key is not None
        recorder = Recorder(
            RecorderOptions(
                websocket=exchange.url.replace("http", "ws"),
                rest=exchange.url,
                selection=Selection(),
                timing=Timing(command=1, snapshots=1, ping=2, backoff=0.3, dark=1),
                discover_every_s=0.5,
                audit_every_s=0,
            ),
            Credentials(exchange.key_id, exchange.private_key),
            writer,
        )
        task = asyncio.create_task(recorder.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(13):
                await exchange.finished()
        recorder.stop()
        await task
        happened = [fault.fault for fault in exchange.exchange.faults.happened]
    await asyncio.to_thread(writer.close)
    return happened


def hundredths(text: str, places: int) -> int:
    return int(Decimal(text) * 10**places)


def true_books(log: Path) -> dict[tuple[int, int], tuple[str, Book]]:
    """(sid of all connections, seq) -> market and its book after that frame, lost ones included."""
    frames: dict[tuple[int, int], dict[str, Any]] = {}
    for text in log.read_text("utf-8").splitlines():
        line = json.loads(text)
        frame = json.loads(line["raw"])
        if frame["type"] in ("orderbook_snapshot", "orderbook_delta"):
            sid = sid_of(connection_number(1, line["connection"]), frame["sid"])
            frames.setdefault((sid, frame["seq"]), frame)
    out: dict[tuple[int, int], tuple[str, Book]] = {}
    books: dict[tuple[int, str], Book] = {}
    for (sid, seq), frame in sorted(frames.items()):
        message = frame["msg"]
        ticker = message["market_ticker"]
        if frame["type"] == "orderbook_snapshot":
            book: Book = {
                (side, hundredths(price, 4)): hundredths(size, 2)
                for side, name in enumerate(("yes_dollars_fp", "no_dollars_fp"))
                for price, size in message.get(name) or ()
            }
        else:
            book = dict(books[sid, ticker])
            level = (int(message["side"] == "no"), hundredths(message["price_dollars"], 4))
            book[level] = book.get(level, 0) + hundredths(message["delta_fp"], 2)
        books[sid, ticker] = book
        out[sid, seq] = (ticker, {level: size for level, size in book.items() if size > 0})
    return out


def check_books(session: Session, true: dict[tuple[int, int], tuple[str, Book]]) -> int:
    """Compare every known book of a session with the true one; how many were known."""
    known = 0
    for i, market in enumerate(session.markets):
        events = session.events[session.market_offsets[i] : session.market_offsets[i + 1]]
        rows = zip(
            *(getattr(events, c).tolist() for c in ("kind", "side", "price", "size", "sid", "seq")),
            strict=True,
        )
        book: Book | None = None
        after: list[tuple[tuple[int, int], Book]] = []
        for kind, side, price, size, sid, seq in rows:
            if kind == EventKind.GAP:
                book = None
            elif kind == EventKind.SNAPSHOT:
                book = {}
            if book is None or kind in (EventKind.GAP, EventKind.TRADE):
                continue
            if kind in (EventKind.LEVEL, EventKind.DELTA):
                book[side, price] = book.get((side, price), 0) + size
            if after and after[-1][0] == (sid, seq):
                after.pop()
            after.append(((sid, seq), {level: n for level, n in book.items() if n > 0}))
        for at, found in after:
            assert true[at] == (market.ticker, found), (at, market.ticker)
        known += len(after)
    return known


def test_books_are_the_true_ones_outside_gaps_whatever_fault(tmp_path: Path) -> None:
    session = generate_session(1, markets=20, minutes=10.0, seed=5)
    happened = asyncio.run(record(session, tmp_path, FAULTS, speed=60))
    assert len(set(happened)) >= 9, happened
    imported = import_captures(segments_in(tmp_path / "out"), session_id=1)
    true = true_books(tmp_path / "log.jsonl")
    known = check_books(imported, true)
    assert known > 0.7 * len(true)
    assert imported.quality.total.gaps > 0
    sent: dict[int, list[str]] = {}
    for text in (tmp_path / "log.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)
        if not line["lost"]:
            sent.setdefault(connection_number(1, line["connection"]), []).append(line["raw"])
    kept: dict[int, list[str]] = {}
    for line in lines(tmp_path / "out"):
        if "raw" in line:
            kept.setdefault(line["connection"], []).append(line["raw"])
    for connection, frames in kept.items():
        there = [json.loads(raw) for raw in sent[connection][: len(frames)]]
        assert frames == there
