"""`train`: from a configuration to a trained model, its checkpoints and its results."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat
from stable_baselines3.common.utils import LinearSchedule

from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.files import make_folder, write_json
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import TrainingData, prepare
from kalshi_train.environments.curriculum import Order, SimpleSessionCurriculum
from kalshi_train.learner.algorithms import FastA2C, FastPPO
from kalshi_train.training import checkpoints
from kalshi_train.training.callbacks import Progress, TrainingCallback
from kalshi_train.training.heldout import HeldoutEvaluator
from kalshi_train.training.metrics import JsonLinesWriter, TradingMetrics, timed_steps
from kalshi_train.training.progress import Console
from kalshi_train.training.randomness import set_random_state

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

    from kalshi_sim.session import Session
    from kalshi_sim.tape import Tape

logger = logging.getLogger(__name__)

METRICS_FILE: Final = "metrics.jsonl"
RESULTS_FILE: Final = "training_results.json"
CONFIG_FILE: Final = "config.json"
N_ACTIONS: Final = 5
_ALGORITHMS: Final[dict[tuple[str, bool], type[OnPolicyAlgorithm]]] = {
    ("ppo", False): FastPPO,
    ("a2c", False): FastA2C,
    ("ppo", True): PPO,
    ("a2c", True): A2C,
}
# The settings that SB3's constructors take under the same names.
_HYPERPARAMETERS: Final = (
    "n_steps",
    "batch_size",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "ent_coef",
    "vf_coef",
    "clip_range",
    "max_grad_norm",
)
# Changing these on a resume still continues the run, but not bit for bit.
_PART_OF_EXACT: Final = (
    "n_envs",
    "num_threads",
    "learning_rate",
    "lr_schedule",
    "seed",
    "ent_half_life",
    "curriculum",
    "market_order",
    "device",
    *_HYPERPARAMETERS,
)


STEPS_PER_EVAL_ROW = 20
"""Training steps for each row that a held-out evaluation plays one after the other."""


@dataclass(frozen=True)
class TrainResult:
    """What a run came to; money in cents."""

    model_path: Path
    best_model_path: Path | None
    num_timesteps: int
    episodes: int
    seconds: float
    """Of this call, without those before a resume."""
    steps_per_second: float
    heldout: dict[str, Any] | None
    """The final model on the held-out markets."""
    verdict: str
    training: dict[str, Any]
    """Summary over all training episodes."""
    results: dict[str, Any] = field(repr=False)
    """All of it, as `training_results.json` has it."""
    model: OnPolicyAlgorithm = field(repr=False)


def train(config: TrainConfig, *, sessions: Sequence[Session] | None = None) -> TrainResult:
    """Train as `config` says and write everything into the folder of `model_save_path`.

    Args:
        config: the settings; fields that are None are chosen for it.
        sessions: train on these instead of loading them from the store.

    Raises:
        KalshiSimError: a setting, the data or a checkpoint cannot be right; nothing was trained.
    """
    checkpoint = check_resume(config)
    make_folder(config.run_folder)
    used = resolve(config)
    data = prepare(used, sessions)
    return _Run(with_eval_freq(used, data), data, checkpoint).learn()


def check_resume(config: TrainConfig) -> checkpoints.Checkpoint | None:
    """The checkpoint a configuration resumes from, None if it resumes from none.

    Raises:
        ConfigError: there is no good one, or its model cannot go on here.
    """
    if config.resume_from is None:
        return None
    checkpoint = checkpoints.find_checkpoint(config.resume_from)
    checkpoints.check_model(checkpoint.path, config.algorithm, len(FEATURES), N_ACTIONS)
    return checkpoint


def plan(config: TrainConfig) -> dict[str, Any]:
    """What `train` would train, on what and with which settings, without training.

    Raises:
        KalshiSimError: as `train` does.
    """
    used = resolve(config)
    data = prepare(used)
    used = with_eval_freq(used, data)
    rollout = used.n_envs * (used.n_steps or 1)
    return {
        "data": data.describe(),
        "rollout_steps": rollout,
        "rollouts": -(-used.total_timesteps // rollout),
        "config": used.to_json(),
    }


def resolve(config: TrainConfig) -> TrainConfig:
    """`config` with every None replaced by what will be used on this machine."""
    resolved = config.resolved()
    if resolved.num_threads is None:
        object.__setattr__(resolved, "num_threads", os.cpu_count() or 1)
    return resolved


def with_eval_freq(config: TrainConfig, data: TrainingData) -> TrainConfig:
    """`config` with how often held-out markets are played, if it leaves that open.

    An evaluation takes as many steps, one after the other, as the longest held-out market has
    rows, in a batch too small to be quick: training goes on for many times that between two.
    """
    if config.eval_freq is None:
        longest = max((len(v) for v in data.heldout.views), default=0) if data.heldout else 0
        often = max(1, config.total_timesteps // 10, STEPS_PER_EVAL_ROW * longest)
        object.__setattr__(config, "eval_freq", often)
    return config


class _Run:
    """One run: environment, model, and everything around the two."""

    def __init__(
        self, config: TrainConfig, data: TrainingData, checkpoint: checkpoints.Checkpoint | None
    ):
        self.config, self.data = config, data
        torch.set_num_threads(config.num_threads or 1)
        self.env = KalshiVecEnv(
            data.train,
            n_envs=config.n_envs,
            config=config.sim,
            seed=config.seed,
            n_threads=config.num_threads,
        )
        self.curriculum = SimpleSessionCurriculum(
            data.train, _order(config), cash_start=config.cash_start
        )
        self.curriculum.start(self.env)
        self.metrics = TradingMetrics(data.train.payout, config.cash_start)
        self.progress = Progress(run_started_ns=time.time_ns())
        self.model = make_model(config, self.env)
        self.console = Console(config)
        if checkpoint is not None:
            self._resume(checkpoint)
        timed_steps(self.env, self.metrics.clock)

    def learn(self) -> TrainResult:
        config, model = self.config, self.model
        write_json(config.run_folder / CONFIG_FILE, config.to_json())
        evaluator = None
        if self.data.heldout is not None:
            evaluator = HeldoutEvaluator(self.data.heldout, config.sim, config.num_threads)
        callback = TrainingCallback(
            config,
            self.env,
            self.curriculum,
            self.metrics,
            self.progress,
            evaluator,
            self.console.record,
            _digest(self.data.train),
        )
        model.set_logger(Logger(str(config.run_folder), self._writers()))
        begin, steps_before = time.perf_counter(), model.num_timesteps
        remaining = config.total_timesteps - steps_before
        if remaining <= 0:
            logger.warning(
                "the checkpoint is at %s steps, total_timesteps is %s: nothing is left to train",
                f"{steps_before:,}",
                f"{config.total_timesteps:,}",
            )
        try:
            with self.console.progress(steps_before):
                model.learn(
                    max(0, remaining),
                    callback=callback,
                    log_interval=None,  # type: ignore[arg-type]  # SB3 takes it
                    reset_num_timesteps=steps_before == 0,
                )
        finally:
            model.logger.close()
        callback.save(config.model_save_path)
        seconds = time.perf_counter() - begin
        return self._result(callback, seconds, model.num_timesteps - steps_before)

    def _writers(self) -> list[KVWriter]:
        kept = self.model.num_timesteps or None
        writers: list[KVWriter] = [JsonLinesWriter(self.config.run_folder / METRICS_FILE, kept)]
        if self.config.tensorboard:
            folder = self.config.run_folder / "tensorboard" / self.config.algorithm
            writers.append(TensorBoardOutputFormat(str(folder)))
        return writers

    def _resume(self, checkpoint: checkpoints.Checkpoint) -> None:
        model = self.model
        try:
            with checkpoint.path.open("rb") as file:
                model.set_parameters(file, device=model.device)  # type: ignore[arg-type]  # a file is fine
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{checkpoint.path}: its network has other layers than net_arch "
                f"{','.join(map(str, self.config.net_arch))}; give its --net-arch"
            ) from error
        if not checkpoint.exact:
            data = checkpoints.model_data(checkpoint.path)
            model.num_timesteps = int(data.get("num_timesteps", 0))
            model._n_updates = int(data.get("_n_updates", 0))
            logger.warning(
                "%s carries no state of a run: the weights go on, the episodes start anew",
                checkpoint.path,
            )
            return
        run, state = checkpoint.run, checkpoints.unflatten(checkpoint.arrays)
        model.num_timesteps = run["num_timesteps"]
        model._n_updates = run["n_updates"]
        model._episode_num = run["episode_num"]
        model.ep_info_buffer = deque(run["ep_info_buffer"], maxlen=model._stats_window_size)
        model.ep_success_buffer = deque(maxlen=model._stats_window_size)
        self.progress = Progress(**run["progress"])
        self.metrics.episodes = self.progress.episodes
        self._warn_of_changes(run)
        set_random_state(state["random"])
        same_batch = len(state["last_episode_starts"]) == self.config.n_envs
        if run["data"] == _digest(self.data.train) and same_batch:
            self.curriculum.load_state(state["curriculum"])
            self.curriculum.update(self.env)
            self.env.set_simulation_state(state["sim"])
            model._last_obs = state["last_obs"]
            model._last_episode_starts = state["last_episode_starts"]
        else:
            logger.warning("other markets or another n_envs: the episodes start anew")
        logger.info("resumed from %s at %s steps", checkpoint.path, f"{model.num_timesteps:,}")

    def _warn_of_changes(self, run: dict[str, Any]) -> None:
        theirs, mine = run["config"], json.loads(json.dumps(self.config.to_json()))
        changed = [k for k in _PART_OF_EXACT if theirs.get(k) != mine[k]]
        if changed:
            logger.warning(
                "not the settings of the checkpoint: %s; the run goes on, not bit for bit",
                ", ".join(f"{k} {mine[k]} (was {theirs.get(k)})" for k in changed),
            )

    def _result(self, callback: TrainingCallback, seconds: float, steps: int) -> TrainResult:
        config, progress = self.config, self.progress
        heldout = callback.last_heldout
        best_path = config.run_folder / "best_model" / "best_model.zip"
        summary = None if heldout is None else heldout.summary()
        verdict = "nothing was held out" if heldout is None else heldout.verdict()
        training = self.curriculum.get_overall_summary()
        rate = steps / seconds if seconds > 0 else 0.0
        best = None
        if progress.best_profit is not None:
            best = {
                "path": str(best_path),
                "timesteps": progress.best_at,
                "mean_profit_cents": progress.best_profit,
                "note": "chosen on the held-out markets: its profit there flatters it",
            }
        results = {
            "training_completed": True,
            "algorithm": config.algorithm,
            "session_ids": list(config.session_ids) or self.data.describe()["train"]["sessions"],
            "total_timesteps": self.model.num_timesteps,
            "training_duration_seconds": seconds,
            "timesteps_per_second": rate,
            "final_model_path": str(config.model_save_path),
            "heldout": summary,
            "verdict": verdict,
            "best_model": best,
            "training": training,
            "sessions": [r.get_summary() for r in self.curriculum.session_results()],
            "markets": self.curriculum.to_json(),
            "data": self.data.describe(),
            "config": config.to_json(),
        }
        write_json(config.run_folder / RESULTS_FILE, results)
        return TrainResult(
            model_path=config.model_save_path,
            best_model_path=best_path if best else None,
            num_timesteps=self.model.num_timesteps,
            episodes=training["total_episodes"],
            seconds=seconds,
            steps_per_second=rate,
            heldout=summary,
            verdict=verdict,
            training=training,
            results=results,
            model=self.model,
        )


def make_model(config: TrainConfig, env: KalshiVecEnv) -> OnPolicyAlgorithm:
    """A new model with the settings of a resolved configuration."""
    rate = config.learning_rate
    assert rate is not None
    settings = {k: getattr(config, k) for k in _HYPERPARAMETERS}
    if config.algorithm == "a2c":
        # Adam instead of RMSprop, whose first steps are ten times as long: see docs/training.md.
        settings["use_rms_prop"] = False
    return _ALGORITHMS[config.algorithm, config.stock_sb3](
        "MlpPolicy",
        env,
        learning_rate=LinearSchedule(rate, 0.0, 1.0) if config.lr_schedule == "linear" else rate,
        policy_kwargs={"net_arch": list(config.net_arch)},
        seed=config.seed,
        device=config.device,
        **{k: v for k, v in settings.items() if v is not None},
    )


def _order(config: TrainConfig) -> Order:
    if config.curriculum is not None:
        return config.curriculum
    orders: dict[str, Order] = {"shuffle": "shuffled", "weighted": "need"}
    return orders.get(config.market_order, "sequential")


def _digest(tape: Tape) -> str:
    """Tells whether a run resumes on the same views."""
    text = "\n".join(f"{v.session_id} {v.market_ticker} {len(v)}" for v in tape.views)
    return hashlib.sha256(text.encode()).hexdigest()
