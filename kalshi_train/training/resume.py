"""Going on from a checkpoint: what must fit, and what is put back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.spaces import check_actions_of
from kalshi_train.config import TrainConfig
from kalshi_train.models import model_data, model_weights
from kalshi_train.training import checkpoints
from kalshi_train.training.model import HYPERPARAMETERS
from kalshi_train.training.model_state import restore_model_state
from kalshi_train.training.randomness import seed_learner, set_random_state
from kalshi_train.training.state import RunState

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from kalshi_sim.tape import Tape
    from kalshi_sim.vec_env import KalshiVecEnv
    from kalshi_train.environments.curriculum import SimpleSessionCurriculum

logger = logging.getLogger(__name__)

# Changing these on a resume still continues the run, but not bit for bit.
_PART_OF_EXACT: Final = (
    "n_envs",
    "learners",
    "num_threads",
    "learning_rate",
    "lr_schedule",
    "seed",
    "ent_half_life",
    "curriculum",
    "market_order",
    "device",
    "mask",
    "normalize",
    *HYPERPARAMETERS,
)


def check_resume(config: TrainConfig) -> checkpoints.Checkpoint | None:
    """The checkpoint a configuration resumes from, None if it resumes from none.

    Raises:
        ConfigError: there is no undamaged one, or its model cannot go on here.
    """
    if config.resume_from is None:
        return None
    checkpoint = checkpoints.find_checkpoint(config.resume_from)
    path, n_actions = checkpoint.path, len(config.sim.table)
    checkpoints.check_model(path, config.learner.algorithm, config.sim.history, n_actions)
    check_actions_of(str(path), model_data(path)["action_space"], config.sim)
    if checkpoint.exact and config.learner.normalize != checkpoint.config.get("normalize", False):
        was, now = ("without", "with") if config.learner.normalize else ("with", "without")
        raise ConfigError(
            f"{path} was trained {was} --normalize and cannot go on {now} it; start anew"
        )
    return checkpoint


def restore(
    checkpoint: checkpoints.Checkpoint,
    config: TrainConfig,
    model: BaseAlgorithm,
    env: KalshiVecEnv,
    curriculum: SimpleSessionCurriculum,
    rank: int = 0,
) -> RunState | None:
    """Put model, environments, curriculum and random states back as they were.

    Args:
        checkpoint: to go on from.
        config: the run's settings.
        model, env, curriculum: just made; changed.
        rank: number of the learner that they belong to.

    Returns:
        What the run remembered; None if the checkpoint holds a model alone.

    Raises:
        ConfigError: the network has other layers, or the checkpoint is not one of ours.
    """
    try:
        return _restore(checkpoint, config, model, env, curriculum, rank)
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ConfigError(
            f"{checkpoint.path}: its state cannot be put back ({type(error).__name__}); start anew"
        ) from error


def _restore(
    checkpoint: checkpoints.Checkpoint,
    config: TrainConfig,
    model: BaseAlgorithm,
    env: KalshiVecEnv,
    curriculum: SimpleSessionCurriculum,
    rank: int,
) -> RunState | None:
    _restore_weights(checkpoint, config, model)
    if not checkpoint.exact:
        data = model_data(checkpoint.path)
        model.num_timesteps = int(data.get("num_timesteps", 0))
        model._n_updates = int(data.get("_n_updates", 0))
        logger.warning(
            "%s carries no state of a run: the weights go on, the episodes start anew",
            checkpoint.path,
        )
        return None
    run, arrays = checkpoint.run, checkpoints.unflatten(checkpoint.arrays)
    model.num_timesteps = run["num_timesteps"]
    model._n_updates = run["n_updates"]
    model._episode_num = run["episode_num"]
    model.ep_info_buffer = deque(run["ep_info_buffer"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    _warn_of_changes(run, config)
    others = arrays.get("others", {})
    own = others.get(str(rank)) if rank else arrays
    if own is None:  # there were fewer learners
        seed_learner(config.seed, rank, env, model.num_timesteps)
    else:
        set_random_state(own["random"])
    same_batch = own is not None and (
        (1 + len(others), len(own["last_episode_starts"])) == (config.learners, env.num_envs)
    )
    same_episodes = False
    if own is not None and same_batch and run["data"] == views_digest(env.tape):
        curriculum.load_state(arrays["curriculum"])
        curriculum.update(env)
        try:
            env.set_simulation_state(own["sim"])
        except ConfigError as error:  # of a version that kept other columns, or other settings
            logger.warning("the episodes start anew: %s", error)
        else:
            model._last_obs = own["last_obs"]
            model._last_episode_starts = own["last_episode_starts"]
            same_episodes = True
    else:
        logger.warning(
            "other markets, or another n_envs or number of learners: the episodes start anew"
        )
    restore_model_state(model, arrays.get("model", {}), same_episodes=same_episodes)
    if hasattr(model, "replay_buffer"):
        logger.warning(
            "the transitions of the run are not kept: %s are collected before it learns on",
            f"{config.learner.learning_starts:,}",
        )
    logger.info("resumed from %s at %s steps", checkpoint.path, f"{model.num_timesteps:,}")
    return RunState(**run["progress"])


def _restore_weights(
    checkpoint: checkpoints.Checkpoint, config: TrainConfig, model: BaseAlgorithm
) -> None:
    try:
        model.set_parameters(model_weights(checkpoint.path, str(model.device)), device=model.device)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{checkpoint.path}: its network has other layers than net_arch "
            f"{','.join(map(str, config.learner.net_arch))}; give its --net-arch"
        ) from error


def _warn_of_changes(run: dict[str, Any], config: TrainConfig) -> None:
    theirs = TrainConfig().to_json() | run["config"]
    mine = json.loads(json.dumps(config.to_json()))
    changed = [k for k in _PART_OF_EXACT if theirs[k] != mine[k]]
    if changed:
        logger.warning(
            "not the settings of the checkpoint: %s; the run goes on, not bit for bit",
            ", ".join(f"{k} {mine[k]} (was {theirs[k]})" for k in changed),
        )


def views_digest(tape: Tape) -> str:
    """A digest of a tape's views, by which a resumed run knows whether they are the same."""
    text = "\n".join(f"{v.session_id} {v.market_ticker} {len(v)}" for v in tape.views)
    return hashlib.sha256(text.encode()).hexdigest()
