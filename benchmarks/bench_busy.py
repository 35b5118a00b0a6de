"""Stepping while other processes keep every processor busy: the default threads against one.

    python -m benchmarks.bench_busy [--full]

The two step in turns of a fixed time: which processor the others leave free changes from one
second to the next, and meets both alike so.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import sessions
from benchmarks.bench_step import ENVS, Stepper
from benchmarks.figures import Figure, figure, main, ratios
from kalshi_sim.threads import default_threads, usable_cpus

GROUP = "Stepping on a busy machine"
ROUNDS = 12
TURN_S = 1.0


@contextmanager
def busy_processors() -> Iterator[None]:
    """Inside the block an endless loop runs for every processor this process may use."""
    loop = [sys.executable, "-c", "while 1: pass"]
    loops = [subprocess.Popen(loop) for _ in range(usable_cpus())]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
        for process in loops:
            process.wait()


def _rate(stepper: Stepper) -> float:
    """Environment-steps a second over one turn."""
    begin, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < TURN_S:
        stepper.step(8)
        steps += 8
    return steps * ENVS / passed


def measure(full: bool) -> list[Figure]:
    tape = sessions.tape("generated")
    rounds = 3 * ROUNDS if full else ROUNDS
    default, one = Stepper(tape, ENVS, None), Stepper(tape, ENVS, 1)
    with busy_processors():
        _rate(default)  # the first choice of a number of threads
        rates = [(_rate(default), _rate(one)) for _ in range(rounds)]
    for stepper in (default, one):
        stepper.env.close()
    several, single = ([r[k] for r in rates] for k in range(2))
    what = f"generated tape, {ENVS} environments, random, {usable_cpus()} busy loops"
    ratio = f"{what}: up to {default_threads(ENVS)} threads (default) ÷ one"
    return [
        figure(GROUP, f"{what}, default threads", "env-steps/s", several),
        figure(GROUP, f"{what}, one thread", "env-steps/s", single),
        figure(GROUP, ratio, "×", ratios(several, single), at_least=0.9, headline=True),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
