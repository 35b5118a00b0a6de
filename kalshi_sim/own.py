"""Own features and an own reward: a user's functions compiled into the step.

Both see a row of the book and the agent as small tuples of integers, money in tape units (so that a
price over `row.payout` is one over the dollar):

    @numba.njit
    def features(row, agent, observation, out):  # out float32 [names], to be written
        out[0] = (row.no_bid + row.yes_bid) / row.payout

    @numba.njit
    def reward(before, after, row, paid):  # paid: the reward in cents as it is without this
        return paid - 0.01 * abs(after.position)

They are called after every row with what is known at it, so a policy can be given the same live.
The kernels of the simulation stay as they are: without own functions nothing here is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.jit import FLAGS
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.kernels.rows import best_bid, level_size, row_mark2
from kalshi_sim.kernels.step import step_agents

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

MAX_OWN: Final = 1024
"""Most features of one's own."""
_BLOCK: Final = 64
"""Environments stepped before their own functions run: their rows are still in the cache."""


class Row(NamedTuple):
    """A row of the book as own functions see it; prices in tape units, sizes in contracts."""

    ts_ms: int
    yes_bid: int
    """Best bid for YES, 0 if there is none."""
    no_bid: int
    """Best bid for NO; the best ask for YES is `payout - no_bid`."""
    yes_size: int
    """Contracts at the best bid for YES."""
    no_size: int
    mark2: int
    """Twice the mark of YES."""
    payout: int
    """What a winning contract pays."""


class Agent(NamedTuple):
    """The agent as own functions see it; money in tape units."""

    cash: int
    position: int
    """Contracts, + YES, - NO."""
    cost: int
    """What the open contracts cost."""
    realized: int
    fees_paid: int
    equity2: int
    """Twice the equity."""
    peak2: int
    """Twice the highest equity so far."""
    steps: int
    fills: int
    contracts: int
    """Contracts traded."""
    invalid_actions: int
    yes_price: int
    """Price of the resting order on the YES side."""
    yes_size: int
    """Contracts of it that are left, 0 if there is none."""
    yes_ahead: int
    """Contracts in front of it."""
    no_price: int
    no_size: int
    no_ahead: int


Features = Callable[[Row, Agent, Float32Array, Float32Array], None]
"""Called with row, agent, the 52 features float32 [52], and `out` float32 [names] to be written."""
Reward = Callable[[Agent, Agent, Row, float], float]
"""Called with the agent before and after a step, the row after it, and the usual reward."""


@dataclass(frozen=True, eq=False)
class OwnFeatures:
    """Features of one's own, appended to the 52 of an observation.

    Values are cut to [low, high]; NaN and infinities are refused with the market and the row.

    Raises:
        ConfigError: there are no names, two are the same, or a bound does not fit.
    """

    function: Features
    """Writes them; `numba.njit` or a plain function that it can compile."""
    names: tuple[str, ...]
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        given: Any = self.names  # people write one name, or a list
        names = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "names", names)
        taken = {f.name for f in FEATURES}
        if not 1 <= len(names) <= MAX_OWN or len({*names, *taken}) < len(names) + len(taken):
            raise ConfigError(
                f"names={names!r}: must be 1 to {MAX_OWN} names, all different and none of FEATURES"
            )
        if not -np.inf < self.low < self.high < np.inf:
            raise ConfigError(f"low={self.low}, high={self.high}: must be finite, low below high")

    def __len__(self) -> int:
        return len(self.names)


@numba.njit(**FLAGS)  # type: ignore[untyped-decorator]  # numba has no types
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


@numba.njit(**FLAGS)  # type: ignore[untyped-decorator]  # numba has no types
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
    return numba.njit(nogil=True, error_model="numpy", boundscheck=True)(plain)


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
        write = _checked(_no_features if features is None else features.function)
        pay = _checked(reward) if reward is not None else _checked(_usual)
        self._observe = _observer(write)
        self._step = _stepper(self._observe, pay, self.has_reward)
        self._shares = _sharer(self._step)

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
        self._call(self._observe, tape, core, seen, payout, *self._bounds, self._wrong, 0)
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
            self._call(self._step, *given, 0, n)
        else:
            self._call(self._shares, *given, shares)
        self._check(agents.core)

    def _call(self, kernel: Any, *given: Any) -> None:
        try:
            kernel(*given)
        except numba.core.errors.NumbaError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ConfigError(
                "numba cannot compile the own features or reward; they are called as "
                "features(row, agent, observation, out) and reward(before, after, row, paid): "
                f"{lines[0] if len(lines) == 1 else ' '.join(lines[1:4])}"
            ) from error

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


def _usual(before: Agent, after: Agent, row: Row, paid: float) -> float:
    """The reward as it is."""
    return paid


def _observer(write: Any) -> Any:
    @numba.njit(**FLAGS)  # type: ignore[untyped-decorator]  # numba has no types
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


def _stepper(observe: Any, pay: Any, has_reward: bool) -> Any:
    @numba.njit(**FLAGS)  # type: ignore[untyped-decorator]  # numba has no types
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
                before[first:last] = agents.core[first:last]
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
