"""The features that no agent can change (market, temporal and global), computed once per row.

`FEATURES` in `kalshi_sim.features` defines them, from docs/contract.md#9-the-52-features.
Sums over windows are differences of integer running sums, so they are exact and do not depend
on where a replay began to add.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim import units
from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.ladder import Ladders, best_price, mirror
from kalshi_sim.kernels.layout import ROW_MARK2, ROW_TS
from kalshi_sim.kernels.observation import (
    ASK_CONCENTRATION,
    ASK_DEPTH,
    ASK_DEPTH_5,
    ASK_LEVELS,
    ASK_SIZE,
    BID_CONCENTRATION,
    BID_DEPTH,
    BID_DEPTH_5,
    BID_LEVELS,
    BID_SIZE,
    BURST,
    BUY_IMPACT,
    DEPTH_IMBALANCE,
    DEPTH_IMBALANCE_5,
    MICROPRICE_OFFSET,
    MID,
    MID_CHANGE_1,
    MOMENTUM_10S,
    ORDER_FLOW_10S,
    ORDER_FLOW_60S,
    QUOTE_AGE,
    ROW_GAP,
    SELL_IMPACT,
    SPREAD,
    SPREAD_CHANGE_60S,
    TAPE_FEE_RATE,
    TAPE_SESSION_PROGRESS,
    TAPE_TIME_OF_DAY_COS,
    TAPE_TIME_OF_DAY_SIN,
    TAPE_TIME_TO_CLOSE,
    TOP_IMBALANCE,
    TWO_SIDED,
    UPDATES_1S,
    UPDATES_10S,
    UPDATES_60S,
    VOLATILITY_60S,
    YES_ASK,
    YES_BID,
)
from kalshi_sim.kernels.rounded import log1p32, tanh32

Int16Array = npt.NDArray[np.int16]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

CENTS_PER_DOLLAR = units.CENTS_PER_DOLLAR
IMPACT_CONTRACTS = units.IMPACT_CONTRACTS
MULTIPLIER_SCALE = units.MULTIPLIER_SCALE
TAKER_RATE = units.TAKER_RATE[0] / units.TAKER_RATE[1]
MS_PER_DAY = units.MS_PER_DAY
MS_PER_SECOND = units.MS_PER_SECOND
MS_PER_MINUTE = 60 * MS_PER_SECOND

NEAR_CENTS = 5
BEST_LEVELS = 3
UNKNOWN_CLOSE = -1

# 1 / ln(1 + r) of the reference values r
LOG_CENTS = 1.0 / math.log1p(CENTS_PER_DOLLAR)
LOG_SIZE = 1.0 / math.log1p(1e7)
LOG_LADDER = 1.0 / math.log1p(1e8)
LOG_LEVELS = 1.0 / math.log1p(1000.0)
LOG_GAP = 1.0 / math.log1p(3.6e6)
LOG_AGE = 1.0 / math.log1p(8.64e7)
LOG_ROWS_1S = 1.0 / math.log1p(1e3)
LOG_ROWS_10S = 1.0 / math.log1p(1e4)
LOG_ROWS_60S = 1.0 / math.log1p(6e4)
LOG_SESSION_MINUTES = 1.0 / math.log1p(1440.0)
LOG_CLOSE_SECONDS = 1.0 / math.log1p(30.0 * 86_400.0)

N_LOG_TABLE = 1024
LOG_TABLE = np.array([math.log1p(n) for n in range(N_LOG_TABLE)])

# columns of the running sums, `History.sums`
SUM_SQUARES, SUM_FLOW, SUM_GROSS, SUM_SPREAD, N_SUMS = 0, 1, 2, 3, 4
# places in the window starts, `History.first`
WINDOW_1S, WINDOW_10S, WINDOW_60S, WINDOW_300S, N_WINDOWS = 0, 1, 2, 3, 4


class History(NamedTuple):
    """What the rows so far of one market leave behind for the next one's features."""

    sums: Int64Array
    """[rows, 4] running sums: squared mark2 changes, flow, gross flow, spread."""
    first: Int64Array
    """[4] first row inside the 1, 10, 60 and 300 s windows of the last row."""
    window_ms: Int64Array
    """[4] the lengths of these windows."""
    last: Int64Array
    """[4] best YES and NO bid of the last row, time of the last change of either, unused."""


