"""A local exchange that speaks the real interface over real sockets, to test clients against.

    async with LocalExchange(session, speed=10) as exchange:
        print(exchange.url, exchange.key_id)

Args of the functions here, unless they say more:
    market: the market it is about.
    side: 0 YES, 1 NO.
    price: of that side, in 1/100 cent.
    size: in 1/100 contract.
    ms: the exchange's time, in ms since 1970 UTC.
    message: the `msg` of a frame, or makes it.
    connection: of a client.
    subscription: of that connection.
    ticker: of a market; None: of none.
    tickers: of markets; None: all.
    account: whose.
    order: of a client.
    request: as received.
"""

from __future__ import annotations

from kalshi_sim.live.exchange.server import LocalExchange

__all__ = ["LocalExchange"]
