"""A user's own features and reward, compiled into the step of a batch (`kalshi_sim.own`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.jit import FLAGS
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.kernels.rows import best_bid, level_size, row_mark2
from kalshi_sim.kernels.step import step_agents
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
    """The user's function, compiled with checks of its indices: it may not write elsewhere."""
    plain = getattr(function, "py_func", function)
    flags: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": True}
    return numba.njit(boundscheck=True, **flags)(plain)


class OwnStep:
    """The compiled step of a batch with own functions; what `BatchSimulator` calls instead."""

    def __init__(self, features: OwnFeatures | None, reward: Reward | None, n_envs: int) -> None:
        """Compile nothing yet.

        Args:
            features: features of one's own, None for none.
            reward: the reward of one's own, None for the usual one.
            n_envs: environments in the batch.

        Raises:
            ConfigError: one is no function, or features have no names.
        """
        for what, given in (("features", getattr(features, "function", None)), ("reward", reward)):
            if given is not None and not callable(given):
                raise ConfigError(f"{what}={given!r}: must be a function that numba can compile")
        if features is not None and not isinstance(features, OwnFeatures):
            raise ConfigError(
                f"features={features!r}: must be OwnFeatures(function, names=(...)), so that the "
                "columns have names"
            )
        self.features = features
        self.has_reward = reward is not None
        self.totals: Float64Array = np.zeros(n_envs)
        """[n_envs] the sum of the episode's rewards so far."""
        self._before = np.zeros((n_envs if self.has_reward else 0, layout.N_CORE), np.int64)
        self._wrong = np.zeros(2, np.int64)
        self._bounds = (-1.0, 1.0) if features is None else (features.low, features.high)
        self._observe = _observer(features)
        self._step, self._shares = _steppers(features, reward)

    @property
    def width(self) -> int:
        """Columns of an observation."""
        return N_FEATURES + (0 if self.features is None else len(self.features))

    def returns(self, envs: Int64Array) -> Float64Array | None:
        """Sums of the rewards of these environments' episodes so far.

        Args:
            envs: int64 [k] which environments.

        Returns:
            float64 [k], None if the reward is the usual one.
        """
        return self.totals[envs] if self.has_reward else None

    def checked_totals(self, state: Mapping[str, Any]) -> Float64Array:
        """The sums of rewards of a saved state.

        Args:
            state: what `BatchSimulator.get_simulation_state` gave.

        Returns:
            float64 [n_envs].

        Raises:
            ConfigError: they are not those of this batch.
        """
        found = np.asarray(state.get("own_returns"))
        if found.shape != self.totals.shape or found.dtype != np.float64:
            raise ConfigError(
                "the saved state is of a batch without these own features or this reward; give the "
                "environment those it was saved with"
            )
        return found

    def start(
        self,
        tape: layout.TapeArrays,
        settings: layout.Settings,
        agents: layout.Agents,
        envs: Int64Array,
        obs: Float32Array,
    ) -> None:
        """Episodes begin in these environments: their own features, and nothing earned yet.

        Args:
            tape: what is traded on.
            settings: of the simulation.
            agents: the batch, standing on the first rows.
            envs: int64 [k] which environments.
            obs: float32 [n_envs, width], of which the first 52 columns are written.

        Raises:
            ConfigError: a function cannot be compiled, or gave what is no number.
        """
        self.totals[envs] = 0.0
        payout = int(settings.ints[layout.C_PAYOUT])
        core, seen = agents.core[envs], obs[envs]
        _call(self._observe, tape, core, seen, payout, *self._bounds, self._wrong, 0)
        obs[envs] = seen
        self._check(core)

    def step(
        self,
        tape: layout.TapeArrays,
        settings: layout.Settings,
        agents: layout.Agents,
        actions: Int64Array,
        buffers: layout.Buffers,
        shares: int,
    ) -> None:
        """As `kernels.step.step_agents` for the whole batch, in `shares` that run side by side.

        Args:
            tape: what is traded on.
            settings: of the simulation.
            agents: the batch.
            actions: int64 [n_envs].
            buffers: what the step gives back.
            shares: how many parts of the batch are stepped at the same time.

        Raises:
            ConfigError: a function cannot be compiled, or gave what is no number.
        """
        n = len(actions)
        given = (tape, settings, agents, actions, buffers, self._before, self.totals)
        given += (*self._bounds, self._wrong)  # type: ignore[assignment]  # a longer tuple
        if shares == 1:
            _call(self._step, *given, 0, n)
        else:
            _call(self._shares, *given, shares)
        self._check(agents.core)

    def _check(self, core: Int64Array) -> None:
        if self._wrong[0] == 0:
            return
        env, what = int(self._wrong[0]) - 1, int(self._wrong[1])
        self._wrong[:] = 0
        name = "the own reward" if what < 0 else f"own feature {self._name(what)}"
        row = core[env, layout.A_ROW] - core[env, layout.A_START]
        raise ConfigError(f"{name} is no finite number in environment {env}, row {row} of its view")

    def _name(self, column: int) -> str:
        return "" if self.features is None else repr(self.features.names[column])