def make_history(rows: int) -> History:
    """Room for the history of `rows` rows."""
    return History(
        sums=np.zeros((rows, N_SUMS), np.int64),
        first=np.zeros(N_WINDOWS, np.int64),
        window_ms=np.array([1, 10, 60, 300], np.int64) * MS_PER_SECOND,
        last=np.zeros(4, np.int64),
    )


@hot_jit
def log_scaled(x: float, inverse: float) -> float:
    """min(1, ln(1 + x) / ln(1 + r)) for a value x and a scale r.

    Args:
        x: 0 or more.
        inverse: 1 / ln(1 + r).

    Returns:
        A number from 0 to 1.
    """
    return float(min(1.0, log1p32(x, inverse)))


@inlined_jit
def count_scaled(n: int, inverse: float) -> float:
    """`log_scaled` of a count; small ones, the most frequent, come from a table.

    Args:
        n: 0 or more.
        inverse: 1 / ln(1 + r).

    Returns:
        A number from 0 to 1.
    """
    if n < N_LOG_TABLE:
        return min(1.0, float(LOG_TABLE[n]) * inverse)
    return log_scaled(n, inverse)


@hot_jit
def side_shape(book: Ladders, side: int, near: int, out: Int64Array) -> None:
    """Totals of one side of the book.

    Args:
        near: distance from the best price up to which sizes count as near, in money units.
        out: int64 [3], overwritten: contracts near the best, of the three best levels, and the
            price-weighted sum of those.
    """
    n = book.levels[side]
    floor = best_price(book, side) - near
    near_size = 0
    i = n - 1
    while i >= 0 and book.prices[side, i] >= floor:
        near_size += book.sizes[side, i]
        i -= 1
    top_size = 0
    top_value = 0
    for k in range(max(0, n - BEST_LEVELS), n):
        top_size += book.sizes[side, k]
        top_value += book.sizes[side, k] * book.prices[side, k]
    out[0] = near_size
    out[1] = top_size
    out[2] = top_value


@hot_jit
def impact_value(book: Ladders, side: int) -> int:
    """What selling `IMPACT_CONTRACTS` into the bids of `side` brings, in money units."""
    left = IMPACT_CONTRACTS
    value = 0
    i = book.levels[side] - 1
    while i >= 0 and left > 0:
        take = min(left, book.sizes[side, i])
        value += take * book.prices[side, i]
        left -= take
        i -= 1
    return int(value)


@hot_jit
def imbalance(bid: int, ask: int) -> float:
    """(bid - ask) / (bid + ask); a row has a level on at least one side.

    Args:
        bid, ask: contracts, not both 0: a row has a level on at least one side.

    Returns:
        A number from -1 to 1.
    """
    return (bid - ask) / (bid + ask)


