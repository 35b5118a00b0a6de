"""Start-up, each in a process of its own: import, first step of a warm process, cold compile.

python -m benchmarks.bench_startup [--full]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from benchmarks import sessions
from benchmarks.figures import Figure, figure, main
from kalshi_sim.tape_files import save_tape

GROUP = "Start-up"
ROUNDS = 5
_IMPORT = """
import sys, time
start = time.perf_counter()
import kalshi_sim
print(time.perf_counter() - start)
assert "numba" not in sys.modules, "importing kalshi_sim imports numba"
"""
_NAMES = """
import time
start = time.perf_counter()
from kalshi_sim import KalshiVecEnv, SimConfig, build_tape, open_store
print(time.perf_counter() - start)
"""
_FIRST_STEP = """
import sys, time
from pathlib import Path
import numpy as np
from kalshi_sim import KalshiVecEnv
from kalshi_sim.tape_files import open_tape
start = time.perf_counter()
env = KalshiVecEnv(open_tape(Path(sys.argv[1])), 1024)
env.reset()
env.step(np.zeros(1024, np.int64))
print(time.perf_counter() - start)
"""
_COLD = """
import logging, sys, time
from pathlib import Path
import numpy as np
from kalshi_sim import KalshiVecEnv, build_tape
from kalshi_sim.store import open_store
logging.basicConfig(level=logging.WARNING)
session = open_store(sys.argv[1]).load(int(sys.argv[2]))
start = time.perf_counter()
env = KalshiVecEnv(build_tape([session]), 16)
env.reset()
env.step(np.ones(16, np.int64))
print(time.perf_counter() - start)
"""


def _run(code: str, *args: str, cache: str | None = None) -> tuple[float, str]:
    """The number that `code` prints in a fresh process, and what it logs."""
    env = dict(os.environ)
    if cache is not None:
        env["KALSHI_SIM_CACHE"] = cache
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=sessions.ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"a process that was to be timed failed:\n{done.stderr}")
    return float(done.stdout), done.stderr


def _several(code: str, *args: str) -> list[float]:
    _run(code, *args)
    return [_run(code, *args)[0] for _ in range(ROUNDS)]


def _first_step(name: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "tape"
        save_tape(sessions.tape(name), saved)
        return _several(_FIRST_STEP, str(saved))


def _cold() -> float:
    """Compile every kernel from nothing."""
    sessions.store("generated")
    with tempfile.TemporaryDirectory() as cache:
        where = (str(sessions.STORE), str(sessions.GENERATED))
        taken, log = _run(_COLD, *where, cache=cache)
    if "compiling" not in log:
        warnings.warn("nothing said that kernels are being compiled", stacklevel=2)
    return taken


def measure(full: bool) -> list[Figure]:
    imported = _several(_IMPORT)
    first = _first_step(sessions.main_name())
    cold = [_cold() for _ in range(3 if full else 1)]
    return [
        figure(GROUP, "import kalshi_sim", "s", imported, at_most=0.3, headline=True),
        figure(
            GROUP,
            "import of its names (numba, gymnasium and torch with them)",
            "s",
            _several(_NAMES),
        ),
        figure(
            GROUP,
            "first step of a warm process, from the cached tape, 1024 environments",
            "s",
            first,
            at_most=1,
            headline=True,
        ),
        figure(
            GROUP,
            "first step with nothing compiled, building of the tape included",
            "s",
            cold,
            at_most=40,
            headline=True,
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
