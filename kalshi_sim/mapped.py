"""Files of a tape mapped into memory, whose pages are given back before they grow too many.

What a process has read of a mapped file counts as its memory until the system takes it back, which
it does only where memory is short. So who reads a large tape says so before, and once more than
`MOST_BYTES` are mapped besides what is in use, all pages are given back: they stay in the system's
file cache and are mapped again where they are read again. No value changes by it, whoever reads at
that moment.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import Final
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

MOST_BYTES: Final = 512 * 2**20
"""So many bytes of a tape stay mapped, besides what is in use, until the next look."""
_LOOKS: Final = 8
"""How often it is looked how many are mapped, while as many as may be are read."""
_STATM: Final = Path("/proc/self/statm")


class MappedFiles:
    """The files of one tape, read-only."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all of them."""
        self._files: list[mmap.mmap] = []
        self._read = 0
        """Bytes that were read since pages were given back, again and again if so."""
        self._unseen = 0
        """Those since it was last looked."""
        self._lock = threading.Lock()
        self._rest = _mapped_bytes() or 0
        """Bytes that the process had mapped when nothing of these files was."""
        _all.add(self)

    @property
    def are_large(self) -> bool:
        """Whether they are more than may stay mapped."""
        return self.size > MOST_BYTES

    def map(self, path: Path) -> npt.NDArray[np.uint8]:
        """The bytes of one more file, uint8 [n].

        Args:
            path: of the file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is empty.
        """
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._files.append(mapped)
        self.size += len(mapped)
        return np.frombuffer(mapped, np.uint8)

    def will_read(self, n_bytes: int, in_use: int = 0) -> None:
        """To be called before something is read; may give back what was read before.

        Args:
            n_bytes: how much is read, about.
            in_use: bytes, about, that are read all the time and may stay besides `MOST_BYTES`.
        """
        with self._lock:
            self._unseen += n_bytes
            if self._unseen * _LOOKS > MOST_BYTES:
                now = _mapped_bytes()
                mapped = self._read if now is None else now - self._rest
                if mapped + n_bytes > MOST_BYTES + in_use:
                    self._give_back()
                self._read += self._unseen
                self._unseen = 0

    def give_back(self) -> None:
        """Give back all pages; who reads on gets them again."""
        with self._lock:
            self._give_back()

    def _give_back(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            for file in self._files:
                file.madvise(mmap.MADV_DONTNEED)
        self._read = 0
        self._rest = _mapped_bytes() or 0

    def after_fork(self) -> None:
        """A child has mapped nothing yet, and a lock that a thread of its parent held."""
        self._lock = threading.Lock()
        self._read = self._unseen = 0
        self._rest = _mapped_bytes() or 0


def _mapped_bytes() -> int | None:
    """Bytes of files that this process has mapped just now; None where the system does not say."""
    try:
        pages = int(_STATM.read_bytes().split()[2])
    except (OSError, ValueError, IndexError):
        return None
    return pages * mmap.PAGESIZE


_all: WeakSet[MappedFiles] = WeakSet()


def _after_fork() -> None:
    for files in _all:
        files.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