def _call(kernel: Any, *given: Any) -> None:
    try:
        kernel(*given)
    except numba.core.errors.NumbaError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ConfigError(
            "numba cannot compile the own features or reward; they are called as "
            "features(row, agent, observation, out) and reward(before, after, row, paid): "
            f"{lines[0] if len(lines) == 1 else ' '.join(lines[1:4])}"
        ) from error


def with_own(
    own: OwnFeatures, tape: layout.TapeArrays, payout: int, core: Int64Array, obs: Float32Array
) -> Float32Array:
    """The observation of one agent with its own features, as a batch gives it.

    Args:
        own: the features.
        tape: what is traded on.
        payout: what a winning contract pays.
        core: int64 [N_CORE] the agent.
        obs: float32 [52] its observation.

    Returns:
        float32 [52 + own features].

    Raises:
        ConfigError: the function cannot be compiled, or gave what is no number.
    """
    wide = np.zeros((1, N_FEATURES + len(own)), np.float32)
    wide[0, :N_FEATURES] = obs
    wrong = np.zeros(2, np.int64)
    _call(_observer(own), tape, core[None], wide, payout, own.low, own.high, wrong, 0)
    if wrong[0]:
        raise ConfigError(f"own feature {own.names[int(wrong[1])]!r} is no finite number")
    row: Float32Array = wide[0]
    return row


def _usual(before: Agent, after: Agent, row: Row, paid: float) -> float:
    """The reward as it is."""
    return paid


@functools.cache
def _observer(features: OwnFeatures | None) -> Any:
    """What writes own features; batches with the same ones share its code."""
    write = _checked(_no_features if features is None else features.function)

    @numba.njit(**_BORROWED)  # type: ignore[untyped-decorator]  # numba has no types
    def observe(
        tape: layout.TapeArrays,
        core: Int64Array,
        obs: Float32Array,
        payout: int,
        low: float,
        high: float,
        wrong: Int64Array,
        first: int,
    ) -> None:
        for i in range(len(core)):
            row = row_of(tape, core[i, layout.A_ROW], payout)
            out = obs[i, N_FEATURES:]
            write(row, agent_of(core[i]), obs[i, :N_FEATURES], out)
            for k in range(len(out)):
                if not np.isfinite(out[k]):
                    wrong[0], wrong[1] = first + i + 1, k
                out[k] = min(max(out[k], low), high)

    return observe


@functools.cache
def _steppers(features: OwnFeatures | None, reward: Reward | None) -> tuple[Any, Any]:
    """The step of a batch, and of one in shares."""
    pay = _checked(_usual if reward is None else reward)
    step = _stepper(_observer(features), pay, reward is not None)
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
        payout = settings.ints[layout.C_PAYOUT]
        for first in range(begin, end, _BLOCK):
            last = min(first + _BLOCK, end)
            if has_reward:
                for i in range(first, last):
                    for k in range(layout.N_CORE):
                        before[i, k] = agents.core[i, k]
            step_agents(tape, settings, agents, actions, buffers, first, last)
            core, obs = agents.core[first:last], buffers.obs[first:last]
            observe(tape, core, obs, payout, low, high, wrong, first)
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
