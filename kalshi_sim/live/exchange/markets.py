"""One market of the local exchange: what REST and the channels show of it."""

from __future__ import annotations

from typing import Any, Final

from kalshi_sim.grid import price_grid
from kalshi_sim.live.exchange.books import OrderBook
from kalshi_sim.live.exchange.wire import (
    SIDE_NAMES,
    Message,
    bands,
    contracts,
    dollars,
    iso,
    name_of,
    shown_price,
)
from kalshi_sim.session import MarketInfo, PriceRanges
from kalshi_sim.units import MS_PER_SECOND, PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT, mirror

INITIALIZED: Final = "initialized"
ACTIVE: Final = "active"
INACTIVE: Final = "inactive"
CLOSED: Final = "closed"
DETERMINED: Final = "determined"
FINALIZED: Final = "finalized"
FILTERS: Final = {
    "unopened": (INITIALIZED,),
    "open": (ACTIVE,),
    "paused": (INACTIVE,),
    "closed": (CLOSED, DETERMINED),
    "settled": (FINALIZED,),
}
"""The states of a market that a `status` of GET /markets stands for."""
SETTLEMENT_TIMER_S: Final = 60
"""Seconds from a result to its payment."""
OPENED_EARLIER_MS: Final = 3_600_000
"""A market opened so long before the session that is replayed begins."""


