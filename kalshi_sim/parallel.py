"""Work on several things at once, its results given in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextvars import copy_context
from typing import Final, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_TURN_S: Final = 0.1
"""A result is waited for in turns of this length, so that a signal is handled meanwhile."""


def _nothing() -> None:
    """What is called if the caller has nothing to be called."""


def in_order(
    things: Sequence[S],
    work: Callable[[S], T],
    threads: int,
    *,
    waiting: Callable[[], None] = _nothing,
    stop: Callable[[], None] = _nothing,
) -> Generator[T, None, None]:
    """`work(thing)` for all things in order, several at once.

    What has not begun when the iteration ends, by an error or by its reader, never begins. Threads
    work in copies of this one's context.

    Args:
        things: in the order of their results.
        work: makes the result of one; several threads call it at once, so it pays where it leaves
            Python's lock to others.
        threads: how many things are worked on at once; with one, `work` runs in this thread, and
            only when its result is asked for.
        waiting: called now and then in this thread while a result is waited for.
        stop: called when the iteration ends; may end what threads still work on.

    Yields:
        The results.

    Raises:
        Exception: what `work` raised, after the results of the things before.
    """
    threads = min(threads, len(things))
    if threads <= 1:
        yield from map(work, things)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="kalshi-sim") as pool:
        made = [pool.submit(copy_context().run, work, thing) for thing in things]
        made.reverse()
        try:
            while made:
                yield _result(made.pop(), waiting)  # nothing here holds a result that was given
        finally:
            stop()
            for one in made:
                one.cancel()


def ahead(
    things: Iterable[S], work: Callable[[S], T], pool: Executor | None, most: int
) -> Iterator[tuple[S, T]]:
    """Things in their order, each with `work(thing)`, which others work out meanwhile.

    Args:
        things: are taken one by one in this thread.
        work: makes the result of one; several threads call it at once.
        pool: works on them; None: this thread, when a result is asked for.
        most: how many things are taken before the result of the first one is given.

    Yields:
        Things and results.

    Raises:
        Exception: what `work` or the iteration raised, after the results of the things before.
    """
    if pool is None:
        yield from ((thing, work(thing)) for thing in things)
        return
    waiting: deque[tuple[S, Future[T]]] = deque()
    taken = iter(things)
    failure: Exception | None = None
    while failure is None:
        try:
            thing = next(taken)
        except StopIteration:
            break
        except Exception as error:
            failure = error
        else:
            waiting.append((thing, pool.submit(copy_context().run, work, thing)))
            if len(waiting) > most:
                thing, made = waiting.popleft()
                yield thing, made.result()
    for thing, made in waiting:
        yield thing, made.result()
    if failure is not None:
        raise failure


def _result(made: Future[T], waiting: Callable[[], None]) -> T:
    while True:
        try:
            return made.result(timeout=_TURN_S)
        except NotYet:
            if made.done():  # it was raised by the work itself
                return made.result()
            waiting()