@hot_jit
def book_features(
    book: Ladders, mark2: int, payout: int, shape: Int64Array, out: Float32Array
) -> None:
    """The market features of one row.

    Args:
        shape: int64 [2, 3] scratch space.
        out: float32 [40], the market features' columns are written.
    """
    cent = payout // CENTS_PER_DOLLAR
    bid = best_price(book, 0)
    no_bid = best_price(book, 1)
    ask = mirror(no_bid, payout)
    bid_n = book.levels[0]
    ask_n = book.levels[1]
    two_sided = bid_n > 0 and ask_n > 0
    mid = mark2 / 2.0
    side_shape(book, 0, NEAR_CENTS * cent, shape[0])
    side_shape(book, 1, NEAR_CENTS * cent, shape[1])
    out[YES_BID] = bid / payout
    out[YES_ASK] = ask / payout
    out[SPREAD] = log_scaled((ask - bid) / cent, LOG_CENTS)
    out[MID] = mid / payout
    out[MICROPRICE_OFFSET] = 0.0
    if two_sided:
        bid_size = shape[0, 1]
        ask_size = shape[1, 1]
        bid_price = shape[0, 2] / bid_size
        ask_price = payout - shape[1, 2] / ask_size
        micro = (bid_price * ask_size + ask_price * bid_size) / (bid_size + ask_size)
        out[MICROPRICE_OFFSET] = tanh32((micro - mid) / (2.0 * cent))
    bid_top = book.sizes[0, bid_n - 1] if bid_n > 0 else 0
    ask_top = book.sizes[1, ask_n - 1] if ask_n > 0 else 0
    out[BID_SIZE] = log_scaled(bid_top, LOG_SIZE)
    out[ASK_SIZE] = log_scaled(ask_top, LOG_SIZE)
    out[TOP_IMBALANCE] = imbalance(bid_top, ask_top)
    out[BID_DEPTH_5] = log_scaled(shape[0, 0], LOG_SIZE)
    out[ASK_DEPTH_5] = log_scaled(shape[1, 0], LOG_SIZE)
    out[DEPTH_IMBALANCE_5] = imbalance(shape[0, 0], shape[1, 0])
    out[BID_DEPTH] = log_scaled(book.total[0], LOG_LADDER)
    out[ASK_DEPTH] = log_scaled(book.total[1], LOG_LADDER)
    out[DEPTH_IMBALANCE] = imbalance(book.total[0], book.total[1])
    out[BID_LEVELS] = count_scaled(bid_n, LOG_LEVELS)
    out[ASK_LEVELS] = count_scaled(ask_n, LOG_LEVELS)
    out[BID_CONCENTRATION] = shape[0, 1] / book.total[0] if bid_n > 0 else 0.0
    out[ASK_CONCENTRATION] = shape[1, 1] / book.total[1] if ask_n > 0 else 0.0
    buy_cost = IMPACT_CONTRACTS * payout - impact_value(book, 1)
    buy = (buy_cost / IMPACT_CONTRACTS - mid) / cent
    sell = (mid - impact_value(book, 0) / IMPACT_CONTRACTS) / cent
    out[BUY_IMPACT] = log_scaled(max(0.0, buy), LOG_CENTS)
    out[SELL_IMPACT] = log_scaled(max(0.0, sell), LOG_CENTS)
    out[TWO_SIDED] = 1.0 if two_sided else 0.0


