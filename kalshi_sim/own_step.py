"""The step of a batch with a user's own features and reward, which `own_compiled` compiles."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.own import OwnFeatures, Reward
from kalshi_sim.own_compiled import observer, steppers

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


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
        if features is not None and not isinstance(features, OwnFeatures):
            raise ConfigError(
                f"features={features!r}: must be OwnFeatures(function, names=(...)), so that the "
                "columns have names"
            )
        given: dict[str, Any] = {} if features is None else {"features": features.function}
        if reward is not None:
            given["reward"] = reward
        for what, function in given.items():
            if not inspect.isfunction(getattr(function, "py_func", function)):
                raise ConfigError(f"{what}={function!r}: must be a function that numba can compile")
        self.features = features
        self.has_reward = reward is not None
        self.totals: Float64Array = np.zeros(n_envs)
        """[n_envs] the sum of the episode's rewards so far."""
        self._before = np.zeros((n_envs if self.has_reward else 0, layout.N_CORE), np.int64)
        self._wrong = np.zeros(2, np.int64)
        self._bounds = (-1.0, 1.0) if features is None else (features.low, features.high)
        self._observe = observer(features)
        self._step, self._shares = steppers(features, reward)

    @property
    def width(self) -> int:
        """Columns of an observation of one row."""
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
            obs: float32 [n_envs, history * width], of whose last frame the first 52 columns are
                written.

        Raises:
            ConfigError: a function cannot be compiled, or gave what is no number.
        """
        self.totals[envs] = 0.0
        payout = int(settings.ints[layout.C_PAYOUT])
        core, seen = agents.core[envs], obs[envs]
        given = (payout, self.width, *self._bounds, self._wrong, 0)
        _call(self._observe, tape, core, seen, *given)
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
        """As `kernels.batch.step_agents` for the whole batch, in `shares` that run side by side.

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
    except Exception as error:  # the kernels of the simulation raise nothing
        cause = error.__cause__ or error  # from threads it comes wrapped
        raise ConfigError(
            f"the own features or reward raised {type(cause).__name__}: {cause}"
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
    given = (payout, wide.shape[1], own.low, own.high, wrong, 0)
    _call(observer(own), tape, core[None], wide, *given)
    if wrong[0]:
        raise ConfigError(f"own feature {own.names[int(wrong[1])]!r} is no finite number")
    row: Float32Array = wide[0]
    return row
