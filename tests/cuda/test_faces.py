"""The environments of a card give what those of a processor do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REAL = bool(os.environ.get("KALSHI_SIM_TEST_CUDA"))


def test_vec_env_torch_env_and_memory_message() -> None:
    simulated = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    env = {**os.environ, **({} if REAL else simulated)}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.support.card_faces"]
    done = subprocess.run(command, check=False, env=env, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_methods_in_any_order_stay_within_their_arrays() -> None:
    """Numba's simulator checks every index; a card does not."""
    env = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "tests.support.card_any_order"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, check=False, env=env, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
