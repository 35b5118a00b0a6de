"""The loop of a study: settings are asked for and handed to workers, and what came of it is kept.

Everything that touches the study happens in one thread of one process; workers only train.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from optuna.study import Study
from optuna.trial import Trial, TrialState

from kalshi_sim.cluster import check_room, connect
from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.extras import import_module
from kalshi_sim.text import dollars
from kalshi_train.config import TrainConfig
from kalshi_train.tune.options import TuneOptions
from kalshi_train.tune.space import SearchSpace
from kalshi_train.tune.storage import (
    BEAT_S,
    driving,
    requeue,
    requeue_lost,
    taking_turns,
)
from kalshi_train.tune.trial import Outcome, Task
from kalshi_train.tune.workers import Fault, ProcessWorker, Report, ThreadWorker, Worker

ATTEMPTS: Final = 3
"""A trial whose worker is killed so often fails."""
_STATES: Final = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (finished trials, trials in all)."""


@dataclass
class _Running:
    worker: Worker
    trial: Trial
    reported: set[int]
    """Steps whose value the study has."""


class Driver:
    """Runs the trials of a study that are still to be run."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        config: TrainConfig,
        options: TuneOptions,
        heldout: tuple[str, ...],
        progress: Progress = lambda done, total: None,
        make_worker: Callable[[], Worker] | None = None,
    ) -> None:
        """Set up for one call of `run`.

        Args:
            study: open.
            space: what is searched.
            config: of all trials.
            options: how it is searched.
            heldout: the markets that trials are compared on.
            progress: called after each trial.
            make_worker: makes a worker; by default as `options` say.
        """
        self._study, self._space, self._config = study, space, config
        self._options, self._heldout, self._progress = options, heldout, progress
        kinds: dict[str, Callable[[], Worker]] = {
            "processes": ProcessWorker,
            "threads": ThreadWorker,
        }
        self._make_worker = make_worker or kinds[options.workers]
        if options.ray is not None:
            self._make_worker = _on_ray(options.ray, config)
        self._running: dict[Connection, _Running] = {}
        self._idle: list[Worker] = []
        self._name = ""
        self._beaten = time.monotonic()

    def run(self) -> None:
        """Run trials until there are as many as the options say, and all have ended.

        Raises:
            StoreError: the study or what a trial needs cannot be read or written.
            RuntimeError: a trial ended by an error of the program.
        """
        folder = self._options.study
        with driving(folder) as self._name:
            try:
                self._loop()
            finally:
                self._stop()

    def _loop(self) -> None:
        while True:
            while len(self._running) < self._options.jobs and self._begin():
                pass
            for worker in self._idle:  # what is still running may wait for their room
                worker.close()
            self._idle.clear()
            if not self._running:
                return
            for connection in wait(list(self._running), timeout=BEAT_S):
                assert isinstance(connection, Connection)
                self._hear(connection)
            self._beat()

    def _stop(self) -> None:
        """End all workers; what they were at goes back into the queue."""
        for running in self._running.values():
            running.worker.close()
            with suppress(Exception):  # what ended the loop is what is reported
                requeue(self._study, running.trial.number)
        for worker in self._idle:
            worker.close()
        self._running.clear()
        self._idle.clear()

    def _begin(self) -> bool:
        """Hand out the next trial; false if there is none."""
        trial = self._ask()
        if trial is None:
            return False
        try:
            config = self._config.changed(**self._space.settings(trial.params))
        except ConfigError as error:  # each setting can be, but not together
            self._tell(trial, Outcome("failed", message=str(error)))
            return True
        worker = self._idle.pop() if self._idle else self._make_worker()
        seed = self._config.seed
        task = Task(
            number=trial.number,
            config=config,
            seeds=tuple(range(seed, seed + self._options.trial_seeds)),
            folder=trial_folder(self._options.study, trial.number),
            heldout=self._heldout,
        )
        (frozen,) = [t for t in self._study.get_trials(deepcopy=False) if t.number == trial.number]
        running = _Running(worker, trial, set(frozen.intermediate_values))
        self._running[worker.connection] = running
        try:
            worker.connection.send(task)
        except OSError:  # it was killed while it was idle
            self._lost(worker.connection)
        return True

    def _ask(self) -> Trial | None:
        folder = self._options.study
        with taking_turns(folder, "ask"):
            requeue_lost(self._study, folder)
            trials = self._study.get_trials(deepcopy=False)
            waiting = any(t.state == TrialState.WAITING for t in trials)
            if not waiting and len(trials) >= self._options.trials:
                return None
            trial = self._study.ask(self._space.distributions())
            trial.set_user_attr("host", socket.gethostname())
            trial.set_user_attr("alive", time.time())
            trial.set_user_attr("driver", self._name)
        return trial

    def _hear(self, connection: Connection) -> None:
        """One message of a worker."""
        running = self._running[connection]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            self._lost(connection)
            return
        if isinstance(message, Report):
            if message.step not in running.reported:
                running.reported.add(message.step)
                running.trial.report(message.value, message.step)
            with suppress(OSError):  # it is gone, which is heard next
                connection.send(running.trial.should_prune())
        elif isinstance(message, Outcome):
            self._tell(running.trial, message)
            self._idle.append(self._running.pop(connection).worker)
        else:
            assert isinstance(message, Fault)
            if not message.of_program:
                raise StoreError(
                    f"trial {running.trial.number} could not go on: {message.text}; then the same "
                    "command goes on with the study"
                )
            raise RuntimeError(f"trial {running.trial.number} failed:\n{message.text}")

    def _tell(self, trial: Trial, outcome: Outcome) -> None:
        trial.set_user_attr("by_seed", list(outcome.by_seed))
        trial.set_user_attr("profits", list(outcome.profits))
        trial.set_user_attr("seconds", outcome.seconds)
        if outcome.message:
            trial.set_user_attr("message", outcome.message)
        value = outcome.value if outcome.state == "complete" else None
        self._study.tell(trial, value, state=_STATES[outcome.state])
        shown = outcome.message or dollars(outcome.value, signed=True) + " an event"
        logger.info("trial %d %s: %s", trial.number, outcome.state, shown)
        self._show_progress()

    def _show_progress(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        self._progress(sum(t.state.is_finished() for t in trials), len(trials))

    def _lost(self, connection: Connection) -> None:
        """A worker was killed: its trial begins anew, unless that has happened too often."""
        running = self._running.pop(connection)
        running.worker.close()
        trial = running.trial
        lost = int(trial.user_attrs.get("lost", 0)) + 1
        trial.set_user_attr("lost", lost)
        logger.warning("the worker of trial %d was killed (%d times)", trial.number, lost)
        if lost < ATTEMPTS:
            requeue(self._study, trial.number)
            return
        message = f"its worker was killed {lost} times; is there memory enough for --jobs?"
        self._tell(trial, Outcome("failed", message=message))

    def _beat(self) -> None:
        if time.monotonic() - self._beaten < BEAT_S:
            return
        self._beaten = time.monotonic()
        for running in self._running.values():
            running.trial.set_user_attr("alive", time.time())


def _on_ray(address: str, config: TrainConfig) -> Callable[[], Worker]:
    """Makes workers on a cluster.

    Raises:
        ConfigError: there is none, or none of its nodes could run a trial.
        MissingExtraError: the extra `ray` is not installed.
    """
    from kalshi_train.training.on_cluster import needs_of  # imports torch

    needs = needs_of(config)
    check_room(connect(address), [needs])
    module = import_module("kalshi_train.tune.ray_worker")

    def make() -> Worker:
        worker: Worker = module.RayWorker(needs)
        return worker

    return make


def trial_folder(study: Path, number: int) -> Path:
    """Where the runs of a trial lie.

    Args:
        study: folder of the study.
        number: of the trial.
    """
    return study / f"trial-{number:04}"
