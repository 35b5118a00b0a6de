"""How much memory of a card a batch takes, and what to say where that is too much."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import Tape

MIB = 1 << 20
LOG_ROOM = 2
"""Episodes an environment that are kept until they are fetched."""
MAX_ROOM: Final = 1 << 31
LIMIT: Final = "KALSHI_SIM_CARD_MIB"
"""The variable that says how many MiB of a card may be taken, where others use it too."""


def record_room(tape: Tape, config: SimConfig) -> int:
    """Most fills of a step.

    Args:
        tape: what is traded on.
        config: settings of the simulation.

    Returns:
        0 where they are not recorded.
    """
    return 2 * tape.depth + 4 if config.record_fills else 0


def env_bytes(tape: Tape, config: SimConfig) -> int:
    """What one environment takes: agent, two buffers, last observation, kept episodes.

    Args:
        tape: what is traded on.
        config: settings of the simulation.

    Returns:
        Bytes.
    """
    word, real = np.int64().itemsize, np.float32().itemsize
    agent = word * (layout.N_CORE + 4 * layout.MAX_CONSUMED)
    agent += word * record_room(tape, config) * (2 * layout.N_RECORD + 2)  # and those kept
    width = config.history * N_FEATURES
    buffers = 2 * (real * (width + 1) + 1) + real * width
    kept = LOG_ROOM * (word * (layout.N_CORE + 1) + real * width + 1)
    schedule = word * 3
    return agent + buffers + kept + schedule


def tape_bytes(tape: Tape) -> int:
    """Bytes of a tape on the card: its rows once, flow, views, grids and pauses."""
    arrays = tape.arrays
    once = (arrays.i64, arrays.flow, arrays.views, arrays.bands, arrays.pauses)
    return sum(np.asarray(a).nbytes for a in once)


def check_memory(tape: Tape, n_envs: int, config: SimConfig, cuda: Any) -> None:
    """Be sure that a tape and a batch fit into the memory that the card has left.

    Args:
        tape: what is traded on.
        n_envs: environments of the batch.
        config: settings of the simulation.
        cuda: the module `numba.cuda`.

    Raises:
        ConfigError: they do not; the message has the sizes.
    """
    batch = n_envs * env_bytes(tape, config)
    parts = {"the tape takes": tape_bytes(tape), f"{n_envs:,} environments take": batch}
    require_room(parts, cuda, "choose fewer sessions, fewer environments or device cpu")


def require_room(parts: Mapping[str, int], cuda: Any, advice: str) -> None:
    """Be sure that the card has room for some things together.

    Args:
        parts: bytes by what takes them ("the tape takes").
        cuda: the module `numba.cuda`.
        advice: what to do if it has not.

    Raises:
        ConfigError: it has not, or the variable that limits it is no number.
    """
    free = cuda.current_context().get_memory_info().free
    limit = os.environ.get(LIMIT)
    if limit:
        if not limit.isdecimal():
            raise ConfigError(f"{LIMIT}={limit}: must be a whole number of MiB")
        free = min(free, int(limit) * MIB)
    if sum(parts.values()) > free:
        sizes = " and ".join(f"{what} {_mib(size)}" for what, size in parts.items())
        raise ConfigError(f"the card has {_mib(free)} free, but {sizes}; {advice}")


def _mib(size: float) -> str:
    return f"{size / MIB:,.0f} MiB"
