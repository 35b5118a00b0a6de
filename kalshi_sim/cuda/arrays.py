"""A tape's arrays on a card."""

from __future__ import annotations

from typing import Any

import numpy as np

from kalshi_sim.kernels import layout
from kalshi_sim.tape import Tape


def tape_on_card(tape: Tape, cuda: Any) -> layout.TapeArrays:
    """Copy a tape to the card; its rows are there once, and seen as four types.

    Args:
        tape: what is copied.
        cuda: the module `numba.cuda`.

    Returns:
        Arrays of the card, of the shapes and dtypes that `layout.TapeArrays` names.
    """
    words = cuda.to_device(np.ascontiguousarray(tape.arrays.i64))
    narrow = {"i32": np.int32, "i16": np.int16, "f32": np.float32}
    rest = {
        name: cuda.to_device(np.ascontiguousarray(getattr(tape.arrays, name)))
        for name in ("flow", "views", "bands", "pauses")
    }
    views = {name: words.view(dtype) for name, dtype in narrow.items()}
    return layout.TapeArrays(i64=words, **views, **rest)
