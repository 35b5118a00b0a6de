"""The slow twin of the features: each of the 52 written out as its sentence says.

Args of the functions here, unless they say more:
    view: the market.
    row: one of its rows.
    t: number of a row of the view.
    payout: money units a winning contract pays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kalshi_sim.features import FEATURES
from kalshi_sim.reference.tape import Level, OracleRow, OracleView
from kalshi_sim.units import MS_PER_DAY, MULTIPLIER_SCALE, money_per_cent

if TYPE_CHECKING:
    from kalshi_sim.reference.simulator import OracleEnv

AGENT_INDEPENDENT = [f.index for f in FEATURES if f.group != "portfolio"]
"""The features a tape holds, in the order of its columns."""


def log_scale(x: float, r: float) -> float:
    """log(x; r) of the contract: 0 at 0, 1 from r on.

    Args:
        x: 0 or more.
        r: the scale.

    Returns:
        A number from 0 to 1.
    """
    return min(1.0, math.log(1 + x) / math.log(1 + r))


def imbalance(a: float, b: float) -> float:
    """(a - b) / (a + b), 0 if both are nothing.

    Args:
        a, b: 0 or more.

    Returns:
        A number from -1 to 1.
    """
    return (a - b) / (a + b) if a + b else 0.0


def total(ladder: list[Level]) -> int:
    """All contracts of these levels."""
    return sum(size for _, size in ladder)


def weighted_price(ladder: list[Level]) -> float:
    """The size-weighted price of these levels."""
    return sum(price * size for price, size in ladder) / total(ladder)


def walk(levels: list[Level], contracts: int, rest_price: int) -> float:
    """The average price of trading so many contracts through `levels`, the rest elsewhere.

    Args:
        levels: (price, contracts), best first.
        contracts: how many to trade.
        rest_price: of those the levels do not have.
    """
    money, left = 0, contracts
    for price, size in levels:
        taken = min(size, left)
        money += price * taken
        left -= taken
    return (money + rest_price * left) / contracts


def spread(row: OracleRow, payout: int) -> int:
    """YES ask minus YES bid; an absent bid is 0, an absent ask is the payout.

    Returns:
        Money units.
    """
    return payout - row.best(1) - row.best(0)


def book_features(view: OracleView, row: OracleRow) -> list[float]:
    """Features 0 to 20.

    Returns:
        21 numbers.
    """
    payout, cent = view.payout, money_per_cent(view.payout)
    bids, no_bids = row.ladders
    asks = [(payout - price, size) for price, size in no_bids]
    bid, ask = row.best(0), payout - row.best(1)
    mid = row.mark2 / 2
    micro = 0.0
    if bids and asks:
        b, a = weighted_price(bids[:3]), weighted_price(asks[:3])
        qb, qa = total(bids[:3]), total(asks[:3])
        micro = math.tanh(((b * qa + a * qb) / (qa + qb) - mid) / (2 * cent))
    bid_size, ask_size = total(bids[:1]), total(asks[:1])
    near_bids = total([level for level in bids if level[0] >= bid - 5 * cent])
    near_asks = total([level for level in asks if level[0] <= ask + 5 * cent])
    buy_impact = max(0.0, walk(asks, 100, payout) - mid)
    sell_impact = max(0.0, mid - walk(bids, 100, 0))
    return [
        bid / payout,
        ask / payout,
        log_scale((ask - bid) / cent, 100),
        mid / payout,
        micro,
        log_scale(bid_size, 1e7),
        log_scale(ask_size, 1e7),
        imbalance(bid_size, ask_size),
        log_scale(near_bids, 1e7),
        log_scale(near_asks, 1e7),
        imbalance(near_bids, near_asks),
        log_scale(total(bids), 1e8),
        log_scale(total(asks), 1e8),
        imbalance(total(bids), total(asks)),
        log_scale(len(bids), 1000),
        log_scale(len(asks), 1000),
        total(bids[:3]) / total(bids) if bids else 0.0,
        total(asks[:3]) / total(asks) if asks else 0.0,
        log_scale(buy_impact / cent, 100),
        log_scale(sell_impact / cent, 100),
        1.0 if bids and asks else 0.0,
    ]


def window(view: OracleView, t: int, length_ms: int) -> list[int]:
    """The rows of the last `length_ms` up to row t.

    Args:
        length_ms: how far to look back, in ms.
    """
    first = t
    while first > 0 and view.rows[first - 1].ts > view.rows[t].ts - length_ms:
        first -= 1
    return list(range(first, t + 1))


def row_change(view: OracleView, t: int) -> float:
    """The mid's change into row t, in money; row 0 has none."""
    return (view.rows[t].mark2 - view.rows[t - 1].mark2) / 2 if t else 0.0


