"""The global random states that Stable-Baselines3 and torch draw from."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


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
