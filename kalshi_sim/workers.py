"""Threads that step their share of a batch each, beside the caller's own."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import handoff
from kalshi_sim.kernels.layout import Buffers

Int64Array = npt.NDArray[np.int64]

_settings: Any = numba.config
LOOKS: Final = 2 if _settings.DISABLE_JIT else 4000
"""Looks for the next ticket before a thread sleeps: about a tenth of a millisecond."""


class _Shared:
    """What the threads and their owner share; it knows nothing of the owner."""

    def __init__(self, n_threads: int) -> None:
        self.control = np.zeros(handoff.DONE + n_threads * handoff.LINE, np.int64)
        self.lock = threading.Lock()
        self.posted = 0
        self.stopped = False
        self.asleep = [False] * n_threads
        self.wakers = [threading.Semaphore(0) for _ in range(n_threads)]
        self.errors: list[BaseException] = []

    def post(self, turn: int) -> None:
        with self.lock:
            self.posted += 1
            handoff.post(self.control, self.posted, turn)
            self._wake()

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            self._wake()

    def _wake(self) -> None:
        for k, asleep in enumerate(self.asleep):
            if asleep:
                self.asleep[k] = False
                self.wakers[k].release()

    def may_go_on(self, k: int) -> bool:
        """Sleep until there is something to do; False if there will be nothing any more."""
        with self.lock:
            if not self.stopped and self.control[handoff.DONE + k * handoff.LINE] == self.posted:
                self.asleep[k] = True
        if self.asleep[k]:
            self.wakers[k].acquire()
        return not self.stopped


def _work(shared: _Shared, k: int, arguments: tuple[Any, ...]) -> None:
    done_at = handoff.DONE + k * handoff.LINE
    while shared.may_go_on(k):
        try:
            handoff.serve(shared.control, done_at, *arguments)
        except BaseException as error:
            shared.errors.append(error)
            shared.control[done_at] = shared.posted  # the owner waits for it, and raises


class Workers:
    """Threads for shares of a batch; they start with the first step and end with the owner."""

    def __init__(
        self,
        arguments: tuple[Any, ...],
        buffers: tuple[Buffers, Buffers],
        shares: list[tuple[int, int]],
    ) -> None:
        """Make a thread for each share.

        Args:
            arguments: tape, settings, agents and actions, as `step_agents` takes them.
            buffers: those of even and of odd turns.
            shares: (begin, end) of the environments of each thread.
        """
        self._shared = _Shared(len(shares))
        self._threads = [
            threading.Thread(
                target=_work,
                args=(self._shared, k, (*arguments, *buffers, begin, end, LOOKS)),
                name=f"kalshi-sim-step-{k}",
                daemon=True,
            )
            for k, (begin, end) in enumerate(shares)
        ]
        self._finalizer = weakref.finalize(self, self._shared.stop)
        self._started = False

    def post(self, turn: int) -> None:
        """Let every thread step its share, into the buffers of this turn (0 or 1).

        Raises:
            RuntimeError: the threads were ended by `close`.
        """
        if self._shared.stopped:
            raise RuntimeError("step after close; make the environment anew")
        if not self._started:
            for thread in self._threads:
                thread.start()
            self._started = True
        self._shared.post(turn)

    def wait(self) -> None:
        """Wait until all have stepped what was posted last.

        Raises:
            RuntimeError: there is no such thread in this process.
            BaseException: what went wrong in a thread.
        """
        shared = self._shared
        for k, thread in enumerate(self._threads):
            done_at = handoff.DONE + k * handoff.LINE
            while not handoff.is_done(shared.control, done_at, shared.posted, LOOKS):
                if not thread.is_alive():
                    raise RuntimeError(
                        "the threads that step are in the process this one was forked from; "
                        "make the environment in the child, or with n_threads=1"
                    )
                time.sleep(0)
        if shared.errors:
            raise shared.errors[0]

    def close(self) -> None:
        """End the threads."""
        self._finalizer()
        if self._started:
            for thread in self._threads:
                thread.join()
