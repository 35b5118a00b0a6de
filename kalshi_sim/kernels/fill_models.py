"""The fill models: what a row's flow fills of a resting order, a function a rule.

The rules, and which way each errs, are docs/contract.md#6-resting-orders-fill-models. Of an order
they know `ahead`, the contracts in front of it. To add a model: its name in
`kalshi_sim.config.FillModel`, its number in `layout`, and here its rule and its branch in
`own_price`; then its twin in `kalshi_sim.reference.simulator`.
"""

from __future__ import annotations

import math

from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import PROB, TOUCH
from kalshi_sim.kernels.targets import rounded_sum


@hot_jit
def assumed_trades(
    removed: int, price: int, best_before: int, fill_model: int, trade_share: float
) -> int:
    """Removals at an order's price that count as trades where no trades were recorded.

    Args:
        removed: contracts that left the price.
        price: of the order.
        best_before: the side's best bid at the row before.
        fill_model: one of the numbers in `layout`.
        trade_share: share of removals at the best price that are trades, 0 to 1.

    Returns:
        A number of contracts.
    """
    if fill_model == TOUCH:
        return removed
    if price == best_before:
        return int(math.floor(removed * trade_share))
    return 0


@hot_jit
def worse_price(fill_model: int, trades_recorded: bool, removed: int, traded: int) -> int:
    """Contracts of flow below the order's price that would have met the order first.

    Args:
        fill_model: one of the numbers in `layout`.
        trades_recorded: the session has trades.
        removed: contracts that left the lower price.
        traded: those of them that were traded.

    Returns:
        A number of contracts.
    """
    if trades_recorded:
        return traded
    return removed if fill_model == TOUCH else 0


@hot_jit
def touch_fills(traded: int) -> int:
    """`touch`: every trade at its price fills the order, whatever is ahead."""
    return traded


@hot_jit
def queue_passed(ahead: int, traded: int) -> int:
    """`queue`: contracts of the trades that those ahead take; the others fill the order.

    Args:
        ahead: contracts in front of the order.
        traded: contracts traded at its price.

    Returns:
        A number of contracts.
    """
    return min(ahead, traded)


@hot_jit
def queue_weight(contracts: int, power: int) -> float:
    """contracts ** power in float64 by repeated multiplication.

    Args:
        contracts: 0 or more.
        power: 1 or more.

    Returns:
        contracts ** power.
    """
    x = float(contracts)
    weight = x
    for _ in range(power - 1):
        weight = weight * x
    return weight


@hot_jit
def prob_passed(ahead: int, cancelled: int, level: int, power: int) -> int:
    """`prob`: how many of the cancelled contracts stood ahead, by a power of both parts.

    `level` is what the price showed after the trades, those ahead and those behind together.

    Args:
        ahead: contracts in front of the order.
        cancelled: contracts withdrawn from its price.
        level: what the price showed after the trades, those ahead and those behind together.
        power: `queue_power` of `prob`.

    Returns:
        A number of contracts.
    """
    in_front = queue_weight(ahead, power)
    behind = queue_weight(max(0, level - ahead), power)
    share = in_front / rounded_sum(in_front, behind)
    return int(math.floor(cancelled * share))


@hot_jit
def own_price(
    fill_model: int,
    ahead: int,
    removed: int,
    traded: int,
    level: int,
    power: int,
) -> tuple[int, int]:
    """What one entry of flow at the order's price does to the order.

    Args:
        fill_model: any but THROUGH, which no flow fills.
        ahead: contracts in front of the order.
        removed: contracts that left the price.
        traded: those of them that were traded, known or assumed.
        level: what the price showed before, plus what was added; -1 beyond the tape's depth.
        power: `queue_power` of `prob`.

    Returns:
        (contracts filled, contracts still ahead).
    """
    if fill_model == TOUCH:
        return touch_fills(traded), ahead
    passed = queue_passed(ahead, traded)
    filled = traded - passed
    ahead -= passed
    if fill_model == PROB and ahead > 0 and level >= 0:
        ahead = max(0, ahead - prob_passed(ahead, removed - traded, level - traded, power))
    return filled, ahead
