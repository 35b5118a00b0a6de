"""A session measured and its likeness generated, by the commands a person types."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import open_store
from kalshi_sim.cli import main
from kalshi_sim.synthetic.session import generate_session
from tests.support.terminal import in_terminal


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a session of a few busy markets."""
    folder = tmp_path_factory.mktemp("likeness") / "sessions"
    open_store(folder).save(generate_session(1, markets=24, minutes=20, seed=2))
    return folder


def test_a_likeness_is_generated_and_its_profile_kept(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "mine.json"
    words = ["generate", "--store", str(store), "--seed", "3"]
    like = [*words, "--session", "2", "--like", "1", "--rounds", "1"]
    assert main([*like, "--save-profile", str(profile)]) == 0
    shown = capsys.readouterr().out
    assert "compared with session 1" in shown
    assert "rows a minute and market" in shown
    assert main([*words, "--session", "2", "--profile", str(profile), "--overwrite"]) == 0
    again = open_store(store).load(2)
    assert main([*like, "--overwrite"]) == 0
    fitted = open_store(store).load(2)
    assert len(fitted.events) == len(again.events) > 1000
    assert np.array_equal(fitted.events.price, again.events.price)
    capsys.readouterr()
    against = ["measure", "2", "--store", store, "--against", profile]
    shown = in_terminal("kalshi-sim", against, 80, tmp_path)
    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"\nspread, mean over rows, cents( +\d+\.\d\d){2} +[+-]\d+ %\n", shown)
