"""The card's random numbers are numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kalshi_sim.cuda import philox, turns

CARRY = 2**64 - 2


def generator(seed: int, counter: int = 0) -> np.random.Generator:
    bits = np.random.Philox(seed)
    state: Any = dict(bits.state)
    state["state"]["counter"][:] = [counter, counter, counter, 7] if counter else [0, 0, 0, 0]
    bits.state = state
    return np.random.Generator(bits)


@pytest.mark.parametrize("counter", [0, CARRY, 2**64 - 1])
def test_floats_and_words_used_are_those_of_numpy(counter: int) -> None:
    ours, theirs = generator(5, counter), generator(5, counter)
    for count in (1, 2, 3, 4, 5, 9, 0, 8):
        rng = philox.pack(ours.bit_generator.state)
        drawn = [philox.unit_float(rng, k) for k in range(count)]
        assert drawn == theirs.random(count).tolist()
        philox.use_words(rng, count)
        ours.bit_generator.state = philox.unpack(rng)
        assert ours.integers(2**60) == theirs.integers(2**60)


@pytest.mark.parametrize("views", [1, 2, 7, 100, 1000])
def test_permutations_are_those_of_numpy(views: int) -> None:
    theirs = generator(views)
    arrays = turns.Turns(
        ints=np.zeros(turns.N_TURN, np.int64),
        order=np.arange(views) * 3,
        rounds=np.zeros(3 * views, np.int64),
        cumulative=np.zeros(views),
        starts=np.ones(views, np.int64),
        taken=np.zeros(1, np.int64),
        rng=philox.pack(theirs.bit_generator.state),
        drawn=np.zeros(philox.N_RNG, np.uint64),
    )
    arrays.ints[turns.T_VIEWS] = views
    for _ in range(3):
        turns.permute(arrays, 1)
        expected = theirs.permutation(arrays.order)
        assert arrays.rounds[views : 2 * views].tolist() == expected.tolist()
        assert theirs.random() == philox.unit_float(arrays.rng, 0)
        philox.use_words(arrays.rng, 1)
