"""What README says of every command, and of the tables of those that measure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim import __version__
from kalshi_sim.cli.commands import main
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.runs import main as runs_main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [["--version"], ["generate", "--version"], ["list", "--version"]])
def test_a_command_of_a_command_has_a_version(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"kalshi-sim {__version__}\n"


def test_a_version_is_told_beside_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert runs_main(["absent", "--version"]) == 0
    assert capsys.readouterr().out == f"kalshi-runs {__version__}\n"


def test_measured_figures_are_shown_by_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    store = str(tmp_path / "sessions")
    open_store(store).save(generate_session(1, markets=4, minutes=5, seed=1))

    def shown(*words: str) -> str:
        assert main(["measure", "1", "--store", store, *words]) == 0
        return capsys.readouterr().out

    assert "standard error" in shown("--wide")
    chosen = shown("--columns", "value")
    assert "value" in chosen
    assert "standard error" not in chosen
    assert "difference" in shown("--against", "fight", "--columns", "difference")
    assert main(["measure", "1", "--store", store, "--columns", "colour"]) == 2
    assert "no column named colour" in capsys.readouterr().err


def test_what_the_commands_of_the_readme_make_in_a_clone_is_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert {"sessions/", "trained_models/", "/evaluation.html", "/mine.zip"} <= set(ignored)


COMPLETE = """
source <({program} --tyro-print-completion bash)
function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_LINE="{program} {words}"; COMP_WORDS=({program} {words}); COMP_POINT=${{#COMP_LINE}}
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$function
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("program", "words", "completed"),
    [
        ("kalshi-sim", "val", "validate"),
        ("kalshi-sim", "list --wi", "--wide"),
        ("kalshi-train", "--total-t", "--total-timesteps"),
        ("kalshi-evaluate", "--resam", "--resamples"),
    ],
)
def test_a_shell_completes_words(program: str, words: str, completed: str) -> None:
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = COMPLETE.format(program=program, words=words)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=here
    )
    assert done.stdout.split() == [completed]


@pytest.mark.parametrize("shell", [[], ["powershell"]])
def test_a_shell_that_is_not_known_is_named(
    shell: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tyro-print-completion", "bash"]) == 0
    assert "complete" in capsys.readouterr().out
    assert main(["--tyro-print-completion", *shell]) == 2
    assert "takes the name of a shell: bash, zsh, tcsh, fish" in capsys.readouterr().err
