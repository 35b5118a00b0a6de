"""Money of accounts: fees, fills, positions and what resting orders reserve, in exact integers.

Money and prices are in 1/100 cent, sizes in 1/100 contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kalshi_sim.fees import FeeTerms
from kalshi_sim.live.exchange.wire import contracts, dollars, iso
from kalshi_sim.units import (
    MAKER_RATE,
    MULTIPLIER_SCALE,
    PRICE_SCALE,
    SIZE_SCALE,
    TAKER_RATE,
    mirror,
)

_NO_FEES: Final = FeeTerms(0, 0, 1)


def fill_fee(size: int, price: int, terms: FeeTerms, *, maker: bool) -> int:
    """The fee of a fill: ceil(rate * M * C * p * (1 - p)), rounded up to the market's fee unit.

    Args:
        size: of the fill.
        price: of either side.
        terms: multipliers and unit.
        maker: whether the order rested.
    """
    above, below = MAKER_RATE if maker else TAKER_RATE
    multiplier = terms.maker_multiplier if maker else terms.taker_multiplier
    exact = above * multiplier * size * price * mirror(price, PRICE_SCALE)
    unit = below * MULTIPLIER_SCALE * SIZE_SCALE * PRICE_SCALE * terms.fee_unit
    return -(-exact // unit) * terms.fee_unit


def cost_of(size: int, price: int) -> int:
    """What contracts cost, in 1/100 cent; a fraction of it is rounded up."""
    return -(-size * price // SIZE_SCALE)


@dataclass
class Position:
    """What an account holds in a market. Positive: YES, negative: NO."""

    ticker: str
    size: int = 0
    cost: int = 0
    """Of the contracts held, fees apart."""
    realized: int = 0
    fees: int = 0
    traded: int = 0
    """Money that ever changed hands."""
    volume: int = 0
    """Contracts that ever were traded."""
    settled: bool = False
    updated_ms: int = 0

    def fill(self, side: int, price: int, size: int) -> int:
        """Book bought contracts; returns what cash changes by, fees apart.

        Args:
            side: of the contracts.
            price: of that side.
            size: bought.
        """
        paid = cost_of(size, price)
        self.traded += paid
        self.volume += size
        held = -self.size if side == 0 else self.size
        """Contracts of the other side that are held."""
        pairs = min(size, max(held, 0))
        received = 0
        if pairs:
            # A pair of YES and NO pays a dollar at once.
            received = pairs * PRICE_SCALE // SIZE_SCALE
            freed = self.cost * pairs // held
            part = paid if pairs == size else cost_of(pairs, price)
            self.realized += received - part - freed
            self.cost -= freed
            self.cost += paid - part
        else:
            self.cost += paid
        self.size += size if side == 0 else -size
        return received - paid

    def settle(self, value: int) -> int:
        """Pay the position out; returns what it pays.

        Args:
            value: of a YES contract.
        """
        worth = value if self.size > 0 else mirror(value, PRICE_SCALE)
        paid = abs(self.size) * worth // SIZE_SCALE
        self.realized += paid - self.cost
        self.size = self.cost = 0
        self.settled = True
        return paid

    def shown(self) -> dict[str, Any]:
        """The position as GET /portfolio/positions shows it."""
        return {
            "ticker": self.ticker,
            "position_fp": contracts(self.size),
            "market_exposure_dollars": dollars(self.cost),
            "realized_pnl_dollars": dollars(self.realized),
            "fees_paid_dollars": dollars(self.fees),
            "total_traded_dollars": dollars(self.traded),
            "settlement_status": "settled" if self.settled else "unsettled",
            "last_updated_ts": iso(self.updated_ms),
        }

    def message(self, user_id: str) -> dict[str, Any]:
        """The message of a `market_position`.

        Args:
            user_id: of the account.
        """
        return {
            "user_id": user_id,
            "market_ticker": self.ticker,
            "position_fp": contracts(self.size),
            "position_cost_dollars": dollars(self.cost),
            "realized_pnl_dollars": dollars(self.realized),
            "fees_paid_dollars": dollars(self.fees),
            "position_fee_cost_dollars": dollars(self.fees),
            "volume_fp": contracts(self.volume),
        }


def reserve_of(side: int, price: int, size: int, held: int, terms: FeeTerms) -> int:
    """What an order reserves: its price and the larger fee, for what it does not close.

    Args:
        side: of the contracts it buys.
        price: of that side.
        size: that rests.
        held: the account's position, positive YES, as far as no other order closes it.
        terms: of the market's fees.
    """
    opposite = max(0, -held if side == 0 else held)
    opening = max(0, size - opposite)
    worst = min(price, PRICE_SCALE // 2)
    fee = max(fill_fee(size, worst, terms, maker=False), fill_fee(size, price, terms, maker=True))
    closing = max(0, fee - cost_of(size - opening, mirror(price, PRICE_SCALE))) if size else 0
    return cost_of(opening, price) + (fee if opening else closing)
