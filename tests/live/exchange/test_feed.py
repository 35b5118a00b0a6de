"""What a plain client records of a replayed session imports as that session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest import import_captures
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.session import EventKind, Events, Pause, Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.synthetic.truth import TrueQueue
from tests.support.exchange_client import client_of

SMALL = generate_session(3, markets=6, minutes=4, seed=5)
CHANNELS = ["orderbook_delta", "trade", "market_lifecycle_v2", "ticker"]


async def recorded(
    session: Session,
    into: Path,
    *,
    use_yes_price: bool = False,
    log: Path | None = None,
    truth: TrueQueue | None = None,
) -> list[dict[str, Any]]:
    """Replay a session as fast as it is read, and write what came over the socket."""
    exchange = LocalExchange(session, speed=0, begin="control", log=log, truth=truth)
    async with client_of(exchange) as client, client.socket() as socket:
        tickers = [m.ticker for m in session.markets]
        params = {
            "channels": CHANNELS,
            "market_tickers": tickers,
            "use_yes_price": use_yes_price,
        }
        await socket.send({"id": 1, "cmd": "subscribe", "params": params})
        for _ in CHANNELS:
            assert (await socket.next())["type"] == "subscribed"
        reading = asyncio.create_task(socket.rest_of_it(exchange))
        frames: list[str] = socket.raw
        exchange.begin()
        await reading
    into.write_text("".join(f"{frame}\n" for frame in frames))
    return [json.loads(frame) for frame in frames]


def book_after_each(events: Events) -> list[tuple[tuple[int, int, int], ...]]:
    """The whole book after each event that is no level of a snapshot not yet complete."""
    levels: dict[tuple[int, int], int] = {}
    out = []
    for i, kind in enumerate(events.kind.tolist()):
        place = (int(events.side[i]), int(events.price[i]))
        if kind == EventKind.SNAPSHOT:
            levels.clear()
        elif kind == EventKind.LEVEL:
            levels[place] = int(events.size[i])
        elif kind == EventKind.DELTA:
            levels[place] = max(0, levels.get(place, 0) + int(events.size[i]))
        out.append(tuple(sorted((*p, size) for p, size in levels.items() if size)))
    return out


def same(found: Session, expected: Session, columns: Sequence[str]) -> None:
    assert [m.ticker for m in found.markets] == [m.ticker for m in expected.markets]
    for market in expected.markets:
        a, b = found.market_events(market.ticker), expected.market_events(market.ticker)
        for column in columns:
            assert np.array_equal(getattr(a, column), getattr(b, column)), (market.ticker, column)
        assert book_after_each(a) == book_after_each(b)


COLUMNS = ("kind", "side", "price", "size", "traded", "ts_ms")


def in_order(session: Session, like: Session) -> Session:
    return session.select([m.ticker for m in like.markets])


@pytest.mark.parametrize("use_yes_price", [False, True])
def test_a_recording_of_the_exchange_is_the_session(tmp_path: Path, use_yes_price: bool) -> None:
    raw = tmp_path / "raw.jsonl"
    frames = asyncio.run(recorded(SMALL, raw, use_yes_price=use_yes_price))
    found = import_captures(
        [raw], session_id=3, whole_subscription=True, use_yes_price=use_yes_price
    )
    same(in_order(found, SMALL), SMALL, COLUMNS)
    assert found.trades_recorded
    seqs = [f["seq"] for f in frames if f.get("sid") == 1 and "seq" in f]
    assert seqs == list(range(1, len(seqs) + 1))
    assert all("seq" not in f for f in frames if f["type"] == "ticker")
    ends = {m.ticker: (m.settlement_value, m.settlement_known_ms) for m in found.markets}
    known = [m for m in SMALL.markets if (m.settlement_known_ms or 0) <= SMALL.last_message_ms]
    assert known
    for market in known:
        assert ends[market.ticker] == (market.settlement_value, market.settlement_known_ms)


def test_lives_of_markets_are_sent_when_they_were_known(tmp_path: Path) -> None:
    from dataclasses import replace

    from kalshi_sim.grid import SUB_PENNY_GRID
    from kalshi_sim.session import FeeUpdate, GridUpdate

    at = SMALL.first_book_ms + 60_000
    first, *others = SMALL.markets
    close = first.close_time_ms
    assert close is not None
    changed = replace(
        first,
        price_ranges=SUB_PENNY_GRID,
        first_price_ranges=first.price_ranges,
        grid_updates=(GridUpdate(at, SUB_PENNY_GRID),),
        pauses=(Pause(at + 1_000, at + 5_500),),
        close_updates=((at + 7, close + 30_000),),
        fee_updates=(FeeUpdate(at + 9, 5_000, 0),),
        sub_penny=True,
    )
    session = replace(SMALL, markets=(changed, *others))
    raw = tmp_path / "raw.jsonl"
    frames = asyncio.run(recorded(session, raw))
    found = in_order(import_captures([raw], session_id=3, whole_subscription=True), session)
    market = found.markets[0]
    assert market.pauses == changed.pauses
    assert market.grid_updates == changed.grid_updates
    assert market.close_updates == changed.close_updates
    assert [u.known_ms for u in market.fee_updates] == [at + 9]
    assert market.fee_updates[0].taker_multiplier == 5_000
    kinds = [f["msg"].get("event_type", f["type"]) for f in frames if f.get("sid") == 3]
    assert [k for k in kinds if k not in ("determined", "settled")] == [
        "price_level_structure_updated",
        "close_date_updated",
        "event_fee_update",
        "deactivated",
        "activated",
    ]


def test_the_log_holds_every_frame_that_was_sent(tmp_path: Path) -> None:
    raw, log = tmp_path / "raw.jsonl", tmp_path / "sent.jsonl"
    asyncio.run(recorded(SMALL, raw, log=log))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["raw"] for line in lines] == raw.read_text().splitlines()
    assert {line["connection"] for line in lines} == {1}
    assert not any(line["lost"] for line in lines)


def test_a_late_subscriber_gets_the_book_as_it_is() -> None:
    async def run() -> None:
        exchange = LocalExchange(SMALL, speed=0, begin="now")
        async with client_of(exchange) as client, client.socket() as socket:
            await exchange.finished()
            ticker = SMALL.markets[0].ticker
            params = {"channels": ["orderbook_delta"], "market_ticker": ticker}
            await socket.send({"id": 1, "cmd": "subscribe", "params": params})
            assert (await socket.next())["type"] == "subscribed"
            snapshot = await socket.next()
            book = book_after_each(SMALL.market_events(ticker))[-1]
            sides = {"yes": 0, "no": 1}
            levels = [
                (side, round(float(price) * 10_000), round(float(size) * 100))
                for name, side in sides.items()
                for price, size in snapshot["msg"].get(f"{name}_dollars_fp", [])
            ]
            assert tuple(sorted(levels)) == book
            _, rest = await client.rest("GET", f"/markets/{ticker}/orderbook")
            assert rest["orderbook_fp"]["yes_dollars"] == snapshot["msg"].get("yes_dollars_fp", [])

    asyncio.run(run())


def test_time_passes_at_the_chosen_speed() -> None:
    async def run() -> None:
        exchange = LocalExchange(SMALL, speed=600, begin="now")
        async with client_of(exchange):
            loop = asyncio.get_running_loop()
            began = loop.time()
            await exchange.finished()
            wall = loop.time() - began
            seconds = (SMALL.last_message_ms - SMALL.first_book_ms) / 1000 / 600
            assert seconds * 0.8 < wall < seconds + 3

    asyncio.run(run())


def test_time_waits_for_the_books_of_a_client_that_begins_with_trades() -> None:
    async def run() -> None:
        exchange = LocalExchange(SMALL, speed=0)
        async with client_of(exchange) as client, client.socket() as socket:
            ticker = SMALL.markets[0].ticker

            async def subscribe(channel: str) -> None:
                params = {"channels": [channel], "market_ticker": ticker}
                await socket.ask({"id": 1, "cmd": "subscribe", "params": params})

            await subscribe("trade")
            await asyncio.sleep(0.2)
            running = [exchange.exchange.clock.running]
            await subscribe("orderbook_delta")
            await asyncio.sleep(0.1)
            running.append(exchange.exchange.clock.running)
            assert running == [False, True]
        exchange = LocalExchange(SMALL, speed=0)
        async with client_of(exchange) as client, client.socket() as socket:
            await subscribe("trade")
            async with asyncio.timeout(5):
                await exchange.finished()

    asyncio.run(run())


def test_a_session_no_exchange_can_send_is_refused() -> None:
    events = SMALL.events[:1]
    bad = Session(
        session_id=1,
        markets=SMALL.markets[:1],
        events=Events.from_columns(
            kind=[EventKind.DROP_LEVEL], side=[0], price=[100], size=[1], ts_ms=events.ts_ms
        ),
        market_offsets=np.array([0, 1]),
        first_book_ms=SMALL.first_book_ms,
        last_message_ms=SMALL.last_message_ms,
        trades_recorded=True,
    )
    with pytest.raises(ConfigError, match="levels of unknown size"):
        LocalExchange(bad)


def test_what_is_skipped_has_happened_before_anybody_connects() -> None:
    """A client that connects at once is sent no past: its first book is the one at that time."""
    skip_ms = 60_000
    at = SMALL.first_book_ms + skip_ms if SMALL.started_ms is None else SMALL.started_ms + skip_ms

    async def run() -> tuple[int, list[dict[str, Any]]]:
        exchange = LocalExchange(SMALL, speed=0, begin="control", skip_ms=skip_ms)
        async with client_of(exchange) as client, client.socket() as socket:
            now = exchange.exchange.now_ms()
            tickers = [m.ticker for m in SMALL.markets]
            params = {"channels": ["orderbook_delta"], "market_tickers": tickers}
            await socket.send({"id": 1, "cmd": "subscribe", "params": params})
            assert (await socket.next())["type"] == "subscribed"
            snapshots = [await socket.next() for _ in tickers]
            exchange.begin()
            await socket.rest_of_it(exchange)
            return now, [*snapshots, *(json.loads(text) for text in socket.raw)]

    now, frames = asyncio.run(run())
    assert now == at
    books = {f["msg"]["market_ticker"] for f in frames[: len(SMALL.markets)]}
    assert {f["type"] for f in frames[: len(SMALL.markets)]} == {"orderbook_snapshot"}
    assert len(books) == len(SMALL.markets)
    deltas = [f["msg"]["ts_ms"] for f in frames if f["type"] == "orderbook_delta"]
    assert deltas
    assert min(deltas) >= at


def test_there_must_be_something_left_after_what_is_skipped() -> None:
    with pytest.raises(ConfigError, match=r"nothing is left after the first 10\.0 minutes"):
        LocalExchange(SMALL, skip_ms=600_000)
