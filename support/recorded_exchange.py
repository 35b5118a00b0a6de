"""A recorder at the local exchange, over real sockets, in one process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kalshi_sim.ingest.segments import Header
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.exchange.openings import Opening
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_sim.live.recorder.selection import Selection
from kalshi_sim.live.recorder.subscriber import Timing
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import Session


@dataclass(frozen=True)
class Recorded:
    """What was recorded."""

    happened: list[str]
    """Faults, in order."""
    segments: Path
    """Their folder."""
    log: Path
    """Of the exchange: every frame that was sent, or kept back by a fault."""


async def record(
    session: Session,
    folder: Path,
    faults: Sequence[Fault] = (),
    *,
    speed: float,
    seconds: float,
    skip_ms: int = 0,
    openings: Sequence[Opening] = (),
) -> Recorded:
    """Record a replay of a session, with faults.

    Args:
        session: what the exchange replays.
        folder: for the segments and the log.
        faults: which happen.
        speed: of the replay; 0: as fast as it is read.
        seconds: it ends after so many seconds of the wall clock, or with the session.
        skip_ms: where in the session it begins.
        openings: markets that come to be while time runs.

    Returns:
        Where all of it is.
    """
    out, log = folder / "segments", folder / "log.jsonl"
    writer = SegmentWriter(
        out,
        Header(run=0, number=0, began_ns=0, url="", use_yes_price=False, replay=True),
        WriterOptions(flush_seconds=0.05, floor_bytes=0),
    )
    async with LocalExchange(
        session, speed=speed, faults=faults, log=log, skip_ms=skip_ms, openings=openings
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
            async with asyncio.timeout(seconds):
                await exchange.finished()
                await _read(recorder)
        recorder.stop()
        await task
        happened = [fault.fault for fault in exchange.exchange.faults.happened]
    await asyncio.to_thread(writer.close)
    return Recorded(happened, out, log)


async def _read(recorder: Recorder) -> None:
    """Wait until what was sent has been read."""
    before = -1
    while recorder.tape.frames != before:
        before = recorder.tape.frames
        await asyncio.sleep(0.3)
