"""The gymnasium environments: a vector of many here, a single one in `gym_single_env`.

Both step the same `BatchSimulator` as `KalshiVecEnv` and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.env_spec import HasSpec, given_config
from kalshi_sim.episodes import Finished
from kalshi_sim.errors import ConfigError
from kalshi_sim.fills import Fills
from kalshi_sim.gym_single_env import MarketAgnosticKalshiEnv, require_tape
from kalshi_sim.kernels import layout
from kalshi_sim.own import OwnFeatures, Reward
from kalshi_sim.simulator import BatchSimulator
from kalshi_sim.spaces import action_space, observation_space
from kalshi_sim.tape_cache import Playable

__all__ = ["KalshiVectorEnv", "MarketAgnosticKalshiEnv", "make_vector_env"]

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


def _episode_info(simulator: BatchSimulator, finished: Finished, k: int) -> dict[str, Any]:
    return {
        "episode": {
            "r": simulator.episode_return(finished, k),
            "l": int(finished.core[k, layout.A_STEPS]),
        },
        "market": simulator.episode(finished, k),
    }


def _checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    for known in AutoresetMode:
        if mode in (known, known.value, known.name):
            return known
    names = ", ".join(known.name for known in AutoresetMode)
    raise ConfigError(f"autoreset_mode={mode!r}: allowed are {names}")


def make_vector_env(**settings: Any) -> KalshiVectorEnv:
    """What `gymnasium.make_vec` calls: in gymnasium's own mode NEXT_STEP if none is named.

    Its `max_episode_steps` is the setting of that name.
    """
    if "max_episode_steps" in settings:
        config = given_config(settings.get("config")) or SimConfig()
        steps = settings.pop("max_episode_steps")
        settings["config"] = replace(config, max_episode_steps=steps)
    return KalshiVectorEnv(**{"autoreset_mode": AutoresetMode.NEXT_STEP, **settings})


class KalshiVectorEnv(HasSpec, VectorEnv[Float32Array, npt.NDArray[np.int64], BoolArray]):
    """Many environments as a gymnasium VectorEnv. Observations float32 [n, history * 52].

    autoreset_mode SAME_STEP: a finished environment restarts in the same step; its last
    observation is in `infos["final_obs"]` (object array with a mask `_final_obs`), its statistics
    in `infos["final_info"]`. NEXT_STEP (what `gymnasium.make_vec` gives, and what wrappers such as
    NormalizeObservation need): a finished environment shows its last observation, its statistics
    are in `infos["market"]`, and its next step, whatever the action, is the restart. DISABLED: as
    NEXT_STEP, but `reset(options={"reset_mask": finished})` restarts, before the next step.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # gymnasium's own convention

    def __init__(
        self,
        tape: Playable | None = None,
        num_envs: int = 1,
        config: SimConfig | Mapping[str, Any] | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        store: str | None = None,
        session: int | None = None,
        features: OwnFeatures | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Trade on `tape`, or a stored session, with `num_envs` environments.

        See `BatchSimulator` and `MarketAgnosticKalshiEnv`.

        Args:
            tape: what to trade on; shared, never written. Or sessions, of which a tape is made.
            num_envs: environments in the batch.
            config: settings of the simulation, or a mapping of them; the defaults if omitted.
            seed: decides everything random (views and starts handed out).
            n_threads: threads that step the batch; if omitted, measured while stepping.
            render_mode: only None; nothing is drawn.
            autoreset_mode: SAME_STEP or NEXT_STEP, as above.
            store: folder or URL of a store; with `session` instead of a tape.
            session: id of a session in it.
            features: features of one's own, appended to the 52 (`kalshi_sim.own`).
            reward: a compiled function in place of the reward (`kalshi_sim.own`).

        Raises:
            ConfigError: no tape or session was given, a number is outside its range, or the
                mode is none.
        """
        self.autoreset_mode = _checked_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._restarting = np.zeros(0, np.int64)
        """Environments whose next step is their restart (NEXT_STEP)."""
        played = require_tape(tape, store, session)
        self.simulator = BatchSimulator(
            played,
            num_envs,
            given_config(config),
            seed,
            n_threads,
            features=features,
            reward=reward,
        )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = observation_space(features, self.simulator.config.history)
        self.single_action_space = action_space(self.simulator.config)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def __repr__(self) -> str:
        return f"KalshiVectorEnv({self.num_envs:,} environments of {self.simulator.tape!r})"

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start a new episode in every environment; the first seed given counts.

        Args:
            seed: restarts the order of views; of a list the first that is not None counts.
            options: `{"view": i}` chooses the view of all environments; `{"reset_mask": mask}`,
                bool [n], restarts only these (mode DISABLED), which then takes no seed.

        Returns:
            Observations float32 [n, history * 52], and an empty info.

        Raises:
            ConfigError: an option is unknown, its view is not there, or a seed or mask is none.
        """
        if self.autoreset_mode == AutoresetMode.DISABLED and "reset_mask" in (options or {}):
            return self._reset_some(seed, dict(options or {}))
        view = gate.chosen_view(options)
        seeds = seed if isinstance(seed, list) else [seed]
        given = [gate.check_seed(s) for s in seeds if s is not None]
        super().reset(seed=given[0] if given else None)
        if given:
            self.simulator.seed(given[0])
        obs = self.simulator.reset()
        if view is not None:
            for env in range(self.num_envs):
                self.simulator.reset_one(env, view)
        self._restarting = self._restarting[:0]
        return obs.copy(), {}

    def _reset_some(
        self, seed: int | list[int | None] | None, options: dict[str, Any]
    ) -> tuple[Float32Array, dict[str, Any]]:
        mask = np.asarray(options.pop("reset_mask"))
        view = gate.chosen_view(options)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or seed is not None:
            raise ConfigError(
                f"reset_mask must be bool [{self.num_envs}], without a seed; it is {mask.dtype} "
                f"of shape {mask.shape}"
            )
        for env in np.flatnonzero(mask).tolist():
            self.simulator.reset_one(env, view)
        return self.simulator.observations.copy(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Float32Array, Any, BoolArray, BoolArray, dict[str, Any]]:
        """Step every environment; finished ones restart as `autoreset_mode` says.

        Args:
            actions: integers [n], rows of the action table; any integer dtype, as int64.

        Returns:
            Observations float32 [n, history * 52], rewards float64 [n] (cents times
            `reward_scale`), terminated bool [n], truncated bool [n], infos.
        """
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            return self._step_then_restart(actions)
        obs, rewards, done, finished = self.simulator.step(actions)
        terminated = (done & layout.TERMINATED) != 0
        truncated = (done != 0) & ~terminated
        infos: dict[str, Any] = {}
        if finished is not None:
            infos = self._final_infos(finished)
        return obs.copy(), rewards.astype(np.float64), terminated, truncated, infos

    def _step_then_restart(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Float32Array, Any, BoolArray, BoolArray, dict[str, Any]]:
        """A step in mode NEXT_STEP, or DISABLED, where nothing restarts here.

        The batch steps as a whole: environments that restart stand in for themselves with a HOLD
        on the first view, and are started on their own one after it.
        """
        restarting = self._restarting
        if len(restarting):
            actions = np.array(actions)
            actions[restarting] = layout.HOLD
            for env in restarting.tolist():
                self.simulator.reset_one(env, 0)
        obs, rewards, done, finished = self.simulator.step(actions, restart=False)
        rewards, done = rewards.astype(np.float64), done.copy()
        for env in restarting.tolist():
            self.simulator.reset_one(env)
        rewards[restarting], done[restarting] = 0.0, 0
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._restarting = np.flatnonzero(done)
        infos: dict[str, Any] = {}
        if finished is not None:
            for k, env in enumerate(finished.envs.tolist()):
                if done[env]:
                    infos = self._add_info(infos, self._market_info(finished, k), env)
        terminated = (done & layout.TERMINATED) != 0
        return obs.copy(), rewards, terminated, (done != 0) & ~terminated, infos

    def _market_info(self, finished: Finished, k: int) -> dict[str, Any]:
        return {"market": self.simulator.episode(finished, k)}

    def _final_infos(self, finished: Finished) -> dict[str, Any]:
        mask = np.zeros(self.num_envs, np.bool_)
        mask[finished.envs] = True
        final_obs = np.full(self.num_envs, None, dtype=object)
        infos: dict[str, Any] = {}
        for k, env in enumerate(finished.envs.tolist()):
            final_obs[env] = finished.observations[k]
            infos = self._add_info(infos, _episode_info(self.simulator, finished, k), env)
        return {
            "final_obs": final_obs,
            "_final_obs": mask,
            "final_info": infos,
            "_final_info": mask.copy(),
        }

    def action_masks(self) -> BoolArray:
        """Which actions are valid now: bool [n, n_actions].

        Returns:
            bool [n, n_actions], True where the action is valid.
        """
        return self.simulator.action_masks()

    def state(self) -> dict[str, npt.NDArray[np.int64]]:
        """The agents by name; see `BatchSimulator.state`.

        Returns:
            Arrays int64 [n] or [n, 2] by name; money in tape units.
        """
        return self.simulator.state()

    def fills(self) -> Fills:
        """Fills since the last call; see `BatchSimulator.fills`.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`.
        """
        return self.simulator.fills()

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go; gymnasium also closes what its constructor refused to make."""
        if hasattr(self, "simulator"):
            self.simulator.close()
