"""The learners of one model on the nodes of a Ray cluster, placed and joined by Ray Train.

This process trains nothing: learner 0, on its node, evaluates, records and saves. What it writes
and logs comes back as messages, so that the nodes need no file system in common, and a node that is
lost leaves the last checkpoint here.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from kalshi_sim.cluster.connection import connect, nodes_of
from kalshi_sim.cluster.node import Begun, Record
from kalshi_sim.cluster.tasks import check_version
from kalshi_sim.errors import ConfigError
from kalshi_sim.files import make_folder, temporary_folder
from kalshi_sim.interrupts import Interrupted, StopRequest, deferred
from kalshi_sim.text import numbered, printable
from kalshi_train.config import TrainConfig
from kalshi_train.learner.group import PATIENCE, LostLearnerError
from kalshi_train.models import load_model
from kalshi_train.training.callbacks import BEST_MODEL
from kalshi_train.training.checkpoints import is_saved_since, resume_command
from kalshi_train.training.pieces import Piece, keep_piece, put_whole
from kalshi_train.training.place import with_device
from kalshi_train.training.ray_messages import (
    Failed,
    Fault,
    LearnersTask,
    Mailbox,
    Over,
    Stopped,
)
from kalshi_train.training.ray_node import learn_on_node
from kalshi_train.training.result import TrainResult
from kalshi_train.training.resume import check_resume
from kalshi_train.training.run import METRICS_FILE, say_stopping
from kalshi_train.training.run_lock import locked
from kalshi_train.training.run_task import RunTask

logger = logging.getLogger(__name__)

_TURN_S: Final = 0.2
"""Messages are waited for in turns of this length, so that a signal is handled meanwhile."""
_WAITING_S: Final = 30.0
"""After so long without a learner that has begun it is said that the cluster has no room."""


def train_on_nodes(
    config: TrainConfig, address: str, command: Sequence[str] | None = None
) -> TrainResult:
    """Train one model by several learners on a cluster; its files come into its folder here.

    A learner has one thread unless the settings say more, and as many processors of its node.

    Args:
        config: the settings, with the number of learners.
        address: host:port of the cluster's head, or auto.
        command: the words of the command line that asked for it.

    Returns:
        The model and what it came to, as `train` gives them.

    Raises:
        KalshiSimError: the training cannot be made, or a learner was lost.
        Interrupted: Ctrl-C or SIGTERM; what was trained is saved.
    """
    checkpoint = check_resume(config)
    config = with_device(config)
    config = config.changed(num_threads=config.num_threads or 1)
    logger.info("connecting to the Ray cluster")
    ray = connect(address)
    _ray_train()
    _check_room(ray, config)
    make_folder(config.run_folder)
    with (
        locked(config.run_folder),
        temporary_folder(config.run_folder, "arriving") as arriving,
        deferred(say_stopping) as stop,
    ):
        saved = None if checkpoint is None else checkpoint.path.read_bytes()
        task = _task_of(config, saved, command)
        return _Training(ray, address, task, arriving, stop).result()


def _ray_train() -> Any:
    """The module of Ray Train.

    Raises:
        ConfigError: what it needs is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Ray's own settings
            importlib.import_module("ray.train.torch")
            importlib.import_module("ray.data.context").DataContext.get_current()
    except ImportError as error:
        said = printable(" ".join(str(error).split()), 300)
        raise ConfigError(
            f"--learners with --ray needs Ray Train, which cannot be loaded ({said}); "
            "pip install 'kalshi-sim[ray]'"
        ) from error
    return importlib.import_module("ray.train")


