"""REST reads of markets and of the exchange itself, which need no key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.markets import FILTERS, Market
from kalshi_sim.live.exchange.queries import bad, number, paged
from kalshi_sim.live.interface import MARKET_STATUSES, MAX_ORDERBOOKS, MAX_PAGE
from kalshi_sim.units import MS_PER_SECOND

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.core import Exchange

_TIMES: Final[Mapping[str, tuple[tuple[str | None, ...], Callable[[Market], int | None]]]] = {
    "created": (("unopened", "open", None), lambda market: market.created_ms),
    "close": (("closed", None), lambda market: market.close_ms),
    "settled": (("settled", None), lambda market: market.settled_ms),
}
"""Filters by time: the values of `status` that go with each, and the time."""
_MVE: Final = "KXMVE"
_LATEST: Final = 2**40


class MarketReads:
    """GET /markets, its order books, and the exchange's status."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self, root: str) -> list[web.RouteDef]:
        """The routes, below `root`."""
        return [
            web.get(f"{root}/markets", self.markets),
            web.get(f"{root}/markets/orderbooks", self.orderbooks),
            web.get(f"{root}/markets/{{ticker}}", self.market),
            web.get(f"{root}/markets/{{ticker}}/orderbook", self.orderbook),
            web.get(f"{root}/exchange/status", self.status),
            web.get(f"{root}/exchange/schedule", self.schedule),
        ]

    async def markets(self, request: web.Request) -> web.Response:
        """A page of the markets that match."""
        query = request.query
        found = self._matching(query)
        limit = number(query, "limit", 100, 1, MAX_PAGE)
        page, cursor = paged(found, query.get("cursor", ""), limit, lambda m: m.ticker)
        return web.json_response({"markets": [m.listing() for m in page], "cursor": cursor})

    def _matching(self, query: Mapping[str, str]) -> list[Market]:
        status = query.get("status") or None
        if status is not None and status not in MARKET_STATUSES:
            raise bad("status", f"{status!r}: one of {', '.join(MARKET_STATUSES)}")
        found = list(self._exchange.markets.values())
        if status is not None:
            found = [m for m in found if m.status in FILTERS[status]]
        if "tickers" in query:
            wanted = set(query["tickers"].split(","))
            found = [m for m in found if m.ticker in wanted]
        if "event_ticker" in query:
            events = set(query["event_ticker"].split(","))
            found = [m for m in found if m.info.event in events]
        if "series_ticker" in query:
            found = [m for m in found if m.info.series == query["series_ticker"]]
        mve = query.get("mve_filter")
        if mve not in (None, "only", "exclude"):
            raise bad("mve_filter", f"{mve!r}: only or exclude")
        if mve is not None:
            found = [m for m in found if m.ticker.startswith(_MVE) == (mve == "only")]
        return _by_times(found, query, status)

    def found(self, ticker: str) -> Market:
        """The market of a ticker.

        Args:
            ticker: from a call.

        Raises:
            RestError: there is none.
        """
        market = self._exchange.markets.get(ticker)
        if market is None:
            raise RestError(404, "not_found", "not found", f"no market {ticker[:80]!r}")
        return market

    async def market(self, request: web.Request) -> web.Response:
        """One market."""
        market = self.found(request.match_info["ticker"])
        return web.json_response({"market": market.listing()})

    async def orderbook(self, request: web.Request) -> web.Response:
        """The book of one market."""
        depth = number(request.query, "depth", 0, 0, MAX_PAGE)
        market = self.found(request.match_info["ticker"])
        return web.json_response({"orderbook_fp": market.orderbook(depth)})

    async def orderbooks(self, request: web.Request) -> web.Response:
        """The books of up to 100 markets.

        Raises:
            RestError: none or too many are named, or one that is not there.
        """
        given = ",".join(request.query.getall("tickers", []))
        tickers = [ticker for ticker in given.split(",") if ticker]
        if not 1 <= len(tickers) <= MAX_ORDERBOOKS:
            raise bad("tickers", f"{len(tickers)} of them: allowed are 1 to {MAX_ORDERBOOKS}")
        depth = number(request.query, "depth", 0, 0, MAX_PAGE)
        books = [
            {"ticker": ticker, "orderbook_fp": self.found(ticker).orderbook(depth)}
            for ticker in dict.fromkeys(tickers)
        ]
        return web.json_response({"orderbooks": books})

    async def status(self, request: web.Request) -> web.Response:
        """Whether the exchange and trading are active."""
        state = {
            "exchange_active": self._exchange.exchange_active,
            "trading_active": self._exchange.trading_active,
            "intra_exchange_transfers_active": self._exchange.exchange_active,
        }
        shard = {"exchange_index": 0, **state}
        return web.json_response({**state, "exchange_index_statuses": [shard]})

    async def schedule(self, request: web.Request) -> web.Response:
        """When the exchange is open: always."""
        days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        whole = [{"open_time": "00:00", "close_time": "24:00"}]
        hours = [dict.fromkeys(days, whole)]
        return web.json_response({"schedule": {"standard_hours": hours, "maintenance_windows": []}})


def _by_times(found: list[Market], query: Mapping[str, str], status: str | None) -> list[Market]:
    """The markets whose times lie within what was asked for."""
    for name, (statuses, time_of) in _TIMES.items():
        low_key, high_key = f"min_{name}_ts", f"max_{name}_ts"
        if low_key not in query and high_key not in query:
            continue
        if status not in statuses:
            raise bad(f"{low_key}, {high_key}", f"do not go with status {status}")
        low = number(query, low_key, 0, 0, _LATEST) * MS_PER_SECOND
        high = number(query, high_key, _LATEST, 0, _LATEST) * MS_PER_SECOND
        times = [(market, time_of(market)) for market in found]
        found = [market for market, ms in times if ms is not None and low <= ms <= high]
    if "min_updated_ts" in query:
        others = set(query) - {"min_updated_ts", "series_ticker", "mve_filter", "limit", "cursor"}
        if others:
            raise bad("min_updated_ts", f"does not go with {', '.join(sorted(others))}")
        low = number(query, "min_updated_ts", 0, 0, _LATEST) * MS_PER_SECOND
        found = [market for market in found if market.updated_ms >= low]
    return found
