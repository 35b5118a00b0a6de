"""Work on a Ray cluster: tasks with declared resources, which begin anew where a worker is lost.

What a task sends back, its log and its result come as messages of one stream, so that nothing has
to lie on a file system that all nodes see.
"""

from __future__ import annotations

import importlib
import logging
import queue
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

from kalshi_sim import __version__
from kalshi_sim.errors import (
    ClusterError,
    ConfigError,
    KalshiSimError,
    MissingExtraError,
    StoreError,
)
from kalshi_sim.extras import missing_extra
from kalshi_sim.interrupts import raised
from kalshi_sim.text import numbered, printable
from kalshi_sim.threads import use_at_most

ATTEMPTS: Final = 3
"""A task whose worker is lost so often has failed."""
_REACHED_S: Final = 5.0
"""How long the head may take to answer at all."""
_TURN_S: Final = 0.2
"""Messages are waited for in turns of this length, so that a signal is handled meanwhile."""
_PATIENCE_S: Final = 5.0
"""After so long without a message it is looked whether the cluster has room."""
_SUBMITTED: Final = 256
"""Tasks that the cluster knows of at a time, those that wait for room included."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PACKAGES: Final = ("kalshi_sim", "kalshi_train")

_log = logging.getLogger(__name__)

Send = Callable[[object], None]
"""Sends a message to whoever started the task."""


@dataclass(frozen=True)
class Resources:
    """What a task needs of a node."""

    cpus: int = 1
    gpus: int = 0

    def __str__(self) -> str:
        cpus = numbered(self.cpus, "processor")
        return f"{cpus} and {numbered(self.gpus, 'graphics card')}" if self.gpus else cpus


@dataclass(frozen=True)
class Job:
    """Something to be done on a node."""

    name: str
    """For people: what a lost worker was at."""
    work: Callable[..., Any]
    """A function of a module of this project; what it returns is the job's result."""
    given: Any
    """Its first argument; the second sends messages."""
    needs: Resources = Resources()
    shared: Any = None
    """Its third argument, if there is one: an object of several jobs, which travels once."""


@dataclass(frozen=True)
class Begun:
    """A job begins on a node, possibly once more."""

    host: str
    version: str
    """Of this package there."""


@dataclass(frozen=True)
class _Record:
    """A line of a job's log."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class _Failed:
    """A mistake of the user, or of what a node lacks."""

    error: KalshiSimError


@dataclass(frozen=True)
class _Fault:
    """An error of the program."""

    text: str


@dataclass(frozen=True)
class _Done:
    result: Any


class _Forwarding(logging.Handler):
    """Sends the log of a job to whoever started it."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(_Record(record.name, record.levelno, record.getMessage()))


def _serve(job: Job, level: int, *shared: Any) -> Iterator[object]:
    """A task: does a job in a thread beside the one that sends its messages."""
    use_at_most(job.needs.cpus)
    host = socket.gethostname()
    messages: queue.SimpleQueue[object] = queue.SimpleQueue()

    def run() -> None:
        messages.put(_outcome(job, messages.put, host, shared))

    yield Begun(host, __version__)
    with _logged_to(messages.put, level):
        threading.Thread(target=run, daemon=True, name="kalshi-sim").start()
        while True:
            message = messages.get()
            yield message
            if isinstance(message, (_Done, _Failed, _Fault)):
                return


def _outcome(job: Job, send: Send, host: str, shared: tuple[Any, ...]) -> _Done | _Failed | _Fault:
    try:
        return _Done(job.work(job.given, send, *shared))
    except ModuleNotFoundError as error:
        lacking = error if isinstance(error, MissingExtraError) else missing_extra(error)
        if lacking is None:
            return _Fault(traceback.format_exc())
        return _Failed(MissingExtraError(f"on the node {host}: {lacking}"))
    except StoreError as error:
        note = f"on the node {host}; is the store one that every node reaches?"
        return _Failed(type(error)(f"{error} ({note})"))
    except KalshiSimError as error:
        return _Failed(error)
    except MemoryError:
        return _Failed(ClusterError(f"the node {host} has too little memory"))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _Failed(ClusterError(f"on the node {host}: {where}{error.strerror or error}"))
    except BaseException:
        return _Fault(traceback.format_exc())


@contextmanager
def _logged_to(send: Send, level: int) -> Iterator[None]:
    """The packages' log goes to `send` inside the block, from a level on."""
    handler = _Forwarding(send)
    before = []
    for name in _PACKAGES:
        named = logging.getLogger(name)
        before.append((named, named.handlers[:], named.level, named.propagate))
        named.handlers[:], named.propagate = [handler], False
        named.setLevel(level)
    try:
        yield
    finally:
        for named, handlers, old, propagate in before:
            named.handlers[:], named.propagate = handlers, propagate
            named.setLevel(old)


