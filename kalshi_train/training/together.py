"""What the learners of one model say to each other between rollouts.

They play and learn in step. At a boundary they make sure that their parameters are the same, and
agree whether to stop; learner 0 alone evaluates, records and saves, and the others wait for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback

from kalshi_sim.errors import KalshiSimError
from kalshi_train.learner.group import Group, LostLearnerError
from kalshi_train.training.randomness import random_state

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from kalshi_sim.vec_env import KalshiVecEnv
    from kalshi_train.config import TrainConfig
    from kalshi_train.environments.curriculum import SimpleSessionCurriculum

Info = Mapping[str, Any]
State = dict[str, npt.NDArray[Any]]
Counts = npt.NDArray[np.int64]


class LearnersApartError(KalshiSimError, RuntimeError):
    """Learners of one model have come to differ."""


class ToldToEndError(Exception):
    """Learner 0 has ended the training, so this one ends too."""


@dataclass(frozen=True)
class Played:
    """What environments did in a rollout."""

    infos: list[Info]
    """Of the episodes that ended."""
    counts: Counts
    """int64 [n_actions] how often each action was taken."""
    state: State
    """Arrays [n_envs] at its end, as `BatchSimulator.state` gives them."""


@dataclass(frozen=True)
class _Word:
    """What a learner says at a boundary."""

    parameters: str
    steps: int
    signum: int | None
    needs_states: bool


def played_by_all(group: Group, own: Played) -> Played:
    """The same of the environments of all learners.

    Args:
        group: the learners.
        own: of this one.

    Raises:
        LostLearnerError: one of them is gone.
    """
    if group.size == 1:
        return own
    kept: list[Info] = [{k: info[k] for k in ("episode", "market")} for info in own.infos]
    parts = group.exchange(Played(kept, own.counts, own.state))
    return Played(
        [info for part in parts for info in part.infos],
        np.sum([part.counts for part in parts], axis=0),
        _joined([part.state for part in parts]),
    )


def state_of_all(group: Group, own: State) -> State:
    """Arrays of the environments of all learners.

    Args:
        group: the learners.
        own: arrays [n_envs] of this one, by name.

    Returns:
        Arrays [n_envs of all] by name.

    Raises:
        LostLearnerError: one of them is gone.
    """
    return _joined(group.exchange(own))


def _joined(parts: Sequence[State]) -> State:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def own_state(model: BaseAlgorithm, env: KalshiVecEnv) -> dict[str, Any]:
    """What a learner alone knows of a run: arrays and plain values by name, nested.

    Args:
        model: between two rollouts.
        env: what it is trained on.
    """
    return {
        "last_obs": model._last_obs,
        "last_episode_starts": model._last_episode_starts,
        "random": random_state(),
        "sim": env.get_simulation_state(),
    }


class Boundary:
    """The points between two rollouts, as one learner sees them."""

    def __init__(self, group: Group, model: Any, env: KalshiVecEnv) -> None:
        """See the boundaries of one call of `learn`.

        Args:
            group: the learners.
            model: what this one trains.
            env: on what.
        """
        self.group = group
        self._model, self._env = model, env
        self.others: list[dict[str, Any]] = []
        """`own_state` of the other learners at this boundary, where learner 0 needs it."""
        self.waits = False
        """Whether learner 0 works at this boundary while the others wait."""

    def agree(self, signum: int | None, needs_states: bool = False) -> int | None:
        """Whether to stop here, as all learners decide it together.

        Args:
            signum: the signal by which this one was asked to.
            needs_states: learner 0 needs what the others alone know; said by it alone.

        Returns:
            The signal by which one of them was asked to stop, or None.

        Raises:
            LearnersApartError: the learners have other parameters, or are at another step.
            LostLearnerError: one of them is gone.
        """
        if self.group.size == 1:
            return signum
        steps = self._model.num_timesteps
        words = self.group.exchange(_Word(self._digest(), steps, signum, needs_states))
        for rank, word in enumerate(words):
            if (word.parameters, word.steps) != (words[0].parameters, words[0].steps):
                raise LearnersApartError(
                    f"learner {rank} has other parameters than learner 0 at {steps:,} steps; "
                    "go on from the last checkpoint, with the same versions and kinds of "
                    "processors everywhere"
                )
        found = next((word.signum for word in words if word.signum is not None), None)
        self.waits = words[0].needs_states and found is None
        if words[0].needs_states or found is not None:
            mine = None if self.group.rank == 0 else own_state(self._model, self._env)
            self.others = [s for s in self.group.exchange(mine) if s is not None]
        return found

    def _digest(self) -> str:
        parameters = [p.detach().numpy().tobytes() for p in self._model.policy.parameters()]
        return hashlib.sha256(b"".join(parameters)).hexdigest()

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Inside the block learner 0 works while the others are in `following`."""
        try:
            yield
        except BaseException:
            with suppress(LostLearnerError):
                self.group.exchange(False)
            raise
        self.group.exchange(True)

    def following(self) -> None:
        """Wait until learner 0 goes on.

        Raises:
            ToldToEndError: it does not.
            LostLearnerError: one of the learners is gone.
        """
        if not self.group.exchange(None)[0]:
            raise ToldToEndError


