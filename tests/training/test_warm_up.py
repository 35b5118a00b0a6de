"""Compiling ahead: all that training needs, with a sign of life all the while."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kalshi_train import warm_up

SILENT_S = 30.0
"""Two seconds on a quiet machine; a busy one may take a process's turn away for longer."""
COUNT = """
import sys
from numba.core import event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
from kalshi_sim import KalshiVecEnv, SimConfig
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_build import build_tape
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.learner.algorithms import FastPPO
tape = build_tape([generate_session(1, markets=2, minutes=20)])
del compiled.buffer[:]
model = FastPPO("MlpPolicy", KalshiVecEnv(tape, 256), n_steps=4, n_epochs=2, batch_size=512)
model.learn(1024)
play_heldout(tape, SimConfig(), policy_from_model(model, "model"))
print(sorted({e.data["dispatcher"].py_func.__name__ for _, e in compiled.buffer}))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, str]]]:
    """A cache into which all was compiled, and the lines that said so, with their times."""
    cache = tmp_path_factory.mktemp("cache")
    lines = [(time.monotonic(), "")]
    with subprocess.Popen(
        [sys.executable, "-m", "kalshi_train.warm_up"],
        env=os.environ | {"KALSHI_SIM_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines += [(time.monotonic(), line) for line in process.stdout]
    lines.append((time.monotonic(), ""))
    assert process.returncode == 0, lines
    return cache, lines


def test_compiling_ahead_is_never_silent_for_long(
    compiled: tuple[Path, list[tuple[float, str]]],
) -> None:
    _, lines = compiled
    times = [at for at, _ in lines]
    said = [line for _, line in lines if "done" in line]
    assert max(b - a for a, b in itertools.pairwise(times)) < SILENT_S
    assert len(said) >= (times[-1] - times[0]) / 6, "a line at least every other second"


def test_training_compiles_nothing_more(
    compiled: tuple[Path, list[tuple[float, str]]],
) -> None:
    cache, _ = compiled
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=os.environ | {"KALSHI_SIM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert warm_up.main(["nothing"]) == 2
    assert "nothing: no such part; there are simulation, learner" in capsys.readouterr().err
