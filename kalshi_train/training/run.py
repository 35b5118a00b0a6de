"""`train`: from a configuration to a trained model, its checkpoints and its results."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from stable_baselines3.common.logger import KVWriter, Logger

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import make_folder
from kalshi_sim.interrupts import Interrupted, StopRequest, deferred
from kalshi_sim.sealed import write_sealed
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.data.prepare import TrainingData, prepare
from kalshi_train.environments.curriculum import Order, SimpleSessionCurriculum
from kalshi_train.evaluation.diagnosis import Diagnosis, diagnose
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.evidence import caveats
from kalshi_train.evaluation.measure import measure, summarise
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.learner.group import Group
from kalshi_train.learner.on_policy import FastOnPolicy
from kalshi_train.training import checkpoints
from kalshi_train.training.callbacks import BEST_MODEL, AfterEvaluation, TrainingCallback
from kalshi_train.training.curves import TensorBoardWriter, quiet_threads
from kalshi_train.training.foundation import provenance_of_run, sources_of
from kalshi_train.training.local_learners import Others, other_learners
from kalshi_train.training.metrics import JsonLinesWriter, TradingMetrics, timed_steps
from kalshi_train.training.model import make_model
from kalshi_train.training.place import stays_on_card, with_device
from kalshi_train.training.progress import Console
from kalshi_train.training.randomness import one_training, seed_learner
from kalshi_train.training.result import TrainResult
from kalshi_train.training.resume import check_resume, restore, views_digest
from kalshi_train.training.run_lock import locked
from kalshi_train.training.state import RunState
from kalshi_train.training.together import FollowingCallback
from kalshi_train.training.whereabouts import Whereabouts

if TYPE_CHECKING:
    from kalshi_sim.session import Session
    from kalshi_train.evaluation.provenance import Provenance

logger = logging.getLogger(__name__)

METRICS_FILE: Final = "metrics.jsonl"
RESULTS_FILE: Final = "training_results.json"
CONFIG_FILE: Final = "config.json"
DRAWN_SEEDS: Final = 1
"""With which the final model's actions are drawn on the held-out markets."""


def train(
    config: TrainConfig,
    *,
    sessions: Sequence[Session] | None = None,
    command: Sequence[str] | None = None,
    after_evaluation: AfterEvaluation | None = None,
    whereabouts: Whereabouts | None = None,
) -> TrainResult:
    """Train as `config` says and write everything into the folder of `model_save_path`.

    Args:
        config: the settings; fields that are None are chosen for the run.
        sessions: train on these instead of loading them from the store.
        command: the words of the command line that asked for it, as the results note them.
        after_evaluation: called with the steps and the result of each held-out evaluation; what
            it raises ends the training, which leaves its last checkpoint.
        whereabouts: where the run reads and writes, if elsewhere than its settings say, which the
            results show all the same.

    Returns:
        The model and what it came to; money in cents.

    Raises:
        KalshiSimError: a setting, the data or a checkpoint cannot be right, or another training
            holds the folder; nothing was trained.
        Interrupted: Ctrl-C or SIGTERM; what was trained is saved.
    """
    checkpoint = check_resume(config)
    config = with_device(config)
    here = whereabouts or Whereabouts.of(config)
    others = other_learners(here.used(config), sessions, checkpoint)
    return lead(
        config,
        checkpoint,
        here,
        others,
        sessions=sessions,
        command=command,
        after_evaluation=after_evaluation,
    )


def lead(
    config: TrainConfig,
    checkpoint: checkpoints.Checkpoint | None,
    here: Whereabouts,
    others: AbstractContextManager[Others],
    *,
    sessions: Sequence[Session] | None = None,
    command: Sequence[str] | None = None,
    after_evaluation: AfterEvaluation | None = None,
) -> TrainResult:
    """Train as the first learner of a model, or the only one.

    Args:
        config: the settings, with the device that is used.
        checkpoint: what the run goes on from.
        here: where it reads and writes.
        others: the other learners, which begin and end with it.
        sessions: as of `train`.
        command: as of `train`.
        after_evaluation: as of `train`.

    Returns:
        As of `train`.

    Raises:
        KalshiSimError: as of `train`, or another learner was lost.
        Interrupted: Ctrl-C or SIGTERM; what was trained is saved.
    """
    make_folder(here.folder)
    with locked(here.folder), one_training(), others as learners:
        config, here = here.with_own_fees(config)
        if config.sim.fill_model == "touch":
            logger.warning(
                "fill_model touch fills resting orders whenever anything trades at their price: "
                "what is learnt under it may earn nothing elsewhere; train under through or queue"
            )
        logger.info("loading the sessions")
        data = prepare(here.used(config), sessions)
        with quiet_threads(), deferred(say_stopping) as stop:
            learners.obey(stop)
            with stop.at_once():
                group = learners.join()
            used = config.resolve(data.longest_heldout)
            run = _Run(used, data, checkpoint, stop, here.folder, group)
            run.after_evaluation = after_evaluation
            return run.learn(sources_of(here.used(config), sessions), command)


