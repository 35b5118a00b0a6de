"""Orders on their way: sent once, one call a market at a time, and set right after what went wrong.

Whatever is not known for certain (a call without an answer, a lost connection) stops a market: its
orders are taken back and the exchange is asked what there is, before anything is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final

from kalshi_sim.live.interface import SIDES
from kalshi_sim.live.orders.account import Account, Fill, OwnOrder
from kalshi_sim.live.orders.client import NewOrder, OrderClient, OrderError
from kalshi_sim.text import printable
from kalshi_sim.units import (
    PRICE_SCALE,
    SIZE_SCALE,
    format_decimal,
    mirror,
    parse_contracts,
    parse_dollars,
)
from kalshi_train.trading.log import DecisionLog

_FILLS_S: Final = 1.0
"""So long the frames of a fill may come after the answer that says it."""
_AGAIN_S: Final = 0.2
_LONGEST_S: Final = 5.0
_CLOSE_S: Final = 20.0
_NOT_FOUND, _SERVER, _TOO_MANY = 404, 500, 429
FORBIDDEN: Final = (401, 403)
"""The key has no right to what is asked."""
_COUNTS: Final = ("fill_count", "remaining_count")


class Desk:
    """Sends what was decided, and takes back what has to be."""

    def __init__(
        self,
        client: OrderClient,
        account: Account,
        log: DecisionLog,
        tickers: Iterable[str],
        known: Iterable[str] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Send nothing yet; every market waits for its first reconciliation.

        Args:
            client: reaches the exchange.
            account: what is known of the account; answers are folded into it.
            log: where all of it is written.
            tickers: of the markets.
            known: client order ids of this run so far.
            say: called with sentences.
        """
        self.account = account
        self.tickers = list(tickers)
        self.sent: set[str] = set(known)
        """Client order ids."""
        self.uncertain: dict[str, str] = dict.fromkeys(self.tickers, "the run begins")
        """Markets in which nothing is sent before a reconciliation, and why."""
        self.busy: Counter[str] = Counter()
        """Markets with calls on their way."""
        self.counts: Counter[str] = Counter()
        self.on_fill: Callable[[Fill], None] = lambda fill: None
        """Called with fills that REST alone said."""
        self.on_certain: Callable[[list[str]], None] = lambda tickers: None
        """Called with markets that are certain again."""
        self.on_forbidden: Callable[[OrderError], None] = lambda error: None
        """Called where the key has no right to what is asked: asking again changes nothing."""
        self._client = client
        self._log = log
        self._say = say
        self._locks = {ticker: asyncio.Lock() for ticker in self.tickers}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reconciling: asyncio.Task[None] | None = None
        self._closed = False
        self._changed = asyncio.Event()

    # What is asked of it.

    def place(self, order: NewOrder, instead: list[OwnOrder], why: str) -> None:
        """Send an order, after those it takes the place of are taken back.

        Args:
            order: it; its intent is in the log.
            instead: orders that rest in the same market.
            why: these are taken back.
        """
        self._start(order.ticker, self._place(order, instead, why))

    def take_back(self, ticker: str, why: str, orders: list[OwnOrder] | None = None) -> None:
        """Cancel orders of a market.

        Args:
            ticker: of the market.
            why: for the log.
            orders: which; None: all, also those that are on their way.
        """
        self._start(ticker, self._take_back(ticker, orders, why))

    def doubt(self, tickers: Iterable[str], why: str) -> None:
        """What the account has in some markets is no longer known.

        Args:
            tickers: of the markets.
            why: for the log.
        """
        for ticker in tickers:
            self.uncertain.setdefault(ticker, why)
        if self.uncertain and self._reconciling is None and not self._closed:
            self._reconciling = asyncio.create_task(self._until_certain())

    def heard(self) -> None:
        """A frame on the account came."""
        self._changed.set()

    async def reconcile(self, tickers: list[str]) -> None:
        """Take orders back that rest, and learn from the exchange what there is.

        Args:
            tickers: of the markets.

        Raises:
            OrderError: it does not answer.
        """
        why = next((self.uncertain[t] for t in tickers if t in self.uncertain), "")
        resting = await self._client.orders(status="resting")
        for shown in resting:
            with _understood():
                order = self.account.take_order(shown)
            if order.client_order_id in self.sent and order.ticker in tickers:
                await self._cancel(order, why, waits=False)
        await self._learn(tickers, why)
        for ticker in tickers:
            self.uncertain.pop(ticker, None)
        self.on_certain(tickers)

    async def _learn(self, tickers: list[str], why: str) -> list[Any]:
        """What there is at the exchange, into the account and the log; the orders that rest."""
        resting = await self._client.orders(status="resting")
        fills = await self._client.fills()
        positions = await self._client.positions()
        with _understood():
            cash = await self._client.cash()
            self.account.set_right(tickers, resting, positions)
            for message in reversed(fills):
                fill = self.account.take_fill(message)
                if fill is not None and fill.ticker in tickers:
                    self.on_fill(fill)
        self._log.write(
            {
                "t": "reconcile",
                "why": why,
                **_now(),
                "orders": [_shown(self.account.orders[o["order_id"]]) for o in resting],
                "positions": {
                    t: format_decimal(self.account.held[t].size, SIZE_SCALE)
                    for t in tickers
                    if t in self.account.held
                },
                "cash": format_decimal(cash, PRICE_SCALE),
                "markets": tickers,
            }
        )
        self._log.flush()
        return resting

    async def queue(self) -> dict[str, str]:
        """The places of orders in their queues.

        Returns:
            Contracts in front as text, by the exchange's id of the order.

        Raises:
            OrderError: the exchange does not answer.
        """
        tickers = sorted({o.ticker for o in self.account.orders.values() if o.remaining})
        if not tickers or self._closed:
            return {}
        return await self._client.queue_positions(tickers)

    async def close(self, why: str) -> int | None:
        """Cancel everything at the exchange, and send nothing more.

        Args:
            why: for the log.

        Returns:
            How many orders of the run still rest; None: the exchange does not say.
        """
        self._closed = True
        if self._reconciling is not None:
            self._reconciling.cancel()
        self._log.write({"t": "withdraw", "m": "", "oid": "", "id": "", "why": why, **_now()})
        self._log.flush()
        until = time.monotonic() + _CLOSE_S
        left: int | None = None
        wait = _AGAIN_S
        while left != 0 and time.monotonic() < until:
            try:
                await self._client.cancel_all()
                if self._tasks:  # an order that was on its way may rest by now
                    await asyncio.wait(self._tasks, timeout=1.0)
                    await self._client.cancel_all()
                resting = await self._learn(self.tickers, why)
                left = sum(o["client_order_id"] in self.sent for o in resting)
            except OrderError as error:
                self._say(f"orders cannot be cancelled yet: {printable(str(error), 200)}")
                if error.status in FORBIDDEN:
                    break
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_S)
        if left != 0:
            self._say("orders may rest at the exchange yet: --resume takes back those of the run")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return left

    # Its work.

    def _start(self, ticker: str, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            work.close()
            return
        self.busy[ticker] += 1
        task = asyncio.create_task(self._one_at_a_time(ticker, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one_at_a_time(self, ticker: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            async with self._locks[ticker]:
                await work
        finally:
            work.close()
            self.busy[ticker] -= 1

    async def _place(self, order: NewOrder, instead: list[OwnOrder], why: str) -> None:
        for old in instead:
            rested = old.remaining
            if await self._cancel(old, why) != rested:
                self._refuse(order, OrderError("the order it replaces was filled meanwhile"))
                return
        if self._closed or order.ticker in self.uncertain:
            self._refuse(order, OrderError("nothing is sent any more"))
            return
        self._log.write({"t": "sent", "m": order.ticker, "id": order.client_order_id, **_now()})
        self._log.flush()  # what is sent is in the log first
        self.sent.add(order.client_order_id)
        self.counts["sent"] += 1
        try:
            answer = await self._client.create(order)
            with _understood():
                filled, left = (parse_contracts(answer[k]) for k in _COUNTS)
                order_id = str(answer["order_id"])
        except OrderError as error:
            self._refuse(order, error)
            if error.status in FORBIDDEN:
                self.on_forbidden(error)
            elif error.status == 0 or error.status == _TOO_MANY or error.status >= _SERVER:
                self.doubt([order.ticker], f"an order was not answered ({error.status})")
            return
        side, yes = SIDES.index(order.side), parse_dollars(order.price)
        made = OwnOrder(
            order_id=order_id,
            client_order_id=order.client_order_id,
            ticker=order.ticker,
            side=side,
            price=yes if side == 0 else mirror(yes, PRICE_SCALE),
            count=parse_contracts(order.count),
            created_ms=answer.get("ts_ms", 0),
        )
        self.account.created(made, filled, left)
        self._log.write(
            {
                "t": "answer",
                "m": order.ticker,
                "id": order.client_order_id,
                "oid": made.order_id,
                "ms": answer.get("ts_ms"),
                "filled": answer["fill_count"],
                "remaining": answer["remaining_count"],
                **_now(),
            }
        )
        await self._until_filled(made, filled)

    async def _until_filled(self, order: OwnOrder, filled: int) -> None:
        """Wait for the frames of fills, without which the position is not known."""
        try:
            async with asyncio.timeout(_FILLS_S):
                while self.account.filled[order.order_id] < filled:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.doubt([order.ticker], "the frame of a fill did not come")

    async def _take_back(self, ticker: str, orders: list[OwnOrder] | None, why: str) -> None:
        if orders is None:
            orders = [o for o in self.account.resting(ticker) if o.client_order_id in self.sent]
        for order in orders:
            await self._cancel(order, why)

    async def _cancel(self, order: OwnOrder, why: str, *, waits: bool = True) -> int:
        """Cancel an order; returns how much of it was taken back.

        Args:
            waits: for the frames that say what became of it.
        """
        if not order.remaining:
            return 0
        about = {"m": order.ticker, "oid": order.order_id, "id": order.client_order_id}
        self._log.write({"t": "withdraw", **about, "why": why, **_now()})
        self.counts["withdrawn"] += 1
        try:
            answer = await self._client.cancel(order.order_id, order.ticker)
            with _understood():
                reduced = parse_contracts(answer["reduced_by"])
        except OrderError as error:
            said = {"status": error.status, "text": printable(str(error), 200)}
            self._log.write({"t": "withdrawn", **about, **said, **_now()})
            if error.status == _NOT_FOUND and waits:
                await self._until_over(order)
            elif error.status != _NOT_FOUND:
                self.doubt([order.ticker], f"a cancel was not answered ({error.status})")
            return 0
        self._log.write({"t": "withdrawn", **about, "reduced": answer["reduced_by"], **_now()})
        self.account.withdrawn(order, reduced)
        if waits:
            await self._until_filled(order, order.filled)
        return reduced

    async def _until_over(self, order: OwnOrder) -> None:
        """Wait for the frame that says what became of an order that no longer rests."""
        try:
            async with asyncio.timeout(_FILLS_S):
                while order.remaining:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.doubt([order.ticker], "it is not known what became of an order")

    def _refuse(self, order: NewOrder, error: OrderError) -> None:
        self.counts["refused"] += 1
        said = {"status": error.status, "code": error.code, "text": printable(str(error), 200)}
        about = {"m": order.ticker, "id": order.client_order_id}
        self._log.write({"t": "refused", **about, **said, **_now()})

    async def _until_certain(self) -> None:
        wait = _AGAIN_S
        try:
            while self.uncertain and not self._closed:
                tickers = sorted(self.uncertain)
                try:
                    async with contextlib.AsyncExitStack() as locks:
                        for ticker in tickers:  # what is on its way comes first
                            await locks.enter_async_context(self._locks[ticker])
                        await self.reconcile(tickers)
                except OrderError as error:
                    if error.status in FORBIDDEN:
                        self.on_forbidden(error)
                        return
                    self._say(f"waiting for the exchange: {printable(str(error), 200)}")
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, _LONGEST_S)
        finally:
            self._reconciling = None


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """What an answer lacks is no answer: it is not certain what the exchange did.

    Raises:
        OrderError: something in it is missing, or is not what it should be.
    """
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        said = printable(f"{type(error).__name__}: {error}", 100)
        raise OrderError(f"the exchange's answer is not understood ({said})") from error


def _now() -> dict[str, int]:
    return {"mono": time.monotonic_ns(), "wall": time.time_ns()}


def _shown(order: OwnOrder) -> list[str]:
    yes = order.price if order.side == 0 else mirror(order.price, PRICE_SCALE)
    return [
        order.order_id,
        order.client_order_id,
        order.ticker,
        SIDES[order.side],
        format_decimal(yes, PRICE_SCALE),
        format_decimal(order.remaining, SIZE_SCALE),
    ]
