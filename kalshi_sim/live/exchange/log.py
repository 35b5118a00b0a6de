"""The exchange's own log: every frame it sent, as JSON lines, to compare recordings with."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from kalshi_sim.errors import ConfigError


class SentLog:
    """Writes a line for each frame that left the exchange, or that a fault kept back.

    A line: `{"connection": 1, "sent_ns": 1790000000000000000, "lost": false, "raw": "{...}"}`, with
    the wall clock in ns since 1970 UTC. It never holds a key.
    """

    def __init__(self, path: Path) -> None:
        """Begin a log.

        Args:
            path: the file, which is replaced.

        Raises:
            ConfigError: it cannot be written.
        """
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
        self._file.write(
            b'{"connection":%d,"sent_ns":%d,"lost":%s,"raw":%s}\n'
            % (connection, time.time_ns(), b"true" if lost else b"false", _text(frame))
        )

    def close(self) -> None:
        """Write what is left and close the file."""
        self._file.close()


def _text(frame: bytes) -> bytes:
    import msgspec

    return msgspec.json.encode(frame.decode())
