"""Markets that are created and open while the exchange runs: to clients, and on a recording."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.errors import ConfigError
from kalshi_sim.grid import price_grid
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.openings import Opening
from kalshi_sim.live.exchange.schedule import first_ms
from kalshi_sim.session import EventKind
from kalshi_sim.synthetic.session import generate_session, generate_with_truth
from support.exchange_truth import known_books, opened, true_books
from support.recorded_exchange import record
from tests.support.exchange_client import Client, client_of

SESSION, TRUTH = generate_with_truth(3, markets=3, minutes=4, seed=5, deltas=3000)
OLD, NEW = SESSION.markets[0].ticker, SESSION.markets[2].ticker
START = first_ms(SESSION)
CREATED = json.loads(
    '{"market_ticker":"INXD-23SEP14-B4487","exchange_index":0,"open_ts":1694635200,'
    '"close_ts":1694721600,"additional_metadata":{"name":"S&P 500 daily return on Sep 14",'
    '"title":"...","event_ticker":"INXD-23SEP14","expected_expiration_ts":1694721600},'
    '"event_type":"created","price_level_structure":"linear_cent"}'
)
EVENT = json.loads(
    '{"event_ticker":"KXQUICKSETTLE-26JAN25H2150","exchange_index":0,'
    '"title":"What will 1+1 equal on Jan 25 at 21:50?","subtitle":"Jan 25 at 21:50",'
    '"collateral_return_type":"MECNET","series_ticker":"KXQUICKSETTLE"}'
)


async def status_of(client: Client) -> str | None:
    """The new market's status by REST; None: there is no such market."""
    code, body = await client.rest("GET", f"/markets/{NEW}")
    return str(body["market"]["status"]) if code == 200 else None


@pytest.mark.parametrize("truth", [None, TRUTH], ids=["replay", "queue"])
def test_a_market_is_unknown_then_unopened_then_open(truth: Any) -> None:
    opening = Opening(ticker=NEW, created=20, opens=60)

    async def run() -> None:
        exchange = LocalExchange(
            SESSION, speed=60, begin="control", openings=[opening], truth=truth
        )
        async with client_of(exchange) as client, client.socket() as socket:
            await socket.ask(
                {"id": 1, "cmd": "subscribe", "params": {"channels": ["market_lifecycle_v2"]}}
            )
            params = {"channels": ["orderbook_delta"], "market_ticker": NEW}
            refused = await socket.ask({"id": 2, "cmd": "subscribe", "params": params})
            assert refused["msg"]["code"] == 11
            assert await status_of(client) is None
            client.exchange.begin()
            *_, created = await socket.until(lambda f: f["msg"].get("event_type") == "created")
            message = created["msg"]
            assert set(message) == {*CREATED, "price_ranges"}
            assert set(message["additional_metadata"]) == set(CREATED["additional_metadata"])
            assert message["market_ticker"] == NEW
            assert message["open_ts"] * 1000 == START + 60_000
            assert abs(created["sending_ts_ms"] - START - 20_000) < 3_000
            events = [f["msg"] for f in map(json.loads, socket.raw) if "event_life" in f["type"]]
            assert [set(e) for e in events] == [set(EVENT)]
            assert await status_of(client) == "initialized"
            _, body = await client.rest("GET", "/markets", params={"status": "unopened"})
            assert [m["ticker"] for m in body["markets"]] == [NEW]
            _, body = await client.rest("GET", f"/markets/{NEW}/orderbook")
            assert body == {"orderbook_fp": {"yes_dollars": [], "no_dollars": []}}
            order = {
                "ticker": NEW,
                "side": "bid",
                "count": "1.00",
                "price": "0.5000",
                "time_in_force": "good_till_canceled",
                "self_trade_prevention_type": "maker",
            }
            code, body = await client.rest("POST", "/portfolio/events/orders", json=order)
            assert (code, body["code"]) == (400, "MARKET_INACTIVE")
            await socket.ask({"id": 3, "cmd": "subscribe", "params": params})
            empty = await socket.next()
            assert set(empty["msg"]) == {"market_ticker", "market_id"}
            first = await socket.next()  # the whole book, as it has come to be
            assert first["type"] == "orderbook_snapshot"
            assert abs(first["sending_ts_ms"] - START - 60_000) < 3_000
            assert first["msg"]["yes_dollars_fp"]
            assert await status_of(client) == "active"

    asyncio.run(run())


