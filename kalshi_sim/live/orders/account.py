"""What the exchange says of an account: its orders, fills and positions, from frames and from REST.

Prices and money are in 1/100 cent, sizes in 1/100 contract, sides 0 YES and 1 NO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from kalshi_sim.live.interface import SIDES
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE, mirror, parse_contracts, parse_dollars

RESTING: Final = "resting"


@dataclass
class OwnOrder:
    """An order of the account."""

    order_id: str
    client_order_id: str
    ticker: str
    side: int
    """Whose contracts it buys."""
    price: int
    """Of that side."""
    count: int
    filled: int = 0
    status: str = RESTING
    created_ms: int = 0

    @property
    def remaining(self) -> int:
        """What rests of it."""
        return max(0, self.count - self.filled) if self.status == RESTING else 0


@dataclass(frozen=True)
class Held:
    """What is held in a market."""

    size: int = 0
    """Positive: YES, negative: NO."""
    cost: int = 0
    realized: int = 0
    fees: int = 0


@dataclass(frozen=True)
class Fill:
    """One fill of an order."""

    trade_id: str
    order_id: str
    ticker: str
    side: int
    """Whose contracts were bought."""
    price: int
    """Of that side."""
    count: int
    fee: int
    taker: bool
    ms: int
    position: int | None = None
    """After it, if the exchange said so."""


class Account:
    """Folds what is said about an account; what came before, or twice, changes nothing."""

    def __init__(self, fills: Iterable[tuple[str, str]] = ()) -> None:
        """Know of no orders yet.

        Args:
            fills: trade and order of fills that are known.
        """
        self.orders: dict[str, OwnOrder] = {}
        """By the exchange's id."""
        self.held: dict[str, Held] = {}
        """By ticker."""
        self.filled: Counter[str] = Counter()
        """Contracts whose fills are known, by order."""
        self._fills: set[tuple[str, str]] = set(fills)

    def resting(self, ticker: str) -> list[OwnOrder]:
        """The orders that rest in a market."""
        return [o for o in self.orders.values() if o.ticker == ticker and o.remaining]

    def take_order(self, message: Mapping[str, Any]) -> OwnOrder:
        """An order as `user_order` or REST shows it."""
        side = SIDES.index(message["book_side"])
        yes = parse_dollars(message["yes_price_dollars"])
        order = self.orders.setdefault(
            message["order_id"],
            OwnOrder(
                order_id=message["order_id"],
                client_order_id=message.get("client_order_id") or "",
                ticker=message["ticker"],
                side=side,
                price=yes if side == 0 else mirror(yes, PRICE_SCALE),
                count=parse_contracts(message["initial_count_fp"]),
                created_ms=message.get("created_ts_ms") or _ms(message.get("created_time")),
            ),
        )
        order.filled = max(order.filled, parse_contracts(message["fill_count_fp"]))
        if order.status == RESTING:
            order.status = message["status"]
        return order

    def created(self, order: OwnOrder, filled: int, remaining: int) -> None:
        """The answer to an order that was sent.

        Args:
            order: as it was sent, with the exchange's id.
            filled: of it, in 1/100 contract.
            remaining: of it.
        """
        known = self.orders.setdefault(order.order_id, order)
        known.filled = max(known.filled, filled)
        if remaining == 0 and known.status == RESTING:
            known.status = "executed" if filled >= known.count else "canceled"

    def withdrawn(self, order: OwnOrder, reduced: int) -> None:
        """The answer to a cancel.

        Args:
            order: it.
            reduced: what was taken back.
        """
        if order.status == RESTING:
            order.filled = max(order.filled, order.count - reduced)
            order.status = "canceled"

    def take_fill(self, message: Mapping[str, Any]) -> Fill | None:
        """A fill as the channel or REST shows it; None: it was known."""
        key = message["trade_id"], message["order_id"]
        if key in self._fills:
            return None
        self._fills.add(key)
        side = SIDES.index(message["book_side"])
        yes = parse_dollars(message["yes_price_dollars"])
        ticker = message.get("market_ticker") or message["ticker"]
        position = None
        if message.get("post_position_fp") is not None:
            position = parse_contracts(message["post_position_fp"])
            self.held[ticker] = replace(self.held.get(ticker, Held()), size=position)
        count = parse_contracts(message["count_fp"])
        self.filled[key[1]] += count
        order = self.orders.get(key[1])
        if order is not None:
            order.filled = max(order.filled, self.filled[key[1]])
        return Fill(
            trade_id=key[0],
            order_id=key[1],
            ticker=ticker,
            side=side,
            price=yes if side == 0 else mirror(yes, PRICE_SCALE),
            count=count,
            fee=parse_dollars(message["fee_cost"]),
            taker=bool(message["is_taker"]),
            ms=message.get("ts_ms") or _ms(message.get("created_time")),
            position=position,
        )

    def take_position(self, message: Mapping[str, Any]) -> None:
        """A position as `market_position` or REST shows it."""
        cost = message.get("position_cost_dollars", message.get("market_exposure_dollars", "0"))
        self.held[message.get("market_ticker") or message["ticker"]] = Held(
            size=parse_contracts(message["position_fp"]),
            cost=parse_dollars(cost),
            realized=parse_dollars(message["realized_pnl_dollars"]),
            fees=parse_dollars(message["fees_paid_dollars"]),
        )

    def set_right(
        self, tickers: Iterable[str], resting: Iterable[Any], positions: Iterable[Any]
    ) -> None:
        """What REST says of some markets; what it does not list is no more.

        Args:
            tickers: of the markets.
            resting: all orders of the account that rest.
            positions: all positions of the account.
        """
        there = {self.take_order(order).order_id for order in resting}
        about = set(tickers)
        for order in self.orders.values():
            if order.ticker in about and order.order_id not in there and order.remaining:
                order.status = "unknown"
        for ticker in about:
            self.held.pop(ticker, None)
        for position in positions:
            if position["ticker"] in about:
                self.take_position(position)


def _ms(text: str | None) -> int:
    """An RFC 3339 time in ms since 1970 UTC; 0: there is none."""
    if not text:
        return 0
    return round(datetime.fromisoformat(text).timestamp() * MS_PER_SECOND)
