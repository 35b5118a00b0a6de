"""Fills of a batch kept on the card until they are fetched, in the order of a processor's.

As finished episodes are, the fills of a step are numbered by environment without atomic operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from kalshi_sim.cuda.kernels import GROUP, L_BASE, L_COUNT, L_LOST, sums_before, take_room
from kalshi_sim.fills import FILL_DTYPE
from kalshi_sim.kernels.layout import A_N_RECORDS, A_VIEW, N_RECORD, Agents

Int64Array = npt.NDArray[np.int64]

_cuda: Any = cuda
N_FILL_LOG = L_BASE + 1
# columns of FillLog.rows before those of a record
W_ENV, W_VIEW, W_RECORD = range(3)
N_WIDE = W_RECORD + N_RECORD


class FillLog(NamedTuple):
    """Fills that were not fetched yet."""

    ints: Int64Array
    """[N_FILL_LOG] at L_COUNT, L_LOST and L_BASE: fills kept, fills there was no room for, kept
    before this step"""
    rows: Int64Array
    """[room, N_WIDE] environment, view, and the record"""


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def fill_count_kernel(core: Int64Array, counts: Int64Array) -> None:
    """How many fills each group of environments had in the step.

    Args:
        core: int64 [n_envs, N_CORE].
        counts: int64 [groups] one of each 64 environments; written.
    """
    c = _cuda.grid(1)
    if c < len(counts):
        found = 0
        for i in range(c * GROUP, min((c + 1) * GROUP, len(core))):
            found += core[i, A_N_RECORDS]
        counts[c] = found


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def fill_base_kernel(sums: Int64Array, log: FillLog) -> None:
    """One thread: numbers the groups, and makes room for the fills of the step.

    Args:
        sums: int64 [groups of groups] one of each 64 counts; each becomes the sum of those before.
        log: fills that were not fetched; changed.
    """
    if _cuda.grid(1) == 0:
        take_room(log.ints, len(log.rows), sums_before(sums, 0, len(sums)))


@_cuda.jit  # type: ignore[untyped-decorator]  # numba has no types
def fill_kernel(agents: Agents, counts: Int64Array, sums: Int64Array, log: FillLog) -> None:
    """Keep the fills of the step.

    Args:
        agents: all environments.
        counts: int64 [groups] fills before each 64 environments, within their group of groups.
        sums: int64 [groups of groups] fills before each.
        log: fills that were not fetched; changed.
    """
    i = _cuda.grid(1)
    if i >= len(agents.core):
        return
    c = i // GROUP
    at = log.ints[L_BASE] + sums[c // GROUP] + counts[c]
    for j in range(c * GROUP, i):
        at += agents.core[j, A_N_RECORDS]
    for k in range(agents.core[i, A_N_RECORDS]):
        if at + k < len(log.rows):
            row = log.rows[at + k]
            row[W_ENV], row[W_VIEW] = i, agents.core[i, A_VIEW]
            for column in range(N_RECORD):
                row[W_RECORD + column] = agents.records[i, k, column]


def fetched(log: FillLog) -> tuple[npt.NDArray[Any], Int64Array, int]:
    """The fills of a log, which is then empty; waits for the card.

    Args:
        log: arrays of the card.

    Returns:
        Fills of dtype `FILL_DTYPE`, the views int64 [fills] they were made in, and how many more
        there was no room for.
    """
    on_card: Any = log
    ints = on_card.ints.copy_to_host()
    n = int(ints[L_COUNT])
    fills = np.empty(n, FILL_DTYPE)
    views = np.zeros(n, np.int64)
    if ints.any():
        on_card.ints.copy_to_device(np.zeros(N_FILL_LOG, np.int64))
    if n:
        rows = on_card.rows[:n].copy_to_host()
        fills["env"], views = rows[:, W_ENV], rows[:, W_VIEW].copy()
        for column, name in enumerate(FILL_DTYPE.names[1:] if FILL_DTYPE.names else ()):
            fills[name] = rows[:, W_RECORD + column]
    return fills, views, int(ints[L_LOST])


def empty_log(room: int, cuda_module: Any) -> FillLog:
    """A log without fills.

    Args:
        room: fills.
        cuda_module: `numba.cuda`.

    Returns:
        Arrays of the card.
    """
    put = cuda_module.to_device
    return FillLog(put(np.zeros(N_FILL_LOG, np.int64)), put(np.zeros((room, N_WIDE), np.int64)))
