"""Sessions replayed into tapes of their own, by processes of this machine or tasks of a cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from kalshi_sim.cluster import ATTEMPTS, Job, Send, Tasks
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import KalshiSimError, StoreError
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule
from kalshi_sim.session import Session
from kalshi_sim.shared_tapes import named_place, share, shared_place, use_place
from kalshi_sim.store import SessionStore, absolute_address, open_store
from kalshi_sim.tape_cache import cache_folder, load_tape, tape_key
from kalshi_sim.threads import usable_cpus, use_at_most

_TURN_S: Final = 0.2
"""Results are waited for in turns of this length, so that a signal is handled meanwhile."""

How = Literal["replayed", "cached", "fetched", "failed"]
"""Replayed now; found in the cache; fetched from the shared place; none of these."""


@dataclass(frozen=True)
class SessionTape:
    """What became of a session."""

    session_id: int
    how: How
    host: str
    """The machine whose cache has the tape."""
    key: str = ""
    """The name of the tape in the cache."""
    views: int = 0
    skipped: int = 0
    """Markets left out, with too few rows."""
    rows: int = 0
    bytes: int = 0
    """Of rows and flow."""
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class _Task:
    """What a process or node needs to know."""

    session_id: int
    store: str
    options: TapeOptions
    schedule: FeeSchedule
    shared_tapes: str
    """What KALSHI_SIM_SHARED_TAPES is here; empty: as it is there."""


Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def replay_sessions_into_tapes(
    store: str | None,
    session_ids: Sequence[int],
    options: TapeOptions | None = None,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    progress: Progress = lambda done, total: None,
) -> list[SessionTape]:
    """Put the tape of each session into the cache, and into the shared place if there is one.

    The bytes of a tape do not depend on where, or beside what, it is made.

    Args:
        store: where the sessions are, as `open_store` takes it.
        session_ids: which sessions.
        options: how they become tapes.
        jobs: processes at a time on this machine; by default one for each processor.
        ray: host:port of the head of a Ray cluster that replays them, or "auto"; the tapes lie in
            the caches of its nodes then.
        progress: called after each session.

    Returns:
        What became of each, in their order; a session that fails does not keep others from it.

    Raises:
        ConfigError: an option, the store's or the cluster's address is wrong.
        ClusterError: the cluster lost a session's worker too often.
    """
    options = options or TapeOptions()
    fees = options.fee_schedule
    schedule = DEFAULT_SCHEDULE if fees is None else FeeSchedule.from_file(fees)
    address = absolute_address(store)
    open_store(address)
    shared_place()  # an address of another kind is reported now
    shared = named_place()
    bare = replace(options, fee_schedule=None)
    tasks = [_Task(i, address, bare, schedule, shared) for i in session_ids]
    if ray is not None:
        made = Tasks(ray, [Job(f"session {t.session_id}", _on_node, t) for t in tasks]).results()
    else:
        count = min(len(tasks), jobs or usable_cpus())
        made = _here(tasks) if count <= 1 else _in_processes(tasks, count)
    found: dict[int, SessionTape] = {}
    for index, result in made:
        found[index] = result
        progress(len(found), len(tasks))
    return [found[i] for i in range(len(tasks))]


def _here(tasks: Sequence[_Task]) -> Iterator[tuple[int, SessionTape]]:
    for index, task in enumerate(tasks):
        yield index, _replay(task)


def _in_processes(tasks: Sequence[_Task], count: int) -> Iterator[tuple[int, SessionTape]]:
    """By so many processes; where one is killed, what was going on begins anew, each alone."""
    left = dict(reversed(list(enumerate(tasks))))
    suspects: dict[int, _Task] = {}
    while left:
        yield from _by_pool(left, count, suspects)
    for index, task in suspects.items():
        again = {index: task}
        for _ in range(ATTEMPTS - 1):
            killed: dict[int, _Task] = {}
            yield from _by_pool(again, 1, killed)
            again = killed
        if again:
            reason = f"its process was killed {ATTEMPTS} times; has the machine memory enough?"
            failed = SessionTape(task.session_id, "failed", socket.gethostname(), reason=reason)
            yield index, failed


def _by_pool(
    left: dict[int, _Task], count: int, suspects: dict[int, _Task]
) -> Iterator[tuple[int, SessionTape]]:
    """Take from `left` until it is empty, or a process is killed: then `suspects` were going on."""
    threads = max(1, usable_cpus() // count)
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_process,
        initargs=(threads,),
    )
    going: dict[Future[SessionTape], tuple[int, _Task]] = {}
    try:
        while left or going:
            while left and len(going) < count:
                index = next(reversed(left))
                going[pool.submit(_replay, left[index])] = index, left[index]
                del left[index]
            done, _ = wait(going, timeout=_TURN_S, return_when=FIRST_COMPLETED)
            for future in done:
                index, _ = going[future]
                result = future.result()
                del going[future]
                yield index, result
    except BrokenProcessPool:
        suspects |= dict(going.values())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin_process(threads: int) -> None:
    """Ends with the process that started it, in whatever way that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for that one
    use_at_most(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_node(task: _Task, send: Send) -> SessionTape:
    use_place(task.shared_tapes)
    return _replay(task)


class _Warnings(logging.Handler):
    """What the cache says of a tape that it could not keep."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _replay(task: _Task) -> SessionTape:
    """Put the tape of a session where it belongs; a failure is a result."""
    host, begin = socket.gethostname(), time.perf_counter()
    failed = SessionTape(task.session_id, "failed", host)
    package, said = logging.getLogger("kalshi_sim"), _Warnings()
    package.addHandler(said)
    try:
        made = _made(task, host)
    except KalshiSimError as error:
        return replace(failed, reason=str(error), seconds=time.perf_counter() - begin)
    except MemoryError:
        return replace(failed, reason="not enough memory; take fewer at a time (--jobs)")
    except OSError as error:
        return replace(failed, reason=f"{error.filename or ''}: {error.strerror or error}")
    finally:
        package.removeHandler(said)
    missing = _missing(made.key)
    if missing is not None:
        reason = "; ".join([missing, *said.texts])
        return replace(failed, reason=reason, seconds=time.perf_counter() - begin)
    return replace(made, seconds=time.perf_counter() - begin)


def _made(task: _Task, host: str) -> SessionTape:
    store = open_store(task.store)
    key = tape_key([store.fingerprint(task.session_id)], task.options, task.schedule)
    folder = cache_folder() / key
    was_there, loaded = folder.is_dir(), []

    def load(source: SessionStore, session_ids: Sequence[int]) -> list[Session]:
        loaded.append(True)
        return [source.load(i) for i in session_ids]

    tape = load_tape(store, task.session_id, task.options, fee_schedule=task.schedule, load=load)
    share(folder)
    how: How = "replayed" if loaded else "cached" if was_there else "fetched"
    return SessionTape(
        session_id=task.session_id,
        how=how,
        host=host,
        key=key,
        views=len(tape.views),
        skipped=len(tape.skipped),
        rows=len(tape),
        bytes=tape.rows.nbytes + tape.flow.nbytes,
    )


def _missing(key: str) -> str | None:
    """Where a tape should lie and does not."""
    if not (cache_folder() / key).is_dir():
        return "the tape is not in the cache"
    try:
        place: Any = shared_place()
        if place is not None and not place.exists(f"{key}/tape.json"):
            return "the tape is not in the shared place"
    except (OSError, StoreError) as error:
        return f"the shared place cannot be read: {error}"
    return None


def evicted(tapes: Sequence[SessionTape]) -> int:
    """How many tapes are no longer in the cache of this machine, which grew beyond its limit.

    Args:
        tapes: made here.
    """
    folder = cache_folder()
    return sum(bool(t.key) and not (folder / t.key).is_dir() for t in tapes)
