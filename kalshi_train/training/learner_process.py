"""A learner beside the first: `python -m kalshi_train.training.learner_process FD`, FD its pipe."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from kalshi_sim.errors import KalshiSimError
from kalshi_train.training.child import end_with

if TYPE_CHECKING:
    from kalshi_train.training.local_learners import LearnerTask


def main() -> None:
    """Train until the first learner ends."""
    for asked in (signal.SIGINT, signal.SIGTERM):  # learner 0 decides for all, and ends this one
        signal.signal(asked, signal.SIG_IGN)
    for name in ("kalshi_train", "kalshi_sim"):
        logging.getLogger(name).setLevel(logging.ERROR)
    pipe = socket.socket(fileno=int(sys.argv[1]))
    end_with(pipe)
    with Connection(pipe.detach()) as connection:
        code = _serve(connection)
    os._exit(code)  # without Python's clean-up, which takes seconds where torch is loaded


def _serve(connection: Connection) -> int:
    from kalshi_train.learner.group import LostLearnerError
    from kalshi_train.training.local_learners import Failed
    from kalshi_train.training.together import ToldToEndError

    answer: Failed | None = None
    try:
        _learn(connection.recv(), connection)
    except (EOFError, ToldToEndError):
        return 0
    except LostLearnerError:  # another one died; learner 0 notices it too
        return 0
    except KalshiSimError as error:
        answer = Failed(str(error), is_fault=False)
    except Exception:
        answer = Failed(traceback.format_exc(), is_fault=True)
    if answer is None:
        return 0
    with suppress(OSError):
        connection.send(answer)
    return 1


def _learn(task: LearnerTask, connection: Connection) -> None:
    from kalshi_train.learner.group import Group
    from kalshi_train.training.local_learners import Ready
    from kalshi_train.training.resume import check_resume
    from kalshi_train.training.run import follow

    size = task.config.learners

    def join() -> Group:
        connection.send(Ready())
        return Group.meet(task.meeting, task.rank, size)

    follow(task.config, task.sessions, check_resume(task.config), join)


if __name__ == "__main__":
    main()
