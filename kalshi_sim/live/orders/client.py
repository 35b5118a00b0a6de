"""The client of orders: REST V2, one place, no redirects, no proxies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from kalshi_sim.errors import KalshiSimError
from kalshi_sim.live import interface as names
from kalshi_sim.live.orders.hosts import OnePlace, OrderPlace, order_place
from kalshi_sim.live.recorder.options import Credentials, signer
from kalshi_sim.text import printable
from kalshi_sim.units import parse_dollars

ORDERS: Final = "/portfolio/events/orders"
_DEADLINE_S: Final = 10.0
_RETRIES: Final = 4
_WAIT_S: Final = 0.2
_CREATED, _NO_CONTENT, _REDIRECT, _CONFLICT, _TOO_MANY = 201, 204, 300, 409, 429


class OrderError(KalshiSimError, RuntimeError):
    """The exchange refused a call, or did not answer it."""

    def __init__(self, text: str, status: int = 0, code: str = "") -> None:
        """Say what happened.

        Args:
            text: a sentence.
            status: of HTTP; 0: there was no answer.
            code: the exchange's.
        """
        super().__init__(text)
        self.status = status
        self.code = code

    @property
    def is_duplicate(self) -> bool:
        """Whether an order with this client order id is there already."""
        return self.status == _CONFLICT


@dataclass(frozen=True)
class NewOrder:
    """An order as the exchange takes it: prices and sizes as text, of the YES contract."""

    ticker: str
    side: str
    """bid or ask."""
    count: str
    price: str
    """Dollars."""
    client_order_id: str
    """Makes an order that is sent again the same one."""
    time_in_force: str = "good_till_canceled"
    post_only: bool = False


def client_order_id(run: str, ticker: str, row: int, nth: int) -> str:
    """A client order id: the same for the same decision, so that nothing is sent twice.

    Args:
        run: names the run.
        ticker: of the market.
        row: at which it was decided.
        nth: of the orders of that decision.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"kalshi-trade/{run}/{ticker}/{row}/{nth}"))


