"""What each of several learners of one model gets: markets and random numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def stream_of(seed: int, rank: int, begun: int = 0) -> int:
    """The seed of a learner's own random numbers.

    Args:
        seed: of the run.
        rank: number of the learner; learner 0 has the run's.
        begun: steps of the run at which the numbers begin.

    Returns:
        A number from 0 to 2**32 - 1.
    """
    if rank == 0 and begun == 0:
        return seed
    return int(np.random.SeedSequence((seed, rank, begun)).generate_state(1)[0])


def own_views(order: npt.NDArray[np.int64], rank: int, learners: int) -> npt.NDArray[np.int64]:
    """The views that a learner plays, so that all together play as one goes round.

    Of n learners, learner r takes the places r, r + n, r + 2n, ... of the order, over and over:
    every view comes up as often as any other, whatever their number.

    Args:
        order: int64 [views] indices in the order of one learner.
        rank: number of the learner.
        learners: how many there are.

    Returns:
        int64 [k] indices in the order of this learner.
    """
    n = len(order)
    return order[(rank + learners * np.arange(n // math.gcd(n, learners))) % n]