def test_a_market_that_opens_while_it_is_recorded_is_recorded_from_then_on(
    tmp_path: Path,
) -> None:
    opening = Opening(ticker=NEW, created=40, opens=90)
    recorded = asyncio.run(record(SESSION, tmp_path, speed=80, seconds=9, openings=[opening]))
    session = import_captures(segments_in(recorded.segments), session_id=3)
    true = true_books(recorded.log, opened(recorded.segments))
    assert known_books(session, true) == len(true)
    new, expected = session.market_events(NEW), SESSION.market_events(NEW)
    shots = new.ts_ms[new.kind == EventKind.SNAPSHOT]
    assert START + 90_000 <= shots[0] < START + 150_000
    later = (expected.kind == EventKind.DELTA) & (expected.ts_ms > shots[0])
    recorded_later = (new.kind == EventKind.DELTA) & (new.ts_ms > shots[0])
    assert recorded_later.sum() == later.sum() > 0
    info = session.markets[session.market_index(NEW)]
    original = SESSION.markets[SESSION.market_index(NEW)]
    assert price_grid(info) == price_grid(original)
    assert info.close_updates[0] == (START + 40_000, original.close_time_ms)
    old = session.market_events(OLD)
    assert (old.kind == EventKind.DELTA).sum() > 0


def test_an_empty_book_before_the_opening_is_recorded_too(tmp_path: Path) -> None:
    openings = [Opening(ticker=NEW, opens=90)]

    async def run() -> tuple[list[str], str]:
        exchange = LocalExchange(SESSION, speed=0, begin="control", openings=openings)
        async with client_of(exchange) as client, client.socket() as socket:
            params = {"channels": ["orderbook_delta"], "market_tickers": [OLD, NEW]}
            await socket.ask({"id": 1, "cmd": "subscribe", "params": params})
            exchange.begin()
            await socket.rest_of_it(exchange)
            _, body = await client.rest("GET", f"/markets/{NEW}")
            return socket.raw, body["market"]["volume_fp"]

    raw = tmp_path / "raw.jsonl"
    frames, volume = asyncio.run(run())
    raw.write_text("".join(f"{frame}\n" for frame in frames))
    session = import_captures([raw], session_id=3, whole_subscription=True)
    new = session.market_events(NEW)
    assert new.kind[:2].tolist() == [EventKind.SNAPSHOT, EventKind.SNAPSHOT]
    assert new.ts_ms[1] == START + 90_000
    assert (new.ts_ms[2:] >= START + 90_000).all()
    expected = SESSION.market_events(NEW)
    trades = expected.size[(expected.kind == EventKind.TRADE) & (expected.ts_ms >= new.ts_ms[1])]
    assert volume == f"{trades.sum() / 100:.2f}"


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        (Opening(ticker="KXNO-1", opens=9), "no such market"),
        (Opening(ticker=NEW, opens=241), "after the session's end"),
    ],
)
def test_openings_that_cannot_be_are_refused(opening: Opening, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LocalExchange(SESSION, openings=[opening])


def test_a_market_opens_once() -> None:
    twice = [Opening(ticker=NEW, opens=9), Opening(ticker=NEW, opens=10)]
    with pytest.raises(ConfigError, match="opens twice"):
        LocalExchange(generate_session(3, markets=3, minutes=1, seed=5), openings=twice)


@pytest.mark.parametrize(
    "text", ['[{"ticker": "A", "created": 9, "opens": 3}]', '[{"ticker": "A"}]', "{"]
)
def test_a_file_of_openings_that_is_wrong_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "openings.json"
    path.write_text(text)
    assert main(["exchange", "--generate", "--openings", str(path)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert len(said.splitlines()) == 1
