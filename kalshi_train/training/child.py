"""Processes that end when the one that started them does."""

from __future__ import annotations

import os
import select
import socket
import threading


def end_with(connection: socket.socket) -> None:
    """End this process when the other end of a socket is closed, whatever it is doing.

    Args:
        connection: nothing is read from it.
    """
    watched = connection.dup()

    def watch() -> None:
        poll = select.poll()
        poll.register(watched.fileno(), select.POLLRDHUP)
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
