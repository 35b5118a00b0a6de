"""Numbers of trades: of each `trade_id` one of 62 bits, wherever and by whomever it is read.

Trades of one market alone are compared by it. Two of a hundred thousand different ids share a
number with a chance of one in a billion (n * n / 2**63); one of the trades would be taken for the
other's repetition. A table of all ids would leave nothing to chance, and take most of the memory of
a large import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from kalshi_sim.ingest.scanning.words import Text
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import Int64Array

MOST_BYTES: Final = 64
"""Of longer ids the decoder takes a digest; their lines are left to it."""
_PRIME: Final = 2**31 - 1
_OTHER_PRIME: Final = 2**31 - 19
_BASE: Final = 1_540_483_477
_OTHER_BASE: Final = 1_640_531_527
_BITS: Final = 31


@hot_jit
def trade_number(text: Text, first: int, stop: int) -> int:
    """The number of a `trade_id`, 0 or more.

    Args:
        text: uint8 [n_bytes].
        first, stop: the id's bytes, at most MOST_BYTES.
    """
    one, other = 1, 1  # so that leading zeros count
    for i in range(first, stop):
        byte = int(np.int64(text[i]))
        one = (one * _BASE + byte) % _PRIME
        other = (other * _OTHER_BASE + byte) % _OTHER_PRIME
    return (one << _BITS) + other


def trade_numbers(ids: Sequence[str | int | None]) -> Int64Array:
    """The number of each `trade_id`, int64 [n]; -1 for None.

    Args:
        ids: as frames have them; an integer is another one than its text.
    """
    texts = [_bytes(one) for one in ids]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    longest = int(lengths.max(initial=0))
    padded = b"".join(text.ljust(longest, b"\0") for text in texts)
    table = np.frombuffer(padded, dtype=np.uint8).reshape(len(texts), longest).astype(np.int64)
    one, other = np.ones(len(texts), np.int64), np.ones(len(texts), np.int64)
    for at in range(longest):
        byte, there = table[:, at], at < lengths
        one = np.where(there, (one * _BASE + byte) % _PRIME, one)
        other = np.where(there, (other * _OTHER_BASE + byte) % _OTHER_PRIME, other)
    missing = np.array([one is None for one in ids], dtype=np.bool_)
    return np.where(missing, -1, (one << _BITS) + other)


def _bytes(trade_id: str | int | None) -> bytes:
    if trade_id is None:
        return b""
    if isinstance(trade_id, str):
        text = trade_id.encode("utf-8", "surrogatepass")
    else:
        text = b"\0%d" % trade_id
    if len(text) > MOST_BYTES:
        return hashlib.blake2b(text, digest_size=MOST_BYTES).digest()
    return text
