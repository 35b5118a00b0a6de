"""What is said while kernels compile: a line at least every other second."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from numba.core import event

_log = logging.getLogger(__name__)

EVERY_S: Final = 1.5

_Listener: Any = event.Listener
_register: Any = event.register


class Announcer(_Listener):  # type: ignore[misc]  # numba has no types
    """Counts the functions that are compiled and says how many there are."""

    def __init__(self) -> None:
        """Nothing is compiled yet."""
        self.what = ""
        self._done = 0
        self._depth = 0
        self._said_at = time.monotonic()
        self._idle = threading.Event()

    def begin(self, what: str) -> None:
        """From now on what is compiled is said to belong to `what`."""
        if what == self.what:
            return
        self.what = what
        self._done = 0
        self._said_at = time.monotonic()
        _log.warning("compiling the kernels of %s, once for this version ...", what)

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function; what it calls follows, one inside the other."""
        self._depth += 1
        if self._depth == 1:
            self._idle = threading.Event()
            threading.Thread(target=self._tick, args=(self._idle,), daemon=True).start()
        self._say_if_due()

    def on_end(self, event: Any) -> None:
        """The function that began last is compiled, or cannot be."""
        self._depth -= 1
        self._done += 1
        if self._depth == 0:
            self._idle.set()

    def _tick(self, idle: threading.Event) -> None:
        while not idle.wait(EVERY_S / 4):
            self._say_if_due()

    def _say_if_due(self) -> None:
        now = time.monotonic()
        if now - self._said_at < EVERY_S:
            return
        self._said_at = now
        _log.warning("compiling the kernels of %s: %s done", self.what, f"{self._done:,}")


_announcer: list[Announcer] = []


def announce(what: str) -> None:
    """Say that kernels of `what` are going to be compiled, and how it goes on.

    Args:
        what: as in "the kernels of the simulation".
    """
    if not _announcer:
        _announcer.append(Announcer())
        _register("numba:compile", _announcer[0])
    _announcer[0].begin(what)
