"""Methods that no two threads may run at once on one object, refused rather than waited for."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Exclusive:
    """What at most one thread holds; a new one is made where its owner is copied or pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Hold it.

        Raises:
            RuntimeError: another thread does.
        """
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("another thread is stepping this batch; give each one of its own")

    def release(self) -> None:
        """Let others hold it."""
        self._lock.release()

    def __reduce__(self) -> Any:
        return Exclusive, ()


class _Owner(Protocol):
    _exclusive: Exclusive


Self = TypeVar("Self", bound=_Owner)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def one_at_a_time(
    method: Callable[Concatenate[Self, Arguments], Result],
) -> Callable[Concatenate[Self, Arguments], Result]:
    """A method that raises RuntimeError while another thread is in one of its owner's."""

    @functools.wraps(method)
    def alone(self: Self, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        exclusive = self._exclusive
        exclusive.acquire()  # not by `with`: around a step of one environment it is to be felt
        try:
            return method(self, *args, **kwargs)
        finally:
            exclusive.release()

    return alone
