"""How many threads step a batch: the processors this process may use, and what pays just now.

The threads are Numba's own (OpenMP where it is found). How many of them pay depends on the size
of the batch and on what else the machine does, so it is measured while stepping. The choice
never changes a result: every environment is stepped on its own.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numba

ENVS_PER_THREAD: Final = 64
"""A smaller share of a batch costs more to hand out than it saves."""
_SPINS: Final = "10000"
"""How often an OpenMP thread looks for its next share before it sleeps: about 0.1 ms, enough for
the next step of a tight loop, too little to take a core from a learner between two steps."""
_ROUNDS: Final = 6
"""Steps by which each number of threads is judged, at least."""
_TRIAL_SECONDS: Final = 0.06
"""One thread is timed for at least so long: several turns of a busy processor."""
_APART: Final = 60
"""Between two trials lie so many times the time that the last one took."""
_FEWER: Final = 0.9
"""More threads must take less than this share of the time of fewer."""
_CGROUPS: Final = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))

_settings: Any = numba.config


class _Pool:
    """Numba's threads, as this process shares them out."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held while a batch is stepped by them: one of their layers serves one caller only."""
        self.process: int | None = None
        """The process that started them."""
        self.share: int | None = None
        """Processors that this process uses at most."""

    def after_fork(self) -> None:
        """A lock that a thread of the parent held would never be free in the child."""
        self.lock = threading.Lock()


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.after_fork)


def use_at_most(processors: int) -> None:
    """Let this process use no more processors, as one of several that share a machine.

    Args:
        processors: 1 or more.
    """
    _pool.share = processors


def usable_cpus() -> int:
    """Processors this process may use: its affinity, cut by its container's quota and its share."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _container_quota()
    return max(1, min(count, math.ceil(quota or count), _pool.share or count))


def _container_quota() -> float | None:
    """Processors that the control group allows, None without a limit."""
    new, old = _CGROUPS
    with contextlib.suppress(OSError, ValueError):
        quota, period = new.read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        allowed = int(old.read_text("ascii"))
        period = old.with_name("cpu.cfs_period_us").read_text("ascii")
        return allowed / int(period) if allowed > 0 else None
    return None


def default_threads(n_envs: int) -> int:
    """The most threads that can pay for a batch of `n_envs` environments."""
    return max(1, min(usable_cpus(), n_envs // ENVS_PER_THREAD))


def load_openmp() -> None:
    """Load Numba's OpenMP threads, where there are any, so that they wait only briefly awake.

    What the user's environment says of waiting goes before it.
    """
    if _settings.DISABLE_JIT or {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        return
    os.environ["GOMP_SPINCOUNT"] = _SPINS  # read once, when the library is loaded
    try:
        with contextlib.suppress(ImportError):
            importlib.import_module("numba.np.ufunc.omppool")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


class NumbaThreads:
    """Up to `wanted` of Numba's threads, for a block; entering gives how many shares to make.

    One where another thread of this process is using them, or where this process was forked from
    one that did: OpenMP cannot be used there.
    """

    __slots__ = ("_before", "_lock", "_wanted")

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._lock: threading.Lock | None = None
        self._before = 0

    def __enter__(self) -> int:
        lock = _pool.lock
        if self._wanted == 1 or not lock.acquire(blocking=False):
            return 1
        self._lock = lock
        try:
            if _pool.process is None:
                load_openmp()
                _pool.process = os.getpid()
            if _pool.process != os.getpid():
                return 1
            before = numba.get_num_threads()
            threads = min(self._wanted, _settings.NUMBA_NUM_THREADS)
            if threads != before:  # setting takes longer than asking
                numba.set_num_threads(threads)
                self._before = before
        except BaseException:
            lock.release()
            raise
        return self._wanted

    def __exit__(self, *error: object) -> None:
        try:
            if self._before:
                numba.set_num_threads(self._before)
        finally:
            if self._lock is not None:
                self._lock.release()


class ThreadChoice:
    """The number of threads that steps a batch quickest, measured now and then.

    A trial times the same number of steps with 1, 2, 4, ... threads, one number after the other:
    taken in turn, they would profit from the processor time that waiting threads have saved up. A
    number that cannot win any more is given up. The quickest steps the batch until the next
    trial, or until it takes longer than one of fewer threads took in the trial.
    """

    def __init__(self, most: int) -> None:
        """Choose from 1 to `most` threads."""
        powers = {1 << k for k in range(most.bit_length())}
        self._candidates = sorted(powers | {most})
        self.current = most
        self._begin_trial()

    def _begin_trial(self) -> None:
        self._trying = 0
        """The candidate on trial."""
        self._best = 0
        self._best_seconds = self._fewer_seconds = math.inf
        """Of the best so far, and of the one that it replaced."""
        self._length = 0
        """Timed steps of each candidate; 0 while the first one is being tried."""
        self._spent = 0.0
        self._quiet = 0.0
        """Seconds of stepping until the next trial."""
        self._begin_watch()
        self._steps = -1  # a candidate's first step wakes its threads and is not timed

    def _begin_watch(self) -> None:
        self._seconds = 0.0
        self._steps = 0

    @contextlib.contextmanager
    def measured(self) -> Iterator[int]:
        """The threads of the next step; the block is the step."""
        begin = time.perf_counter()
        if self._quiet > 0:
            yield self.current
            self._watch(time.perf_counter() - begin)
            return
        yield self._candidates[self._trying]
        self._judge(time.perf_counter() - begin)

    def _judge(self, seconds: float) -> None:
        """A step of a trial took `seconds`."""
        self._spent += seconds
        self._steps += 1
        if self._steps == 0:
            return
        self._seconds += seconds
        if self._seconds >= _FEWER * self._best_seconds:
            self._next_candidate()
        elif self._trying == 0:
            if self._steps >= _ROUNDS and self._seconds >= _TRIAL_SECONDS:
                self._length = self._steps
                self._take()
        elif self._steps == self._length:
            self._take()

    def _take(self) -> None:
        self._fewer_seconds = self._best_seconds
        self._best, self._best_seconds = self._trying, self._seconds
        self._next_candidate()

    def _next_candidate(self) -> None:
        self._begin_watch()
        self._steps = -1
        self._trying += 1
        if self._trying == len(self._candidates):
            self.current = self._candidates[self._best]
            self._quiet = _APART * self._spent
            self._begin_watch()

    def _watch(self, seconds: float) -> None:
        """A step between two trials took `seconds`."""
        self._quiet -= seconds
        self._seconds += seconds
        self._steps += 1
        if self._seconds >= _TRIAL_SECONDS and self._steps >= _ROUNDS:
            slow = self._seconds * self._length > self._fewer_seconds * self._steps
            self._begin_watch()
            if slow:
                self._quiet = 0.0
        if self._quiet <= 0:
            self._begin_trial()
