"""`BatchSimulator`: many environments on one tape, stepped in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.episodes import Finished, Statistics
from kalshi_sim.exclusive import Exclusive, one_at_a_time
from kalshi_sim.fills import FILL_DTYPE, Fills
from kalshi_sim.kernels import batch as kernel
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.jit import say_if_compiling
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.own import OwnFeatures, Reward
from kalshi_sim.own_step import OwnStep
from kalshi_sim.schedule import ViewSchedule
from kalshi_sim.settings import settings_of
from kalshi_sim.tape import Tape
from kalshi_sim.threads import NumbaThreads, ThreadChoice, default_threads

Int64Array = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

__all__ = ["FILL_DTYPE", "BatchSimulator"]


class BatchSimulator(Statistics):
    """Environments over one tape; knows no gym and no torch.

    Observations and done flags alternate between two buffers: what `step` returns stays as it
    is until the step after the next.
    """

    def __init__(
        self,
        tape: Tape,
        n_envs: int,
        config: SimConfig | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        *,
        features: OwnFeatures | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Make `n_envs` environments; `reset` before the first step.

        Args:
            tape: what to trade on; shared, never written.
            n_envs: environments in the batch.
            config: settings; the defaults without.
            seed: decides everything random (views and starts handed out).
            n_threads: threads that step the batch; if omitted, as many as pay, measured while
                stepping. The results do not depend on it.
            features: features of one's own, appended to the 52 (`kalshi_sim.own`).
            reward: a compiled function in place of the reward (`kalshi_sim.own`).

        Raises:
            ConfigError: a number is outside its range, or an own function is none.
        """
        n_envs = gate.check_int("n_envs", n_envs, 1, gate.MAX_ENVS)
        if n_threads is not None:
            n_threads = gate.check_int("n_threads", n_threads, 1, gate.MAX_THREADS)
        gate.check_playable(tape)
        self.tape = tape
        self.n_envs = n_envs
        self.config = config or SimConfig()
        self.settings = settings_of(self.config, tape)
        self.n_actions = len(self.settings.actions)
        record_room = 2 * tape.depth + 4 if self.config.record_fills else 0
        self.agents = layout.Agents(
            core=np.zeros((n_envs, layout.N_CORE), np.int64),
            consumed=np.zeros((n_envs, 2, layout.MAX_CONSUMED, 2), np.int64),
            records=np.zeros((n_envs, record_room, layout.N_RECORD), np.int64),
        )
        self._own = None
        if features is not None or reward is not None:
            self._own = OwnStep(features, reward, n_envs)
        frame = N_FEATURES if self._own is None else self._own.width
        self.settings.ints[layout.C_FRAME] = frame
        self._buffers = make_buffers(n_envs, self.config.history * frame)
        self._current = 0
        self._fills: list[npt.NDArray[Any]] = []
        self._fill_views: list[Int64Array] = []
        """Of each part of `_fills` the views [fills] they were made in."""
        self.schedule = ViewSchedule(tape, self.config, n_envs, seed)
        self.n_threads = default_threads(n_envs) if n_threads is None else min(n_threads, n_envs)
        measure = n_threads is None and self.n_threads > 1
        self._choice = ThreadChoice(self.n_threads) if measure else None
        self._actions = np.zeros(n_envs, np.int64)
        self._said = False
        self._waiting = np.ones(n_envs, np.bool_)
        self._any_waiting = True
        """Whether a finished (or never started) environment must be started before a step."""
        self._cut_short = False
        """Whether an error or a signal ended a step half-way, so that any may stand at its end."""
        self._closed = False
        self._exclusive = Exclusive()

    def __repr__(self) -> str:
        return (
            f"BatchSimulator({self.n_envs:,} environments on {len(self.tape.views):,} views, "
            f"fill model {self.config.fill_model}, latency {self.config.latency_ms} ms)"
        )

    @property
    def observations(self) -> Float32Array:
        """[n_envs, history * 52] the observations of the last step or reset."""
        return self._buffers[self._current].obs

    def seed(self, seed: int) -> None:
        """Seed everything random, from the next reset on.

        Args:
            seed: 0 to 2**63 - 1.
        """
        self.schedule.seed(seed)

    @one_at_a_time
    def reset(self) -> Float32Array:
        """Start a new episode in every environment; returns the observations.

        Returns:
            float32 [n_envs, history * 52] observations; overwritten by the step after the next.
        """
        self._say()
        self._current ^= 1
        buffers = self._buffers[self._current]
        envs = np.arange(self.n_envs, dtype=np.int64)
        views, offsets = self.schedule.restart()
        self._start(envs, views, offsets, buffers)
        buffers.done[:] = 0
        self._waiting[:] = False
        self._any_waiting = self._cut_short = False
        self._clear_fills()
        return buffers.obs

    def _say(self) -> None:
        if not self._said:
            say_if_compiling("step_agents", "the simulation")
            self._said = True

    @one_at_a_time
    def reset_one(self, env: int, view: int | None = None, restart: bool = False) -> Float32Array:
        """Start a new episode in one environment; returns its observation.

        Args:
            env: which environment.
            view: the view to play from its first row; without, the next one.
            restart: restart the order of views.

        Returns:
            float32 [history * 52] its observation.

        Raises:
            ConfigError: there is no such environment or view.
        """
        env = gate.check_int("env", env, 0, self.n_envs - 1)
        if view is not None:
            view = gate.check_int("view", view, 0, len(self.tape.views) - 1)
        self._say()
        if self._cut_short:
            self._waiting[:], self._cut_short = True, False
        if restart:
            self.schedule.rewind()
        if view is None:
            views, offsets = self.schedule.next_views(np.array([env]))
        else:
            views, offsets = np.array([view]), np.zeros(1, np.int64)
        buffers = self._buffers[self._current]
        self._start(np.array([env]), views, offsets, buffers)
        self._waiting[env] = False
        self._any_waiting = bool(self._waiting.any())
        observation: Float32Array = buffers.obs[env]
        return observation

    @one_at_a_time
    def step(
        self, actions: npt.ArrayLike, restart: bool = True
    ) -> tuple[Float32Array, Float32Array, Int8Array, Finished | None]:
        """Step every environment by one row; finished ones restart in the same call.

        Args:
            actions: [n_envs] integers, rows of the action table.
            restart: start finished environments on their next view; without it they must be
                started by `reset_one` before the next step.

        Returns:
            observations float32 [n_envs, history * 52] (of the new episode where one ended),
            rewards float32 [n_envs] (cents), done int8 [n_envs] (bits 1 terminated, 2 truncated),
            and what finished, None if nothing did.

        Raises:
            ValueError: actions of another shape or type, not whole, or outside the table.
            RuntimeError: an environment was never started, or is over and was not started again;
                or an error or a signal cut the last step short.
            ConfigError: an own function gave no finite number, or raised an error.
        """
        gate.check_actions(actions, self._actions, self.n_actions)
        if self._any_waiting:
            raise RuntimeError(self._waiting_message())
        if self._closed:
            raise RuntimeError("step after close; make the environment anew")
        self._any_waiting = self._cut_short = True
        self._current ^= 1
        buffers = self._buffers[self._current]
        if self._choice is None:
            self._step(self.n_threads, buffers)
        else:
            with self._choice.measured() as n_threads:
                self._step(n_threads, buffers)
        if self.config.record_fills:
            self._collect_fills()
        finished = self._gather_finished(buffers) if np.count_nonzero(buffers.done) else None
        if finished is not None and restart:
            views, offsets = self.schedule.next_views(finished.envs)
            self._start(finished.envs, views, offsets, buffers)
        elif finished is not None:
            self._waiting[finished.envs] = True
        self._any_waiting = finished is not None and not restart
        self._cut_short = False
        return buffers.obs, buffers.rewards, buffers.done, finished

    def _waiting_message(self) -> str:
        if self._cut_short:
            return "an error or a signal cut the last step short; call reset() before the next"
        if self._waiting.all():
            return "step before reset, or after the end of every episode; call reset() first"
        waiting = np.flatnonzero(self._waiting)
        named = ", ".join(map(str, waiting[:5].tolist())) + (", ..." if len(waiting) > 5 else "")
        return f"the episode of environment {named} is over; start it with reset_one or reset"

    def _step(self, n_threads: int, buffers: layout.Buffers) -> None:
        tape, settings, agents = self.tape.arrays, self.settings, self.agents
        actions = self._actions
        if self._own is not None:
            with NumbaThreads(n_threads) as shares:
                self._own.step(tape, settings, agents, actions, buffers, shares)
            return
        if n_threads == 1:
            kernel.step_agents(tape, settings, agents, actions, buffers, 0, self.n_envs)
            return
        with NumbaThreads(n_threads) as shares:
            if shares == 1:  # the threads are not to be had just now
                kernel.step_agents(tape, settings, agents, actions, buffers, 0, self.n_envs)
            else:
                kernel.step_shares(tape, settings, agents, actions, buffers, shares)

    def _gather_finished(self, buffers: layout.Buffers) -> Finished:
        envs = np.flatnonzero(buffers.done)
        return Finished(
            envs=envs,
            core=self.agents.core[envs],
            observations=buffers.obs[envs],
            truncated=buffers.done[envs] == layout.TRUNCATED,
            returns=None if self._own is None else self._own.returns(envs),
        )

    def _start(
        self, envs: Int64Array, views: Int64Array, offsets: Int64Array, buffers: layout.Buffers
    ) -> None:
        self.tape.will_read(views, self.n_envs)
        kernel.start_agents(
            self.tape.arrays, self.settings, self.agents, envs, views, offsets, buffers
        )
        if self._own is not None:
            self._own.start(self.tape.arrays, self.settings, self.agents, envs, buffers.obs)

    def _collect_fills(self) -> None:
        counts = self.agents.core[:, layout.A_N_RECORDS]
        envs = np.repeat(np.arange(self.n_envs), counts)
        if not len(envs):
            return
        used = np.arange(self.agents.records.shape[1]) < counts[:, None]
        records = self.agents.records[used]
        fills = np.empty(len(envs), FILL_DTYPE)
        fills["env"] = envs
        for column, name in enumerate(FILL_DTYPE.names[1:] if FILL_DTYPE.names else ()):
            fills[name] = records[:, column]
        self._fills.append(fills)
        self._fill_views.append(self.agents.core[envs, layout.A_VIEW])

    def fills(self) -> Fills:
        """Fills since the last call or reset, `FILL_DTYPE`: by step, then environment.

        row counts from the view's first; side is the side bought, price what it cost (money in
        tape units). Empty unless `SimConfig(record_fills=True)`.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`, with `to_pandas` and the like.
        """
        out = Fills.of(self._fills, self._fill_views, self.tape)
        self._clear_fills()
        return out

    def _clear_fills(self) -> None:
        self._fills.clear()
        self._fill_views.clear()

    def action_masks(self) -> BoolArray:
        """Which actions are valid now: bool [n_envs, n_actions].

        Returns:
            bool [n_envs, n_actions], True where the action is valid.
        """
        masks = np.zeros((self.n_envs, self.n_actions), np.bool_)
        kernel.mask_actions(self.tape.arrays, self.settings, self.agents, masks)
        return masks

    def get_simulation_state(self) -> dict[str, Any]:
        """Everything an exact resume needs, as a dict of arrays and plain values.

        Returns:
            Arrays and plain values by name.
        """
        return {
            "core": self.agents.core.copy(),
            "taken": self.agents.consumed.copy(),
            "observations": self.observations.copy(),
            "waiting": self._waiting.copy(),
            "own_returns": np.zeros(0) if self._own is None else self._own.totals.copy(),
            **self.schedule.get_state(),
        }

    @one_at_a_time
    def set_simulation_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `get_simulation_state` of an equal tape, config and batch.

        Args:
            state: what `get_simulation_state` gave.

        Raises:
            ConfigError: the state is of another batch, tape or configuration, or damaged;
                nothing was changed.
        """
        state = gate.check_mapping(state, ("core", "taken", "observations", *self.schedule.KEYS))
        core, consumed, observations = gate.check_agents(self, state)
        waiting = gate.check_waiting(state.get("waiting"), self.n_envs)
        own_returns = np.zeros(0) if self._own is None else self._own.checked_totals(state)
        self.schedule.set_state(state)
        self._any_waiting = self._cut_short = True
        self.agents.core[:] = core
        self.agents.consumed[:] = consumed
        self.observations[:] = observations
        last = self.tape.arrays.views[core[:, layout.A_VIEW], layout.V_STOP] - 1
        self._waiting[:] = core[:, layout.A_ROW] >= last
        if self._own is not None:
            self._own.totals[:] = own_returns
        if waiting is not None:  # where an episode ended before its view's last row
            self._waiting |= waiting
        self._any_waiting = bool(self._waiting.any())
        self._cut_short = False
        self._clear_fills()

    def close(self) -> None:
        """End the batch; a step after it raises."""
        self._closed = True

    def host_core(self) -> Int64Array:
        """The agents as kernels keep them.

        Returns:
            int64 [n_envs, N_CORE].
        """
        return self.agents.core


def make_buffers(n_envs: int, width: int) -> tuple[layout.Buffers, layout.Buffers]:
    """Two sets of buffers that take turns: each has the observations of the other before it.

    Args:
        n_envs: environments in the batch.
        width: columns of an observation.

    Returns:
        Both, arrays of zeros.
    """
    seen = [np.zeros((n_envs, width), np.float32) for _ in range(2)]
    first, second = (
        layout.Buffers(
            obs=seen[turn],
            rewards=np.zeros(n_envs, np.float32),
            done=np.zeros(n_envs, np.int8),
            before=seen[1 - turn],
        )
        for turn in range(2)
    )
    return first, second
