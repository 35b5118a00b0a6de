"""The exchange's own log: every frame it sent, as JSON lines, to compare recordings with."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.files import room_for


class SentLog:
    """Writes a line for each frame that left the exchange, or that a fault kept back.

    A line: `{"connection": 1, "sent_ns": 1790000000000000000, "lost": false, "raw": "{...}"}`, with
    the wall clock in ns since 1970 UTC. It never holds a key. A disk without room ends the log, not
    the exchange: `failed` is set, and `error` says why.
    """

    def __init__(self, path: Path) -> None:
        """Begin a log.

        Args:
            path: the file, which is replaced.

        Raises:
            ConfigError: it cannot be written.
        """
        self.error: StoreError | None = None
        self.failed = asyncio.Event()
        self._path = path
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, connection: int, frame: bytes, *, lost: bool = False) -> None:
        """Note a frame.

        Args:
            connection: number of the connection.
            frame: as it was sent.
            lost: whether a fault kept it back.
        """
        if self.error is None:
            lost_text = b"true" if lost else b"false"
            values = (connection, time.time_ns(), lost_text, _text(frame))
            with self._noted():
                self._file.write(b'{"connection":%d,"sent_ns":%d,"lost":%s,"raw":%s}\n' % values)

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._noted():
            self._file.close()

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            with room_for(self._path):
                yield
        except StoreError as error:
            self.error = self.error or error
            self.failed.set()


def _text(frame: bytes) -> bytes:
    import msgspec

    return msgspec.json.encode(frame.decode())
