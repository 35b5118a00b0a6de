"""What a run has done before it was begun again."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kalshi_sim.errors import ConfigError
from kalshi_train.trading.log import read_log


@dataclass(frozen=True)
class Earlier:
    """A run so far; of a new run nothing but its name."""

    run: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Names it in client order ids."""
    legs: int = 0
    """How often it was begun."""
    sent: Collection[str] = ()
    """Client order ids that were, or were about to be, sent."""
    fills: Collection[tuple[str, str]] = ()
    """Trade and order of the fills that it wrote down."""
    start: dict[str, Any] = field(default_factory=dict)
    """The line that its latest leg began with."""


def earlier(folder: Path) -> Earlier:
    """A run so far.

    Args:
        folder: of the run.

    Returns:
        What its log says.

    Raises:
        ConfigError: there is no log, it was changed, or it has no beginning.
    """
    starts: list[dict[str, Any]] = []
    sent: set[str] = set()
    fills: set[tuple[str, str]] = set()
    for line in read_log(folder):
        if line["t"] == "start":
            starts.append(line)
        elif line["t"] == "order":
            sent.add(line["id"])
        elif line["t"] == "fill":
            fills.add((line["trade"], line["oid"]))
    if not starts or "run" not in starts[-1]:
        raise ConfigError(f"{folder}: its log has no beginning that can be gone on with")
    return Earlier(starts[-1]["run"], len(starts), sent, fills, starts[-1])


def legs_of(lines: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The lines of a log by leg, each from its beginning.

    Args:
        lines: of the log.

    Returns:
        A list for each leg; lines before the first beginning are left out.
    """
    out: list[list[dict[str, Any]]] = []
    for line in lines:
        if line["t"] == "start":
            out.append([])
        if out:
            out[-1].append(line)
    return out
