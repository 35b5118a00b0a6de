"""The process of a worker: `python -m kalshi_train.tune.worker FD`, where FD is its pipe."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from multiprocessing.connection import Connection

from kalshi_train.training.child import end_with
from kalshi_train.tune.workers import serve


def main() -> None:
    """Serve until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    logging.getLogger("kalshi_train").setLevel(logging.ERROR)
    logging.getLogger("kalshi_sim").setLevel(logging.ERROR)
    pipe = socket.socket(fileno=int(sys.argv[1]))
    end_with(pipe)
    code = 0
    try:
        serve(Connection(pipe.detach()))
    except KeyboardInterrupt:  # SIGTERM while it trains
        code = 128 + signal.SIGTERM
    os._exit(code)  # without Python's clean-up, which takes seconds where torch is loaded


if __name__ == "__main__":
    main()
