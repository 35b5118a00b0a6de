"""A node's part: does a job, and sends what it has to say as messages of one stream."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_sim import __version__
from kalshi_sim.cluster.connection import Resources
from kalshi_sim.errors import ClusterError, KalshiSimError, MissingExtraError, StoreError
from kalshi_sim.extras import missing_extra
from kalshi_sim.threads import use_at_most

PACKAGES: Final = ("kalshi_sim", "kalshi_train")

Send = Callable[[object], None]
"""Sends a message to whoever started the job."""


@dataclass(frozen=True)
class Job:
    """Something to be done on a node."""

    name: str
    """For people: what a lost worker was at."""
    work: Callable[..., Any]
    """A function of a module of this project; what it returns is the job's result."""
    given: Any
    """Its first argument; the second sends messages."""
    needs: Resources = field(default_factory=Resources)
    shared: Any = None
    """Its third argument, if there is one: an object of several jobs, which travels once."""


@dataclass(frozen=True)
class Begun:
    """A job begins on a node, possibly once more."""

    host: str
    version: str
    """Of this package there."""


@dataclass(frozen=True)
class Record:
    """A line of a job's log."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Failed:
    """A mistake of the user, or of what a node lacks."""

    error: KalshiSimError


@dataclass(frozen=True)
class Fault:
    """An error of the program."""

    text: str


@dataclass(frozen=True)
class Done:
    """A job is over."""

    result: Any


class _Forwarding(logging.Handler):
    """Sends the log of a job to whoever started it."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Record(record.name, record.levelno, record.getMessage()))


def serve(job: Job, level: int, *shared: Any) -> Iterator[object]:
    """A task: does a job in a thread beside the one that sends its messages.

    Args:
        job: what is to be done, without what it shares with others.
        level: of its log, from which that is sent.
        shared: that object, if there is one.

    Yields:
        `Begun`, messages of the job and `Record`s of its log, and how it ended.
    """
    use_at_most(job.needs.cpus)
    host = socket.gethostname()
    messages: queue.SimpleQueue[object] = queue.SimpleQueue()

    def run() -> None:
        messages.put(_outcome(job, messages.put, host, shared))

    yield Begun(host, __version__)
    with logged_to(messages.put, level):
        threading.Thread(target=run, daemon=True, name="kalshi-sim").start()
        while True:
            message = messages.get()
            yield message
            if isinstance(message, (Done, Failed, Fault)):
                return


def _outcome(job: Job, send: Send, host: str, shared: tuple[Any, ...]) -> Done | Failed | Fault:
    try:
        return Done(job.work(job.given, send, *shared))
    except ModuleNotFoundError as error:
        lacking = error if isinstance(error, MissingExtraError) else missing_extra(error)
        if lacking is None:
            return Fault(traceback.format_exc())
        return Failed(MissingExtraError(f"on the node {host}: {lacking}"))
    except StoreError as error:
        note = f"on the node {host}; is the store one that every node reaches?"
        return Failed(type(error)(f"{error} ({note})"))
    except KalshiSimError as error:
        return Failed(error)
    except MemoryError:
        return Failed(ClusterError(f"the node {host} has too little memory"))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return Failed(ClusterError(f"on the node {host}: {where}{error.strerror or error}"))
    except BaseException:
        return Fault(traceback.format_exc())


@contextmanager
def logged_to(send: Send, level: int) -> Iterator[None]:
    """The packages' log goes to `send` inside the block, from a level on.

    Args:
        send: takes each `Record`.
        level: the least that is sent.

    Yields:
        None.
    """
    handler = _Forwarding(send)
    before = []
    for name in PACKAGES:
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