def connect(address: str) -> Any:
    """Connect this process to a cluster, unless it is; the machine must be a node of it.

    Args:
        address: host:port of its head, or "auto" for the one that this machine is a node of.

    Returns:
        The module `ray`; some of its functions have no types.

    Raises:
        ConfigError: there is none, or the command line holds a password, which Ray would show.
        MissingExtraError: the extra `ray` is not installed.
    """
    ray: Any = _ray()
    reached = _reached(address, ray)
    if ray.is_initialized():
        present = ray.get_runtime_context().gcs_address
        if reached not in (None, present):
            raise ConfigError(
                f"this process is connected to the Ray cluster at {present}; one at a time"
            )
        return ray
    _check_command_line()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Ray's own plans
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = printable(" ".join(str(error).split()), 300)
        if "No node info found" in said:
            said = (
                "this machine is no node of it; here first: "
                f"ray start --address={printable(address)} --num-cpus=0"
            )
        raise ConfigError(f"no Ray cluster at {printable(address)}: {said}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it, and its exit code is another
    _quieten()
    return ray


def _ray() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error


def _quieten() -> None:
    """Ray prints what happened to nodes on standard output, amid JSON; what is lost we say."""
    importlib.import_module("ray._private.worker").__dict__["print_to_stdstream"] = _not_printed


def _not_printed(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    _log.debug("Ray: %s", "\n".join(map(str, data.get("lines", ()))))


def _reached(address: str, ray: Any) -> str | None:
    """The address of a head that answers: Ray would look for one that is not there for minutes.

    Returns:
        IP:port, or None of "auto".

    Raises:
        ConfigError: it does not answer, or the address has another form.
    """
    if address == "auto":
        return None
    shown = printable(address)
    host, colon, port = address.rpartition(":")
    if "/" in address or not colon or not host or not port.isdecimal():
        raise ConfigError(f"--ray {shown}: give host:port of the cluster's head, or auto")
    # Ray takes a name of this machine for the address that others reach it by.
    named = ray.util.get_node_ip_address() if host in _LOOPBACK else host.strip("[]")
    try:
        with socket.create_connection((named, int(port)), timeout=_REACHED_S) as connection:
            return f"{connection.getpeername()[0]}:{port}"
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        where = "" if named == host.strip("[]") else f" (at {named})"
        raise ConfigError(
            f"no Ray cluster at {shown}{where}: {printable(str(reason))}; `ray status` on its head "
            "shows the address"
        ) from error


def _check_command_line() -> None:
    """Ray's dashboard shows the command line of whoever is connected.

    Raises:
        ConfigError: a password stands on it.
    """
    from kalshi_sim.store.urls import mask_addresses

    if any(mask_addresses(word) != word for word in sys.argv[1:]):
        raise ConfigError(
            "with --ray name the store by DATABASE_URL: Ray shows command lines to all users of "
            "the cluster, and this one holds a password"
        )


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
        task: Any = self._ray.remote(_serve)
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
        if isinstance(message, (_Done, _Failed, _Fault)):
            del self._running[stream]
        if isinstance(message, _Done):
            yield running.index, message.result
        elif isinstance(message, _Failed):
            raise message.error
        elif isinstance(message, _Fault):
            raise RuntimeError(f"{job.name} failed on the node {running.host}:\n{message.text}")
        elif isinstance(message, _Record):
            logging.getLogger(message.logger).log(message.level, "%s: %s", job.name, message.text)
        else:
            if isinstance(message, Begun):
                running.host = message.host
                _check_version(message)
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


def check_room(ray: Any, needs: Iterable[Resources]) -> None:
    """Be sure that some node has what each of several tasks needs: else it would wait for ever.

    Args:
        ray: as `connect` gave it.
        needs: of the tasks.

    Raises:
        ConfigError: none has.
    """
    nodes = nodes_of(ray)
    for each in needs:
        if any(n.cpus >= each.cpus and n.gpus >= each.gpus for n in nodes):
            continue
        most = " / ".join(sorted({str(n) for n in nodes})) or "nothing"
        raise ConfigError(
            f"no node of the Ray cluster can ever run this: a task needs {each}, the nodes "
            f"have {most}; ask for less, or add a node"
        )


def nodes_of(ray: Any) -> list[Resources]:
    """What each node of the cluster has that is alive."""
    return [
        Resources(int(n["Resources"].get("CPU", 0)), int(n["Resources"].get("GPU", 0)))
        for n in ray.nodes()
        if n["Alive"]
    ]


def run_all(
    address: str, jobs: Sequence[Job], done: Callable[[int], None] = lambda count: None
) -> list[Any]:
    """Do jobs on a cluster.

    Args:
        address: as of `connect`.
        jobs: what is to be done.
        done: called with how many are done, after each.

    Returns:
        Their results, in their order.

    Raises:
        KalshiSimError: as of `Tasks`.
    """
    found: dict[int, Any] = {}
    for index, result in Tasks(address, jobs).results():
        found[index] = result
        done(len(found))
    return [found[i] for i in range(len(jobs))]


def _check_version(begun: Begun) -> None:
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
    lacking = [n for n in _PACKAGES if f"No module named '{n}" in text]
    if lacking:
        return ConfigError(
            f"a node of the Ray cluster lacks {lacking[0]}, or has an earlier version of it; "
            "install this package on every node"
        )
    return RuntimeError(f"a task could not begin on its node:\n{text}")