class OrderClient:
    """Calls of one account at one place; `async with` opens and closes it."""

    def __init__(
        self, address: str, credentials: Credentials | None, *, deadline_s: float = _DEADLINE_S
    ) -> None:
        """Not connected yet.

        Args:
            address: as `order_place` takes it.
            credentials: the key of this environment.
            deadline_s: seconds to an answer.

        Raises:
            ConfigError: orders are not sent to this address.
        """
        self.place: OrderPlace = order_place(address)
        self._signed = signer(credentials)
        self._deadline_s = deadline_s
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make the session; nothing is sent."""
        connector = aiohttp.TCPConnector(resolver=OnePlace(self.place), use_dns_cache=False)
        self._http = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,  # no proxy and no .netrc of the environment
            timeout=aiohttp.ClientTimeout(total=self._deadline_s),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def create(self, order: NewOrder) -> dict[str, Any]:
        """Send an order, once: where it is sent again after no answer, the exchange finds it known.

        Args:
            order: it.

        Returns:
            order_id, client_order_id, fill_count and remaining_count, of the order that is there.

        Raises:
            OrderError: it was refused.
        """
        body = {
            "ticker": order.ticker,
            "side": order.side,
            "count": order.count,
            "price": order.price,
            "time_in_force": order.time_in_force,
            "self_trade_prevention_type": names.SELF_TRADE_PREVENTION[0],
            "client_order_id": order.client_order_id,
            "post_only": order.post_only,
        }
        try:
            return await self._call("POST", ORDERS, body=body)
        except OrderError as error:
            if not error.is_duplicate:
                raise
            for known in await self.orders(order.ticker):
                if known["client_order_id"] == order.client_order_id:
                    return {
                        "order_id": known["order_id"],
                        "client_order_id": order.client_order_id,
                        "fill_count": known["fill_count_fp"],
                        "remaining_count": known["remaining_count_fp"],
                    }
            raise

    async def cancel(self, order_id: str, ticker: str) -> dict[str, Any]:
        """Cancel one order.

        Args:
            order_id: the exchange's.
            ticker: of its market, by which the exchange finds its shard.

        Returns:
            The exchange's answer.

        Raises:
            OrderError: there is no such order that rests.
        """
        return await self._call("DELETE", f"{ORDERS}/{order_id}", {"market_ticker": ticker})

    async def cancel_all(self) -> None:
        """Cancel every order of the account.

        Raises:
            OrderError: it was refused.
        """
        await self._call("DELETE", ORDERS)

    async def orders(self, ticker: str | None = None, status: str | None = None) -> list[Any]:
        """Orders of the account.

        Args:
            ticker: of one market alone.
            status: resting, canceled or executed alone.

        Returns:
            The exchange's objects, newest first.

        Raises:
            OrderError: they cannot be read.
        """
        wanted = {"ticker": ticker, "status": status}
        return await self._pages("/portfolio/orders", "orders", wanted)

    async def fills(self, ticker: str | None = None) -> list[Any]:
        """Fills of the account, newest first.

        Args:
            ticker: of one market alone.

        Returns:
            The exchange's objects.

        Raises:
            OrderError: they cannot be read.
        """
        return await self._pages("/portfolio/fills", "fills", {"ticker": ticker})

    async def positions(self) -> list[Any]:
        """Positions of the account by market.

        Returns:
            The exchange's objects.

        Raises:
            OrderError: they cannot be read.
        """
        return await self._pages("/portfolio/positions", "market_positions", {})

    async def cash(self) -> int:
        """Cash of the account.

        Returns:
            In 1/100 cent.

        Raises:
            OrderError: it cannot be read.
        """
        answer = await self._call("GET", "/portfolio/balance")
        return parse_dollars(answer["balance_dollars"])

    async def queue_positions(self, tickers: list[str]) -> dict[str, str]:
        """What stands in front of each order that rests, by order.

        Args:
            tickers: of the markets.

        Returns:
            Contracts as text by the exchange's order id.

        Raises:
            OrderError: they cannot be read.
        """
        query = {"market_tickers": ",".join(tickers)}
        answer = await self._call("GET", "/portfolio/orders/queue_positions", query)
        found = answer.get("queue_positions") or ()
        return {entry["order_id"]: entry["queue_position_fp"] for entry in found}

    async def _pages(self, path: str, name: str, wanted: Mapping[str, str | None]) -> list[Any]:
        query = {key: value for key, value in wanted.items() if value is not None}
        out: list[Any] = []
        cursor = ""
        while True:
            page = query | {"limit": str(names.MAX_PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = await self._call("GET", path, page)
            out += answer.get(name) or ()
            cursor = str(answer.get("cursor") or "")
            if not cursor:
                return out

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One call, repeated where that is safe: after 429, 5xx and no answer.

        A repeated order has its client order id, a repeated cancel finds nothing more to do.
        """
        why = OrderError(f"{self.place.root} was not asked")
        for nth in range(_RETRIES):
            if nth:
                await asyncio.sleep(_WAIT_S * 2**nth)
            try:
                status, answer = await self._once(method, path, query or {}, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = OrderError(
                    f"{self.place.root} does not answer: {str(error) or type(error).__name__}"
                )
                continue
            if status < _REDIRECT:
                return answer
            if _REDIRECT <= status < 400:
                raise OrderError(
                    f"{self.place.root} sends this call elsewhere (status {status}), and orders "
                    "are never sent elsewhere",
                    status,
                )
            code = str(answer.get("code") or answer.get("error") or "")
            text = printable(str(answer.get("message") or code or "refused"), 200)
            why = OrderError(f"{method} {path}: {text} (status {status})", status, code)
            if status != _TOO_MANY and status < 500:
                raise why
        raise why

    async def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
    ) -> tuple[int, dict[str, Any]]:
        assert self._http is not None, "the client is not open"
        async with self._http.request(
            method,
            f"{self.place.root}{names.REST_ROOT}{path}",
            params=query,
            json=body,
            headers=self._signed(method, path),
            allow_redirects=False,
            proxy=None,
        ) as answer:
            text = await answer.read()
        try:
            found = msgspec.json.decode(text) if text else {}
        except msgspec.MsgspecError:
            found = {}
        return answer.status, found if isinstance(found, dict) else {}
