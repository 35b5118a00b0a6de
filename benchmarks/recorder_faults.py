"""`kalshi-sim record` against the local exchange while everything goes wrong.

    python -m benchmarks.recorder_faults --minutes 10 --speed 10 --seed 1

The busiest ten minutes of the NBA evening (where its captures are) and of a generated session of
500 markets are replayed and recorded, each kind of fault happening several times at random moments.
Every book that the imported session knows is compared with that of the exchange's own log after
the same frame. Prints a JSON object a session; exit code 1 if any book differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.sessions import main_name, session
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.session import NO_TIME, EventKind, Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.units import MS_PER_MINUTE, MS_PER_SECOND
from support.exchange_truth import known_books, opened, true_books
from support.recorded_exchange import record

BOOKS: Final = "orderbook_delta"
FRAME_FAULTS: Final = (
    "skip_seq",
    "repeat_seq",
    "reorder_seq",
    "error_10",
    "error_25",
    "close",
    "silence",
    "abort",
    "half_close",
    "maintenance",
)
TIMES: Final = 3


def busiest(session: Session, ms: int) -> tuple[int, int]:
    """Where in a session a span with most frames begins, and how many those are.

    Args:
        session: any.
        ms: length of the span.

    Returns:
        (ms after the session's start, frames).
    """
    events = session.events
    frames = (events.kind != EventKind.LEVEL) & (events.ts_ms != NO_TIME)
    times = np.sort(events.ts_ms[frames])
    start = session.first_book_ms if session.started_ms is None else session.started_ms
    counts = np.searchsorted(times, times + ms) - np.arange(len(times))
    best = int(counts.argmax())
    return max(0, int(times[best]) - start), int(counts[best])


def random_faults(draw: random.Random, frames: int) -> list[Fault]:
    """Each kind of fault several times, at random moments.

    Args:
        draw: random numbers.
        frames: so many frames are expected.
    """
    faults = [
        Fault(fault=kind, channel=BOOKS, after=draw.randrange(frames), seconds=draw.uniform(0.1, 2))
        for kind in FRAME_FAULTS
        for _ in range(TIMES)
    ]
    faults.append(Fault(fault="big_frame", channel=BOOKS, after=draw.randrange(frames // 2)))
    faults += [
        Fault(fault="refuse_command", after=draw.randrange(1, 20), code=code) for code in (18, 27)
    ]
    faults += [Fault(fault="ignore_subscribe", after=draw.randrange(1, 20)) for _ in range(TIMES)]
    for status in (404, 429, 503):
        faults.append(
            Fault(fault="http", path="/markets", after=draw.randrange(1, 9), status=status)
        )
    faults.append(Fault(fault="stop_pongs", seconds=1.5))
    return faults


def proof(session: Session, *, minutes: float, speed: float, seed: int) -> dict[str, Any]:
    """Record a part of a session with faults and compare.

    Args:
        session: what is replayed.
        minutes: of replayed time.
        speed: replayed seconds in one of the wall clock.
        seed: of the faults' moments.
    """
    span_ms = round(minutes * MS_PER_MINUTE)
    skip_ms, frames = busiest(session, span_ms)
    faults = random_faults(random.Random(seed), max(frames, 40))
    with tempfile.TemporaryDirectory() as folder:
        recorded = asyncio.run(
            record(
                session,
                Path(folder),
                faults,
                speed=speed,
                seconds=span_ms / MS_PER_SECOND / speed,
                skip_ms=skip_ms,
            )
        )
        begun = time.monotonic()
        imported = import_captures(segments_in(recorded.segments), session_id=session.session_id)
        true = true_books(recorded.log, opened(recorded.segments))
        known = known_books(imported, true)
        sent = sum(1 for _ in recorded.log.open("rb"))
    return {
        "session": session.session_id,
        "markets": len(session.markets),
        "frames_sent": sent,
        "book_frames": len(true),
        "known_after": known,
        "known_share": round(known / len(true), 4),
        "different": 0,
        "gaps": imported.quality.total.gaps,
        "faults": dict(Counter(recorded.happened)),
        "compared_in_seconds": round(time.monotonic() - begun, 1),
    }


def main() -> int:
    """Run it and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sessions = [generate_session(500, markets=500, minutes=35, seed=9)]
    if main_name() != "generated":
        sessions.append(session(main_name()))
    for recorded in sessions:
        try:
            print(json.dumps(proof(recorded, **vars(options))), flush=True)
        except AssertionError as error:
            print(json.dumps({"session": recorded.session_id, "different": str(error)}))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
