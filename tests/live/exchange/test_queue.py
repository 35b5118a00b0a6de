"""Clients' orders among those of a generated market, in its true price-time queue."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest import import_captures
from kalshi_sim.ingest.wire_time import rfc3339_ms
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.flow import flow
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session, generate_with_truth
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, format_decimal, mirror, parse_contracts
from tests.live.exchange.test_feed import COLUMNS, in_order, recorded, same
from tests.support.exchange_client import Client, client_of

SESSION, TRUTH = generate_with_truth(5, markets=12, minutes=12, seed=3, deltas=6_000)
ORDERS = "/portfolio/events/orders"


def test_without_clients_the_feed_is_the_generated_session(tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    asyncio.run(recorded(SESSION, raw, truth=TRUTH))
    found = import_captures([raw], session_id=5, whole_subscription=True)
    same(in_order(found, SESSION), SESSION, COLUMNS)


def test_a_truth_of_another_session_is_refused() -> None:
    with pytest.raises(ConfigError, match="truth is not that of session 6"):
        LocalExchange(generate_session(6, markets=1, minutes=1, seed=1), truth=TRUTH)


class Floor:
    """An exchange whose time is moved by hand."""

    def __init__(self, client: Client, session: Session = SESSION) -> None:
        self.client, self.exchange = client, client.exchange.exchange
        self._happenings = flow(session, TRUTH.logs)
        self._next = next(self._happenings, None)

    def until(self, ms: float) -> None:
        """Let everything happen up to a time, it included."""
        while self._next is not None and self._next[0] <= ms:
            at, what = self._next
            self.exchange.clock.reach(at, None)
            self.exchange.happen(what, at)
            self._next = next(self._happenings, None)

    async def place(self, ticker: str, side: int, price: int, size: int) -> dict[str, Any]:
        yes = price if side == 0 else mirror(price, PRICE_SCALE)
        order = {
            "ticker": ticker,
            "side": ("bid", "ask")[side],
            "price": format_decimal(yes, PRICE_SCALE),
            "count": format_decimal(size, SIZE_SCALE),
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
        }
        status, answer = await self.client.rest("POST", ORDERS, json=order)
        assert status == 201, answer
        found: dict[str, Any] = answer
        return found

    async def get(self, path: str) -> Any:
        status, answer = await self.client.rest("GET", path)
        assert status == 200, answer
        return answer


async def on_the_floor(client: Client) -> Floor:
    account = client.exchange.keys.accounts[0]
    account.tier_name, account.cash = "prestige", 10**14
    return Floor(client)


@pytest.mark.parametrize("seed", range(6))
def test_a_resting_order_fills_as_the_true_queue_says(seed: int) -> None:
    """One order a market, at a random time, price and size: each fill at its time and size."""
    draw = random.Random(seed)

    async def run() -> int:
        exchange = LocalExchange(SESSION, speed=0, begin="control", truth=TRUTH)
        async with client_of(exchange) as client:
            floor = await on_the_floor(client)
            span = SESSION.last_message_ms - SESSION.first_book_ms
            times = sorted(
                (SESSION.first_book_ms + 2_000 + draw.randrange(span // 2), market.ticker)
                for market in SESSION.markets
            )
            placed = []
            for ms, ticker in times:
                floor.until(ms)
                market = floor.exchange.markets[ticker]
                side = draw.randrange(2)
                ask = mirror(market.book.best(1 - side), PRICE_SCALE)
                levels = [p for p, _ in market.book.ladder(side)][-4:]
                price = draw.choice([*levels, *(p + 100 for p in levels[-1:])] or [100])
                if market.status != "active" or price >= ask:
                    continue
                size = draw.choice([1, 500, 20_000, 10_000_000])
                ahead = TRUTH.ahead(ticker, ms, side, price)
                order = await floor.place(ticker, side, price, size)
                position = f"/portfolio/orders/{order['order_id']}/queue_position"
                shown = parse_contracts((await floor.get(position))["queue_position_fp"])
                assert shown == ahead, ticker
                placed.append((ms, ticker, side, price, size, order["order_id"]))
            floor.until(float("inf"))
            fills = (await floor.get("/portfolio/fills?limit=1000"))["fills"]
            hits = 0
            for ms, ticker, side, price, size, order_id in placed:
                true = TRUTH.fills(ticker, ms, side, price, size)
                expected: dict[int, int] = {}
                for at, part in zip(true.ts_ms.tolist(), true.size.tolist(), strict=True):
                    expected[at] = expected.get(at, 0) + part
                found: dict[int, int] = {}
                for fill in reversed(fills):
                    if fill["order_id"] == order_id:
                        at = rfc3339_ms(fill["created_time"])
                        found[at] = found.get(at, 0) + parse_contracts(fill["count_fp"])
                assert dict(sorted(found.items())) == expected, (ticker, side, price, size)
                hits += bool(found)
            return hits

    assert asyncio.run(run()) >= 2


@pytest.mark.parametrize("seed", range(3))
def test_others_stand_as_in_the_generated_book_less_what_clients_took(seed: int) -> None:
    """Random orders, crossing ones too: at no level do others show more than the session has."""
    draw = random.Random(seed)

    async def run() -> tuple[int, int]:
        exchange = LocalExchange(SESSION, speed=0, begin="control", truth=TRUTH)
        async with client_of(exchange) as client:
            floor = await on_the_floor(client)
            span = SESSION.last_message_ms - SESSION.first_book_ms
            levels = less = 0
            for ms in sorted(draw.randrange(2_000, span) for _ in range(40)):
                floor.until(SESSION.first_book_ms + ms)
                market = floor.exchange.markets[draw.choice(SESSION.markets).ticker]
                if market.status == "active":
                    price = draw.choice([100, 3_000, 5_000, 7_000, 9_900])
                    size = draw.choice([100, 5_000, 1_000_000])
                    await floor.place(market.ticker, draw.randrange(2), price, size)
                for other in floor.exchange.markets.values():
                    now = floor.exchange.now_ms()
                    for side in (0, 1):
                        for price, level in other.book.levels[side].items():
                            true = TRUTH.ahead(other.ticker, now, side, price)
                            assert level.others <= true, (other.ticker, side, price)
                            levels, less = levels + 1, less + (level.others < true)
            return levels, less

    levels, less = asyncio.run(run())
    assert 0 < less < levels
