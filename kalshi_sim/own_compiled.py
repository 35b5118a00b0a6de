"""Compiles a user's own features and reward into the step of a batch (`kalshi_sim.own`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.batch import step_agents
from kalshi_sim.kernels.jit import FLAGS
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.kernels.rows import best_bid, level_size, row_mark2
from kalshi_sim.own import Agent, OwnFeatures, Reward, Row

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

_BORROWED: Final = {**FLAGS, "_nrt": False}
"""Arrays are not reference-counted around a user's functions, which themselves may allocate."""
_BLOCK: Final = 64
"""Environments stepped before their own functions run: their rows are still in the cache."""


@numba.njit(forceinline=True, **_BORROWED)  # type: ignore[untyped-decorator]  # numba has no types
def row_of(tape: layout.TapeArrays, row: int, payout: int) -> Row:
    """A row as own functions see it.

    Args:
        tape: the rows.
        row: which of them.
        payout: what a winning contract pays.

    Returns:
        Its numbers.
    """
    return Row(
        tape.i64[row, layout.ROW_TS],
        best_bid(tape, row, 0),
        best_bid(tape, row, 1),
        level_size(tape, row, 0, 0),
        level_size(tape, row, 1, 0),
        row_mark2(tape, row),
        payout,
    )


@numba.njit(forceinline=True, **_BORROWED)  # type: ignore[untyped-decorator]  # numba has no types
def agent_of(core: Int64Array) -> Agent:
    """An agent as own functions see it.

    Args:
        core: int64 [N_CORE] its numbers as the simulation keeps them.

    Returns:
        Those that are shown.
    """
    return Agent(
        core[layout.A_CASH],
        core[layout.A_POSITION],
        core[layout.A_COST],
        core[layout.A_REALIZED],
        core[layout.A_FEES],
        core[layout.A_EQUITY2],
        core[layout.A_PEAK2],
        core[layout.A_STEPS],
        core[layout.A_FILLS],
        core[layout.A_CONTRACTS],
        core[layout.A_INVALID],
        core[layout.A_PRICE],
        core[layout.A_SIZE],
        core[layout.A_AHEAD],
        core[layout.A_PRICE_NO],
        core[layout.A_SIZE_NO],
        core[layout.A_AHEAD_NO],
    )


def _no_features(row: Row, agent: Agent, observation: Float32Array, out: Float32Array) -> None:
    """What is called where only the reward is one's own."""


def _checked(function: Callable[..., Any]) -> Any:
    """The user's function, compiled with checks of its indices: it may not write elsewhere.

    What it calls is compiled as that itself says, so an index is checked there only if so asked.
    """
    plain = getattr(function, "py_func", function)
    flags: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": True}
    return numba.njit(boundscheck=True, **flags)(plain)


def _usual(before: Agent, after: Agent, row: Row, paid: float) -> float:
    """The reward as it is."""
    return paid


@functools.cache
def observer(features: OwnFeatures | None) -> Any:
    """What writes own features; batches with the same ones share its code.

    Args:
        features: of one's own, None for none.

    Returns:
        The compiled function: observe(tape, core int64 [n, N_CORE], obs float32
        [n, history * frame], payout, frame, low, high, wrong int64 [2], number of the first
        environment).
    """
    write = _checked(_no_features if features is None else features.function)

    @numba.njit(**_BORROWED)  # type: ignore[untyped-decorator]  # numba has no types
    def observe(
        tape: layout.TapeArrays,
        core: Int64Array,
        obs: Float32Array,
        payout: int,
        frame: int,
        low: float,
        high: float,
        wrong: Int64Array,
        first: int,
    ) -> None:
        at = obs.shape[1] - frame
        for i in range(len(core)):
            row = row_of(tape, core[i, layout.A_ROW], payout)
            out = obs[i, at + N_FEATURES :]
            write(row, agent_of(core[i]), obs[i, at : at + N_FEATURES], out)
            for k in range(len(out)):
                if not np.isfinite(out[k]):
                    wrong[0], wrong[1] = first + i + 1, k
                out[k] = min(max(out[k], low), high)

    return observe


@functools.cache
def steppers(features: OwnFeatures | None, reward: Reward | None) -> tuple[Any, Any]:
    """The step of a batch, and of one in shares that run side by side.

    Args:
        features: of one's own, None for none.
        reward: of one's own, None for the usual one.

    Returns:
        Two compiled functions; what they take is in `OwnStep.step`.
    """
    pay = _checked(_usual if reward is None else reward)
    step = _stepper(observer(features), pay, reward is not None)
    return step, _sharer(step)


def _stepper(observe: Any, pay: Any, has_reward: bool) -> Any:
    @numba.njit(**_BORROWED)  # type: ignore[untyped-decorator]  # numba has no types
    def step(
        tape: layout.TapeArrays,
        settings: layout.Settings,
        agents: layout.Agents,
        actions: Int64Array,
        buffers: layout.Buffers,
        before: Int64Array,
        totals: Float64Array,
        low: float,
        high: float,
        wrong: Int64Array,
        begin: int,
        end: int,
    ) -> None:
        payout, frame = settings.ints[layout.C_PAYOUT], settings.ints[layout.C_FRAME]
        for first in range(begin, end, _BLOCK):
            last = min(first + _BLOCK, end)
            if has_reward:
                for i in range(first, last):
                    for k in range(layout.N_CORE):
                        before[i, k] = agents.core[i, k]
            step_agents(tape, settings, agents, actions, buffers, first, last)
            core, obs = agents.core[first:last], buffers.obs[first:last]
            observe(tape, core, obs, payout, frame, low, high, wrong, first)
            if has_reward:
                for i in range(first, last):
                    row = row_of(tape, agents.core[i, layout.A_ROW], payout)
                    was, now = agent_of(before[i]), agent_of(agents.core[i])
                    buffers.rewards[i] = pay(was, now, row, np.float64(buffers.rewards[i]))
                    if not np.isfinite(buffers.rewards[i]):
                        wrong[0], wrong[1] = i + 1, -1
                    totals[i] += buffers.rewards[i]

    return step


def _sharer(step: Any) -> Any:
    @numba.njit(parallel=True, **FLAGS)  # type: ignore[untyped-decorator]  # numba has no types
    def step_shares(
        tape: layout.TapeArrays,
        settings: layout.Settings,
        agents: layout.Agents,
        actions: Int64Array,
        buffers: layout.Buffers,
        before: Int64Array,
        totals: Float64Array,
        low: float,
        high: float,
        wrong: Int64Array,
        shares: int,
    ) -> None:
        n = len(actions)
        for share in numba.prange(shares):
            step(
                tape,
                settings,
                agents,
                actions,
                buffers,
                before,
                totals,
                low,
                high,
                wrong,
                n * share // shares,
                n * (share + 1) // shares,
            )

    return step_shares
