"""Starts and ends the process that serves the page of a run."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

from kalshi_sim.errors import ConfigError

_LOOPBACK: Final = "127.0.0.1"
_END_S: Final = 60.0
_SERVER: Final = "kalshi_train.report.trading.serve"


class PageProcess:
    """The page of a run, for as long as the block lasts."""

    def __init__(self, folder: Path, port: int) -> None:
        """Begin to listen, on the loopback address alone.

        Args:
            folder: of the run; it need not be there yet.
            port: where; 0: a free one.

        Raises:
            ConfigError: nothing can listen there.
        """
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listening.bind((_LOOPBACK, port))
            self._listening.listen()  # a browser that comes early waits
        except (OSError, OverflowError) as error:
            self._listening.close()
            said = getattr(error, "strerror", None) or "a port is a number from 0 to 65535"
            raise ConfigError(f"--page {port}: {said}; choose another port") from error
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.failed = False
        """Whether the process ended before the run did, or was not done in time."""

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{_LOOPBACK}:{self._listening.getsockname()[1]}/"

    def __enter__(self) -> PageProcess:
        handle = self._listening.fileno()
        # Ctrl-C at a terminal ends the run, whose end is then the page's. Of the same session, so
        # that its low priority counts against the run's.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _SERVER, str(self._folder.absolute()), str(handle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[handle],
            process_group=0,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.close()
        assert self._process is not None
        assert self._process.stdin is not None
        self.failed = self._process.poll() is not None
        self._process.stdin.close()
        try:
            self.failed = self._process.wait(_END_S) != 0 or self.failed
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self.failed = True