def follow(
    config: TrainConfig,
    sessions: Sequence[Session] | None,
    checkpoint: checkpoints.Checkpoint | None,
    join: Callable[[], Group],
) -> None:
    """Train a model together with the learner that leads, as one of the others.

    Args:
        config: the settings as the first learner has them.
        sessions: train on these instead of loading them from the store.
        checkpoint: what the run goes on from.
        join: waits for the other learners.

    Raises:
        KalshiSimError: this learner cannot have what the others have, or another one is gone.
        ToldToEndError: the first learner has ended the training early.
    """
    data = prepare(config, sessions)
    group = join()
    config = config.resolve(data.longest_heldout)
    run = _Run(config, data, checkpoint, StopRequest(), config.run_folder, group)
    run.follow()


def say_stopping(signum: int) -> None:
    """Say that a signal has come, and what happens.

    Args:
        signum: its number.
    """
    logger.warning("stopping after this rollout, to save; once more stops at once")


def plan(config: TrainConfig) -> dict[str, Any]:
    """What `train` would train, on what and with which settings, without training.

    Raises:
        KalshiSimError: as `train` does.
    """
    check_resume(config)
    config = with_device(config)
    data = prepare(config)
    used = config.resolve(data.longest_heldout)
    rollout = used.n_envs * (used.learner.n_steps or 1)
    return {
        "data": data.describe(),
        "rollout_steps": rollout,
        "rollouts": -(-used.total_timesteps // rollout),
        "config": used.to_json(),
    }


class _Run:
    """One run: environment, model, and everything around the two."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        checkpoint: checkpoints.Checkpoint | None,
        stop: StopRequest,
        folder: Path,
        group: Group,
    ):
        self.config, self.data, self.stop, self.folder = config, data, stop, folder
        self.group = group
        _check_same_markets(group, data)
        rank, share = group.rank, config.share
        self.after_evaluation: AfterEvaluation | None = None
        torch.set_num_threads(config.num_threads or 1)
        self.env = KalshiVecEnv(
            data.train,
            n_envs=share.n_envs,
            config=config.simulation,
            seed=config.seed,
            n_threads=config.num_threads,
            device="cuda" if stays_on_card(config.learner) else "cpu",
        )
        self.curriculum = SimpleSessionCurriculum(
            data.train, _order(config), cash_start=config.sim.cash_start
        )
        self.curriculum.start(self.env, rank, group.size)
        self.metrics = TradingMetrics(
            data.train.payout, config.sim.cash_start, config.sim.table.names
        )
        self.state = RunState(run_started_ns=time.time_ns())
        self.model = make_model(share, self.env)
        if isinstance(self.model, FastOnPolicy) and group.size > 1:
            self.model.join(group)
            seed_learner(config.seed, rank, self.env)
        self.console = Console(config)
        if checkpoint is not None:
            restored = restore(checkpoint, config, self.model, self.env, self.curriculum, rank)
            if restored is not None:
                self.state = restored
                self.metrics.episodes = restored.episodes
        timed_steps(self.env, self.metrics.clock)

    def learn(self, sources: Mapping[int, str], command: Sequence[str] | None) -> TrainResult:
        config, model = self.config, self.model
        write_settings(self.folder / CONFIG_FILE, config.to_json())
        callback = TrainingCallback(
            config,
            self.env,
            self.curriculum,
            self.metrics,
            self.state,
            self.data.heldout,
            self.console,
            views_digest(self.data.train),
            self.stop,
            self.after_evaluation,
            self.folder,
            self.group,
        )
        model.set_logger(Logger(str(self.folder), self._writers()))
        begin, steps_before = time.perf_counter(), model.num_timesteps
        logger.info(
            "training %s on %s markets from step %s to %s, %s steps a rollout",
            config.learner.algorithm.upper(),
            f"{len(self.data.train.views):,}",
            f"{steps_before:,}",
            f"{config.total_timesteps:,}",
            f"{config.n_envs * (config.learner.n_steps or 1):,}",
        )
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
        except Interrupted as stopped:
            raise callback.left_by(stopped) from stopped
        finally:
            model.logger.close()
        callback.save(self.folder / config.model_save_path.name)
        seconds = time.perf_counter() - begin
        models = {"final": config.model_save_path}
        if self.state.best_profit is not None:
            models["best"] = config.run_folder / BEST_MODEL
        rests_on = provenance_of_run(config, self.data, sources, self.state, models, command)
        return self._result(callback, seconds, model.num_timesteps - steps_before, rests_on)

    def follow(self) -> None:
        """Learn what the first learner does."""
        config, model = self.config, self.model
        model.set_logger(Logger(None, []))
        callback = FollowingCallback(config, self.env, self.curriculum, self.group)
        model.learn(
            max(0, config.total_timesteps - model.num_timesteps),
            callback=callback,
            log_interval=None,  # type: ignore[arg-type]  # SB3 takes it
            reset_num_timesteps=model.num_timesteps == 0,
        )

    def _writers(self) -> list[KVWriter]:
        kept = self.model.num_timesteps or None
        writers: list[KVWriter] = [JsonLinesWriter(self.folder / METRICS_FILE, kept)]
        if self.config.tensorboard:
            folder = self.folder / "tensorboard" / self.config.learner.algorithm
            writers.append(TensorBoardWriter(folder))
        return writers

    def _result(
        self, callback: TrainingCallback, seconds: float, steps: int, provenance: Provenance
    ) -> TrainResult:
        config, heldout = self.config, callback.last_heldout
        training = self.curriculum.get_overall_summary()
        summary = None if heldout is None else heldout.summary()
        tries = len(callback.state.eval_steps)
        verdict = "nothing was held out" if heldout is None else heldout.verdict(tries)
        verdict = " No evidence: ".join((f"{verdict}.", *caveats(provenance.sessions)))
        diagnosis = None if heldout is None else self._diagnose()
        trained = seconds - callback.evaluation_seconds
        rate = steps / trained if trained > 0 else 0.0
        best_path = config.run_folder / BEST_MODEL
        best = self._best_model(best_path)
        results = {
            "training_completed": True,
            "algorithm": config.learner.algorithm,
            "session_ids": list(config.session_ids) or self.data.describe()["train"]["sessions"],
            "total_timesteps": self.model.num_timesteps,
            "timesteps_trained": steps,
            "training_duration_seconds": seconds,
            "evaluation_seconds": callback.evaluation_seconds,
            "timesteps_per_second": rate,
            "final_model_path": str(config.model_save_path),
            "heldout": summary,
            "verdict": verdict,
            "diagnosis": None if diagnosis is None else diagnosis.to_json(),
            "provenance": provenance.to_json(),
            "best_model": best,
            "training": training,
            "sessions": [r.get_summary() for r in self.curriculum.session_results()],
            "markets": self.curriculum.to_json(),
            "data": self.data.describe(),
            "config": config.to_json(),
        }
        write_sealed(self.folder / RESULTS_FILE, results)
        return TrainResult(
            model_path=config.model_save_path,
            best_model_path=best_path if best else None,
            num_timesteps=self.model.num_timesteps,
            episodes=training["total_episodes"],
            seconds=seconds,
            evaluation_seconds=callback.evaluation_seconds,
            steps_per_second=rate,
            heldout=summary,
            verdict=verdict,
            training=training,
            results=results,
            model=self.model,
        )

    def _diagnose(self) -> Diagnosis:
        """Why the final model trades on the held-out markets as it does, or not."""
        tape, config = self.data.heldout, self.config.evaluation
        assert tape is not None
        policy = policy_from_model(self.model, self.config.learner.algorithm)
        rules = policy.config(config)
        use = functools.partial(measure, tape, rules.cash_start)
        episodes = play_all(tape, rules, policy, use, n_threads=self.config.num_threads)
        how: dict[str, Any] = {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": 0}
        total = summarise(tape, episodes, rules.cash_start, **how)
        steps = sum(e.figures.steps for e in episodes)
        return diagnose(policy, tape, config, total, steps, seeds=DRAWN_SEEDS, **how)

    def _best_model(self, path: Path) -> dict[str, Any] | None:
        state = self.state
        if state.best_profit is None:
            return None
        return {
            "path": str(path),
            "timesteps": state.best_at,
            "mean_profit_cents": state.best_profit,
            "note": "chosen on the held-out markets: its profit there flatters it",
        }


def _check_same_markets(group: Group, data: TrainingData) -> None:
    """Check that all learners have what learner 0 has.

    Raises:
        ConfigError: one has other markets.
    """
    found = group.exchange(views_digest(data.train))
    for rank, digest in enumerate(found):
        if digest != found[0]:
            raise ConfigError(
                f"learner {rank} has other markets to train on than learner 0; "
                "let all of them read the same store"
            )


def _order(config: TrainConfig) -> Order:
    if config.curriculum is not None:
        return config.curriculum
    orders: dict[str, Order] = {"shuffle": "shuffled", "weighted": "need"}
    return orders.get(config.sim.market_order, "sequential")
