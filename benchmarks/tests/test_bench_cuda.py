"""The script for a card, tried in Numba's simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_script_compares_and_measures() -> None:
    simulated = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "benchmarks.bench_cuda"]
    done = subprocess.run(
        command, cwd=ROOT, env=simulated, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "16 environments, random: " in done.stdout
