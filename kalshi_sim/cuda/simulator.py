"""`CudaSimulator`: `BatchSimulator` on a graphics card."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.arrays import given_bytes, given_over, tape_on_card
from kalshi_sim.cuda.memory import LOG_ROOM, MAX_ROOM, check_memory, record_room, require_room
from kalshi_sim.cuda.schedule import CudaSchedule
from kalshi_sim.cuda.target import BLOCK, require_card
from kalshi_sim.episodes import Finished, Statistics
from kalshi_sim.exclusive import Exclusive, one_at_a_time
from kalshi_sim.fills import Fills
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.settings import settings_of
from kalshi_sim.tape import Tape

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
CardArray = Any
"""An array on the card, with `__cuda_array_interface__` and `copy_to_host()`."""


class CudaSimulator(Statistics):
    """Environments over one tape on a card: the steps, starts and masks of `BatchSimulator`.

    Observations, rewards, done flags and masks are arrays on the card, which torch takes without a
    copy (`torch.as_tensor(array, device="cuda")`). Like those of `BatchSimulator` they alternate
    between two buffers. `state`, `fills` and finished episodes are numpy arrays.
    """

    def __init__(
        self, tape: Tape, n_envs: int, config: SimConfig | None = None, seed: int = 0
    ) -> None:
        """Make `n_envs` environments; `reset` before the first step.

        Args:
            tape: what to trade on; copied to the card.
            n_envs: environments in the batch.
            config: settings; the defaults if omitted.
            seed: decides everything random, as it does on a processor.

        Raises:
            ConfigError: a number is outside its range, there is no card, or it has too little
                memory.
        """
        n_envs = gate.check_int("n_envs", n_envs, 1, gate.MAX_ENVS)
        gate.check_playable(tape)
        require_card()
        self._cuda: Any = importlib.import_module("numba.cuda")
        self._kernels: Any = importlib.import_module("kalshi_sim.cuda.kernels")
        self.tape = tape
        self.n_envs = n_envs
        self.config = config or SimConfig()
        check_memory(tape, n_envs, self.config, self._cuda)
        self.settings = settings_of(self.config, tape)
        self.n_actions = len(self.settings.actions)
        self._make_arrays(seed)
        self._actions = np.zeros(n_envs, np.int64)
        self._current = 0
        self._fills: list[npt.NDArray[Any]] = []
        self.lost_fills = 0
        """Fills since the last reset that there was no room to keep."""
        self._fill_views: list[Int64Array] = []
        self._waiting = np.ones(n_envs, np.bool_)
        self._any_waiting = True
        self._closed = False
        self._exclusive = Exclusive()

    def _make_arrays(self, seed: int) -> None:
        put, n = self._cuda.to_device, self.n_envs
        self._tape = tape_on_card(self.tape, self._cuda)
        self._settings = layout.Settings(*(put(a) for a in self.settings))
        records = max(1, record_room(self.tape, self.config))
        self.agents: Any = layout.Agents(
            core=put(np.zeros((n, layout.N_CORE), np.int64)),
            consumed=put(np.zeros((n, 2, layout.MAX_CONSUMED, 2), np.int64)),
            records=put(np.zeros((n, records, layout.N_RECORD), np.int64)),
        )
        width = self.config.history * N_FEATURES
        size = given_bytes(n, width)
        self._given = [given_over(put(np.zeros(size, np.uint8)), n, width) for _ in range(2)]
        self._buffers: Any = tuple(
            layout.Buffers(one.obs, one.rewards, one.done, before=other.obs)
            for one, other in (self._given, self._given[::-1])
        )
        self._card_actions = put(np.zeros(n, np.int64))
        self.terminal = put(np.zeros((n, width), np.float32))
        """float32 [n_envs, history * 52] on the card: the last observation of each environment's
        latest finished episode."""
        self._masks = put(np.zeros((n, self.n_actions), np.bool_))
        kernels = self._kernels
        chunks = -(-n // kernels.GROUP)
        self._counts = put(np.zeros(chunks, np.int64))
        self._sums = put(np.zeros(-(-chunks // kernels.GROUP), np.int64))
        self._fill_kernels: Any = importlib.import_module("kalshi_sim.cuda.fills")
        room = n * record_room(self.tape, self.config)
        self._fill_log = self._fill_kernels.empty_log(max(1, room), self._cuda)
        self._log: Any = None
        self.keep_episodes(LOG_ROOM * n)
        self.schedule = CudaSchedule(self.tape, self.config, n, seed, self._cuda)

    def keep_episodes(self, room: int, *, observations: bool = True) -> None:
        """How many finished episodes are kept until they are fetched; those kept are dropped.

        Args:
            room: episodes.
            observations: keep the last observation of each too.

        Raises:
            ConfigError: `room` is no number of episodes.
        """
        room = gate.check_int("room", room, 1, MAX_ROOM)
        put, kernels = self._cuda.to_device, self._kernels
        self._log = None  # the old one's memory is free before the new one's is taken
        width = self.config.history * N_FEATURES
        self._log = kernels.Log(
            ints=put(np.zeros(kernels.N_LOG, np.int64)),
            envs=put(np.zeros(room, np.int64)),
            done=put(np.zeros(room, np.int8)),
            core=put(np.zeros((room, layout.N_CORE), np.int64)),
            obs=put(np.zeros((room if observations else 1, width), np.float32)),
        )
        self._keeps_observations = observations

    def require_room(self, parts: Mapping[str, int], advice: str) -> None:
        """Be sure that the card has room for more beside the batch.

        Args:
            parts: bytes by what takes them ("a rollout takes").
            advice: what to do if it has not.

        Raises:
            ConfigError: it has not; the message has the sizes.
        """
        require_room(parts, self._cuda, advice)

    def __repr__(self) -> str:
        return (
            f"CudaSimulator({self.n_envs:,} environments on {len(self.tape.views):,} views, "
            f"fill model {self.config.fill_model}, latency {self.config.latency_ms} ms)"
        )

    @property
    def observations(self) -> CardArray:
        """float32 [n_envs, history * 52] on the card: observations of the last step or reset."""
        return self._buffers[self._current].obs

    @property
    def rewards(self) -> CardArray:
        """float32 [n_envs] on the card: the rewards of the last step, in cents."""
        return self._buffers[self._current].rewards

    @property
    def done(self) -> CardArray:
        """int8 [n_envs] on the card: bits 1 terminated, 2 truncated, of the last step."""
        return self._buffers[self._current].done

    def _run(self, kernel: Any, threads: int, *args: Any, stream: Any = 0) -> None:
        kernel[-(-threads // BLOCK), BLOCK, stream](*args)

    def seed(self, seed: int) -> None:
        """Seed everything random, from the next reset on.

        Args:
            seed: 0 to 2**63 - 1.
        """
        self.schedule.seed(seed)

    @one_at_a_time
    def reset(self) -> CardArray:
        """Start a new episode in every environment.

        Returns:
            float32 [n_envs, history * 52] on the card; overwritten by the step after the next.
        """
        self._current ^= 1
        buffers, n, turns = self._buffers[self._current], self.n_envs, self.schedule.arrays
        self.schedule.rewind()
        self._run(self._kernels.begin_kernel, 1, turns, n)
        given = (self._tape, self._settings, self.agents, buffers, turns)
        self._run(self._kernels.start_kernel, n, *given)
        self._log.ints.copy_to_device(np.zeros(self._kernels.N_LOG, np.int64))
        self._waiting[:] = False
        self._any_waiting = False
        self._clear_fills()
        return buffers.obs

    @one_at_a_time
    def reset_one(self, env: int, view: int | None = None, restart: bool = False) -> CardArray:
        """Start a new episode in one environment.

        Args:
            env: which environment.
            view: the view to play from its first row; if omitted, the next one.
            restart: restart the order of views.

        Returns:
            float32 [history * 52] on the card: its observation.

        Raises:
            ConfigError: there is no such environment or view.
        """
        env = gate.check_int("env", env, 0, self.n_envs - 1)
        if view is not None:
            view = gate.check_int("view", view, 0, len(self.tape.views) - 1)
        if restart:
            self.schedule.rewind()
        buffers = self._buffers[self._current]
        given = (self._tape, self._settings, self.agents, buffers, self.schedule.arrays)
        self._run(self._kernels.start_one_kernel, 1, *given, env, -1 if view is None else view)
        self._waiting[env] = False
        self._any_waiting = bool(self._waiting.any())
        return buffers.obs[env]

    @one_at_a_time
    def step(
        self, actions: npt.ArrayLike, restart: bool = True
    ) -> tuple[CardArray, CardArray, CardArray, Finished | None]:
        """Step every environment by one row; finished ones restart in the same call.

        Args:
            actions: [n_envs] integers on the host, rows of the action table.
            restart: start finished environments on their next view; otherwise they must be
                started by `reset_one` before the next step.

        Returns:
            As `BatchSimulator.step`; observations, rewards and done flags are on the card.

        Raises:
            ValueError: actions of another shape or type, not whole, or outside the table.
            RuntimeError: an environment was never started, or is over and was not started again.
        """
        self._ask(actions, restart)
        finished = self._fetch_ended(restart)
        buffers = self._buffers[self._current]
        return buffers.obs, buffers.rewards, buffers.done, finished

    def _ask(self, actions: npt.ArrayLike, restart: bool) -> None:
        """Step by actions of the host; nothing is waited for but their copy."""
        gate.check_actions(actions, self._actions, self.n_actions)
        if self._any_waiting:
            raise RuntimeError("an episode is over or was never started; call reset() first")
        self._card_actions.copy_to_device(self._actions)
        self._advance(self._card_actions, restart)
        self._fetch_fills()

    def _fetch_ended(self, restart: bool) -> Finished | None:
        """The episodes that the last step ended; waits for the card."""
        finished = self._fetch()
        if finished is not None and not restart:
            self._waiting[finished.envs] = True
            self._any_waiting = True
        return finished

    @one_at_a_time
    def advance(self, actions: CardArray, stream: Any = 0) -> None:
        """Step with actions that are on the card; nothing is copied or waited for.

        What the step gave stands in `observations`, `rewards` and `done`; finished episodes are
        kept until `fetch_finished`, at most two an environment. An action outside the table holds,
        and the next `fetch_finished` raises.

        Args:
            actions: int64 [n_envs] on the card.
            stream: numba's stream to run on.

        Raises:
            RuntimeError: an environment was never started, or is over and was not started again.
            ValueError: actions of another shape or type.
        """
        shape, dtype = getattr(actions, "shape", None), getattr(actions, "dtype", None)
        if shape != (self.n_envs,) or dtype != np.int64:
            raise ValueError(f"actions are {dtype} {shape}, expected int64 ({self.n_envs},)")
        if self._any_waiting:
            raise RuntimeError("an episode is over or was never started; call reset() first")
        self._advance(actions, True, stream)

    def _advance(self, actions: CardArray, restart: bool, stream: Any = 0) -> None:
        if self._closed:
            raise RuntimeError("step after close; make the environment anew")
        self._current ^= 1
        kernels, n, log = self._kernels, self.n_envs, self._log
        buffers, turns = self._buffers[self._current], self.schedule.arrays
        given = (self._tape, self._settings, self.agents)
        self._run(kernels.step_kernel, n, *given, actions, buffers, log, stream=stream)
        if self.config.record_fills:
            self._keep_fills(stream)
        counts, sums, again = self._counts, self._sums, int(restart)
        self._run(kernels.count_kernel, len(counts), buffers.done, counts, stream=stream)
        self._run(kernels.group_kernel, len(sums), counts, sums, stream=stream)
        self._run(kernels.turn_kernel, 1, sums, turns, log, again, stream=stream)
        ended = (buffers, self.terminal, counts, sums, turns, log, again)
        self._run(kernels.finish_kernel, n, *given, *ended, stream=stream)

    def fetch_finished(self) -> tuple[Finished | None, int]:
        """The episodes that ended since the last call, in the order in which they did.

        Returns:
            The episodes, None if there are none; and how many more there was no room to keep.

        Raises:
            ValueError: an action given to `advance` was no row of the table.
        """
        ints = self._log.ints.copy_to_host()
        return self._fetch(ints), int(ints[self._kernels.L_LOST])

    def _fetch(self, ints: Int64Array | None = None) -> Finished | None:
        log, kernels = self._log, self._kernels
        ints = log.ints.copy_to_host() if ints is None else ints
        n = int(ints[kernels.L_COUNT])
        if not ints.any():
            return None
        log.ints.copy_to_device(np.zeros(kernels.N_LOG, np.int64))
        if ints[kernels.L_WRONG]:
            raise ValueError(f"actions must be whole numbers from 0 to {self.n_actions - 1}")
        if n == 0:
            return None
        return Finished(
            envs=log.envs[:n].copy_to_host(),
            core=log.core[:n].copy_to_host(),
            observations=log.obs[: n if self._keeps_observations else 0].copy_to_host(),
            truncated=log.done[:n].copy_to_host() == layout.TRUNCATED,
        )

    def _keep_fills(self, stream: Any) -> None:
        """Number the step's fills by environment, and keep them on the card."""
        fills, log, n = self._fill_kernels, self._fill_log, self.n_envs
        counts, sums = self._counts, self._sums
        self._run(fills.fill_count_kernel, len(counts), self.agents.core, counts, stream=stream)
        self._run(self._kernels.group_kernel, len(sums), counts, sums, stream=stream)
        self._run(fills.fill_base_kernel, 1, sums, log, stream=stream)
        self._run(fills.fill_kernel, n, self.agents, counts, sums, log, stream=stream)

    def _fetch_fills(self) -> None:
        if not self.config.record_fills:
            return
        made, views, lost = self._fill_kernels.fetched(self._fill_log)
        self.lost_fills += lost
        if len(made):
            self._fills.append(made)
            self._fill_views.append(views)

    def fills(self) -> Fills:
        """Fills since the last call or reset; see `BatchSimulator.fills`.

        After steps by `advance` those are missing for which the card had no more room; `lost_fills`
        counts them.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`.
        """
        self._fetch_fills()
        out = Fills.of(self._fills, self._fill_views, self.tape)
        self._fills.clear()
        self._fill_views.clear()
        return out

    def _clear_fills(self) -> None:
        self._fetch_fills()
        self._fills.clear()
        self._fill_views.clear()
        self.lost_fills = 0

    def card_masks(self, stream: Any = 0) -> CardArray:
        """Which actions are valid now.

        Args:
            stream: numba's stream to run on.

        Returns:
            bool [n_envs, n_actions] on the card; overwritten by the next call.
        """
        given = (self._tape, self._settings, self.agents, self._masks)
        self._run(self._kernels.mask_kernel, self.n_envs, *given, stream=stream)
        return self._masks

    def action_masks(self) -> BoolArray:
        """Which actions are valid now.

        Returns:
            bool [n_envs, n_actions], True where the action is valid.
        """
        masks: BoolArray = self.card_masks().copy_to_host()
        return masks

    def host_core(self) -> Int64Array:
        """The agents as kernels keep them, a copy.

        Returns:
            int64 [n_envs, N_CORE].
        """
        core: Int64Array = self.agents.core.copy_to_host()
        return core

    def get_simulation_state(self) -> dict[str, Any]:
        """Everything an exact resume needs; a `BatchSimulator` can go on from it, and the reverse.

        Returns:
            Arrays and plain values by name.
        """
        return {
            "core": self.host_core(),
            "taken": self.agents.consumed.copy_to_host(),
            "observations": self.observations.copy_to_host(),
            "waiting": self._waiting.copy(),
            "own_returns": np.zeros(0),
            **self.schedule.get_state(),
        }

    @one_at_a_time
    def set_simulation_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `get_simulation_state` of an equal tape, config and batch.

        Args:
            state: what `get_simulation_state` gave, here or on a processor.

        Raises:
            ConfigError: the state is of another batch, tape or configuration, or damaged;
                nothing was changed.
        """
        state = gate.check_mapping(state, ("core", "taken", "observations", *self.schedule.KEYS))
        core, consumed, observations = gate.check_agents(self, state)
        waiting = gate.check_waiting(state.get("waiting"), self.n_envs)
        self.schedule.set_state(state)
        self.agents.core.copy_to_device(core)
        self.agents.consumed.copy_to_device(consumed)
        self.observations.copy_to_device(observations)
        last = self.tape.arrays.views[core[:, layout.A_VIEW], layout.V_STOP] - 1
        self._waiting[:] = core[:, layout.A_ROW] >= last
        if waiting is not None:
            self._waiting |= waiting
        self._any_waiting = bool(self._waiting.any())
        self._clear_fills()

    def close(self) -> None:
        """End the batch; a step after it raises."""
        self._closed = True
