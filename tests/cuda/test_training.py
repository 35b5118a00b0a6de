"""`kalshi-train --device cuda`: on a card, or without one in Numba's simulator of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_train.cli.train import train_main

REAL = bool(os.environ.get("KALSHI_SIM_TEST_CUDA"))
ROOT = Path(__file__).parents[2]


def test_trains_resumes_bit_for_bit_evaluates_and_opens_anywhere(
    tmp_path: Path, short_store: Path
) -> None:
    """PPO with masks, history and the curriculum by need; A2C with normalised observations."""
    simulated = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    env = {**os.environ, **({} if REAL else simulated)}
    command = [sys.executable, "-m", "tests.support.card_training", str(short_store), str(tmp_path)]
    done = subprocess.run(command, check=False, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused = done.stdout.splitlines()[-1]
    assert refused.startswith("refused: the card has 64 MiB free, but a rollout of 1,000,000 steps")
    assert "of 4 environments takes" in refused
    assert refused.endswith("MiB; choose fewer steps or fewer environments")


@pytest.mark.skipif(REAL, reason="there is a card")
@pytest.mark.parametrize("more", [(), ("--algorithm", "dqn"), ("--stock-sb3",), ("--dry-run",)])
def test_a_card_that_is_not_there_is_one_clear_line(
    short_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    given = [
        "--store",
        str(short_store),
        "--session",
        "1",
        "--model-save-path",
        str(tmp_path / "run"),
    ]
    assert train_main([*given, "--device", "cuda", *more]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "device cuda" in line]
    assert len(lines) == 1
    assert "use device cpu" in lines[0] or "pip install" in lines[0]
    assert not (tmp_path / "run").exists()
