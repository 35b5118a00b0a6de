"""Trials on a Ray cluster: a worker is an actor, wherever the cluster has room for it.

The driver speaks with it over the same pipe as with a process; a thread beside the driver carries
the messages. An actor that is lost, with its node or alone, closes the pipe.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray.exceptions import RayError

from kalshi_sim.cluster import Resources
from kalshi_sim.store import absolute_address
from kalshi_train.tune.trial import Outcome, Task
from kalshi_train.tune.workers import Fault, Report, answer_to


class TrialActor:
    """Runs trials one after the other; `answer` is called while `run` goes on."""

    def __init__(self) -> None:
        self._answers: queue.Queue[bool] = queue.Queue()

    def run(self, task: Task) -> Iterator[Report | Outcome | Fault]:
        """Run a trial.

        Args:
            task: the trial.

        Yields:
            The value after each evaluation, then what it came to, or what kept it from that.

        Raises:
            BaseException: the process is to end.
        """
        said: queue.Queue[Report | Outcome | Fault | BaseException] = queue.Queue()

        def report(step: int, value: float) -> bool:
            said.put(Report(step, value))
            return self._answers.get()

        def work() -> None:
            try:
                said.put(answer_to(task, report))
            except BaseException as error:
                said.put(error)

        threading.Thread(target=work, daemon=True).start()
        while True:
            message = said.get()
            if isinstance(message, BaseException):
                raise message
            yield message
            if not isinstance(message, Report):
                return

    def answer(self, end: bool) -> None:
        """Say whether to end the trial after its last report.

        Args:
            end: whether to.
        """
        self._answers.put(end)


class RayWorker:
    """An actor of a cluster that this process is connected to."""

    def __init__(self, needs: Resources) -> None:
        """Ask the cluster for an actor.

        Args:
            needs: of a trial.
        """
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours.detach())
        actor: Any = ray.remote(TrialActor)
        # No restarts: a trial begins anew with another worker, and is counted once.
        self._actor = actor.options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, max_concurrency=2
        ).remote()
        threading.Thread(
            target=self._carry, args=(Connection(theirs.detach()),), daemon=True
        ).start()

    def close(self) -> None:
        """End the actor and with it a trial that it still runs."""
        self.connection.close()
        with suppress(RayError):
            ray.kill(self._actor)

    def _carry(self, pipe: Connection) -> None:
        """Messages between the pipe and the actor, until one of them is gone."""
        with pipe, suppress(EOFError, OSError, RayError):
            while True:
                task = _from_the_root(pipe.recv())
                for reference in self._actor.run.options(num_returns="streaming").remote(task):
                    message = ray.get(reference)
                    pipe.send(message)
                    if isinstance(message, Report):
                        ray.get(self._actor.answer.remote(pipe.recv()))


def _from_the_root(task: Task) -> Task:
    """The same with paths that mean on a node what they mean here."""
    given, fees = task.config, task.config.tape.fee_schedule
    config = given.changed(
        store=absolute_address(given.store), fee_schedule=fees and fees.absolute()
    )
    return replace(task, config=config, folder=task.folder.absolute())
