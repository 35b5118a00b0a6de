"""The gymnasium environment: a batch of one, with the numbers of `KalshiVecEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.env_spec import HasSpec, check_is_no_text, given_config
from kalshi_sim.errors import ConfigError
from kalshi_sim.fills import Fills
from kalshi_sim.kernels import layout
from kalshi_sim.own import OwnFeatures, Reward
from kalshi_sim.registration import ENV_ID
from kalshi_sim.simulator import BatchSimulator
from kalshi_sim.spaces import action_space, observation_space
from kalshi_sim.tape import Tape
from kalshi_sim.tape_cache import Playable, as_tape

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


def require_tape(tape: Playable | None, store: str | None, session: int | None) -> Tape:
    """The tape given, else that of a stored session (cached).

    Args:
        tape: what to trade on.
        store: folder or URL of a store.
        session: id of a session in it, instead of a tape.

    Raises:
        ConfigError: neither was given, or both.
        StoreError: the session cannot be loaded.
    """
    check_is_no_text(tape)
    if tape is None and session is not None:
        return as_tape(gate.check_int("session", session, 0, gate.MAX_SEED), store)
    if tape is None or session is not None:
        raise ConfigError(
            f"{ENV_ID} needs a tape or a stored session: gymnasium.make({ENV_ID!r}, "
            f"tape=build_tape([session])) or gymnasium.make({ENV_ID!r}, store=FOLDER, session=ID)"
        )
    return as_tape(tape, store)


class MarketAgnosticKalshiEnv(HasSpec, gym.Env[Float32Array, np.int64]):
    """One environment: a batch of one, without automatic restart.

    Observations float32 [history * 52], actions rows of the action table, rewards in cents. The
    info of an episode's last step has `market`, `episode_return` and `episode_length` (the name
    `episode` belongs to gymnasium's RecordEpisodeStatistics and SB3's Monitor). Each `reset` goes
    on to the next view of the tape; `reset(options={"view": i})` chooses one.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # gymnasium's own convention

    def __init__(
        self,
        tape: Playable | None = None,
        config: SimConfig | Mapping[str, Any] | None = None,
        seed: int = 0,
        render_mode: str | None = None,
        store: str | None = None,
        session: int | None = None,
        features: OwnFeatures | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Trade on `tape`, or on the stored session `session` of `store`.

        Args:
            tape: what to trade on; shared, never written. Or sessions, of which a tape is made.
            config: settings of the simulation, or a mapping of them; the defaults if omitted.
            seed: decides everything random (views and starts handed out).
            render_mode: only None; nothing is drawn.
            store: folder or URL of a store; with `session` instead of a tape.
            session: id of a session in it.
            features: features of one's own, appended to the 52 (`kalshi_sim.own`).
            reward: a compiled function in place of the reward (`kalshi_sim.own`).

        Raises:
            ConfigError: neither was given, or both.
            StoreError: the session cannot be loaded.
        """
        played = require_tape(tape, store, session)
        self.simulator = BatchSimulator(
            played, 1, given_config(config), seed, n_threads=1, features=features, reward=reward
        )
        self.render_mode = render_mode
        self.observation_space: gym.spaces.Space[Any] = observation_space(
            features, self.simulator.config.history
        )
        self.action_space: gym.spaces.Space[Any] = action_space(self.simulator.config)
        self._over = True

    def __repr__(self) -> str:
        return f"MarketAgnosticKalshiEnv({self.simulator.tape!r})"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start the next episode; a seed restarts the order of views.

        Args:
            seed: restarts the order of views; if omitted, it goes on.
            options: `{"view": i}` chooses a view by index.

        Returns:
            The observation float32 [history * 52], and an empty info.

        Raises:
            ConfigError: `options["view"]` is not the index of a view, or the seed is none.
        """
        if seed is not None:
            seed = gate.check_seed(seed)  # before anything is changed
            self.simulator.seed(seed)
        super().reset(seed=seed)
        view = gate.chosen_view(options)
        fresh = seed is not None
        obs = self.simulator.reset_one(0, view=view, restart=fresh)
        self._over = False
        return obs.copy(), {}

    def step(
        self, action: np.int64 | int
    ) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """One row further; after the last, `reset` before the next step.

        Args:
            action: row of the action table, `config.table` (five: `FIVE`).

        Returns:
            Observation float32 [history * 52], reward in cents times `reward_scale`, terminated,
            truncated, info.

        Raises:
            RuntimeError: the episode is over.
        """
        if self._over:
            raise RuntimeError("the episode is over; call reset()")
        obs, rewards, done, finished = self.simulator.step(np.array([action]), restart=False)
        info: dict[str, Any] = {}
        if finished is not None:
            self._over = True
            info = {
                "market": self.simulator.episode(finished, 0),
                "episode_return": self.simulator.episode_return(finished, 0),
                "episode_length": int(finished.core[0, layout.A_STEPS]),
            }
        terminated = bool(done[0] & layout.TERMINATED)
        return obs[0].copy(), float(rewards[0]), terminated, bool(done[0]) and not terminated, info

    def action_masks(self) -> BoolArray:
        """Which actions are valid now: bool [n_actions].

        Returns:
            bool [n_actions], True where the action is valid.
        """
        masks: BoolArray = self.simulator.action_masks()[0]
        return masks

    def state(self) -> dict[str, npt.NDArray[np.int64]]:
        """The agent by name; see `BatchSimulator.state`, arrays of one row.

        Returns:
            Arrays int64 [1] or [1, 2] by name; money in tape units.
        """
        return self.simulator.state()

    def fills(self) -> Fills:
        """Fills since the last call; see `BatchSimulator.fills`.

        Returns:
            Structured array [fills] of dtype `FILL_DTYPE`.
        """
        return self.simulator.fills()

    def close(self) -> None:
        """Nothing to let go."""
        self.simulator.close()
