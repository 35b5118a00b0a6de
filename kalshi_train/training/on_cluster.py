"""Runs on a Ray cluster: each is a task of a node, and what it writes comes back as bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kalshi_sim.cluster import Begun, Job, Resources, Send, Tasks, connect, nodes_of
from kalshi_sim.files import make_folder, temporary_folder
from kalshi_sim.interrupts import Interrupted
from kalshi_sim.text import numbered
from kalshi_train.config import TrainConfig
from kalshi_train.training.pieces import Piece, keep_piece, put_whole, send_file
from kalshi_train.training.run import RESULTS_FILE, train
from kalshi_train.training.run_lock import locked
from kalshi_train.training.run_task import RunTask

logger = logging.getLogger(__name__)


def train_on_cluster(
    configs: Sequence[TrainConfig], address: str, command: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Train runs on a cluster; each one's files come into its folder once it is over.

    A run has one thread unless its settings say more. It is the same as on this machine with so
    many threads, wherever the nodes have the same processors and libraries.

    Args:
        configs: of the runs.
        address: of the cluster's head, or auto.
        command: the words of the command line that asked for them.

    Yields:
        The place of a run that is over, and its figures.

    Raises:
        KalshiSimError: a run could not be made.
        Interrupted: Ctrl-C; the runs that are not over are given up.
    """
    logger.info("connecting to the Ray cluster")
    cards = any(node.gpus for node in nodes_of(connect(address)))
    configs = [_for_nodes(config, cards) for config in configs]
    jobs = [
        Job(
            config.run_folder.name,
            _train_here,
            RunTask.of(config, command),
            needs_of(config),
        )
        for config in configs
    ]
    with ExitStack() as held:
        arriving = []
        for config in configs:
            make_folder(config.run_folder)
            held.enter_context(locked(config.run_folder))
            arriving.append(
                held.enter_context(temporary_folder(config.run_folder, "arriving")),
            )

        def hear(index: int, message: object) -> None:
            if isinstance(message, Begun):
                _empty(arriving[index])
            elif isinstance(message, Piece):
                keep_piece(message, arriving[index])

        level = logging.getLevelName(configs[0].log_level)
        over = 0
        try:
            for index, figures in Tasks(address, jobs, hear, level=level).results():
                _put(arriving[index], configs[index].run_folder)
                over += 1
                logger.info("%s: over, %s", jobs[index].name, figures["verdict"])
                yield index, figures
        except Interrupted as stop:
            kept = f"{over} of {numbered(len(jobs), 'run')} are over, the others are given up"
            raise Interrupted(stop.signum, f"interrupted; {kept}") from stop


def _for_nodes(config: TrainConfig, cards: bool) -> TrainConfig:
    """The settings with what a run on a node takes where nothing was asked for."""
    device = config.learner.device
    chosen = "cpu" if device == "auto" and not cards else device
    return config.changed(num_threads=config.num_threads or 1, device=chosen)


def needs_of(config: TrainConfig) -> Resources:
    """What a run takes of a node.

    Args:
        config: of the run.

    Returns:
        A processor for each thread of each learner, and a graphics card unless it uses none.
    """
    cpus = (config.num_threads or 1) * config.learners
    return Resources(cpus, int(config.learner.device != "cpu"))


def _train_here(task: RunTask, send: Send) -> dict[str, Any]:
    """A node's part: train in a folder of its own, and send what lies there."""
    with task.placed() as here:
        result = train(task.config, command=task.command, whereabouts=here)
        for path in sorted(here.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    send_file(file, str(path.relative_to(here.folder)), send)
        return result.figures(task.config)


def _files(folder: Path) -> list[Path]:
    """Those in a folder and below it, the results last: a run that has them is over."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: (path.name == RESULTS_FILE, path))


def _empty(folder: Path) -> None:
    for path in _files(folder):
        path.unlink()


def _put(arrived: Path, folder: Path) -> None:
    """Files under their names, each whole or not at all."""
    for path in _files(arrived):
        put_whole(str(path.relative_to(arrived)), arrived, folder)
