"""A recorder against an exchange on a socket: books are known, or asked for until they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import Header, segments_in
from kalshi_sim.ingest.sources import Source
from kalshi_sim.live.keys import new_private_key
from kalshi_sim.live.recorder.options import Credentials, RecorderOptions
from kalshi_sim.live.recorder.recorder import Recorder
from kalshi_sim.live.recorder.selection import Selection
from kalshi_sim.live.recorder.subscriber import Timing
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import EventKind
from tests.support.scripted_exchange import ScriptedExchange, scripted, until

A, B, C = "KXONE-26-A", "KXONE-26-B", "KXTWO-26-C"
TIMING = Timing(connect=5, command=0.6, snapshots=0.6, ping=5, check=30, backoff=0.5, dark=0.5)
Script = Callable[[ScriptedExchange, Recorder], Awaitable[None]]


@asynccontextmanager
async def recording(
    folder: Path, exchange: ScriptedExchange, **options: Any
) -> AsyncIterator[Recorder]:
    chosen: dict[str, Any] = {"selection": Selection(), "timing": TIMING, "audit_every_s": 0}
    writer = SegmentWriter(
        folder,
        Header(run=0, number=0, began_ns=0, url="", use_yes_price=False),
        WriterOptions(flush_seconds=0.05, floor_bytes=0),
    )
    settings = RecorderOptions(
        websocket=exchange.address.replace("http", "ws"),
        rest=exchange.address,
        **(chosen | options),
    )
    recorder = Recorder(settings, Credentials("id", new_private_key()), writer)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        recorder.stop()
        try:
            await task
        finally:
            await asyncio.to_thread(writer.close)


def run(folder: Path, script: Script, exchange: ScriptedExchange, **options: Any) -> Recorder:
    async def go() -> Recorder:
        async with scripted(exchange), recording(folder, exchange, **options) as recorder:
            await until(lambda: known(recorder, len(exchange.markets)))
            await script(exchange, recorder)
        return recorder

    return asyncio.run(go())


def known(recorder: Recorder, markets: int) -> bool:
    status = recorder.status()
    return status.markets_acknowledged == markets and status.books_unknown == 0


def lines(folder: Path) -> list[dict[str, Any]]:
    text = b"".join(b"".join(Source(p).chunks()) for p in segments_in(folder))
    return [json.loads(line) for line in text.splitlines()]


def markers(folder: Path, name: str) -> list[dict[str, Any]]:
    return [line["what"] for line in lines(folder) if line.get("marker") == name]


def final_sizes(folder: Path) -> dict[str, int]:
    """Contracts at 0.4000 YES of each market at the end of the imported session."""
    session = import_captures(segments_in(folder), session_id=1)
    sizes: dict[str, int] = {}
    for i, market in enumerate(session.markets):
        events = session.events[session.market_offsets[i] : session.market_offsets[i + 1]]
        for kind, price, size in zip(
            events.kind.tolist(), events.price.tolist(), events.size.tolist(), strict=True
        ):
            if price != 4000:
                continue
            if kind == EventKind.LEVEL:
                sizes[market.ticker] = size // 100
            elif kind == EventKind.DELTA:
                sizes[market.ticker] += size // 100
    return sizes


async def changes(exchange: ScriptedExchange, n: int = 3) -> None:
    for _ in range(n):
        for ticker in exchange.markets:
            await exchange.change(ticker)


def true_sizes(exchange: ScriptedExchange) -> dict[str, int]:
    return {ticker: book["yes"] for ticker, book in exchange.true_books.items()}


async def all_in(recorder: Recorder, n: int) -> None:
    """Until the recorder has had `n` more frames than now."""
    target = recorder.tape.frames + n
    await until(lambda: recorder.tape.frames >= target)


async def hole(exchange: ScriptedExchange, recorder: Recorder) -> None:
    await changes(exchange)
    await exchange.change(A, lost=True)
    await exchange.change(B)
    await until(lambda: recorder.tape.markers["gap"] > 0)
    await until(lambda: known(recorder, 3))
    await changes(exchange)
    await asyncio.sleep(0.1)


async def ended_with_10(exchange: ScriptedExchange, recorder: Recorder) -> None:
    await ended(exchange, recorder, 10)


async def ended_with_25(exchange: ScriptedExchange, recorder: Recorder) -> None:
    await ended(exchange, recorder, 25)


async def ended(exchange: ScriptedExchange, recorder: Recorder, code: int) -> None:
    before = len(exchange.commands)
    await exchange.end_books(code)
    await until(lambda: len(exchange.commands) > before)
    await until(lambda: known(recorder, 3))
    await changes(exchange)
    await asyncio.sleep(0.1)


async def closed(exchange: ScriptedExchange, recorder: Recorder) -> None:
    for socket, _ in exchange.sockets:
        await socket.close()
    await until(lambda: exchange.connections > 1)
    await until(lambda: known(recorder, 3))
    await changes(exchange)
    await asyncio.sleep(0.1)


async def no_snapshots(exchange: ScriptedExchange, recorder: Recorder) -> None:
    """get_snapshot is not answered: subscribed anew."""
    exchange.unanswered = {"get_snapshot"}
    await hole(exchange, recorder)
    assert "unsubscribe" in [c["cmd"] for c in exchange.commands]
    assert exchange.connections == 1


async def nothing_answered(exchange: ScriptedExchange, recorder: Recorder) -> None:
    """Neither get_snapshot nor a new subscription: connected anew."""
    exchange.unanswered = {"get_snapshot", "unsubscribe", "subscribe"}
    await exchange.change(A, lost=True)
    await exchange.change(B)
    await until(lambda: exchange.connections > 1)
    exchange.unanswered = set()
    await until(lambda: known(recorder, 3))
    await changes(exchange)
    await asyncio.sleep(0.1)


async def refused_frame(exchange: ScriptedExchange, recorder: Recorder) -> None:
    for socket, _ in exchange.books():
        await socket.send_str("{no json")
    await until(lambda: recorder.tape.markers["refused"] > 0)
    await until(lambda: known(recorder, 3))
    await changes(exchange)
    await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "script",
    [
        hole,
        ended_with_10,
        ended_with_25,
        closed,
        no_snapshots,
        nothing_answered,
        refused_frame,
    ],
)
def test_after_each_fault_the_recorded_books_are_the_true_ones(
    tmp_path: Path, script: Script
) -> None:
    exchange = ScriptedExchange([A, B, C])
    run(tmp_path, script, exchange)
    assert final_sizes(tmp_path) == true_sizes(exchange)


def test_every_frame_and_command_is_on_tape_in_order(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        await changes(exchange, 50)
        await all_in(recorder, 0)
        await asyncio.sleep(0.2)

    exchange = ScriptedExchange([A, B, C])
    run(tmp_path, script, exchange)
    found = lines(tmp_path)
    assert [line["command"] for line in found if "command" in line] == exchange.commands
    times = [line["recv_ts_ns"] for line in found if "raw" in line]
    assert times == sorted(times)
    deltas = [x["raw"] for x in found if "raw" in x and x["raw"]["type"] == "orderbook_delta"]
    assert len(deltas) == 150
    waiting = set[int]()  # one command in flight, on a connection
    for line in found:
        if "command" in line:
            assert not waiting
            waiting = {line["command"]["id"]}
        elif "raw" in line:
            waiting.discard(line["raw"].get("id"))
    session = import_captures(segments_in(tmp_path), session_id=1)
    assert session.quality.total.gaps == 3  # the ends of the subscriptions
    assert exchange.authorizations[0]


def test_new_markets_are_added_and_closed_ones_let_go(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        exchange.markets = [B, C, "KXNEW-26-D"]
        await until(lambda: "KXNEW-26-D" in exchange.books()[0][1].markets)
        await until(lambda: A not in exchange.books()[0][1].markets)
        assert exchange.connections == 1

    run(tmp_path, script, ScriptedExchange([A, B]), discover_every_s=0.1)


def test_more_markets_than_fit_take_more_connections(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        await changes(exchange)
        await asyncio.sleep(0.1)
        assert exchange.connections == 2

    exchange = ScriptedExchange([A, B, C])
    run(tmp_path, script, exchange, markets_per_connection=2)
    assert final_sizes(tmp_path) == true_sizes(exchange)


def test_what_the_exchange_finds_too_much_goes_to_another_connection(tmp_path: Path) -> None:
    markets = [f"KXMANY-26-{i:03d}" for i in range(60)]

    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        assert exchange.connections == 2

    run(tmp_path, script, ScriptedExchange(markets, market_limit=50))


def test_a_refused_key_ends_it_after_a_few_tries(tmp_path: Path) -> None:
    async def go(exchange: ScriptedExchange) -> None:
        async with scripted(exchange), recording(tmp_path, exchange) as recorder:
            await until(lambda: recorder._failed is not None)

    exchange = ScriptedExchange([A], status=401)
    with pytest.raises(ConfigError, match="refuses the key"):
        asyncio.run(go(exchange))
    assert len(exchange.authorizations) == 3


def test_other_failures_are_tried_again_for_ever(tmp_path: Path) -> None:
    async def go(exchange: ScriptedExchange) -> None:
        async with scripted(exchange), recording(tmp_path, exchange) as recorder:
            await until(lambda: len(exchange.authorizations) > 3, 30)
            exchange.status = 101
            await until(lambda: known(recorder, 1), 30)

    asyncio.run(go(ScriptedExchange([A], status=503)))


def test_while_the_exchange_is_away_books_are_unknown_and_nothing_is_made_anew(
    tmp_path: Path,
) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        exchange.status = 503
        for socket, _ in exchange.sockets:
            await socket.close()
        await until(lambda: len(exchange.authorizations) > 2, 30)
        status = recorder.status()
        assert (status.books_unknown, status.markets_acknowledged) == (3, 0)
        assert (status.gaps, status.connections_lost, status.reconnects) == (1, 1, 0)
        assert status.gap_market_seconds > 0.6

    recorder = run(tmp_path, script, ScriptedExchange([A, B, C]))
    assert recorder.at_end is not None
    assert (recorder.at_end.books_unknown, recorder.at_end.reconnects) == (3, 0)


def test_the_audit_compares_books_with_rest(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        await changes(exchange)
        await until(lambda: recorder.audit.compared > 0)
        assert recorder.audit.share == 1.0
        exchange.true_books[A]["yes"] += 7
        recorder.audit = replace(recorder.audit, compared=0, agreed=0)
        await until(lambda: recorder.audit.compared > 0 and recorder.audit.differing != [])
        assert recorder.audit.differing == [A]
        assert recorder.audit.agreed == 2

    run(tmp_path, script, ScriptedExchange([A, B, C]), audit_every_s=0.1)
    assert markers(tmp_path, "audit")[-1]["differing"] == [A]


def test_silence_is_not_death(tmp_path: Path) -> None:
    timing = Timing(connect=5, command=0.6, snapshots=0.6, ping=0.3, check=0.2, dark=0.5)

    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        await asyncio.sleep(1.5)
        assert exchange.connections == 1
        assert [c["cmd"] for c in exchange.commands].count("list_subscriptions") > 2

    run(tmp_path, script, ScriptedExchange([A]), timing=timing)


def test_a_subscription_the_exchange_forgot_is_made_anew(tmp_path: Path) -> None:
    timing = Timing(connect=5, command=0.6, snapshots=0.6, ping=5, check=0.2, dark=0.5)

    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        subs = exchange.sockets[0][1]
        del subs[exchange.books()[0][1].sid]
        await until(lambda: len(exchange.books()) == 1)
        await until(lambda: known(recorder, 1))
        assert exchange.connections == 1

    run(tmp_path, script, ScriptedExchange([A]), timing=timing)


def test_a_lost_end_of_a_subscription_is_found_by_a_hole_in_another(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        socket, subs = exchange.sockets[0]
        del subs[exchange.books()[0][1].sid]  # and nothing says so
        (trades,) = (sub for sub in subs.values() if sub.channel == "trade")
        for _ in range(2):
            await exchange.ok(socket, trades, 0)
            trades.seq += 1
        await until(lambda: len(exchange.books()) == 1, 5)
        await until(lambda: known(recorder, 1))
        await changes(exchange)
        assert exchange.connections == 1

    exchange = ScriptedExchange([A])
    run(tmp_path, script, exchange)
    assert final_sizes(tmp_path) == true_sizes(exchange)


def test_dropped_frames_are_marked_and_their_books_asked_for_again(tmp_path: Path) -> None:
    async def script(exchange: ScriptedExchange, recorder: Recorder) -> None:
        options = recorder.tape.writer.options
        options.queue_bytes = 0
        await changes(exchange)
        await until(lambda: recorder.tape.writer.written.dropped >= 9)
        options.queue_bytes = 1 << 20
        await exchange.change(A)
        await until(lambda: recorder.tape.markers["drop"] > 0)
        await until(lambda: known(recorder, 3))
        await changes(exchange)
        await asyncio.sleep(0.1)

    exchange = ScriptedExchange([A, B, C])
    run(tmp_path, script, exchange)
    assert final_sizes(tmp_path) == true_sizes(exchange)
    (drop,) = markers(tmp_path, "drop")
    assert drop["frames"] >= 9
