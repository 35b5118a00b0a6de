"""`KalshiVecEnv`: a BatchSimulator as a native Stable-Baselines3 VecEnv."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnv,
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.target import chosen_device
from kalshi_sim.episodes import Finished
from kalshi_sim.errors import ConfigError
from kalshi_sim.fills import Fills
from kalshi_sim.infos import Infos
from kalshi_sim.own import OwnFeatures, Reward
from kalshi_sim.simulator import BatchSimulator
from kalshi_sim.spaces import action_space, observation_space
from kalshi_sim.store import SessionStore
from kalshi_sim.tape import Tape
from kalshi_sim.tape_cache import Playable, as_tape

if TYPE_CHECKING:
    from kalshi_sim.cuda.pinned import PinnedSimulator

Int64Array = npt.NDArray[np.int64]


class KalshiVecEnv(VecEnv):
    """Thousands of views of a tape stepped as one Stable-Baselines3 VecEnv.

    Observations float32 [n_envs, history * 52], rewards float32 [n_envs] (cents), dones bool
    [n_envs]. Observations and dones alternate between two buffers, since SB3 stores those of a step
    only after the next. `infos[i]` is empty unless environment i finished; then it has `episode`
    (r, l, t as Monitor gives them), `market`, `terminal_observation` and `TimeLimit.truncated`.
    """

    def __init__(
        self,
        tape: Playable,
        n_envs: int = 1,
        config: SimConfig | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        *,
        store: SessionStore | str | os.PathLike[str] | None = None,
        features: OwnFeatures | None = None,
        reward: Reward | None = None,
        device: str = "cpu",
    ) -> None:
        """See `BatchSimulator`.

        Args:
            tape: what to trade on; shared, never written. Or sessions, or ids of sessions, of which
                a tape is made first.
            n_envs: environments in the batch.
            config: settings of the simulation; the defaults if omitted.
            seed: decides everything random (views and starts handed out).
            n_threads: threads that step the batch; if omitted, measured while stepping.
            store: where ids are looked up (a store, folder or URL); if omitted, the default store.
            features: features of one's own, appended to the 52 (`kalshi_sim.own`).
            reward: a compiled function in place of the reward (`kalshi_sim.own`).
            device: where the batch is stepped: cpu, cuda for a graphics card (docs/cuda.md), auto
                for the card if there is one; the results are the same, numpy arrays in each case.

        Raises:
            ConfigError: a number is outside its range, `tape` is nothing to trade on, or there is
                no card.
            StoreError: a session cannot be loaded.
            NoViewsError: no market of the sessions has enough rows.
        """
        self.simulator: BatchSimulator | PinnedSimulator
        if device != "cpu":
            device = chosen_device(device)
        if device == "cpu":
            self.simulator = BatchSimulator(
                as_tape(tape, store),
                n_envs,
                config,
                seed,
                n_threads,
                features=features,
                reward=reward,
            )
        else:
            if features is not None or reward is not None:
                raise ConfigError("own features and rewards run on device cpu alone")
            from kalshi_sim.cuda.pinned import PinnedSimulator

            self.simulator = PinnedSimulator(as_tape(tape, store), n_envs, config, seed)
        self.render_mode: str | None = None
        super().__init__(
            n_envs, observation_space(features, self.config.history), action_space(self.config)
        )
        self._dones = (np.zeros(n_envs, np.bool_), np.zeros(n_envs, np.bool_))
        self._turn = 0
        self._blank: list[Any] = [None] * n_envs
        self._actions: npt.ArrayLike = np.zeros(n_envs, np.int64)
        self._started = time.time()
        self.last_finished: Int64Array = np.zeros(0, np.int64)
        """Indices of the environments that finished in the last step."""

    @property
    def tape(self) -> Tape:
        """The tape all environments share."""
        return self.simulator.tape

    @property
    def config(self) -> SimConfig:
        """The settings of the simulation."""
        return self.simulator.config

    def __repr__(self) -> str:
        return f"KalshiVecEnv({self.num_envs:,} environments of {self.tape!r})"

    def reset(self) -> VecEnvObs:
        """Start a new episode in every environment.

        `set_options({"view": i})` before it chooses the view, of all or (a list) of each.

        Returns:
            float32 [n_envs, history * 52] observations.

        Raises:
            ConfigError: an option is unknown, or its view is not there.
        """
        for seed in self._seeds:
            if seed is not None:
                self.simulator.seed(seed)
                break
        self.reset_infos = [{} for _ in range(self.num_envs)]
        views = [gate.chosen_view(options) for options in self._options]
        self._reset_seeds()
        self._reset_options()
        obs = self.simulator.reset()
        for env, view in enumerate(views):
            if view is not None:
                self.simulator.reset_one(env, view)
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions [n_envs] for `step_wait`.

        Args:
            actions: integers [n_envs], rows of the action table; any integer dtype, as int64.
        """
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment; finished ones restart in the same call.

        Returns:
            Observations float32 [n_envs, history * 52], rewards float32 [n_envs], dones bool
            [n_envs], infos.
        """
        obs, rewards, done, finished = self.simulator.step(self._actions)
        self._turn ^= 1
        dones = self._dones[self._turn]
        dones[:] = done
        infos = Infos(self._blank)
        if finished is None:
            self.last_finished = _NOTHING
        else:
            self.last_finished = finished.envs
            self._fill_infos(infos, finished)
        return obs, rewards, dones, infos

    def _fill_infos(self, infos: list[dict[str, Any]], finished: Finished) -> None:
        elapsed = round(time.time() - self._started, 6)
        rows = zip(
            finished.envs.tolist(),
            self.simulator.episodes(finished),
            finished.observations,
            finished.truncated.tolist(),
            strict=True,
        )
        for env, (total, steps, market), observation, truncated in rows:
            infos[env] = {
                "episode": {"r": total, "l": steps, "t": elapsed},
                "market": market,
                "terminal_observation": observation,
                "TimeLimit.truncated": truncated,
            }

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which actions are valid now: bool [n_envs, n_actions] (sb3-contrib's
        MaskablePPO).

        Returns:
            bool [n_envs, n_actions], True where the action is valid.
        """
        return self.simulator.action_masks()

    def state(self) -> dict[str, Int64Array]:
        """The agents by name; see `BatchSimulator.state`.

        Returns:
            Arrays int64 [n_envs] or [n_envs, 2] by name; money in tape units.
        """
        return self.simulator.state()

    def fills(self) -> Fills:
        """Fills since the last call; see `BatchSimulator.fills`.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`.
        """
        return self.simulator.fills()

    def set_view_order(self, order: npt.ArrayLike, *, divided: bool = False) -> None:
        """Hand out only these views, in this order, from the next one on.

        Args:
            order: indices of views [k].
            divided: each environment plays views of its own, so that SB3's `evaluate_policy` with
                as many episodes as views plays each once, however many environments there are.

        Raises:
            ConfigError: empty, or not indices of views; or divided but not sequential.
        """
        self.simulator.schedule.set_order(order, divided=divided)

    def set_view_weights(self, weights: npt.ArrayLike) -> None:
        """Draw the next views by these weights [n_views] (market_order="weighted").

        Args:
            weights: numbers from 0 on, float [n_views].
        """
        self.simulator.schedule.set_weights(weights)

    def get_simulation_state(self) -> dict[str, Any]:
        """Everything an exact resume needs; see `BatchSimulator.get_simulation_state`.

        Returns:
            Arrays and plain values by name.
        """
        return self.simulator.get_simulation_state()

    def set_simulation_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_simulation_state`.

        Args:
            state: what `get_simulation_state` gave.
        """
        self.simulator.set_simulation_state(state)

    def close(self) -> None:
        """Let the threads go."""
        self.simulator.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each environment; all share one batch, so all have the same.

        Args:
            attr_name: name of the attribute.
            indices: which environments; all if None.

        Returns:
            The value, once for each environment asked for.
        """
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the batch; `indices` must name all environments.

        Args:
            attr_name: name of the attribute.
            value: its new value.
            indices: which environments; all if None.

        Raises:
            ValueError: only some environments were named; they share their attributes.
        """
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError("environments of a batch share their attributes; leave out indices")
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the batch once; one result per environment asked for.

        What `action_masks`, `state` and `fills` give is handed out by environment.

        Args:
            method_name: name of the method.
            indices: which environments; all if None.

        Returns:
            One result for each environment asked for.
        """
        chosen = list(self._get_indices(indices))
        result = getattr(self, method_name)(*method_args, **method_kwargs)
        if method_name == "action_masks":
            return [result[i] for i in chosen]
        if method_name == "state":
            return [{name: values[i] for name, values in result.items()} for i in chosen]
        if method_name == "fills":
            return [result[result["env"] == i] for i in chosen]
        return [result for _ in chosen]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each environment gives what a wrapper would.

        No environment of a batch is wrapped, but infos hold what SB3's Monitor adds to them.

        Args:
            wrapper_class: the wrapper that is asked about.
            indices: which environments; all if None.

        Returns:
            One answer for each environment asked for.
        """
        is_monitored = wrapper_class is Monitor
        return [is_monitored for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """There is nothing to draw.

        Returns:
            None for each environment.
        """
        return [None] * self.num_envs


_NOTHING = np.zeros(0, np.int64)
