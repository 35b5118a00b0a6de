"""Orders of clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kalshi_sim.live.exchange.wire import SIDE_NAMES, Message, contracts, dollars, iso
from kalshi_sim.units import PRICE_SCALE, mirror

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account
    from kalshi_sim.live.exchange.books import Resting
    from kalshi_sim.live.exchange.markets import Market


@dataclass(eq=False)
class OwnOrder:
    """One order of a client; sizes in 1/100 contract, money in 1/100 cent."""

    order_id: str
    client_order_id: str
    account: Account
    market: Market
    side: int
    """Whose contracts it buys: 0 YES (a bid), 1 NO (an ask)."""
    price: int
    """Of that side."""
    count: int
    """As asked for, with what was filled."""
    created_ms: int
    post_only: bool = False
    cancel_on_pause: bool = False
    self_trade_prevention: str = "taker_at_cross"
    subaccount: int = 0
    expiration_ms: int | None = None
    order_group_id: str = ""
    status: str = "resting"
    last_update_reason: str = ""
    filled: int = 0
    updated_ms: int = 0
    taker_cost: int = 0
    maker_cost: int = 0
    taker_fees: int = 0
    maker_fees: int = 0
    maker_multiplier: int = 0
    """In force when it came to rest, in 1/10 000."""
    resting: Resting | None = field(default=None, repr=False)

    @property
    def remaining(self) -> int:
        """What rests."""
        return 0 if self.resting is None else self.resting.size

    @property
    def yes_price(self) -> int:
        """Its price in YES terms."""
        return self.price if self.side == 0 else mirror(self.price, PRICE_SCALE)

    def shown(self, *, websocket: bool) -> Message:
        """The order as REST shows it, or as the message of a `user_order`."""
        message: dict[str, Any] = {
            "order_id": self.order_id,
            "user_id": self.account.user_id,
            "client_order_id": self.client_order_id,
            "ticker": self.market.ticker,
            "exchange_index": self.market.exchange_index,
            "status": self.status,
            "side": SIDE_NAMES[self.side],
            "outcome_side": SIDE_NAMES[self.side],
            "book_side": ("bid", "ask")[self.side],
            "yes_price_dollars": dollars(self.yes_price),
            "fill_count_fp": contracts(self.filled),
            "remaining_count_fp": contracts(self.remaining),
            "initial_count_fp": contracts(self.count),
            "taker_fill_cost_dollars": dollars(self.taker_cost),
            "maker_fill_cost_dollars": dollars(self.maker_cost),
            "taker_fees_dollars": dollars(self.taker_fees),
            "maker_fees_dollars": dollars(self.maker_fees),
            "self_trade_prevention_type": self.self_trade_prevention,
            "created_time": iso(self.created_ms),
            "subaccount_number": self.subaccount,
        }
        if self.order_group_id:
            message["order_group_id"] = self.order_group_id
        if self.expiration_ms is not None:
            message["expiration_time"] = iso(self.expiration_ms)
        if not websocket:
            no_price = dollars(mirror(self.yes_price, PRICE_SCALE))
            message |= {"no_price_dollars": no_price, "type": "limit"}
            message["last_update_time"] = iso(self.updated_ms)
            return message
        message["is_yes"] = self.side == 0
        message["created_ts_ms"] = self.created_ms
        if self.expiration_ms is not None:
            message["expiration_ts_ms"] = self.expiration_ms
        if self.last_update_reason:
            message["last_update_reason"] = self.last_update_reason
        return message
