"""The tickers of a block, numbered in order of appearance."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.scanning.words import Text
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import Int64Array

MOST_TICKERS: Final = 512
"""In one block; lines of further ones are left to the decoder."""
_SLOTS: Final = 4 * MOST_TICKERS
_HASHED: Final = 16
"""Last characters of a ticker that its hash depends on."""
_HASH_BITS: Final = (1 << 24) - 1


class Seen(NamedTuple):
    """The tickers of a block."""

    slots: Int64Array
    """Their number and one, by hash; 0 where there is none."""
    first: Int64Array
    """Where each begins in the text."""
    stop: Int64Array
    n_seen: Int64Array
    """[1] how many there are."""


def make_seen() -> Seen:
    """Room for the tickers of a block."""
    return Seen(
        np.zeros(_SLOTS, np.int64),
        np.zeros(MOST_TICKERS, np.int64),
        np.zeros(MOST_TICKERS, np.int64),
        np.zeros(1, np.int64),
    )


@hot_jit
def ticker_number(text: Text, first: int, stop: int, seen: Seen) -> int:
    """The number of a ticker in this block; -1 if it is empty or there are too many.

    Args:
        text: uint8 [n_bytes].
        first, stop: the ticker's bytes.
        seen: tickers so far; a new one is added.
    """
    n = stop - first
    if n <= 0:
        return -1
    hashed = n
    for i in range(max(first, stop - _HASHED), stop):
        hashed = (hashed * 31 + int(np.int64(text[i]))) & _HASH_BITS
    slot = hashed % _SLOTS
    while True:
        number = int(seen.slots[slot]) - 1
        if number < 0:
            break
        if seen.stop[number] - seen.first[number] == n:
            at = seen.first[number]
            i = 0
            while i < n and text[at + i] == text[first + i]:
                i += 1
            if i == n:
                return number
        slot = (slot + 1) % _SLOTS
    number = int(seen.n_seen[0])
    if number >= MOST_TICKERS:
        return -1
    seen.slots[slot] = number + 1
    seen.first[number] = first
    seen.stop[number] = stop
    seen.n_seen[0] = number + 1
    return number
