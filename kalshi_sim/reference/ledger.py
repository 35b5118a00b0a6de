"""The money of the slow twin: cash, position, fees, reserves and fills, in whole numbers.

Written from docs/contract.md alone, apart from the kernels it is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from kalshi_sim.config import SimConfig
from kalshi_sim.reference.tape import OracleView
from kalshi_sim.reference.terms import OracleTerms
from kalshi_sim.units import MULTIPLIER_SCALE, mirror, money_per_cent

TAKER_RATE = Fraction(7, 100)
MAKER_RATE = Fraction(175, 10_000)


@dataclass
class OracleOrder:
    """A resting order: a bid on one side."""

    price: int
    size: int
    ahead: int
    arrival: int
    """When it arrived: the flow of that interval does not act on it."""
    maker_multiplier: int
    """What held when it came to rest."""


@dataclass(frozen=True)
class OracleFill:
    """One fill; `row` counts from the view's first, `fee` and `price` in money units."""

    row: int
    side: int
    price: int
    qty: int
    fee: int
    maker: bool


@cache
def exact_fee(contracts: int, price: int, payout: int, multiplier: int, maker: bool) -> Fraction:
    """The fee before rounding, in money units.

    Args:
        contracts: of the fill.
        price: of the fill, in money units.
        payout: money units a winning contract pays.
        multiplier: of the fee, in 1/10 000.
        maker: the order rested.
    """
    rate = MAKER_RATE if maker else TAKER_RATE
    scaled = rate * Fraction(multiplier, MULTIPLIER_SCALE) * contracts
    return scaled * price * (payout - price) / payout


class OracleLedger:
    """What one agent owns and owes on one view."""

    def __init__(self, view: OracleView, config: SimConfig) -> None:
        """Open an account at the view's first row.

        Args:
            view: the market to trade.
            config: `cash_start` and `fees` are used.
        """
        self.view = view
        self.config = config
        self.payout = view.payout
        self.cash_start = config.cash_start * money_per_cent(view.payout)
        self.open_account(0)

    def open_account(self, start_row: int) -> None:
        """Cash as at the start, and nothing else."""
        self.row = start_row
        self.cash = self.cash_start
        self.position = 0
        self.cost = 0
        self.realized = 0
        self.fees_paid = 0
        self.orders: list[OracleOrder | None] = [None, None]
        self.fills: list[OracleFill] = []

    def value2(self, position: int, valuation: str) -> int:
        """Twice the value of a position at this row.

        Args:
            position: contracts, above 0 of YES, below 0 of NO.
            valuation: "mid" or "liquidation".

        Returns:
            Money units, doubled.
        """
        row = self.view.rows[self.row]
        if valuation == "liquidation":
            return 2 * abs(position) * row.best(0 if position >= 0 else 1)
        if position >= 0:
            return position * row.mark2
        return -position * (2 * self.payout - row.mark2)

    @property
    def equity2(self) -> int:
        """Twice cash plus value, by the configured valuation."""
        return 2 * self.cash + self.value2(self.position, self.config.valuation)

    @property
    def mid_equity2(self) -> int:
        """Twice cash plus value, by mid."""
        return 2 * self.cash + self.value2(self.position, "mid")

    @property
    def free_cash(self) -> int:
        """Cash minus what the resting orders reserve."""
        return self.cash - sum(self.resting_reserve(side) for side in (0, 1))

    def held(self, side: int) -> int:
        """Contracts held of one side."""
        return max(0, self.position if side == 0 else -self.position)

    @property
    def terms(self) -> OracleTerms:
        """What holds at this row."""
        return self.view.terms[self.row]

    def maker_fee(self, contracts: int, price: int, multiplier: int) -> int:
        """The fee of a resting order's fill, by the multiplier of when it came to rest.

        Args:
            contracts: of the fill.
            price: of the fill, in money units.
            multiplier: when the order came to rest, in 1/10 000.
        """
        return self._rounded(exact_fee(contracts, price, self.payout, multiplier, maker=True))

    def taker_fee(self, contracts: int, price: int) -> int:
        """The fee of a fill at entry, by the multiplier that holds at this row.

        Args:
            contracts: of the fill.
            price: of the fill, in money units.
        """
        multiplier = self.terms.taker_multiplier
        return self._rounded(exact_fee(contracts, price, self.payout, multiplier, maker=False))

    def _rounded(self, exact: Fraction) -> int:
        """A fee rounded up to the market's unit; nothing if fees are off."""
        if not self.config.fees:
            return 0
        return math.ceil(exact / self.view.fee_unit) * self.view.fee_unit

    def _reserve(self, side: int, price: int, size: int, fee_of_one: int) -> int:
        offset = min(size, self.held(1 - side))
        shortfall = max(0, fee_of_one - mirror(price, self.payout))
        return (price + fee_of_one) * (size - offset) + shortfall * offset

    def resting_reserve(self, side: int) -> int:
        """Cash that the resting order of a side keeps from being spent."""
        order = self.orders[side]
        if order is None:
            return 0
        fee_of_one = self.maker_fee(1, order.price, order.maker_multiplier)
        return self._reserve(side, order.price, order.size, fee_of_one)

    def entry_reserve(self, side: int, price: int, size: int) -> int:
        """Cash that an order needs to enter, at the worst fee that it may pay.

        Args:
            side: 0 YES, 1 NO.
            price: the order's limit, in money units.
            size: its contracts.

        Returns:
            Money units.
        """
        worst_price = min(price, self.payout // 2)
        fee_of_one = max(
            self.maker_fee(1, price, self.terms.maker_multiplier), self.taker_fee(1, worst_price)
        )
        return self._reserve(side, price, size, fee_of_one)

    def fill(self, side: int, price: int, contracts: int, fee: int, maker: bool) -> None:
        """Buy contracts of a side; what is held of the other side pays out in pairs.

        Args:
            side: 0 YES, 1 NO.
            price: in money units.
            contracts: how many.
            fee: in money units.
            maker: the order rested.
        """
        held = self.held(1 - side)
        pairs = min(contracts, held)
        self.cash -= price * contracts + fee
        self.cash += self.payout * pairs
        self.fees_paid += fee
        if pairs:
            removed = self.cost * pairs // held
            self.cost -= removed
            self.realized += mirror(price, self.payout) * pairs - removed
        self.cost += price * (contracts - pairs)
        self.position += contracts if side == 0 else -contracts
        self.fills.append(OracleFill(self.row, side, price, contracts, fee, maker))
