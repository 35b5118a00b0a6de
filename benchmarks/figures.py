"""What a benchmark reports: figures with their spread, ratios taken within one run."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the table: the median of some runs and their range."""

    group: str
    name: str
    unit: str
    median: float
    low: float
    high: float
    runs: int
    at_least: float | None = None
    """Target, if the figure should be large."""
    at_most: float | None = None
    """Target, if the figure should be small."""
    headline: bool = False
    """Whether it stands in the first table of docs/performance.md, too."""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.at_least is not None:
            return self.median >= self.at_least
        if self.at_most is not None:
            return self.median <= self.at_most
        return None


def figure(group: str, name: str, unit: str, values: Sequence[float], **more: Any) -> Figure:
    """The figure of several runs."""
    middle = statistics.median(values)
    return Figure(group, name, unit, middle, min(values), max(values), len(values), **more)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes, by `clock`."""
    start = clock()
    work()
    return clock() - start


def in_turn(
    works: Sequence[Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of each work in each round: [len(works)][rounds], after one untimed round.

    The works take turns, so that whatever else the machine does meets all of them alike.
    """
    for work in works:
        work()
    timed: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(timed, works, strict=True):
            times.append(seconds(work, clock))
    return timed


def ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """upper / lower, round by round."""
    return [a / b for a, b in zip(upper, lower, strict=True)]


Measure = Callable[[bool], list[Figure]]
"""The figures of one benchmark; True: the full scaling tables, else a quick selection."""


def main(measure: Measure, description: str | None) -> None:
    """Command line of a benchmark: `--full` and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="full scaling tables")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    args = parser.parse_args()
    figures = measure(args.full)
    if args.json:
        print(json.dumps([asdict(f) for f in figures]))
        return
    for f in figures:
        print(f"{f.name}: {f.median:,.4g} {f.unit} ({f.low:,.4g} to {f.high:,.4g}, {f.runs} runs)")
