"""A node's part in a training on a cluster: one learner, in a worker of Ray Train."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import threading
import traceback
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from kalshi_sim import __version__
from kalshi_sim.cluster.node import Begun, logged_to
from kalshi_sim.errors import KalshiSimError
from kalshi_sim.files import make_folder
from kalshi_sim.interrupts import Interrupted, StopRequest
from kalshi_train.learner.group import Group
from kalshi_train.training.checkpoints import read_checkpoint
from kalshi_train.training.pieces import send_file
from kalshi_train.training.ray_messages import (
    Failed,
    Fault,
    LearnersTask,
    Over,
    Stopped,
)
from kalshi_train.training.run import follow, lead
from kalshi_train.training.together import ToldToEndError

_MIRRORED_S: Final = 0.5
"""How often it is looked what learner 0 has written."""
_CHECKPOINT: Final = "checkpoint.zip"


def learn_on_node(given: dict[str, Any]) -> None:
    """A node's part, in the process of a worker of Ray Train.

    Args:
        given: the task, and the mailbox of the command.

    Raises:
        BaseException: this learner ends early; the command knows why.
    """
    ray: Any = importlib.import_module("ray")
    context: Any = importlib.import_module("ray.train").get_context()
    joined: Any = importlib.import_module("torch.distributed").group.WORLD
    task: LearnersTask = given["task"]
    mailbox = given["mailbox"]
    group = Group(context.get_world_rank(), context.get_world_size(), joined)

    def send(message: object) -> None:
        ray.get(mailbox.put.remote(message))

    send(Begun(socket.gethostname(), __version__))
    try:
        _learn(task, group, send, lambda: ray.get(mailbox.asked.remote()))
    except ToldToEndError:
        return
    except Interrupted as interrupted:
        send(Stopped(interrupted.signum, str(interrupted)))
    except KalshiSimError as error:
        send(Failed(group.rank, error))
        raise
    except BaseException:
        send(Fault(group.rank, traceback.format_exc()))
        raise


def _learn(task: LearnersTask, group: Group, send: Any, asked: Any) -> None:
    config = task.run.config
    with task.run.placed() as here:
        checkpoint = None
        if task.checkpoint is not None:
            path = here.folder.with_name(_CHECKPOINT)
            path.write_bytes(task.checkpoint)
            checkpoint = read_checkpoint(path)
        if group.rank:
            follow(here.used(config), None, checkpoint, lambda: group)
            return
        for name, content in task.files.items():
            (here.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (here.folder / name).write_bytes(content)
        make_folder(here.folder)
        with logged_to(send, task.level), _mirrored(here.folder, send):
            others = contextlib.nullcontext(_OnNodes(group, asked))
            result = lead(config, checkpoint, here, others, command=task.run.command)
        values = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "model"}
        send(Over(values))


class _OnNodes:
    """The other learners, as learner 0 sees them: Ray Train has placed and joined them."""

    def __init__(self, group: Group, asked: Any) -> None:
        self._group, self._asked = group, asked

    def join(self) -> Group:
        """The group of all."""
        return self._group

    def obey(self, stop: StopRequest) -> None:
        """Stop when the command is asked to."""

        def listen() -> None:
            with contextlib.suppress(Exception):  # the command is gone
                stop.signum = self._asked()

        threading.Thread(target=listen, daemon=True, name="asked").start()


@contextlib.contextmanager
def _mirrored(folder: Path, send: Any) -> Iterator[None]:
    """What is written into a folder inside the block is sent, soon and at its end."""
    sent: dict[str, tuple[int, int]] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_MIRRORED_S):
            _send_changed(folder, sent, send)

    thread = threading.Thread(target=watch, daemon=True, name="mirror")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _send_changed(folder, sent, send)


def _send_changed(folder: Path, sent: dict[str, tuple[int, int]], send: Any) -> None:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name.startswith(".") or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            found = os.fstat(file.fileno())
            state = found.st_mtime_ns, found.st_size
            if sent.get(name) == state:
                continue
            send_file(file, name, send)
            sent[name] = state