def _check_room(ray: Any, config: TrainConfig) -> None:
    """Be sure that all learners can run at the same time: else they would wait for ever.

    Raises:
        ConfigError: they cannot.
    """
    cpus = config.num_threads or 1
    nodes = nodes_of(ray)
    room = sum(node.cpus // cpus for node in nodes)
    if room < config.learners:
        most = " / ".join(map(str, nodes)) or "nothing"
        raise ConfigError(
            f"{config.learners} learners need {numbered(cpus, 'processor')} each at the same time, "
            f"the nodes of the Ray cluster have {most}; ask for less, or add a node"
        )


def _task_of(
    config: TrainConfig, checkpoint: bytes | None, command: Sequence[str] | None
) -> LearnersTask:
    kept = [config.run_folder / name for name in (METRICS_FILE, BEST_MODEL)]
    return LearnersTask(
        run=RunTask.of(config, command),
        checkpoint=checkpoint,
        files={
            str(path.relative_to(config.run_folder)): path.read_bytes()
            for path in kept
            if checkpoint is not None and path.is_file()
        },
        level=logging.getLevelName(config.log_level),
    )


class _Training:
    """A training on the cluster, as the command sees it."""

    def __init__(
        self, ray: Any, address: str, task: LearnersTask, arriving: Path, stop: StopRequest
    ) -> None:
        self._ray, self._address, self._task = ray, address, task
        self._arriving, self._stop = arriving, stop
        self._folder = task.run.config.run_folder
        self._begun_at = time.time()
        self._begun = 0
        self._said_waiting = self._has_asked = False
        self._over: dict[str, Any] | None = None
        self._stopped: Stopped | None = None
        self._failed: list[Failed | Fault] = []
        self._fit_error: Exception | None = None

    def result(self) -> TrainResult:
        """Train.

        Raises:
            KalshiSimError: a learner failed or was lost.
            Interrupted: the training was stopped.
        """
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        here = self._ray.get_runtime_context().get_node_id()
        actor = self._ray.remote(Mailbox)
        self._mailbox = actor.options(
            num_cpus=0,
            max_concurrency=1000,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(here, soft=False),
        ).remote()
        try:
            self._train()
        finally:
            with contextlib.suppress(Exception):  # what ended the training is what is reported
                self._ray.kill(self._mailbox)
        return self._found()

    def _train(self) -> None:
        thread = threading.Thread(target=self._fit, daemon=True, name="ray-train")
        thread.start()
        while thread.is_alive():
            self._hear(_TURN_S)
            if self._stop.signum is not None and not self._has_asked:
                self._has_asked = True
                self._mailbox.stop.remote(self._stop.signum)
            waits = self._begun == 0 and time.time() - self._begun_at > _WAITING_S
            if waits and not self._said_waiting:
                self._said_waiting = True
                logger.warning("waiting for the cluster to begin the learners; others may use it")
        self._hear(0.0)

    def _fit(self) -> None:
        """Let Ray Train run the learners; it ends when they have."""
        config, train = self._task.run.config, _ray_train()
        logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # what is lost we say
        try:
            with tempfile.TemporaryDirectory(prefix="kalshi-learners-") as storage:
                train.torch.TorchTrainer(
                    learn_on_node,
                    train_loop_config={"task": self._task, "mailbox": self._mailbox},
                    torch_config=train.torch.TorchConfig(
                        backend="gloo", timeout_s=int(PATIENCE.total_seconds())
                    ),
                    scaling_config=train.ScalingConfig(
                        num_workers=config.learners,
                        resources_per_worker={"CPU": config.num_threads},
                        placement_strategy="SPREAD",
                    ),
                    run_config=train.RunConfig(
                        storage_path=storage, failure_config=train.FailureConfig(max_failures=0)
                    ),
                ).fit()
        except Exception as error:
            self._fit_error = error

    def _hear(self, patience_s: float) -> None:
        for message in self._ray.get(self._mailbox.take.remote(patience_s)):
            if isinstance(message, Begun):
                self._begun += 1
                check_version(message)
                logger.info("a learner begins on the node %s", message.host)
            elif isinstance(message, Piece):
                keep_piece(message, self._arriving)
                if message.is_last:
                    put_whole(message.path, self._arriving, self._folder)
            elif isinstance(message, Stopped):
                self._stopped = message
            elif isinstance(message, Over):
                self._over = message.values
            elif isinstance(message, (Failed, Fault)):
                self._failed.append(message)
            elif isinstance(message, Record):
                logging.getLogger(message.logger).log(message.level, "%s", message.text)

    def _found(self) -> TrainResult:
        """What the training came to.

        Raises:
            KalshiSimError: a learner failed or was lost.
            Interrupted: the training was stopped.
        """
        if self._over is not None:
            model = load_model(self._task.run.config.model_save_path)
            return TrainResult(**self._over, model=model)
        if self._stopped is not None:
            text, command = self._stopped.text, resume_command(self._folder)
            raise Interrupted(
                self._stopped.signum, text.replace(command, f"{command} --ray {self._address}")
            )
        for failed in self._failed:
            if isinstance(failed, Fault):
                raise RuntimeError(f"learner {failed.rank} failed:\n{failed.text}")
            if not isinstance(failed.error, LostLearnerError):
                raise failed.error
        raise LostLearnerError(f"{self._lost()}, which ends the training{self._advice()}")

    def _lost(self) -> str:
        """Who was lost, as Ray Train says it."""
        failures: dict[int, Exception] = getattr(self._fit_error, "worker_failures", {})
        survivors = {failed.rank for failed in self._failed}
        lost = sorted(set(failures) - survivors)
        if lost:
            names = ", ".join(map(str, lost))
            return f"learner {names} was lost with its node or worker"
        said = printable(" ".join(str(self._fit_error or "nothing more is known").split()), 300)
        return f"the learners were lost ({said})"

    def _advice(self) -> str:
        if not is_saved_since(self._folder, self._begun_at):
            return ""
        command = resume_command(self._folder)
        return f"; go on from its last checkpoint with: {command} --ray {self._address}"
