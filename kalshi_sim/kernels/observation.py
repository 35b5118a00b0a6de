"""The columns of an observation by name, in the order of `kalshi_sim.FEATURES`.

A tape holds the features that no agent can change: those before the portfolio's at their own
column, those after it `N_PORTFOLIO` further left (`TAPE_*`).
"""

from __future__ import annotations

(
    # market
    YES_BID,
    YES_ASK,
    SPREAD,
    MID,
    MICROPRICE_OFFSET,
    BID_SIZE,
    ASK_SIZE,
    TOP_IMBALANCE,
    BID_DEPTH_5,
    ASK_DEPTH_5,
    DEPTH_IMBALANCE_5,
    BID_DEPTH,
    ASK_DEPTH,
    DEPTH_IMBALANCE,
    BID_LEVELS,
    ASK_LEVELS,
    BID_CONCENTRATION,
    ASK_CONCENTRATION,
    BUY_IMPACT,
    SELL_IMPACT,
    TWO_SIDED,
    # temporal
    ROW_GAP,
    QUOTE_AGE,
    UPDATES_1S,
    UPDATES_10S,
    UPDATES_60S,
    BURST,
    MID_CHANGE_1,
    MOMENTUM_10S,
    MOMENTUM_60S,
    MOMENTUM_300S,
    VOLATILITY_60S,
    ORDER_FLOW_10S,
    ORDER_FLOW_60S,
    SPREAD_CHANGE_60S,
    # portfolio
    CASH_RATIO,
    POSITION,
    ENTRY_PRICE,
    UNREALIZED_PNL,
    REALIZED_PNL,
    DRAWDOWN,
    BID_WORKING,
    BID_DISTANCE,
    BID_QUEUE,
    ASK_WORKING,
    ASK_DISTANCE,
    ASK_QUEUE,
    # global
    SESSION_PROGRESS,
    TIME_TO_CLOSE,
    TIME_OF_DAY_SIN,
    TIME_OF_DAY_COS,
    FEE_RATE,
    N_FEATURES,
) = range(53)

PORTFOLIO_AT = CASH_RATIO
"""First portfolio feature of an observation; the tape's features stand around them."""
N_PORTFOLIO = SESSION_PROGRESS - PORTFOLIO_AT
N_TAPE_FEATURES = N_FEATURES - N_PORTFOLIO

TAPE_SESSION_PROGRESS = SESSION_PROGRESS - N_PORTFOLIO
TAPE_TIME_TO_CLOSE = TIME_TO_CLOSE - N_PORTFOLIO
TAPE_TIME_OF_DAY_SIN = TIME_OF_DAY_SIN - N_PORTFOLIO
TAPE_TIME_OF_DAY_COS = TIME_OF_DAY_COS - N_PORTFOLIO
TAPE_FEE_RATE = FEE_RATE - N_PORTFOLIO