@hot_jit
def window_features(
    history: History,
    r: int,
    i64: Int64Array,
    i16: Int16Array,
    bid: int,
    no_bid: int,
    net_flow: int,
    gross_flow: int,
    payout: int,
    out: Float32Array,
) -> None:
    """The temporal features of a row; the row itself goes into the history.

    Args:
        history: running sums of the market's rows; changed.
        r: number of the row in the market.
        i64, i16: int64 [rows, width] and int16 [rows, 4 * width], the market's rows up to and
            including r.
        net_flow, gross_flow: whole contracts of the row's own flow at the best prices, added minus
            removed and added plus removed.
        out: float32 [40], the temporal features' columns are written.
    """
    cent = payout // CENTS_PER_DOLLAR
    sums = history.sums
    now = i64[r, ROW_TS]
    spread = mirror(no_bid, payout) - bid
    change = np.int64(i16[r, ROW_MARK2]) - np.int64(i16[r - 1, ROW_MARK2]) if r > 0 else 0
    for k in range(N_SUMS):
        sums[r, k] = sums[r - 1, k] if r > 0 else 0
    sums[r, SUM_SQUARES] += change * change
    sums[r, SUM_FLOW] += net_flow
    sums[r, SUM_GROSS] += gross_flow
    sums[r, SUM_SPREAD] += spread
    if r == 0:
        history.first[:] = 0
        history.last[2] = now
    elif bid != history.last[0] or no_bid != history.last[1]:
        history.last[2] = now
    history.last[0] = bid
    history.last[1] = no_bid
    for w in range(N_WINDOWS):
        i = history.first[w]
        start = now - history.window_ms[w]
        while i64[i, ROW_TS] <= start:
            i += 1
        history.first[w] = i

    out[ROW_GAP] = count_scaled(now - i64[r - 1, ROW_TS], LOG_GAP) if r > 0 else 0.0
    out[QUOTE_AGE] = count_scaled(now - history.last[2], LOG_AGE)
    rows_10s = r + 1 - history.first[WINDOW_10S]
    rows_60s = r + 1 - history.first[WINDOW_60S]
    out[UPDATES_1S] = count_scaled(r + 1 - history.first[WINDOW_1S], LOG_ROWS_1S)
    out[UPDATES_10S] = count_scaled(rows_10s, LOG_ROWS_10S)
    out[UPDATES_60S] = count_scaled(rows_60s, LOG_ROWS_60S)
    ratio = (1.0 + 6.0 * rows_10s) / (1.0 + rows_60s)
    square = ratio * ratio  # tanh(ln x) = (x^2 - 1) / (x^2 + 1)
    out[BURST] = (square - 1.0) / (square + 1.0)
    out[MID_CHANGE_1] = tanh32(change / (2.0 * cent))
    for k in range(3):
        since = history.first[WINDOW_10S + k]
        move = np.int64(i16[r, ROW_MARK2]) - np.int64(i16[max(0, since - 1), ROW_MARK2])
        scale = 5.0 * (k + 1)  # 5, 10 and 15 cents
        out[MOMENTUM_10S + k] = tanh32(move / (2.0 * cent * scale)) if move != 0 else 0.0

    before_10s = history.first[WINDOW_10S] - 1
    before_60s = history.first[WINDOW_60S] - 1
    squares = sums[r, SUM_SQUARES]
    flow_10s = sums[r, SUM_FLOW]
    gross_10s = sums[r, SUM_GROSS]
    flow_60s = flow_10s
    gross_60s = gross_10s
    spreads = sums[r, SUM_SPREAD]
    if before_10s >= 0:
        flow_10s -= sums[before_10s, SUM_FLOW]
        gross_10s -= sums[before_10s, SUM_GROSS]
    if before_60s >= 0:
        squares -= sums[before_60s, SUM_SQUARES]
        flow_60s -= sums[before_60s, SUM_FLOW]
        gross_60s -= sums[before_60s, SUM_GROSS]
        spreads -= sums[before_60s, SUM_SPREAD]
    out[VOLATILITY_60S] = 0.0
    if squares > 0:
        out[VOLATILITY_60S] = log_scaled(math.sqrt(squares) / (2.0 * cent), LOG_CENTS)
    out[ORDER_FLOW_10S] = flow_10s / gross_10s if gross_10s > 0 else 0.0
    out[ORDER_FLOW_60S] = flow_60s / gross_60s if gross_60s > 0 else 0.0
    excess = spread * rows_60s - spreads
    out[SPREAD_CHANGE_60S] = tanh32(excess / rows_60s / (5.0 * cent)) if excess != 0 else 0.0


@hot_jit
def global_features(
    now: int,
    mark2: int,
    session_first_ms: int,
    utc_offset_ms: int,
    close_ms: int,
    taker_multiplier: int,
    payout: int,
    out: Float32Array,
) -> None:
    """The global features of one row.

    Args:
        now: its time, in ms since 1970 UTC.
        session_first_ms: the session's first book event, in ms since 1970 UTC.
        utc_offset_ms: US Eastern time minus UTC, in ms.
        close_ms: the market's close in ms since 1970 UTC, or UNKNOWN_CLOSE.
        taker_multiplier: of the fee, in 1/10 000.
        out: float32 [40], the global features' columns are written.
    """
    minutes = max(0, now - session_first_ms) / MS_PER_MINUTE
    out[TAPE_SESSION_PROGRESS] = log_scaled(minutes, LOG_SESSION_MINUTES)
    if close_ms == UNKNOWN_CLOSE:
        out[TAPE_TIME_TO_CLOSE] = 1.0
    else:
        seconds = max(0, close_ms - now) / MS_PER_SECOND
        out[TAPE_TIME_TO_CLOSE] = log_scaled(seconds, LOG_CLOSE_SECONDS)
    angle = ((now + utc_offset_ms) % MS_PER_DAY) * (2.0 * math.pi / MS_PER_DAY)
    out[TAPE_TIME_OF_DAY_SIN] = math.sin(angle)
    out[TAPE_TIME_OF_DAY_COS] = math.cos(angle)
    m = mark2 / (2.0 * payout)
    rate = TAKER_RATE * (taker_multiplier / MULTIPLIER_SCALE)
    out[TAPE_FEE_RATE] = min(1.0, rate * m * (1.0 - m) * (CENTS_PER_DOLLAR / 2))
