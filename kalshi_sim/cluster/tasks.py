"""Jobs as tasks of a cluster: handed out, heard, and begun anew where a worker is lost."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from kalshi_sim import __version__
from kalshi_sim.cluster.connection import check_room, connect
from kalshi_sim.cluster.node import PACKAGES, Begun, Done, Failed, Fault, Job, Record, serve
from kalshi_sim.errors import ClusterError, ConfigError
from kalshi_sim.interrupts import raised
from kalshi_sim.text import printable

ATTEMPTS: Final = 3
"""A task whose worker is lost so often has failed."""
_TURN_S: Final = 0.2
"""Messages are waited for in turns of this length, so that a signal is handled meanwhile."""
_PATIENCE_S: Final = 5.0
"""After so long without a message it is looked whether the cluster has room."""
_SUBMITTED: Final = 256
"""Tasks that the cluster knows of at a time, those that wait for room included."""

_log = logging.getLogger(__name__)


@dataclass
class _Running:
    """A job that was handed to the cluster."""

    index: int
    attempt: int
    host: str = ""
    """Where it runs; empty while it waits for room."""


class Tasks:
    """Jobs on the cluster that this process is connected to."""

    def __init__(
        self,
        address: str,
        jobs: Sequence[Job],
        hear: Callable[[int, object], None] = lambda index, message: None,
        *,
        level: int = logging.WARNING,
        most: int = _SUBMITTED,
    ) -> None:
        """Connect, and look whether each job can be done at all; nothing begins.

        Args:
            address: as of `connect`.
            jobs: what is to be done.
            hear: called with the place of a job and a message of it, `Begun` first; after another
                `Begun` all it sent before is void.
            level: of the jobs' log, from which it is logged here.
            most: jobs that the cluster knows of at a time.

        Raises:
            ConfigError: there is no cluster, or no node that could do a job.
            MissingExtraError: the extra `ray` is not installed.
        """
        self._ray = connect(address)
        self._errors: Any = importlib.import_module("ray.exceptions")
        self._jobs, self._hear, self._level, self._most = jobs, hear, level, most
        self._running: dict[Any, _Running] = {}
        self._shared: dict[int, Any] = {}
        self._waiting = [_Running(i, 1) for i in reversed(range(len(jobs)))]
        self._heard = time.monotonic()
        self._said_waiting = False
        self._check_room()

    def results(self) -> Iterator[tuple[int, Any]]:
        """Do the jobs; when the iteration ends, in whatever way, none of them goes on.

        Yields:
            The place of a job and its result, as soon as it is there.

        Raises:
            KalshiSimError: a job failed, as it would here.
            ClusterError: a job's worker was lost too often, or the cluster is gone.
                RuntimeError: a job ended by an error of the program.
            Interrupted: a signal came.
        """
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < self._most:
                    self._submit(self._waiting.pop())
                ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_TURN_S)
                for stream in ready:
                    yield from self._take(stream)
                if ready:
                    self._heard = time.monotonic()
                elif time.monotonic() - self._heard > _PATIENCE_S:
                    self._look()
        except KeyboardInterrupt as error:
            raise raised() or error from None  # Ray makes one without the signal's number of it
        finally:
            for stream in self._running:
                with suppress(Exception):  # what ended the loop is what is reported
                    self._ray.cancel(stream, force=True)

    def _submit(self, running: _Running) -> None:
        job = self._jobs[running.index]
        task: Any = self._ray.remote(serve)
        stream = task.options(
            num_cpus=job.needs.cpus,
            num_gpus=job.needs.gpus,
            max_retries=0,  # a job that begins anew is said, and counted here
            num_returns="streaming",
            name=job.name,
        ).remote(replace(job, shared=None), self._level, *self._put(job.shared))
        self._running[stream] = running

    def _put(self, shared: Any) -> list[Any]:
        if shared is None:
            return []
        if id(shared) not in self._shared:
            self._shared[id(shared)] = self._ray.put(shared)
        return [self._shared[id(shared)]]

    def _take(self, stream: Any) -> Iterator[tuple[int, Any]]:
        """A message that is there."""
        running = self._running[stream]
        try:
            message = self._ray.get(next(stream))
        except (
            self._errors.WorkerCrashedError,
            self._errors.NodeDiedError,
            self._errors.OutOfMemoryError,
            self._errors.ObjectLostError,
        ) as error:
            del self._running[stream]
            self._lost(running, error)
            return
        except self._errors.RayTaskError as error:
            raise _not_begun(error) from error
        except self._errors.RayError as error:
            said = printable(" ".join(str(error).split()), 300)
            raise ClusterError(f"the Ray cluster failed: {said}") from error
        job = self._jobs[running.index]
        if isinstance(message, (Done, Failed, Fault)):
            del self._running[stream]
        if isinstance(message, Done):
            yield running.index, message.result
        elif isinstance(message, Failed):
            raise message.error
        elif isinstance(message, Fault):
            raise RuntimeError(f"{job.name} failed on the node {running.host}:\n{message.text}")
        elif isinstance(message, Record):
            logging.getLogger(message.logger).log(message.level, "%s: %s", job.name, message.text)
        else:
            if isinstance(message, Begun):
                running.host = message.host
                check_version(message)
                _log.info("%s: begins on the node %s", job.name, message.host)
            self._hear(running.index, message)

    def _lost(self, running: _Running, error: Exception) -> None:
        """The worker of a job is gone: it begins anew, unless that has happened too often.

        Raises:
            ClusterError: it has.
        """
        name = self._jobs[running.index].name
        memory = isinstance(error, self._errors.OutOfMemoryError)
        place = f" on the node {running.host}" if running.host else ""
        reason = f"its worker{place} {'ran out of memory' if memory else 'was lost'}"
        if running.attempt >= ATTEMPTS:
            raise ClusterError(
                f"{name}: {reason}, as {running.attempt - 1} before it; have the nodes memory "
                "enough?"
            )
        _log.warning("%s: %s; it begins anew", name, reason)
        self._waiting.append(_Running(running.index, running.attempt + 1))

    def _look(self) -> None:
        """Nothing was heard for a while: is there room?"""
        self._heard = time.monotonic()
        self._check_room()
        waiting = [r for r in self._running.values() if not r.host]
        if len(waiting) == len(self._running) and not self._said_waiting:
            self._said_waiting = True
            free = self._ray.available_resources()
            needs = self._jobs[waiting[0].index].needs
            _log.warning(
                "waiting for room on the cluster, which others use: a task needs %s, %d of %d "
                "processors are free",
                needs,
                int(free.get("CPU", 0)),
                int(self._ray.cluster_resources().get("CPU", 0)),
            )

    def _check_room(self) -> None:
        left = (*self._waiting, *self._running.values())
        check_room(self._ray, {self._jobs[r.index].needs for r in left})


def check_version(begun: Begun) -> None:
    """Other code may give other results.

    Raises:
        ConfigError: the node has another version.
    """
    if begun.version != __version__:
        raise ConfigError(
            f"the node {begun.host} has kalshi-sim {begun.version}, this machine {__version__}; "
            "install the same one everywhere"
        )


def _not_begun(error: Exception) -> Exception:
    """What kept a task from beginning: mostly a node without what it needs."""
    text = str(error)
    lacking = [n for n in PACKAGES if f"No module named '{n}" in text]
    if lacking:
        return ConfigError(
            f"a node of the Ray cluster lacks {lacking[0]}, or has an earlier version of it; "
            "install this package on every node"
        )
    return RuntimeError(f"a task could not begin on its node:\n{text}")