class Market:
    """A market's metadata, book, state and statistics."""

    def __init__(self, info: MarketInfo, start_ms: int) -> None:
        """Make a market whose book is not known yet.

        Args:
            info: its metadata.
            start_ms: when the session begins.
        """
        self.info = info
        self.ticker = info.ticker
        self.market_id = name_of("market", info.ticker)
        self.book = OrderBook()
        self.known = False
        """Whether the book is known: not before its first snapshot, nor in a gap."""
        self.altered = False
        """Whether a client's order ever came here."""
        self.status = ACTIVE
        self.ranges: PriceRanges = price_grid(info)
        self.open_ms = start_ms - OPENED_EARLIER_MS
        self.created_ms = self.open_ms
        self.close_ms = info.close_time_ms
        self.updated_ms = start_ms
        self.settled_ms: int | None = None
        self.value: int | None = None
        """What a YES contract pays, in 1/100 cent, once determined."""
        self.last_price = 0
        self.last_size = 0
        self.volume = 0
        self.open_interest = 0
        self.dollar_volume = 0
        """In 1/1 000 000 dollar: 1/100 cent times 1/100 contract."""

    @property
    def exchange_index(self) -> int:
        """The shard it trades on; a local exchange has one."""
        return 0

    @property
    def opened(self) -> bool:
        """Whether trading has begun; before, nobody sees a book."""
        return self.status != INITIALIZED

    def open(self, ms: int) -> None:
        """Let trading begin: what came before has not happened."""
        self.status, self.open_ms = ACTIVE, ms
        self.last_price = self.last_size = 0
        self.volume = self.open_interest = self.dollar_volume = 0

    @property
    def _shown(self) -> OrderBook:
        return self.book if self.opened else OrderBook()

    def record_trade(self, side: int, price: int, size: int) -> None:
        """Count a trade.

        Args:
            side: whose bid was taken, 0 YES or 1 NO.
            price: of that side.
            size: in 1/100 contract.
        """
        self.last_price = price if side == 0 else mirror(price, PRICE_SCALE)
        self.last_size = size
        self.volume += size
        self.open_interest += size
        self.dollar_volume += self.last_price * size

    def snapshot(self, *, use_yes_price: bool = False) -> Message:
        """The message of an `orderbook_snapshot`; the key of an empty side is absent."""
        message: Message = {"market_ticker": self.ticker, "market_id": self.market_id}
        for side, name in enumerate(SIDE_NAMES):
            levels = [
                [shown_price(side, price, use_yes_price=use_yes_price), contracts(size)]
                for price, size in self._shown.ladder(side)
            ]
            if levels:
                message[f"{name}_dollars_fp"] = levels
        return message

    def orderbook(self, depth: int = 0) -> Message:
        """The book as REST shows it, the best bid of each side last.

        Args:
            depth: levels of each side; 0: all.
        """
        return {
            f"{name}_dollars": [
                [dollars(price), contracts(size)]
                for price, size in self._shown.ladder(side)[-depth:]
            ]
            for side, name in enumerate(SIDE_NAMES)
        }

    def quotes(self) -> Message:
        """The best prices and their sizes; the side that has none shows 0 or 1 dollar."""
        bid, no_bid = self._shown.best(0), self._shown.best(1)
        return {
            "yes_bid_dollars": dollars(bid),
            "yes_ask_dollars": dollars(mirror(no_bid, PRICE_SCALE)),
            "yes_bid_size_fp": contracts(self._shown.size(0, bid)),
            "yes_ask_size_fp": contracts(self._shown.size(1, no_bid)),
        }

    def ticker_message(self, ts_ms: int) -> Message:
        """The message of a `ticker`."""
        whole = PRICE_SCALE * SIZE_SCALE
        return {
            "market_id": self.market_id,
            "market_ticker": self.ticker,
            "price_dollars": dollars(self.last_price),
            **self.quotes(),
            "volume_fp": contracts(self.volume),
            "open_interest_fp": contracts(self.open_interest),
            "dollar_volume": self.dollar_volume // whole,
            "dollar_open_interest": self.open_interest // SIZE_SCALE,
            "last_trade_size_fp": contracts(self.last_size),
            "ts": ts_ms // MS_PER_SECOND,
            "ts_ms": ts_ms,
            "time": iso(ts_ms),
        }

    def listing(self) -> dict[str, Any]:
        """The market as GET /markets shows it."""
        no_bid, no_ask = self._shown.best(1), mirror(self._shown.best(0), PRICE_SCALE)
        result = ""
        if self.value is not None:
            result = {0: "no", PRICE_SCALE: "yes"}.get(self.value, "scalar")
        known: dict[str, Any] = {}
        if self.close_ms is not None:
            known["close_time"] = iso(self.close_ms)
            known["expected_expiration_time"] = iso(self.close_ms)
            known["latest_expiration_time"] = iso(self.close_ms)
        if self.value is not None:
            known["settlement_value_dollars"] = dollars(self.value)
        if self.settled_ms is not None:
            known["settlement_ts"] = iso(self.settled_ms)
        return {
            "ticker": self.ticker,
            "event_ticker": self.info.event,
            "market_type": "binary",
            "title": self.ticker,
            "status": self.status,
            "created_time": iso(self.created_ms),
            "updated_time": iso(self.updated_ms),
            "open_time": iso(self.open_ms),
            **known,
            "result": result,
            "can_close_early": True,
            **self.quotes(),
            "no_bid_dollars": dollars(no_bid),
            "no_ask_dollars": dollars(no_ask),
            "last_price_dollars": dollars(self.last_price),
            "volume_fp": contracts(self.volume),
            "volume_24h_fp": contracts(self.volume),
            "open_interest_fp": contracts(self.open_interest),
            "notional_value_dollars": dollars(PRICE_SCALE),
            "exchange_index": self.exchange_index,
            "price_level_structure": structure(self.ranges),
            "price_ranges": bands(self.ranges),
            "settlement_timer_seconds": SETTLEMENT_TIMER_S,
            "is_provisional": False,
        }


def structure(ranges: PriceRanges) -> str:
    """The name of a grid.

    Args:
        ranges: (start, end, step) in 1/100 cent.
    """
    steps = {step for _, _, step in ranges}
    if steps == {STORED_PER_CENT}:
        return "linear_cent"
    return "deci_cent" if len(steps) == 1 else "tapered_deci_cent"
