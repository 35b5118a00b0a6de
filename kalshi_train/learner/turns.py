"""Learners in several threads of one process take turns, each with its own random numbers.

Stable-Baselines3 and torch draw from generators of the process, and torch's number of threads is
one for all of it. Two models that learn at the same time would draw from each other's numbers;
so one learns after the other, and gets the generators back as it left them.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

State = tuple[Any, Any, torch.Tensor]


class _Turns:
    """Whose turn it is, and the states of those whose it is not."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.last: weakref.ref[Any] | None = None
        self.states: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()


_turns = _Turns()


@contextmanager
def turn(learner: Any, *, seeding: bool = False) -> Iterator[None]:
    """Inside the block no other learner draws random numbers.

    Args:
        learner: whose turn it is.
        seeding: it is about to seed the generators, so they need not be given back to it.

    Yields:
        None.
    """
    with _turns.lock:
        last = None if _turns.last is None else _turns.last()
        if last is not learner:
            if last is not None:
                _turns.states[last] = _state()
            if not seeding and learner in _turns.states:
                _restore(_turns.states[learner])
            _turns.last = weakref.ref(learner)
        yield


def _state() -> State:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (SB3 draws there)


def _restore(state: State) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002 (SB3 draws there)
    torch.set_rng_state(state[2])
