"""Folders of any name that the system takes, in any locale."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.errors import ConfigError
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.text import json_text
from kalshi_train.config import TrainConfig
from kalshi_train.training.curves import TensorBoardWriter

NAMES = [
    b"a b 'q\" 100%s %(x)d {y} [z]*",
    b"new\nline \x1b[31m",
    b"no \xff\xfe UTF-8",
    "ü — 中".encode(),
]


@pytest.fixture(params=NAMES, ids=["signs", "controls", "bytes", "letters"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with an odd name, and a store in it."""
    folder = tmp_path / os.fsdecode(request.param)
    session = generate_session(1, markets=2, minutes=2, seed=1)
    open_store(folder / "s").save(session)
    return folder


def test_sessions_go_out_and_in_again(odd: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(odd / "s")]
    assert main(["export", "1", *store, "--out", str(odd / "out")]) == 0
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
    captures = sorted(map(str, (odd / "out").glob("*.gz")))
    markets = ["--markets", str(odd / "out" / "markets.csv")]
    assert main(["import", *captures, *markets, *store, "--session", "2", "--json"]) == 0
    capfd.readouterr()
    assert main(["list", *store, "--json"]) == 0
    assert [s["session_id"] for s in json.loads(capfd.readouterr().out)] == [1, 2]
    assert main(["analyze", "1", *store]) == 0
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err


def test_a_plain_locale_shows_what_it_can(odd: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    env |= {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-m", "kalshi_sim.cli", "list", "--store", str(odd / "s")]
    run = subprocess.run(
        ["bash", "-c", shlex.join(words)], env=env, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.isascii()
    assert b"\x1b" not in run.stdout


def test_a_run_s_settings_name_the_same_store(odd: Path) -> None:
    config = TrainConfig(session=1, store=str(odd / "s"))
    stored = json.loads(json.dumps(config.to_json()))
    assert TrainConfig.from_json(stored, "here").store == str(odd / "s")
    assert json.loads(json_text(stored, 2)) == stored
    assert json.loads(json_text({"path": str(odd)})) == {"path": str(odd)}


def test_tensorboard_says_which_names_it_takes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in UTF-8; .*--no-tensorboard"):
        TensorBoardWriter(tmp_path / os.fsdecode(NAMES[2]))
