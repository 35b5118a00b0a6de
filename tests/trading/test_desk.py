"""Calls whose answers say nothing that can be used: the market is not certain any more."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path

from aiohttp import web

from kalshi_sim.live.orders.account import Account
from kalshi_sim.live.orders.client import NewOrder, OrderClient
from kalshi_train.trading.desk import Desk
from kalshi_train.trading.log import DecisionLog, read_log

MARKET = "KXNBA-A"


async def _nonsense(request: web.Request) -> web.Response:
    return web.json_response({"orders": [{"order_id": 7}], "fill_count": []})


def test_an_answer_that_is_not_understood_stops_the_market(tmp_path: Path) -> None:
    said: list[str] = []

    async def go() -> dict[str, str]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", _nonsense)
        runner = web.AppRunner(application)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with OrderClient(address, None) as client:
            with closing(DecisionLog(tmp_path)) as log:
                desk = Desk(client, Account(), log, [MARKET], say=said.append)
                desk.uncertain.clear()
                desk.place(NewOrder(MARKET, "bid", "1.00", "0.4000", "a"), [], "")
                while not said:
                    await asyncio.sleep(0.01)
                uncertain = dict(desk.uncertain)
                closing_task = asyncio.create_task(desk.close("the test ends"))
                await asyncio.sleep(0.1)
                closing_task.cancel()
                await asyncio.gather(closing_task, return_exceptions=True)
        await runner.cleanup()
        return uncertain

    assert asyncio.run(go()) == {MARKET: "an order was not answered (0)"}
    assert "waiting for the exchange: the exchange's answer is not understood" in said[0]
    refused = [line for line in read_log(tmp_path) if line["t"] == "refused"]
    assert "the exchange's answer is not understood (ValueError: " in refused[0]["text"]
