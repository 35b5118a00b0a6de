"""Numpy's Philox generator, word by word: what a card needs to draw what the processor draws.

A word depends on its number alone, so each environment draws its own without waiting for others.
The state is uint64 [N_RNG]: of the block last made the counter, then the key, how many of its four
words are used, and half a word that was left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import hot_jit

UInt64Array = npt.NDArray[np.uint64]

RNG_COUNTER, RNG_KEY, RNG_USED, RNG_HAS_HALF, RNG_HALF, N_RNG = 0, 4, 6, 7, 8, 9
WORDS = 4
"""Of a block."""
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)
FACTOR0 = np.uint64(0xD2E7470EE14C6C93)
FACTOR1 = np.uint64(0xCA5A826395121157)
BUMP0 = np.uint64(0x9E3779B97F4A7C15)
BUMP1 = np.uint64(0xBB67AE8584CAA73B)
UNUSED_BITS = np.uint64(11)
"""Of a word, where it becomes a float64 below 1."""
UNIT = 2.0**-53
ONE = np.uint64(1)


@hot_jit
def add64(a: Any, b: Any) -> Any:
    """a + b modulo 2^64, in halves that never overflow.

    Args:
        a, b: uint64.

    Returns:
        uint64.
    """
    low = (a & LOW) + (b & LOW)
    high = (a >> SHIFT) + (b >> SHIFT) + (low >> SHIFT)
    return (high << SHIFT) | (low & LOW)


@hot_jit
def product128(a: Any, b: Any) -> tuple[Any, Any]:
    """The high and the low half of a * b.

    Args:
        a, b: uint64.

    Returns:
        Two uint64.
    """
    a0, a1, b0, b1 = a & LOW, a >> SHIFT, b & LOW, b >> SHIFT
    first = a0 * b0
    middle = a1 * b0 + (first >> SHIFT)
    other = a0 * b1 + (middle & LOW)
    return a1 * b1 + (middle >> SHIFT) + (other >> SHIFT), (other << SHIFT) | (first & LOW)


@hot_jit
def philox_word(rng: UInt64Array, number: int) -> Any:
    """A word that the generator would give next; nothing is used up.

    Args:
        rng: uint64 [N_RNG] the generator.
        number: 0 for the next word, 1 for the one after it, ...

    Returns:
        uint64.
    """
    place = np.int64(rng[RNG_USED]) + number
    c0 = add64(rng[RNG_COUNTER], np.uint64(place // WORDS))
    c1, c2, c3 = rng[RNG_COUNTER + 1], rng[RNG_COUNTER + 2], rng[RNG_COUNTER + 3]
    if c0 < rng[RNG_COUNTER]:
        c1 = add64(c1, ONE)
        if c1 == 0:
            c2 = add64(c2, ONE)
            if c2 == 0:
                c3 = add64(c3, ONE)
    k0, k1 = rng[RNG_KEY], rng[RNG_KEY + 1]
    for _ in range(ROUNDS):
        high0, low0 = product128(FACTOR0, c0)
        high1, low1 = product128(FACTOR1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = add64(k0, BUMP0), add64(k1, BUMP1)
    lane = place % WORDS
    if lane < 2:
        return c0 if lane == 0 else c1
    return c2 if lane == 2 else c3


@hot_jit
def use_words(rng: UInt64Array, count: int) -> None:
    """Go on by some words.

    Args:
        rng: uint64 [N_RNG] the generator; changed.
        count: how many.
    """
    place = np.int64(rng[RNG_USED]) + count
    blocks: Any = (place - 1) // WORDS if place > 0 else 0
    before = rng[RNG_COUNTER]
    rng[RNG_COUNTER] = add64(before, np.uint64(blocks))
    k = RNG_COUNTER + 1
    carried = rng[RNG_COUNTER] < before
    while carried and k < RNG_KEY:
        rng[k] = add64(rng[k], ONE)
        carried = rng[k] == 0
        k += 1
    rng[RNG_USED] = np.uint64(place - WORDS * blocks)


@hot_jit
def unit_float(rng: UInt64Array, number: int) -> float:
    """The word of a number as a float64 in [0, 1); nothing is used up.

    Args:
        rng: uint64 [N_RNG] the generator.
        number: as of `philox_word`.
    """
    return float(np.float64(philox_word(rng, number) >> UNUSED_BITS) * UNIT)


@hot_jit
def half_word(rng: UInt64Array) -> Any:
    """The next 32 random bits; the other half of a word is kept for the next call.

    Args:
        rng: uint64 [N_RNG] the generator; changed.

    Returns:
        uint64 below 2^32.
    """
    if rng[RNG_HAS_HALF] == 1:
        rng[RNG_HAS_HALF] = np.uint64(0)
        return rng[RNG_HALF]
    word = philox_word(rng, 0)
    use_words(rng, 1)
    rng[RNG_HAS_HALF] = ONE
    rng[RNG_HALF] = word >> SHIFT
    return word & LOW


@hot_jit
def draw_upto(rng: UInt64Array, most: int) -> int:
    """A whole number from 0 to `most`, each as probable, as numpy draws it for a permutation.

    Args:
        rng: uint64 [N_RNG] the generator; changed.
        most: 1 to 2^32 - 1.
    """
    mask = 1
    while mask < most:
        mask = 2 * mask + 1
    drawn = np.int64(half_word(rng)) & mask
    while drawn > most:
        drawn = np.int64(half_word(rng)) & mask
    return int(drawn)


def pack(state: Mapping[str, Any]) -> UInt64Array:
    """The state of numpy's `Philox` as the card has it, uint64 [N_RNG].

    Args:
        state: of the bit generator.
    """
    inner = state["state"]
    rest = (state["buffer_pos"], state["has_uint32"], state["uinteger"])
    return np.array([*inner["counter"].tolist(), *inner["key"].tolist(), *rest], np.uint64)


def unpack(rng: UInt64Array) -> dict[str, Any]:
    """The state of numpy's `Philox` again.

    Args:
        rng: uint64 [N_RNG] the generator.
    """
    bits = np.random.Philox()
    made = dict(bits.state)
    first = rng.copy()
    used = first[RNG_USED]
    first[RNG_USED] = 0
    made["state"] = {
        "counter": rng[RNG_COUNTER:RNG_KEY].copy(),
        "key": rng[RNG_KEY:RNG_USED].copy(),
    }
    made["buffer"] = np.array([philox_word(first, k) for k in range(WORDS)], np.uint64)
    made["buffer_pos"] = int(used)
    made["has_uint32"] = int(rng[RNG_HAS_HALF])
    made["uinteger"] = int(rng[RNG_HALF])
    return made
