"""The keys and words of frames that the scanner knows, in one table that a kernel can look up.

A word's slot is a hash of its length and two of its letters, whose multipliers are searched at
import so that no two words share a slot. A look-up compares all bytes too: it is exact.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit

Text = npt.NDArray[np.uint8]

READ: Final = (
    "type",
    "sid",
    "seq",
    "msg",
    "raw",
    "recv_ts_ns",
    "recv_ts_us",
    "recv_ts_ms",
    "recv_ts",
    "received_at",
    "sending_ts_ms",
    "market_ticker",
    "price",
    "price_dollars",
    "yes_price",
    "yes_price_dollars",
    "no_price",
    "no_price_dollars",
    "delta",
    "delta_fp",
    "count",
    "count_fp",
    "side",
    "taker_outcome_side",
    "taker_book_side",
    "taker_side",
    "ts",
    "ts_ms",
    "is_block_trade",
    "trade_id",
)
"""Keys whose values the scanner reads; a value is stored under the key's number."""

(
    TYPE,
    SID,
    SEQ,
    MSG,
    RAW,
    RECV_TS_NS,
    RECV_TS_US,
    RECV_TS_MS,
    RECV_TS,
    RECEIVED_AT,
    SENDING_TS_MS,
    MARKET_TICKER,
    PRICE,
    PRICE_DOLLARS,
    YES_PRICE,
    YES_PRICE_DOLLARS,
    NO_PRICE,
    NO_PRICE_DOLLARS,
    DELTA,
    DELTA_FP,
    COUNT,
    COUNT_FP,
    SIDE,
    TAKER_OUTCOME_SIDE,
    TAKER_BOOK_SIDE,
    TAKER_SIDE,
    TS,
    TS_MS,
    IS_BLOCK_TRADE,
    TRADE_ID,
) = range(len(READ))

N_READ: Final = len(READ)
UNKNOWN: Final = N_READ
"""Number of every key that means nothing: its value is checked for its form and dropped."""

_VALUES: Final = ("orderbook_delta", "trade", "yes", "no", "YES", "NO", "bid", "ask")
(W_DELTA, W_TRADE, W_YES, W_NO, W_YES_CAPITAL, W_NO_CAPITAL, W_BID, W_ASK) = range(
    N_READ + 1, N_READ + 1 + len(_VALUES)
)

LEFT: Final = N_READ + 1 + len(_VALUES)
"""From this number on: keys that are read by the decoder alone; "yes" and "no" count too."""


def _left() -> tuple[str, ...]:
    """Every key of the decoder's frames and messages that is not in `READ`."""
    from kalshi_sim.ingest.frames import Frame, Message

    known = (*Message.__struct_fields__, *Frame.__struct_fields__)
    return tuple(dict.fromkeys(k for k in known if k not in READ and k not in _VALUES))


_WORDS: Final = (*READ, "", *_VALUES, *_left())
_ODD: Final = range(1, 64, 2)
_SHORTEST: Final = 2
LONGEST: Final = max(map(len, _WORDS))
_SLOTS: Final = 2048
_MASK: Final = _SLOTS - 1


def _slot(word: bytes, factors: tuple[int, int, int]) -> int:
    a, b, c = factors
    return (len(word) * a + word[0] * b + word[-2] * c) & _MASK


def _factors() -> tuple[int, int, int]:
    """Multipliers that give every word a slot of its own."""
    known = [word.encode() for word in _WORDS if word]
    return next(
        factors
        for factors in product(_ODD, _ODD, _ODD)
        if len({_slot(word, factors) for word in known}) == len(known)
    )


_FACTORS: Final = _factors()
_A, _B, _C = _FACTORS
SLOT: Final = np.full(_SLOTS, UNKNOWN, dtype=np.int16)
"""The number of the word in a slot."""
LENGTH: Final = np.array([len(w) for w in _WORDS], dtype=np.int64)
TEXT: Final = np.zeros((len(_WORDS), LONGEST), dtype=np.uint8)
for _i, _word in enumerate(_WORDS):
    if _word:
        SLOT[_slot(_word.encode(), _FACTORS)] = _i
    TEXT[_i, : len(_word)] = np.frombuffer(_word.encode(), dtype=np.uint8)


@hot_jit
def word_number(text: Text, start: int, stop: int) -> int:
    """The number of the word in `text` [start, stop), UNKNOWN if it is none.

    Args:
        text: uint8 [n_bytes].
        start, stop: the word's bytes.
    """
    n = stop - start
    if n < _SHORTEST or n > LONGEST:
        return UNKNOWN
    hashed = n * _A + np.int64(text[start]) * _B + np.int64(text[stop - 2]) * _C
    number = int(np.int64(SLOT[hashed & _MASK]))
    if LENGTH[number] != n:
        return UNKNOWN
    for i in range(n):
        if text[start + i] != TEXT[number, i]:
            return UNKNOWN
    return number
