"""REST reads of an account: fills, positions, balance, settlements and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from kalshi_sim.live.exchange.queries import bad, number, paged
from kalshi_sim.live.exchange.wire import Message, dollars, iso
from kalshi_sim.live.interface import (
    CANCEL_COST,
    CREATE_COST,
    DEFAULT_COST,
    MAX_FILL_TICKERS,
    MAX_PAGE,
)
from kalshi_sim.units import (
    MS_PER_SECOND,
    PRICE_SCALE,
    SIZE_SCALE,
    STORED_PER_CENT,
    mirror,
    parse_dollars,
)

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.core import Exchange
    from kalshi_sim.live.exchange.gate import Gate


class PortfolioReads:
    """GET /portfolio/... and /account/..."""

    def __init__(self, exchange: Exchange, gate: Gate) -> None:
        """Make the reads of an exchange.

        Args:
            exchange: its markets and time.
            gate: knows whose a request is.
        """
        self._exchange = exchange
        self._gate = gate

    def routes(self, root: str) -> list[web.RouteDef]:
        """The routes, below `root`."""
        return [
            web.get(f"{root}/portfolio/fills", self.fills),
            web.get(f"{root}/portfolio/positions", self.positions),
            web.get(f"{root}/portfolio/balance", self.balance),
            web.get(f"{root}/portfolio/settlements", self.settlements),
            web.get(f"{root}/account/limits", self.limits),
            web.get(f"{root}/account/endpoint_costs", self.costs),
        ]

    async def fills(self, request: web.Request) -> web.Response:
        """A page of fills, newest first; `ticker` may name up to 100 markets.

        Raises:
            RestError: a parameter is out of its range.
        """
        account, query = self._gate.reads(request), request.query
        found = list(reversed(account.fills))
        tickers = [t for t in query.get("ticker", "").split(",") if t]
        if len(tickers) > MAX_FILL_TICKERS:
            raise bad("ticker", f"{len(tickers)} of them: allowed are {MAX_FILL_TICKERS}")
        if tickers:
            found = [f for f in found if f["market_ticker"] in tickers]
        if "order_id" in query:
            found = [f for f in found if f["order_id"] == query["order_id"]]
        limit = number(query, "limit", 100, 1, MAX_PAGE)
        page, cursor = paged(
            found, query.get("cursor", ""), limit, lambda f: f"{f['trade_id']}/{f['order_id']}"
        )
        return web.json_response({"fills": [_fill(f) for f in page], "cursor": cursor})

    async def positions(self, request: web.Request) -> web.Response:
        """A page of positions.

        Raises:
            RestError: a parameter is out of its range.
        """
        account, query = self._gate.reads(request), request.query
        wanted = query.get("settlement_status", "unsettled")
        if wanted not in ("unsettled", "settled", "all"):
            raise bad("settlement_status", "unsettled, settled or all")
        found = [
            p
            for p in account.positions.values()
            if wanted == "all" or p.settled == (wanted == "settled")
        ]
        if "ticker" in query:
            found = [p for p in found if p.ticker == query["ticker"]]
        limit = number(query, "limit", 100, 1, MAX_PAGE)
        page, cursor = paged(found, query.get("cursor", ""), limit, lambda p: p.ticker)
        shown = [p.shown() for p in page]
        return web.json_response(
            {"market_positions": shown, "event_positions": [], "cursor": cursor}
        )

    async def balance(self, request: web.Request) -> web.Response:
        """Cash, and what the positions are worth at their best bids."""
        account = self._gate.reads(request, balance=True)
        cents = account.cash // STORED_PER_CENT
        return web.json_response(
            {
                "balance": cents,
                "balance_dollars": dollars(account.cash),
                "portfolio_value": self._value(account) // STORED_PER_CENT,
                "updated_ts": self._exchange.now_ms() // MS_PER_SECOND,
                "balance_breakdown": [{"exchange_index": 0, "balance": dollars(account.cash)}],
            }
        )

    def _value(self, account: Account) -> int:
        total = 0
        for position in account.positions.values():
            if position.size:
                book = self._exchange.markets[position.ticker].book
                bid = book.best(0 if position.size > 0 else 1)
                total += abs(position.size) * bid // SIZE_SCALE
        return total

    async def settlements(self, request: web.Request) -> web.Response:
        """A page of settlements, newest first."""
        account, query = self._gate.reads(request), request.query
        limit = number(query, "limit", 100, 1, MAX_PAGE)
        found = list(reversed(account.settlements))
        page, cursor = paged(found, query.get("cursor", ""), limit, lambda s: str(s["ticker"]))
        return web.json_response({"settlements": page, "cursor": cursor})

    async def limits(self, request: web.Request) -> web.Response:
        """The account's tier and its buckets."""
        account = self._gate.reads(request)
        tier = account.tier
        return web.json_response(
            {
                "usage_tier": account.tier_name,
                "read": {"refill_rate": tier.read, "bucket_capacity": tier.read_capacity},
                "write": {"refill_rate": tier.write, "bucket_capacity": tier.write_capacity},
            }
        )

    async def costs(self, request: web.Request) -> web.Response:
        """Tokens that calls take, where they are not the usual number."""
        self._gate.reads(request)
        path = "/trade-api/v2/portfolio/events/orders"
        return web.json_response(
            {
                "default_cost": DEFAULT_COST,
                "endpoint_costs": [
                    {"method": "POST", "path": path, "cost": CREATE_COST},
                    {"method": "DELETE", "path": f"{path}/{{order_id}}", "cost": CANCEL_COST},
                ],
            }
        )


def _fill(fill: Message) -> Message:
    """A fill as REST shows it."""
    yes = fill["yes_price_dollars"]
    return {
        "fill_id": fill["trade_id"],
        "trade_id": fill["trade_id"],
        "order_id": fill["order_id"],
        "ticker": fill["market_ticker"],
        "exchange_index": fill["exchange_index"],
        "outcome_side": fill["outcome_side"],
        "book_side": fill["book_side"],
        "count_fp": fill["count_fp"],
        "yes_price_dollars": yes,
        "no_price_dollars": dollars(mirror(parse_dollars(yes), PRICE_SCALE)),
        "is_taker": fill["is_taker"],
        "fee_cost": fill["fee_cost"],
        "created_time": iso(fill["ts_ms"]),
        "subaccount_number": fill["subaccount"],
    }