def mid_change(view: OracleView, t: int, length_ms: int) -> float:
    """The mid's change, in cents, against the last row at least `length_ms` ago, else row 0.

    Args:
        length_ms: how far to look back, in ms.
    """
    before = max(0, window(view, t, length_ms)[0] - 1)
    cents = money_per_cent(view.payout)
    return (view.rows[t].mark2 - view.rows[before].mark2) / 2 / cents


def order_flow(view: OracleView, t: int, length_ms: int) -> float:
    """Net pressure of the flow at the best prices over the window.

    Args:
        length_ms: length of the window, in ms.

    Returns:
        A number from -1 to 1.
    """
    up = down = 0
    for u in window(view, t, length_ms):
        if u == 0:
            continue
        for (side, price), (removed, added, _) in view.rows[u].flow.items():
            if price not in (view.rows[u - 1].best(side), view.rows[u].best(side)):
                continue
            up += added if side == 0 else removed
            down += removed if side == 0 else added
    return imbalance(up, down)


def quote_age(view: OracleView, t: int) -> int:
    """Milliseconds since the best bid or ask changed its price.

    Returns:
        ms.
    """
    row = view.rows[t]
    changed = t
    while changed > 0 and all(view.rows[changed - 1].best(s) == row.best(s) for s in (0, 1)):
        changed -= 1
    return row.ts - view.rows[changed].ts


def temporal_features(view: OracleView, t: int) -> list[float]:
    """Features 21 to 34.

    Returns:
        14 numbers.
    """
    row, cent = view.rows[t], money_per_cent(view.payout)
    updates = {w: len(window(view, t, w)) for w in (1_000, 10_000, 60_000)}
    minute = window(view, t, 60_000)
    changes = [row_change(view, u) for u in minute]
    mean_spread = sum(spread(view.rows[u], view.payout) for u in minute) / len(minute)
    return [
        log_scale(row.ts - view.rows[t - 1].ts if t else 0, 3.6e6),
        log_scale(quote_age(view, t), 8.64e7),
        log_scale(updates[1_000], 1e3),
        log_scale(updates[10_000], 1e4),
        log_scale(updates[60_000], 6e4),
        math.tanh(math.log((1 + 6 * updates[10_000]) / (1 + updates[60_000]))),
        math.tanh(row_change(view, t) / cent),
        math.tanh(mid_change(view, t, 10_000) / 5),
        math.tanh(mid_change(view, t, 60_000) / 10),
        math.tanh(mid_change(view, t, 300_000) / 15),
        log_scale(math.sqrt(sum(c * c for c in changes)) / cent, 100),
        order_flow(view, t, 10_000),
        order_flow(view, t, 60_000),
        math.tanh((spread(row, view.payout) - mean_spread) / (5 * cent)),
    ]


def global_features(view: OracleView, t: int) -> list[float]:
    """Features 47 to 51.

    Returns:
        5 numbers.
    """
    row = view.rows[t]
    minutes = max(0, row.ts - view.first_book_ms) / 60_000
    close = view.close_time(row.ts)
    to_close = 1.0
    if close is not None:
        to_close = log_scale(max(0, close - row.ts) / 1000, 30 * 86_400)
    day = (row.ts + view.eastern_offset_ms) % MS_PER_DAY / MS_PER_DAY
    mid = row.mark2 / 2 / view.payout
    multiplier = view.terms[t].taker_multiplier / MULTIPLIER_SCALE
    return [
        log_scale(minutes, 1440),
        to_close,
        math.sin(2 * math.pi * day),
        math.cos(2 * math.pi * day),
        min(1.0, 0.07 * multiplier * mid * (1 - mid) * 100 / 2),
    ]


def tape_features(view: OracleView, t: int) -> list[float]:
    """The 40 agent-independent features of row t: 0 to 34, then 47 to 51."""
    if t not in view.feature_cache:
        features = book_features(view, view.rows[t])
        features += temporal_features(view, t)
        features += global_features(view, t)
        view.feature_cache[t] = features
    return view.feature_cache[t]


def portfolio_features(env: OracleEnv) -> list[float]:
    """Features 35 to 46."""
    view, config = env.view, env.config
    cent, start = money_per_cent(view.payout), env.cash_start
    row, held = view.rows[env.row], abs(env.position)
    largest = max(env.row_sizes(), default=config.order_size)
    sign = 1 if env.position >= 0 else -1
    value = env.value2(env.position, "mid") / 2
    features = [
        min(1.0, env.free_cash / start),
        sign * log_scale(held / config.order_size, 100),
        env.cost / held / view.payout if held else 0.0,
        math.tanh(5 * (value - env.cost) / start),
        math.tanh(3 * (env.realized - env.fees_paid) / start),
        min(1.0, (env.peak_equity2 - env.mid_equity2) / 2 / start),
    ]
    for side in (0, 1):
        order = env.orders[side]
        if order is None:
            features += [0.0, 0.0, 0.0]
            continue
        features += [
            min(1.0, order.size / largest),
            math.tanh((row.best(side) - order.price) / (5 * cent)),
            log_scale(order.ahead, 1e6),
        ]
    return features
