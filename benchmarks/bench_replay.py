"""From captures to a tape: import, Parquet, replay.

    pytest benchmarks/bench_replay.py --benchmark-enable --benchmark-only

Import and replay use one core; beside the wall clock stands that thread's own processor
time, which other work on the machine disturbs less. `extra_info` says how much work a round is.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sessions
from benchmarks.figures import ratios, seconds
from kalshi_sim import Session, build_tape
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from kalshi_sim.threads import usable_cpus

RECORDED = sessions.recorded_names()
GROUP = "Import and replay"


def run(
    benchmark: Any,
    name: str,
    unit: str,
    amount: int,
    work: Callable[[], Any],
    *,
    rounds: int,
    at_least: float,
    one_core: bool = True,
) -> Any:
    """Time `work`; what the table needs goes into `extra_info`.

    The target holds for the processor time of work on one core, else for the wall clock.
    """
    processor: list[float] = []

    def timed() -> Any:
        start = time.thread_time()
        result = work()
        processor.append(time.thread_time() - start)
        return result

    result = benchmark.pedantic(timed, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info.update(
        group=GROUP,
        figure=name,
        unit=unit,
        amount=amount,
        at_least=at_least,
        headline=True,
        processor_seconds=processor[1:] if one_core else [],
    )
    return result


@pytest.mark.parametrize("name", RECORDED)
def test_import(benchmark: Any, name: str) -> None:
    imported: Session = run(
        benchmark,
        f"import of the {name} captures",
        "frames/s",
        _frames(sessions.session(name)),
        lambda: sessions.import_recording(name),
        rounds=3,
        at_least=150_000,
    )
    assert imported.events.equals(sessions.session(name).events)


@contextmanager
def processors(n: int) -> Iterator[None]:
    """All work on `n` processors, where the system can be asked for that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse(files: list[Path]) -> int:
    """What is read with the standard library alone: every line as a Python object."""
    frames = 0
    for path in files:
        with gzip.open(path) as lines:
            for line in lines:
                if line.strip():
                    json.loads(line)
                    frames += 1
    return frames


@pytest.mark.parametrize(
    ("whole", "named", "target"),
    [(False, "", 2.0), (True, ", gaps by sequence number too", None)],
    ids=["frames", "gaps"],
)
@pytest.mark.parametrize("name", RECORDED[:1])
def test_import_against_json(
    benchmark: Any, name: str, whole: bool, named: str, target: float | None
) -> None:
    """Processor time of all threads; both take turns on the same three files."""
    files = sessions.captures(name)[:3]
    ours: list[float] = []
    theirs: list[float] = []

    def imported() -> Session:
        return import_captures(files, session_id=1, whole_subscription=whole)

    def turn() -> None:
        theirs.append(seconds(lambda: parse(files), time.process_time))
        ours.append(seconds(imported, time.process_time))

    with processors(1):
        benchmark.pedantic(turn, rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(
        group=GROUP,
        figure=f"import against gzip + json.loads, one core{named}",
        at_least=target,
        headline=target is not None,
        ratios=ratios(theirs[1:], ours[1:]),
    )
    assert len(imported().markets) == len(files)


@pytest.mark.skipif(usable_cpus() < 2, reason="one processor")
@pytest.mark.parametrize("name", RECORDED[:1])
def test_import_on_two_processors(benchmark: Any, name: str) -> None:
    """Wall clock of the whole recording, on one processor and on two in turn."""
    one: list[float] = []
    two: list[float] = []

    def imported() -> Session:
        return import_captures(sessions.captures(name), session_id=1)

    def turn() -> None:
        with processors(1):
            one.append(seconds(imported, time.perf_counter))
        with processors(2):
            two.append(seconds(imported, time.perf_counter))

    benchmark.pedantic(turn, rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(
        group=GROUP,
        figure="import on two processors against one",
        at_least=1.7,
        headline=True,
        ratios=ratios(one[1:], two[1:]),
    )


def _frames(session: Session) -> int:
    """Wire frames that reported something of a book or a trade."""
    return int((session.events.kind != EventKind.LEVEL).sum())


@pytest.mark.parametrize("name", [*RECORDED, "generated"])
def test_build_tape(benchmark: Any, name: str) -> None:
    session = sessions.session(name)
    tape = run(
        benchmark,
        f"build_tape of the {name} session",
        "events/s",
        len(session.events),
        lambda: build_tape([session]),
        rounds=5,
        at_least=2e6,
    )
    benchmark.extra_info["row_bytes"] = tape.row_bytes
    assert tape.row_bytes <= 400


@pytest.mark.parametrize("name", [*RECORDED[:1], "generated"])
def test_load_parquet(benchmark: Any, name: str) -> None:
    store = sessions.store(name)
    loaded: Session = run(
        benchmark,
        f"loading the {name} session from Parquet",
        "events/s",
        len(sessions.session(name).events),
        lambda: store.load(sessions.session_id(name)),
        rounds=7,
        at_least=5e6,
        one_core=False,
    )
    assert loaded.events.equals(sessions.session(name).events)
