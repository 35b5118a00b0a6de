"""From captures to a tape: import, Parquet, replay.

    pytest benchmarks/bench_replay.py --benchmark-enable --benchmark-only

Import and replay use one core; beside the wall clock stands that thread's own processor
time, which other work on the machine disturbs less. `extra_info` says how much work a round is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import sessions
from kalshi_sim import Session, build_tape
from kalshi_sim.session import EventKind

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
