"""An environment made from stored sessions, under the name of kalshiflow_rl."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnv,
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.gate import MAX_ENVS
from kalshi_sim.spaces import action_space, observation_space
from kalshi_sim.tape import MarketSessionView
from kalshi_sim.tape_cache import load_tape
from kalshi_sim.validated import Within, check_value
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.data.loader import SessionDataLoader, load_what_can_be_read
from kalshi_train.environments.settings import SB3TrainingConfig


class SessionBasedEnvironment(VecEnv):
    """The markets of stored sessions as an environment for Stable-Baselines3, one after another.

        env = SessionBasedEnvironment("sessions", [9], SB3TrainingConfig())
        await env.initialize()
        model = PPO("MlpPolicy", env)

    A VecEnv of `n_envs` environments: observations float32 [n_envs, 52], rewards float32
    [n_envs] in cents, actions of the table. Spaces are known at once, the rest after `initialize`.
    """

    def __init__(
        self,
        database_url: str | None,
        session_ids: int | Sequence[int],
        config: SB3TrainingConfig | None = None,
        n_envs: int = 1,
        seed: int = 0,
    ):
        """Name the sessions; nothing is read before `initialize`.

        Args:
            database_url: a postgresql:// address or a folder; None: DATABASE_URL, else `sessions`.
            session_ids: one session or several.
            config: settings; the defaults if omitted.
            n_envs: environments stepped together.
            seed: fixes everything random.

        Raises:
            ConfigError: no session is named, or n_envs is below 1.
        """
        self.session_ids = [session_ids] if isinstance(session_ids, int) else list(session_ids)
        if not self.session_ids:
            raise ConfigError("session_ids is empty; name at least one session")
        check_value("n_envs", n_envs, int, Within(1, MAX_ENVS))
        self.config = config or SB3TrainingConfig()
        self._url = database_url
        self._seed = seed
        self._env: KalshiVecEnv | None = None
        self.render_mode: str | None = None
        sim = self.config.sim
        super().__init__(n_envs, observation_space(history=sim.history), action_space(sim))

    def __repr__(self) -> str:
        ids = ", ".join(str(i) for i in self.session_ids)
        ready = "not initialized" if self._env is None else repr(self._env.tape)
        return f"SessionBasedEnvironment(session {ids}: {self.num_envs:,} environments, {ready})"

    async def initialize(self) -> None:
        """Load the sessions and build the markets' views.

        Raises:
            SessionNotFoundError, StoreError: a session cannot be loaded (one that is missing or
                damaged is left out with a warning while another one is left, if
                `skip_failed_markets`).
            NoViewsError: no market has enough rows.
        """
        options = TapeOptions(
            min_episode_length=self.config.min_episode_length,
            fee_schedule=self.config.fee_schedule,
        )
        store = SessionDataLoader(self._url).store
        load = load_what_can_be_read if self.config.skip_failed_markets else load_tape
        tape = await asyncio.to_thread(load, store, self.session_ids, options)
        self._env = KalshiVecEnv(
            tape, n_envs=self.num_envs, config=self.config.sim, seed=self._seed
        )

    @property
    def env(self) -> KalshiVecEnv:
        """The environment behind it.

        Raises:
            ConfigError: `initialize` was not called.
        """
        if self._env is None:
            raise ConfigError(
                "the environment has no markets yet; call `await env.initialize()` first"
            )
        return self._env

    @property
    def market_views(self) -> tuple[MarketSessionView, ...]:
        """The markets that are played, in order."""
        return self.env.tape.views

    def get_market_rotation_info(self) -> dict[str, Any]:
        """How many markets of which sessions there are, and which are played now.

        Returns:
            Counts and ids by name.
        """
        views = self.market_views
        playing = np.unique(self.env.state()["view"])
        return {
            "total_markets": len(views),
            "sessions_covered": sorted({v.session_id for v in views}),
            "current_markets": [views[i].market_ticker for i in playing],
        }

    def reset(self) -> VecEnvObs:
        """Start a new episode in every environment; observations float32 [n_envs, 52].

        Returns:
            float32 [n_envs, 52] observations.
        """
        env = self.env
        env._seeds, env._options = list(self._seeds), list(self._options)
        self._reset_seeds()
        self._reset_options()
        obs = env.reset()
        self.reset_infos = env.reset_infos
        return obs

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Remember the actions [n_envs].

        Args:
            actions: integers [n_envs], rows of the action table; any integer dtype, as int64.
        """
        self.env.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment; finished ones restart on their next market.

        Returns:
            Observations float32 [n_envs, 52], rewards float32 [n_envs], dones bool [n_envs], infos.
        """
        return self.env.step_wait()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which actions are valid now: bool [n_envs, n_actions].

        Returns:
            bool [n_envs, n_actions], True where the action is valid.
        """
        return self.env.action_masks()

    def state(self) -> dict[str, npt.NDArray[np.int64]]:
        """The agents by name; see `KalshiVecEnv.state`.

        Returns:
            Arrays int64 [n_envs] or [n_envs, 2] by name; money in tape units.
        """
        return self.env.state()

    def close(self) -> None:
        """Close the batch; a step after it raises."""
        if self._env is not None:
            self._env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute, once for each environment asked for.

        Args:
            attr_name: name of the attribute.
            indices: which environments; all if None.

        Returns:
            The value, once for each environment asked for.
        """
        value = getattr(
            self if hasattr(type(self), attr_name) else self._home(attr_name), attr_name
        )
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the batch; see `KalshiVecEnv.set_attr`.

        Args:
            attr_name: name of the attribute.
            value: its new value.
            indices: which environments; all if None.
        """
        self.env.set_attr(attr_name, value, indices)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the batch or of this class; see `KalshiVecEnv.env_method`.

        Args:
            method_name: name of the method.
            indices: which environments; all if None.

        Returns:
            One result for each environment asked for.
        """
        if hasattr(KalshiVecEnv, method_name):
            return self.env.env_method(method_name, *method_args, indices=indices, **method_kwargs)
        result = getattr(self, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def _home(self, attr_name: str) -> VecEnv:
        """Which of the two has an attribute: this object if it is not set up yet."""
        return self if self._env is None or attr_name in vars(self) else self._env

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each environment gives what a wrapper would; see `KalshiVecEnv`.

        Args:
            wrapper_class: the wrapper that is asked about.
            indices: which environments; all if None.

        Returns:
            One answer for each environment asked for.
        """
        return self.env.env_is_wrapped(wrapper_class, indices)

    def get_images(self) -> Sequence[npt.NDArray[Any] | None]:
        """No environment draws images.

        Returns:
            None for each environment.
        """
        return [None] * self.num_envs
