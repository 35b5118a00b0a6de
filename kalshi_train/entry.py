"""Where the commands of training begin: see `kalshi_sim.entry`."""

from __future__ import annotations

from kalshi_sim.entry import run


def train() -> int:
    """The command `kalshi-train`.

    Returns:
        Its exit code.
    """
    return run("kalshi-train", "kalshi_train.cli.train", "train_main")


def evaluate() -> int:
    """The command `kalshi-evaluate`.

    Returns:
        Its exit code.
    """
    return run("kalshi-evaluate", "kalshi_train.cli.train", "evaluate_main")


def runs() -> int:
    """The command `kalshi-runs`.

    Returns:
        Its exit code.
    """
    return run("kalshi-runs", "kalshi_train.cli.runs")


def tune() -> int:
    """The command `kalshi-tune`.

    Returns:
        Its exit code.
    """
    return run("kalshi-tune", "kalshi_train.cli.tune")


def trade() -> int:
    """The command `kalshi-trade`.

    Returns:
        Its exit code.
    """
    return run("kalshi-trade", "kalshi_train.cli.trade")
