"""Arrays on a card: a tape, and what a step gives."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    if tape.mapped is not None:
        tape.mapped.give_back()
    views = {name: words.view(dtype) for name, dtype in narrow.items()}
    return layout.TapeArrays(i64=words, **views, **rest)


class Given(NamedTuple):
    """What a step gives, over one block of memory, so that one copy brings it all."""

    block: Any
    """uint8 [bytes]"""
    obs: Any
    """float32 [n_envs, width]"""
    rewards: Any
    """float32 [n_envs]"""
    done: Any
    """int8 [n_envs]"""


def given_over(block: Any, n_envs: int, width: int) -> Given:
    """The arrays over a block.

    Args:
        block: uint8 [`given_bytes`] of the card or of the host.
        n_envs: environments.
        width: columns of an observation.

    Returns:
        Views of it.
    """
    real = np.float32().itemsize
    seen = real * n_envs * width
    paid = seen + real * n_envs
    return Given(
        block=block,
        obs=block[:seen].view(np.float32).reshape(n_envs, width),
        rewards=block[seen:paid].view(np.float32),
        done=block[paid:].view(np.int8),
    )


def given_bytes(n_envs: int, width: int) -> int:
    """Bytes of what a step gives.

    Args:
        n_envs: environments.
        width: columns of an observation.

    Returns:
        Their number.
    """
    return n_envs * (np.float32().itemsize * (width + 1) + 1)
