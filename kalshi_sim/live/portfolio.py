"""What an agent has in a live market, and as the kernels read it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import MAX_CONTRACTS
from kalshi_sim.errors import ConfigError
from kalshi_sim.fees import MAX_MULTIPLIER
from kalshi_sim.kernels import batch as batch_kernel
from kalshi_sim.kernels import layout
from kalshi_sim.tape import Tape
from kalshi_sim.units import money_per_cent

Cents = int | Decimal
RestingOrder = tuple[Cents, int, int] | tuple[Cents, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Portfolio:
    """What an agent has in one market; money in cents, exact (int or Decimal).

    Orders are None or (price of their side in cents, contracts left, contracts ahead), and, if the
    market's fees changed since it came to rest, the maker multiplier of then (in 1/10 000).
    """

    cash: Cents
    position: int = 0
    """Contracts held: + YES, - NO."""
    cost: Cents = 0
    """What the open contracts cost, fees apart."""
    realized: Cents = 0
    fees_paid: Cents = 0
    peak_equity: Cents | None = None
    """Highest equity by mid since the start; None: the equity now, or cash_start if higher."""
    yes_order: RestingOrder | None = None
    no_order: RestingOrder | None = None


def agent_row(portfolio: Portfolio, settings: layout.Settings, tape: Tape) -> npt.NDArray[np.int64]:
    """The portfolio at the first row of a tape, as a row of `layout.Agents.core`.

    Args:
        portfolio: position, cash and resting orders, in cents and contracts.
        settings: of the simulation the row is for.
        tape: its money unit and its first view's fees are used.

    Returns:
        int64 [N_CORE] columns as `layout` numbers them, money in the tape's units.

    Raises:
        ConfigError: an amount is finer than the tape's money unit.
    """

    def money(cents: Cents) -> int:
        if isinstance(cents, bool) or not isinstance(cents, (int, np.integer, Decimal)):
            raise ConfigError(f"{cents!r} cents: must be exact, an int or a Decimal")
        exact = cents if isinstance(cents, Decimal) else Decimal(int(cents))
        if not exact.is_finite() or abs(exact) > gate.MAX_CENTS:
            raise ConfigError(f"{cents} cents: no number, or more than {gate.MAX_CENTS}")
        amount = exact * money_per_cent(tape.payout)
        if amount != int(amount):
            raise ConfigError(f"{cents} cents are finer than the market's money unit")
        return int(amount)

    agent = np.zeros(layout.N_CORE, np.int64)
    agent[layout.A_CASH] = money(portfolio.cash)
    position = gate.check_int("position", portfolio.position, -MAX_CONTRACTS, MAX_CONTRACTS)
    agent[layout.A_POSITION] = position
    agent[layout.A_COST] = money(portfolio.cost)
    agent[layout.A_REALIZED] = money(portfolio.realized)
    agent[layout.A_FEES] = money(portfolio.fees_paid)
    for side, order in enumerate((portfolio.yes_order, portfolio.no_order)):
        if order is None:
            continue
        price = gate.check_int("order price", money(order[0]), 0, tape.payout)
        agent[layout.A_PRICE + side] = price
        agent[layout.A_SIZE + side] = gate.check_int("order size", order[1], 0, MAX_CONTRACTS)
        ahead = gate.check_int("contracts ahead", order[2], 0, layout.BEYOND_DEPTH)
        agent[layout.A_AHEAD + side] = ahead
        multiplier = tape.views[0].maker_multiplier if len(order) == 3 else order[3]
        agent[layout.A_MAKER + side] = gate.check_int(
            "maker multiplier", multiplier, 0, MAX_MULTIPLIER
        )
    agent[layout.A_EQUITY2] = 2 * int(settings.ints[layout.C_CASH_START])
    agent[layout.A_PEAK2] = agent[layout.A_EQUITY2]
    if portfolio.peak_equity is not None:
        agent[layout.A_PEAK2] = money(2 * portfolio.peak_equity)
    batch_kernel.value_row(tape.arrays, settings, agent)
    return agent
