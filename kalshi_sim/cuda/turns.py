"""Which view an environment gets next, decided where the environments are.

The rules and the random numbers are those of `kalshi_sim.schedule`: for the same seed the same
views and first rows are handed out. One thread begins a turn for all environments that finished
in a step (`begin_turn`); then each takes what is its own (`hand_out`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.cuda.philox import N_RNG, draw_upto, unit_float, use_words
from kalshi_sim.kernels.jit import hot_jit

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
UInt64Array = npt.NDArray[np.uint64]

SEQUENTIAL, SHUFFLE, WEIGHTED, DIVIDED = 0, 1, 2, 3
# places in Turns.ints
T_MODE, T_RANDOM_START, T_VIEWS, T_LAST, T_CURSOR, T_FIRST, T_SLOT, T_COUNT, N_TURN = range(9)


class Turns(NamedTuple):
    """A schedule's state."""

    ints: Int64Array
    """[N_TURN] mode, whether starts are random, views of the order, last view with weight, the
    cursor, where the turn began, the round that holds at its end, environments of the turn"""
    order: Int64Array
    """[views]"""
    rounds: Int64Array
    """[n_envs + 2 * views] the round that holds, then those a turn goes on to"""
    cumulative: Float64Array
    """[views] sums of the weights of the order's views"""
    starts: Int64Array
    """[views] rows an episode can start at"""
    taken: Int64Array
    """[n_envs] views each was given, where the order is divided"""
    rng: UInt64Array
    """[N_RNG]"""
    drawn: UInt64Array
    """[N_RNG] the generator as a turn draws from it"""


@hot_jit
def permute(turns: Turns, slot: int) -> None:
    """A fresh permutation of the order, as numpy's `Generator.permutation` makes it.

    Args:
        turns: the schedule; changed.
        slot: which round it becomes.
    """
    n = turns.ints[T_VIEWS]
    at = slot * n
    for k in range(n):
        turns.rounds[at + k] = turns.order[k]
    for k in range(n - 1, 0, -1):
        j = draw_upto(turns.rng, k)
        kept = turns.rounds[at + k]
        turns.rounds[at + k] = turns.rounds[at + j]
        turns.rounds[at + j] = kept


@hot_jit
def begin_turn(turns: Turns, count: int) -> None:
    """Views are about to be handed out to `count` environments.

    Args:
        turns: the schedule; changed.
        count: how many.
    """
    ints = turns.ints
    n, cursor, mode = ints[T_VIEWS], ints[T_CURSOR], ints[T_MODE]
    if ints[T_SLOT] > 0:
        for k in range(n):
            turns.rounds[k] = turns.rounds[ints[T_SLOT] * n + k]
        ints[T_SLOT] = 0
    ints[T_COUNT] = count
    if count == 0:
        return
    ints[T_FIRST] = cursor
    if mode <= SHUFFLE:
        ints[T_CURSOR] = (cursor + count) % n
    if mode == SHUFFLE:
        if cursor == 0:
            permute(turns, 0)
        slot = 0
        while (slot + 1) * n < cursor + count:
            slot += 1
            permute(turns, slot)
        ints[T_SLOT] = slot
    for k in range(N_RNG):
        turns.drawn[k] = turns.rng[k]
    words = count if mode == WEIGHTED else 0
    if ints[T_RANDOM_START] == 1:
        words += count
    if words > 0:
        use_words(turns.rng, words)


@hot_jit
def drawn_view(turns: Turns, rank: int) -> int:
    """A view drawn by weight.

    Args:
        turns: the schedule.
        rank: of the environment among those of the turn.
    """
    n = turns.ints[T_VIEWS]
    wanted = unit_float(turns.drawn, rank) * turns.cumulative[n - 1]
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if turns.cumulative[middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    return int(turns.order[min(low, turns.ints[T_LAST])])


@hot_jit
def own_view(turns: Turns, env: int, n_envs: int) -> int:
    """The next view of an environment that has views of its own.

    Args:
        turns: the schedule; changed.
        env: which environment.
        n_envs: environments of the batch.
    """
    n = turns.ints[T_VIEWS]
    whole, rest = n // n_envs, n % n_envs
    first_with_more = n_envs - rest
    if whole == 0:
        turns.taken[env] += 1
        return int(turns.order[env % n])
    share = whole + 1 if env >= first_with_more else whole
    turn = turns.taken[env] % share
    turns.taken[env] += 1
    place = turn * n_envs + env
    if turn == whole:
        place -= first_with_more
    return int(turns.order[place])


@hot_jit
def hand_out(turns: Turns, rank: int, env: int, n_envs: int) -> tuple[int, int]:
    """The view of an environment and the row it starts at.

    Args:
        turns: the schedule.
        rank: of the environment among those of the turn, by index.
        env: which environment.
        n_envs: environments of the batch.

    Returns:
        (number of the view, rows after its first).
    """
    ints = turns.ints
    mode = ints[T_MODE]
    number = rank
    if mode == SHUFFLE:
        view = turns.rounds[ints[T_FIRST] + rank]
    elif mode == SEQUENTIAL:
        view = turns.rounds[(ints[T_FIRST] + rank) % ints[T_VIEWS]]
    elif mode == WEIGHTED:
        view = drawn_view(turns, rank)
        number += ints[T_COUNT]
    else:
        view = own_view(turns, env, n_envs)
    if ints[T_RANDOM_START] == 1:
        return int(view), int(np.int64(unit_float(turns.drawn, number) * turns.starts[view]))
    return int(view), 0
