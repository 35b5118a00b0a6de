"""Training, its list of runs and validation as a person sees them in a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kalshi_sim import open_store
from kalshi_sim.synthetic.session import generate_session
from tests.support.terminal import in_terminal

TRAIN = [
    *("--session", "1", "--n-envs", "8", "--n-steps", "64", "--batch-size", "512"),
    *("--total-timesteps", "65536", "--num-threads", "1", "--no-tensorboard"),
    *("--eval-freq", "16384"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a session to train on."""
    place = tmp_path_factory.mktemp("terminal")
    open_store(place / "sessions").save(generate_session(1, markets=8, minutes=8, seed=1))
    return place


@pytest.fixture(scope="module")
def training(folder: Path) -> str:
    """What a terminal of 80 columns shows of a run, progress included."""
    return in_terminal("kalshi-train", TRAIN, 80, folder, errors_too=True)


def test_a_bar_shows_how_far_training_is(training: str) -> None:
    steps = [int(n) for n in re.findall(r"PPO\b.*?(\d+)/65536", training)]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2
    assert steps[-1] == 65_536
    assert re.search(r"PPO: evaluating \d held-out markets?", training)
    assert "held-out profit" in training


def test_a_summary_fits_the_terminal(folder: Path, training: str) -> None:
    before, summary = training.split("Training finished")
    assert max(map(len, re.split(r"[\n\r]", before))) <= 80
    assert max(map(len, summary.splitlines())) <= 80
    assert "…" not in training
    assert re.search(r"\nmean profit +[+-]\$\d", summary)
    again = [*TRAIN, "--model-save-path", "narrow"]
    narrow = in_terminal("kalshi-train", again, 60, folder)
    assert max(map(len, narrow.splitlines())) <= 60
    assert "…" not in narrow


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize(
    ("program", "words"), [("kalshi-runs", ["trained_models"]), ("kalshi-sim", ["validate", "1"])]
)
def test_lists_and_checks_fit_the_terminal(
    folder: Path, program: str, words: list[str], width: int
) -> None:
    shown = in_terminal(program, words, width, folder)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
