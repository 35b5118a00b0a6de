"""One training a folder: a second one is refused with the name of the first."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import room_for
from kalshi_sim.text import printable

LOCK_FILE: Final = ".training.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder while the block runs.

    The system lets go of the lock when its process ends, in whatever way; none is left behind.

    Raises:
        ConfigError: another process trains into the folder; the message says which.
        StoreError: there is no room for the lock.
    """
    path = folder / LOCK_FILE
    handle = _take(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = printable(os.read(handle, 200).decode("utf-8", "replace"))
            os.close(handle)
            raise ConfigError(
                f"{folder} belongs to a training that is still going on ({owner or 'just begun'}); "
                "choose another --model-save-path, or wait for it"
            ) from None
        if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            break
        os.close(handle)  # its owner removed it between the two calls
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    owner = f"process {os.getpid()} on {socket.gethostname()}, since {begun} UTC"
    try:
        with room_for(path):
            os.ftruncate(handle, 0)
            os.write(handle, owner.encode())
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(handle)
        raise
    return handle
