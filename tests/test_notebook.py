"""Names complete with the tab key, and a type checker understands what a user writes."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import kalshi_sim
import kalshi_train
from kalshi_sim import BatchSimulator, KalshiVecEnv, Session, Tape
from kalshi_train import Evaluation

ROOT = Path(__file__).resolve().parents[1]
SNIPPET = ROOT / "tests" / "support" / "typed_snippet.py"


@pytest.mark.parametrize("package", [kalshi_sim, kalshi_train])
def test_public_names_complete(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]  # both packages have it
    assert set(names) <= set(dir(package))
    for name in names:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("kind", [Session, Tape, Evaluation])
def test_tables_complete(kind: type) -> None:
    assert {"to_arrow", "to_pandas", "to_polars"} <= set(dir(kind))


@pytest.mark.parametrize("kind", [BatchSimulator, KalshiVecEnv])
def test_environments_complete(kind: type) -> None:
    assert {"action_masks", "fills", "reset", "state", "step"} <= set(dir(kind))


@pytest.mark.parametrize("package", ["kalshi_sim", "kalshi_train"])
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


def checked(path: Path) -> tuple[int, str]:
    """mypy's judgement; its cache is the one that the checks of the whole tree keep."""
    command = [sys.executable, "-m", "mypy", "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout


def test_a_users_snippet_is_typed(tmp_path: Path) -> None:
    assert checked(SNIPPET) == (0, "Success: no issues found in 1 source file\n")
    wrong = tmp_path / "wrong.py"
    text = SNIPPET.read_text("utf-8").replace("build_tape(session)", 'build_tape("session")')
    wrong.write_text(text, "utf-8")
    code, said = checked(wrong)
    assert code == 1
    assert "build_tape" in said
