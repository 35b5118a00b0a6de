"""The local exchange recorded with faults: known books are the true ones, frames are its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer

from kalshi_sim import build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.recorder.discovery import is_replay
from kalshi_sim.synthetic.session import generate_session
from support.exchange_truth import known_books, opened, true_books
from support.recorded_exchange import record
from tests.live.recorder.test_recorder import lines
from tests.support.scripted_exchange import ScriptedExchange, scripted

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
    Fault(fault="refuse_command", code=27, after=2, count=2),
    Fault(fault="refuse_command", code=18, after=9),
    Fault(fault="maintenance", channel=BOOKS, after=540, seconds=0.4),
]


def test_books_are_the_true_ones_outside_gaps_whatever_fault(tmp_path: Path) -> None:
    session = generate_session(1, markets=20, minutes=10.0, seed=5)
    recorded = asyncio.run(record(session, tmp_path, FAULTS, speed=60, seconds=13))
    assert set(recorded.happened) >= {"maintenance", "refuse_command"}
    assert len(set(recorded.happened)) >= 9, recorded.happened
    imported = import_captures(segments_in(recorded.segments), session_id=1)
    connections = opened(recorded.segments)
    true = true_books(recorded.log, connections)
    assert known_books(imported, true) > 0.7 * len(true)
    assert imported.quality.total.gaps > 0
    sent: dict[int, list[str]] = {}
    for text in recorded.log.read_text("utf-8").splitlines():
        line = json.loads(text)
        if not line["lost"]:
            sent.setdefault(connections[line["connection"] - 1], []).append(line["raw"])
    kept: dict[int, list[str]] = {}
    for line in lines(recorded.segments):
        if "raw" in line:
            kept.setdefault(line["connection"], []).append(line["raw"])
    for connection, frames in kept.items():
        there = [json.loads(raw) for raw in sent[connection][: len(frames)]]
        assert frames == there


def test_a_recording_of_a_replay_of_a_recording_is_the_same_tape(tmp_path: Path) -> None:
    original = session = generate_session(2, markets=6, minutes=5.0, seed=7)
    tapes = [build_tape([original])]
    for nth in range(2):
        folder = tmp_path / str(nth)
        folder.mkdir()
        recorded = asyncio.run(record(session, folder, speed=0, seconds=60))
        session = import_captures(segments_in(recorded.segments), session_id=2)
        session = session.select([market.ticker for market in original.markets])
        tapes.append(build_tape([session]))
        assert session.quality.total.trades == original.quality.total.trades > 0
    for tape in tapes[1:]:
        assert tape.views == tapes[0].views
        for name in ("ts_ms", "payout", "px", "qty", "mark2", "features", "flow"):
            assert np.array_equal(getattr(tape, name), getattr(tapes[0], name)), name


def test_a_local_exchange_is_told_from_another() -> None:
    async def asked() -> tuple[bool, ...]:
        async with LocalExchange(generate_session(2, markets=1, minutes=1, seed=1)) as exchange:
            here = await is_replay(exchange.url)
        other = ScriptedExchange(["KXONE-26-A"])
        async with scripted(other):
            there = await is_replay(other.address)
        pages = web.Application()
        pages.router.add_get("/{any:.*}", _page)
        async with TestServer(pages) as server:  # answers anything
            return here, there, await is_replay(f"http://127.0.0.1:{server.port}")

    assert asyncio.run(asked()) == (True, False, False)


async def _page(request: web.Request) -> web.Response:
    return web.json_response({})
