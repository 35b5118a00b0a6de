"""What is compiled of kernels that kernels call: once, and without what only Python needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.kernels.jit import hot_jit
from tests.support.modes import INTERPRETED

pytestmark = pytest.mark.kernel

COUNT_COMPILED = """
from numba.core import event
from kalshi_sim.kernels.ledger import fill_fee, maker_fee, taker_fee
import kalshi_sim.kernels.batch  # kernels that Python calls too
import numpy as np
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
ints, view = np.ones(32, np.int64), np.ones(32, np.int64)
print(maker_fee(ints, view, 100, 5, 30), fill_fee(7, 100, 10_000, 5, 30, 100, 1))
print(taker_fee(ints, view, 5, 30))  # by what is there for Python by now
names = [e.data["dispatcher"].py_func.__name__ for _, e in compiled.buffer if e.is_start]
print(*sorted(names))
"""

COUNT_SIGNATURES = """
from tests.kernels.test_dispatcher import scaled, twice
twice(5.0)
print(len(scaled.signatures), len(scaled._callee.signatures))
"""


@hot_jit
def scaled(kind: int, value: float, times: int = 2) -> float:
    return value * times if kind == 1 else value + times


@hot_jit
def twice(value: float) -> float:
    return scaled(1, value) + scaled(2, value, times=3)


def test_a_kernel_called_with_constants_is_compiled_once_for_kernels(tmp_path: Path) -> None:
    assert twice(5.0) == 5.0 * 2 + 5.0 + 3
    if not INTERPRETED:
        # With a cache of its own: what is loaded from disk asks for no callee.
        done = subprocess.run(
            [sys.executable, "-c", COUNT_SIGNATURES],
            env={**os.environ, "KALSHI_SIM_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout == "0 2\n", f"one as given, one with its default: {done.stderr}"


def test_a_kernel_that_kernels_call_is_also_called_from_python() -> None:
    twice(5.0)
    assert scaled(1, 5.0) == 10.0
    assert scaled(0, 5.0, times=4) == 9.0
    assert twice(7.0) == 7.0 * 2 + 7.0 + 3


def test_both_kinds_of_code_are_found_on_disk(tmp_path: Path) -> None:
    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", COUNT_COMPILED],
            env={**os.environ, "KALSHI_SIM_CACHE": str(tmp_path), "NUMBA_DISABLE_JIT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    *figures, compiled = run()
    assert compiled.split().count("fill_fee") == 2, "once for a kernel, once for Python"
    assert run() == [*figures, ""]
