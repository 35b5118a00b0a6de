"""REST V2 of orders: create, cancel, amend, decrease, batches, and where an order stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.order_requests import OrderRequest
from kalshi_sim.live.exchange.orders import OwnOrder
from kalshi_sim.live.exchange.queries import bad, number, paged
from kalshi_sim.live.exchange.trading import Trading
from kalshi_sim.live.exchange.wire import contracts
from kalshi_sim.live.interface import CANCEL_COST, CREATE_COST, DEFAULT_COST, MAX_PAGE

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.gate import Gate

_EVENTS: Final = "/portfolio/events/orders"


class _Amendment(msgspec.Struct):
    ticker: str
    side: str
    price: str
    count: str
    client_order_id: str | None = None
    updated_client_order_id: str | None = None
    expiration_time: int | None = None


class _Decrease(msgspec.Struct):
    reduce_by: str | None = None
    reduce_to: str | None = None


class _Batch(msgspec.Struct):
    orders: list[msgspec.Raw]


class _Named(msgspec.Struct):
    order_id: str


class OrderCalls:
    """The calls of REST that change orders, and those that read them."""

    def __init__(self, trading: Trading, gate: Gate) -> None:
        """Make the calls of an exchange.

        Args:
            trading: does the work.
            gate: knows whose a request is, and whether it may be made now.
        """
        self._trading = trading
        self._gate = gate

    def routes(self, root: str) -> list[web.RouteDef]:
        """The routes, below `root`."""
        one = f"{root}{_EVENTS}/{{order_id}}"
        reads = f"{root}/portfolio/orders"
        return [
            web.post(f"{root}{_EVENTS}", self.create),
            web.delete(f"{root}{_EVENTS}", self.cancel_all),
            web.post(f"{root}{_EVENTS}/batched", self.create_batch),
            web.delete(f"{root}{_EVENTS}/batched", self.cancel_batch),
            web.delete(one, self.cancel),
            web.post(f"{one}/amend", self.amend),
            web.post(f"{one}/decrease", self.decrease),
            web.get(reads, self.orders),
            web.get(f"{reads}/queue_positions", self.queue_positions),
            web.get(f"{reads}/{{order_id}}", self.order),
            web.get(f"{reads}/{{order_id}}/queue_position", self.queue_position),
            web.post(reads, self.retired),
            web.delete(f"{reads}/{{order_id}}", self.retired),
        ]

    async def retired(self, request: web.Request) -> web.Response:
        """Refuse a change by the former interface.

        Raises:
            RestError: always.
        """
        raise RestError(400, "deprecated", "Please switch to the V2 endpoints")

    # Changes.

    async def create(self, request: web.Request) -> web.Response:
        """A new order."""
        account = self._gate.writes(request, CREATE_COST)
        wanted = decoded(await request.read(), OrderRequest)
        answer = self._trading.create(account, wanted)
        await self._gate.late(request)
        return web.json_response(answer, status=201)

    async def create_batch(self, request: web.Request) -> web.Response:
        """Several orders, each with its own result or error."""
        batch = decoded(await request.read(), _Batch)
        account = self._gate.writes(request, CREATE_COST * len(batch.orders))

        def create(raw: bytes) -> dict[str, Any]:
            return self._trading.create(account, decoded(raw, OrderRequest))

        return web.json_response(
            {"orders": [_each(create, raw) for raw in batch.orders]}, status=201
        )

    async def cancel_batch(self, request: web.Request) -> web.Response:
        """Cancel several orders, each with its own result or error."""
        batch = decoded(await request.read(), _Batch)
        account = self._gate.writes(request, CANCEL_COST * len(batch.orders))

        def cancel(raw: bytes) -> dict[str, Any]:
            return self._trading.cancel(account, decoded(raw, _Named).order_id)

        return web.json_response({"orders": [_each(cancel, raw) for raw in batch.orders]})

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an order."""
        account = self._gate.writes(request, CANCEL_COST)
        ticker = request.query.get("market_ticker")
        number(request.query, "exchange_index", 0, 0, 0)
        return web.json_response(
            self._trading.cancel(account, request.match_info["order_id"], ticker)
        )

    async def cancel_all(self, request: web.Request) -> web.Response:
        """Cancel all orders of an account, or of one of its subaccounts."""
        account = self._gate.writes(request, CANCEL_COST)
        subaccount = None
        if "subaccount" in request.query:
            subaccount = number(request.query, "subaccount", 0, 0, 63)
        self._trading.cancel_all(account, subaccount)
        return web.Response(status=204)

    async def amend(self, request: web.Request) -> web.Response:
        """Another price, size or expiry of an order."""
        account = self._gate.writes(request, DEFAULT_COST)
        wanted = decoded(await request.read(), _Amendment)
        fields = msgspec.structs.asdict(wanted)
        return web.json_response(
            self._trading.amend(account, request.match_info["order_id"], **fields)
        )

    async def decrease(self, request: web.Request) -> web.Response:
        """A smaller order, which keeps its place."""
        account = self._gate.writes(request, DEFAULT_COST)
        wanted = decoded(await request.read(), _Decrease)
        return web.json_response(
            self._trading.decrease(
                account, request.match_info["order_id"], wanted.reduce_by, wanted.reduce_to
            )
        )

    # Reads.

    async def orders(self, request: web.Request) -> web.Response:
        """A page of an account's orders, newest first."""
        account = self._gate.reads(request)
        query = request.query
        found = list(reversed(account.orders.values()))
        if "ticker" in query:
            found = [o for o in found if o.market.ticker == query["ticker"]]
        if "status" in query:
            found = [o for o in found if o.status == query["status"]]
        limit = number(query, "limit", 100, 1, MAX_PAGE)
        page, cursor = paged(found, query.get("cursor", ""), limit, lambda o: o.order_id)
        shown = [order.shown(websocket=False) for order in page]
        return web.json_response({"orders": shown, "cursor": cursor})

    async def order(self, request: web.Request) -> web.Response:
        """One order."""
        order = self._found(request)
        return web.json_response({"order": order.shown(websocket=False)})

    async def queue_position(self, request: web.Request) -> web.Response:
        """What stands in front of an order."""
        return web.json_response({"queue_position_fp": _ahead(self._found(request))})

    async def queue_positions(self, request: web.Request) -> web.Response:
        """What stands in front of each order that rests."""
        account = self._gate.reads(request)
        tickers = [t for t in request.query.get("market_tickers", "").split(",") if t]
        found = [
            {
                "order_id": order.order_id,
                "market_ticker": order.market.ticker,
                "queue_position_fp": _ahead(order),
            }
            for order in account.orders.values()
            if order.resting is not None and (not tickers or order.market.ticker in tickers)
        ]
        return web.json_response({"queue_positions": found})

    def _found(self, request: web.Request) -> OwnOrder:
        account: Account = self._gate.reads(request)
        return self._trading.found(account, request.match_info["order_id"])


def decoded(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """A body of JSON.

    Args:
        data: the text.
        kind: what it must be.

    Returns:
        An object of that kind.

    Raises:
        RestError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise bad("body", str(error)) from error


def _ahead(order: OwnOrder) -> str:
    if order.resting is None:
        raise RestError(404, "not_found", "not found", "the order does not rest")
    return contracts(order.market.book.ahead(order.resting))


def _each(work: Any, raw: msgspec.Raw) -> dict[str, Any]:
    try:
        return {"order": work(raw)}
    except RestError as error:
        return {"error": error.body}
