"""A proxy before PostgreSQL that acts at the moment a client sends COMMIT."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_BYTES: Final = 1 << 16
_COMMIT: Final = b"COMMIT;\0"
"""How the driver ends a transaction, as a simple query."""

Forward = Callable[[], None]


class CommitProxy:
    """Passes everything on; `at_commit(forward)` is called in place of the first COMMIT.

    What it does not forward never reaches the server, whose connection is cut then.
    """

    def __init__(self, port: int) -> None:
        self.at_commit: Callable[[Forward], None] | None = None
        self._server_port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:  # it is being started again
                    client.close()
                    continue
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, watch: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                act = self.at_commit
                if watch and act is not None and data.startswith(b"Q") and _COMMIT in data:
                    self.at_commit, sent = None, False

                    def forward(data: bytes = data) -> None:
                        nonlocal sent
                        target.sendall(data)
                        sent = True

                    act(forward)
                    if not sent:
                        break
                else:
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Take no more clients."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def commit_proxy(port: int) -> Iterator[CommitProxy]:
    """A proxy before the server at `port`, as long as the block runs."""
    proxy = CommitProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
