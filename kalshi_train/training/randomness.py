"""What Stable-Baselines3 and torch share in a process: random states and threads."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from kalshi_train.learner.shares import stream_of

if TYPE_CHECKING:
    from kalshi_sim.vec_env import KalshiVecEnv

_TURN: Final = threading.RLock()
"""Held by the training that draws from the generators of this process."""


@contextmanager
def one_training() -> Iterator[None]:
    """Let one training of a process have its generators and threads; others wait for their turn.

    After the block the generators and torch's number of threads are as they were before it, so
    that what a training gives does not depend on those before it or beside it.
    """
    with _TURN:
        state, threads = random_state(), torch.get_num_threads()
        try:
            yield
        finally:
            set_random_state(state)
            torch.set_num_threads(threads)


def random_state() -> dict[str, npt.NDArray[Any]]:
    """The states of Python's, NumPy's and torch's generators, as arrays without pickles.

    Returns:
        Arrays by name, each of its generator's dtype and length [n].
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (SB3 draws there)
    assert kind == "MT19937"
    arrays: dict[str, npt.NDArray[Any]] = {
        "python": np.frombuffer(json.dumps(random.getstate()).encode(), dtype=np.uint8),
        "numpy_keys": np.asarray(keys),
        "numpy_rest": np.array([position, has_gauss], dtype=np.int64),
        "numpy_gauss": np.array([gauss], dtype=np.float64),
        "torch": torch.get_rng_state().numpy().copy(),
    }
    if torch.cuda.is_available():
        for i, state in enumerate(torch.cuda.get_rng_state_all()):
            arrays[f"cuda{i}"] = state.numpy().copy()
    return arrays


def set_random_state(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Put all generators back into the state that `random_state` gave."""
    version, internal, gauss_next = json.loads(arrays["python"].tobytes())
    random.setstate((version, tuple(internal), gauss_next))
    position, has_gauss = (int(v) for v in arrays["numpy_rest"])
    gauss = float(arrays["numpy_gauss"][0])
    np.random.set_state(  # noqa: NPY002 (SB3 draws there)
        ("MT19937", arrays["numpy_keys"], position, has_gauss, gauss)
    )
    torch.set_rng_state(torch.from_numpy(arrays["torch"].copy()))
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{i}" in arrays:
            torch.cuda.set_rng_state(torch.from_numpy(arrays[f"cuda{i}"].copy()), i)


def seed_learner(seed: int, rank: int, env: KalshiVecEnv, begun: int = 0) -> None:
    """Give one of several learners random numbers of its own.

    Args:
        seed: of the run.
        rank: number of the learner.
        env: its environments, before their first reset.
        begun: steps of the run at which the numbers begin.
    """
    own = stream_of(seed, rank, begun)
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002 (SB3 draws there)
    torch.manual_seed(own)
    env.seed(own)
