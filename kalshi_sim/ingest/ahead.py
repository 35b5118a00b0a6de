"""Work on several files at once, its results given in the order of the files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from typing import Final, Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_WAITING: Final = 8
"""Results of one file that may lie ready: bounds memory."""
_RETRY_S: Final = 0.1


class _End(Generic[T]):
    """The last item of a queue."""


def read_ahead(
    files: Sequence[S], work: Callable[[S], Iterable[T]], threads: int
) -> Iterator[tuple[S, T | None]]:
    """Every (file, result) of `work(file)` for all files in order, and (file, None) at its end.

    Args:
        files: in the order of their results.
        work: makes the results of one file; runs in a thread of its own.
        threads: how many files are worked on at once; with one thread `work` runs in this one.

    Raises:
        Exception: what `work` raised, after the results that it gave before.
    """
    if threads <= 1:
        for file in files:
            for made in work(file):
                yield file, made
            yield file, None
        return
    stopped = threading.Event()
    with ThreadPoolExecutor(threads, thread_name_prefix="read-ahead") as pool:
        ready: list[tuple[S, Queue[T | _End[T]], Future[None]]] = []
        try:
            for file in files:
                queue: Queue[T | _End[T]] = Queue(_WAITING)
                ready.append((file, queue, pool.submit(_fill, work, file, queue, stopped)))
            for file, queue, filling in ready:
                while not isinstance(result := _next(queue), _End):
                    yield file, result
                filling.result()
                yield file, None
        finally:
            stopped.set()
            for _, _, filling in ready:
                filling.cancel()


def _fill(
    work: Callable[[S], Iterable[T]],
    file: S,
    queue: Queue[T | _End[T]],
    stopped: threading.Event,
) -> None:
    try:
        for result in work(file):
            _put(queue, result, stopped)
            if stopped.is_set():
                return
    finally:
        _put(queue, _End(), stopped)


def _put(queue: Queue[T], item: T, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_RETRY_S)
        except Full:
            continue
        return


def _next(queue: Queue[T]) -> T:
    """The next item; waits in turns, so that a signal is handled meanwhile."""
    while True:
        try:
            return queue.get(timeout=_RETRY_S)
        except Empty:
            continue