class FollowingCallback(BaseCallback):
    """What learners but the first do around their rollouts."""

    def __init__(
        self,
        config: TrainConfig,
        env: KalshiVecEnv,
        curriculum: SimpleSessionCurriculum,
        group: Group,
    ) -> None:
        """Set up for one call of `learn`.

        Args:
            config: the settings of the run, resolved.
            env: the environments of this learner.
            curriculum: order and results of the markets.
            group: the learners.
        """
        super().__init__()
        self._config, self._env, self._curriculum = config, env, curriculum
        self._group = group
        self._infos: list[Info] = []

    def _on_training_start(self) -> None:
        self._boundary = Boundary(self._group, self.model, self._env)
        state_of_all(self._group, self._env.state())

    def _on_rollout_start(self) -> None:
        self._between_rollouts()

    def _on_step(self) -> bool:
        self._infos += finished(self.locals)
        return True

    def _on_rollout_end(self) -> None:
        counts = action_counts(self.locals["rollout_buffer"].actions, len(self._config.sim.table))
        everyone = played_by_all(self._group, Played(self._infos, counts, self._env.state()))
        self._infos = []
        self._curriculum.record(everyone.infos)

    def _on_training_end(self) -> None:
        self._between_rollouts()

    def _between_rollouts(self) -> None:
        self._curriculum.update(self._env)
        if self._boundary.agree(None) is not None:
            raise ToldToEndError
        if self._boundary.waits:
            self._boundary.following()
        set_entropy(self.model, self._config)


def finished(seen: Mapping[str, Any]) -> list[Info]:
    """Infos of the episodes that ended with a step.

    Args:
        seen: what the model shows its callbacks.
    """
    dones = seen.get("dones")  # a card gives those of a rollout at its end
    if dones is None or not dones.any():
        return []
    infos = seen["infos"]
    return [infos[i] for i in np.flatnonzero(dones)]


def action_counts(actions: npt.NDArray[Any], n_actions: int) -> Counts:
    """How often each action was taken.

    Args:
        actions: integers or float32 [n_steps, n_envs, 1] or of another shape, their numbers.
        n_actions: how many there are.

    Returns:
        int64 [n_actions].
    """
    return np.bincount(actions.astype(np.int64).ravel(), minlength=n_actions)


def set_entropy(model: Any, config: TrainConfig) -> None:
    """Set the weight of the entropy bonus.

    By the steps alone, so that it does not matter in how many goes they are made.

    Args:
        model: on-policy, if its bonus halves; changed.
        config: the settings of the run, resolved.
    """
    half_life, start = config.learner.ent_half_life, config.learner.ent_coef
    if half_life and start is not None:
        model.ent_coef = start * 0.5 ** (model.num_timesteps / half_life)
