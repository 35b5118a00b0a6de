"""The arrays that stepping reads and writes, by role, and what their columns mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.observation import N_TAPE_FEATURES

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

MAX_CONSUMED = 32
"""Levels a side whose consumed contracts an environment remembers."""
BEYOND_DEPTH = 2**40
"""`ahead` of an order whose level the tape does not show."""

HOLD = 0
"""The first action of every table."""
BUY_YES, SELL_YES, BUY_NO, SELL_NO = 1, 2, 3, 4
"""The other actions of the table `five`."""
# columns of Settings.actions; the side is that of the bid, of a cancel also BOTH_SIDES
I_KIND, I_SIDE, I_PRICING, I_BEHIND, I_SIZE, N_INTENT = range(6)
# what an action does: nothing, an order that opens, one that only closes, or a cancel
NOTHING, OPENS, CLOSES, CANCELS = 0, 1, 2, 3
BOTH_SIDES = 2
# pricing
CROSS, JOIN, IMPROVE, BEHIND = 0, 1, 2, 3
# time in force
GTC, IOC = 0, 1
# fill models, from pessimistic to optimistic
THROUGH, QUEUE, PROB, TOUCH = 0, 1, 2, 3
# valuation
MID, LIQUIDATION = 0, 1

# columns of TapeArrays.views
(
    V_START,
    V_STOP,
    V_SETTLEMENT,
    V_TAKER,
    V_MAKER,
    V_FEE_UNIT,
    V_TRADES,
    V_BANDS,
    V_BANDS_END,
    V_CHANGES,
    V_PAUSED,
    V_LATER,
    V_PAUSES,
    V_PAUSES_END,
    V_OFF_GRID,
    N_VIEW,
) = range(16)
"""V_CHANGES is 0 where all rows are in one state and nothing is ever paused: nothing more of that
is then looked at."""
STILL_PAUSED = 2**62
"""The end of a pause that none was recorded of."""
NO_SETTLEMENT = -1

# a row of the tape, by the arrays of TapeArrays: its features, 40 float32, come first
# columns of TapeArrays.i64
ROW_TS = (N_TAPE_FEATURES + 1) // 2
ROW_FLOW = ROW_TS + 1
# columns of TapeArrays.i16
ROW_MARK2 = 4 * (ROW_FLOW + 1)
ROW_FLOW_ENTRIES = ROW_MARK2 + 1
# of each level both sizes, in TapeArrays.i32, then both prices, in TapeArrays.i16
BEST_SIZE = (ROW_FLOW_ENTRIES + 1) // 2
BEST_PRICE = 2 * (BEST_SIZE + 2)
LEVEL_INT32S, LEVEL_INT16S = 3, 6
NOT_KEPT = -1
"""The price after the last level that a row keeps."""
ROW_STATE = -1
"""The last column of TapeArrays.i32."""

# columns of a flow entry
FLOW_SIDE, FLOW_PRICE, FLOW_REMOVED, FLOW_ADDED, FLOW_TRADED, N_FLOW = 0, 1, 2, 3, 4, 5

# places in Settings.ints
(
    C_CASH_START,
    C_ORDER_SIZE,
    C_MAX_POSITION,
    C_LARGEST_ORDER,
    C_TIF,
    C_FILL_MODEL,
    C_QUEUE_POWER,
    C_LATENCY,
    C_FEES,
    C_VALUATION,
    C_TRUNCATE_END,
    C_MAX_STEPS,
    C_PAYOUT,
    C_CENT,
    C_INTERVAL,
    C_RECORD,
    C_FRAME,
    N_INTS,
) = range(18)
# places in Settings.floats
F_TRADE_SHARE, F_REWARD, N_FLOATS = 0, 1, 2

# columns of Agents.core; pairs are [YES side, NO side]
(
    A_VIEW,
    A_ROW,
    A_CASH,
    A_POSITION,
    A_COST,
    A_REALIZED,
    A_FEES,
    A_FREE,
    A_EQUITY2,
    A_PEAK2,
    A_DRAWDOWN2,
    A_RETURN2,
    A_STEPS,
    A_INVALID,
    A_FILLS,
    A_CONTRACTS,
    A_PRICE,
    A_PRICE_NO,
    A_SIZE,
    A_SIZE_NO,
    A_AHEAD,
    A_AHEAD_NO,
    A_ENTERED,
    A_ENTERED_NO,
    A_PENDING,
    A_PENDING_PRICE,
    A_PENDING_ARRIVAL,
    A_CONSUMED,
    A_CONSUMED_NO,
    A_N_RECORDS,
    A_START,
    A_MAKER,
    A_MAKER_NO,
    N_CORE,
) = range(34)

# columns of Agents.records
R_ROW, R_SIDE, R_PRICE, R_QTY, R_FEE, R_MAKER, N_RECORD = 0, 1, 2, 3, 4, 5, 6

# bits of Buffers.done
TERMINATED, TRUNCATED = 1, 2


class TapeArrays(NamedTuple):
    """The tape as kernels read it; money in tape units."""

    i64: Int64Array
    """[rows, width] the rows (see `kernels.rows`)"""
    i32: Int32Array
    """[rows, 2 * width] the same memory"""
    i16: Int16Array
    """[rows, 4 * width] the same memory"""
    f32: Float32Array
    """[rows, 2 * width] the same memory; the first 40 are a row's features"""
    flow: Int64Array
    """[entries, 5]"""
    views: Int64Array
    """[views + their later states, N_VIEW] a view in its first state stands at its number, in
    state k > 0 at its V_LATER + k - 1"""
    bands: Int64Array
    """[bands, 3] start, end, step of YES prices"""
    pauses: Int64Array
    """[pauses, 2] first millisecond, the one after the last"""


class Settings(NamedTuple):
    """A SimConfig in numbers."""

    ints: Int64Array
    """[N_INTS]"""
    floats: Float64Array
    """[N_FLOATS]"""
    actions: Int64Array
    """[actions, N_INTENT] columns I_*: what each action means"""


class Agents(NamedTuple):
    """What each environment can change."""

    core: Int64Array
    """[n_envs, N_CORE] columns A_*; A_ROW and A_START are rows of the tape"""
    consumed: Int64Array
    """[n_envs, 2, MAX_CONSUMED, 2] (price, contracts consumed) of A_CONSUMED levels a side"""
    records: Int64Array
    """[n_envs, fills a step, N_RECORD] fills of the last step, A_N_RECORDS of them"""


class Buffers(NamedTuple):
    """What a step gives back."""

    obs: Float32Array
    """[n_envs, history * frame] the observations of the last rows, the newest last; a frame is an
    observation of one row, ints[C_FRAME] wide"""
    rewards: Float32Array
    """[n_envs] cents"""
    done: Int8Array
    """[n_envs] bits TERMINATED, TRUNCATED"""
    before: Float32Array
    """[n_envs, history * frame] `obs` of the step before; may be the same array as `obs`"""
