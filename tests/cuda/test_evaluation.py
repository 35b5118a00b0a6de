"""An evaluation on a card gives the same JSON as one on a processor, byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.cuda.target import has_card
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape_cache import as_tape
from kalshi_train.cli.train import evaluate_main
from kalshi_train.evaluation import evaluate
from tests.cuda.test_training import REAL, ROOT
from tests.support.card_evaluation import as_json, whole


def test_the_json_is_the_same_byte_by_byte(short_store: Path) -> None:
    """A masked network, the random baseline and quoters that cancel, under three fill models; and
    whole episodes with their fills, in one launch and in many."""
    simulated = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    env = {**os.environ, **({} if REAL else simulated)}
    command = [sys.executable, "-m", "tests.support.card_evaluation", str(short_store)]
    done = subprocess.run(command, check=False, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures, episodes = done.stdout.splitlines()
    assert figures == as_json(str(short_store), "cpu")
    assert episodes == json.dumps(whole(str(short_store), "cpu"))
    network = json.loads(figures)["policies"][0]["fill_models"]["queue"]
    assert sum(m["fills"] for m in network["markets"]) > 0


@pytest.mark.skipif(REAL, reason="there is a card")
def test_a_card_that_is_not_there_is_one_clear_line(
    short_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not has_card()
    given = ["--store", str(short_store), "--session", "1", "--device"]
    assert evaluate_main([*given, "cuda"]) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1
    assert "device cuda" in shown[0]
    assert evaluate_main([*given, "gpu"]) == 2
    assert "must be cpu, cuda or auto" in capsys.readouterr().err
    tape = as_tape(1, str(short_store))
    with pytest.raises(ConfigError, match="device cuda"):
        evaluate("hold", tape, device="cuda")
    assert evaluate("hold", tape, device="auto", resamples=100).runs[0].total.fills == 0
