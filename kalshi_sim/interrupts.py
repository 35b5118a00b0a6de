"""Ctrl-C and SIGTERM: every command ends promptly, and work worth keeping is saved first.

Python runs a signal's handler in the main thread between two instructions: inside a compiled
kernel or the compiler it waits, and an exception raised inside some libraries is swallowed.
A thread that the interpreter's own C handler wakes therefore sees to it that the process ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

GRACE_S: Final = 1.5
"""How long a command may take to end in order after a signal."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; `signum` is the signal, `code` the exit code it means."""

    def __init__(self, signum: int, message: str = "interrupted") -> None:
        """Make the exception of one signal.

        Args:
            signum: number of the signal; `code` becomes the exit code a shell gives for it.
            message: what a command shows.
        """
        super().__init__(message)
        self.signum = signum
        self.code = exit_code(signum)


def exit_code(signum: int) -> int:
    """The exit code of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + signum


@dataclass
class StopRequest:
    """Inside `deferred`: whether the process was asked to end, and by which signal."""

    signum: int | None = None
    immediate: bool = False
    """Whether a signal raises at once (work that need not be kept), not only sets `signum`."""

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside the block a signal raises `Interrupted`, as it does for one that came before."""
        self.immediate = True
        try:
            self.check()
            yield
        finally:
            self.immediate = False

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come.

        Raises:
            Interrupted: it has.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)


_deferring: list[StopRequest] = []


_raised: list[Interrupted] = []
"""What the handler of `watched` has raised: nothing that a command does after it is a result."""


def _raise(signum: int, frame: FrameType | None) -> None:
    stop = Interrupted(signum)
    _raised.append(stop)
    raise stop


def raised() -> Interrupted | None:
    """What a signal has raised in the command that goes on, whatever a library made of it."""
    return _raised[0] if _raised else None


@contextmanager
def _handlers(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """`handler` for both signals inside the block; a signal that is ignored stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
        return
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    for s, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(s, handler)
    try:
        yield
    finally:
        for s, old in before.items():
            signal.signal(s, old if old is not None else signal.SIG_DFL)


@contextmanager
def deferred(on_request: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Inside the block the first signal is only noted, so that work can be brought to a point.

    The second one raises `Interrupted`. `on_request` is called at the first.
    """
    request = StopRequest()

    def note(signum: int, frame: FrameType | None) -> None:
        second = request.signum is not None
        request.signum = signum
        if second or request.immediate:
            raise Interrupted(signum)
        if on_request is not None:
            on_request(signum)

    _deferring.append(request)
    try:
        with _handlers(note):
            yield request
    finally:
        _deferring.remove(request)


@contextmanager
def watched(program: str, grace_s: float = GRACE_S) -> Iterator[None]:
    """Inside the block a signal raises `Interrupted`, and ends the process if that has no effect.

    Args:
        program: named in the message.
        grace_s: how long the process may take to end in order; without limit while `deferred` work
            is brought to a point, until a second signal.

    Yields:
        None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _raised.clear()
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    over = threading.Event()
    before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(program, woken, over, grace_s), daemon=True).start()
    try:
        with _handlers(_raise):
            yield
    finally:
        _raised.clear()
        over.set()
        signal.set_wakeup_fd(before)
        waker.close()


@contextmanager
def raised_late() -> Iterator[None]:
    """Inside the block what follows a swallowed `Interrupted` is no end of its own.

    A library that calls Python back from C may drop what a handler raises there and fail a moment
    later with an error of its own: Numba does when a signal comes while it passes on machine code,
    NumPy when it comes while its extension modules are imported. A command may also end before the
    process is made to; whoever started it must know that it was asked to stop.

    Raises:
        Interrupted: a signal came, was swallowed by a library, and an error or the end followed.
    """
    before = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, Interrupted):
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    except Exception as error:
        if _raised:
            raise _raised[0] from error
        raise
    else:
        if _raised:
            raise Interrupted(_raised[0].signum, "interrupted at its end: its work is done")
    finally:
        sys.unraisablehook = before


def _watch(program: str, woken: socket.socket, over: threading.Event, grace_s: float) -> None:
    with woken:
        signum = _next_signal(woken)
        if signum is None:
            return
        if _deferring:
            signum = _next_signal(woken)
            if signum is None:
                return
        if over.wait(grace_s):
            return
        with suppress(OSError, ValueError):
            os.write(sys.__stderr__.fileno(), f"{program}: interrupted\n".encode())  # type: ignore[union-attr]  # None where there is none
        os._exit(exit_code(signum))


def _next_signal(woken: socket.socket) -> int | None:
    """The next of our signals; None once there will be none any more."""
    while True:
        try:
            received = woken.recv(1)
        except OSError:
            return None
        if not received:
            return None
        if received[0] in _SIGNALS and signal.getsignal(received[0]) is not signal.SIG_IGN:
            return received[0]
