"""Ctrl-C and SIGTERM end every command promptly, in every phase, with 130 and 143."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session

_COMMANDS = {
    "import": "from kalshi_sim.cli.commands import main as f",
    "train": "from kalshi_train.cli.train import train_main as f",
    "evaluate": "from kalshi_train.cli.train import evaluate_main as f",
}


def start(folder: Path, command: str, *arguments: str) -> subprocess.Popen[str]:
    code = f"import sys; {_COMMANDS[command]}; print('on', flush=True); sys.exit(f())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KALSHI_SIM_CACHE": str(folder / "cache")},  # so that kernels compile
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session to load."""
    folder = tmp_path_factory.mktemp("store")
    open_store(folder).save(generate_session(1, markets=30, minutes=20, seed=1))
    return folder


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.3, 5.0])
@pytest.mark.parametrize("phase", ["generate", "train", "evaluate"])
def test_a_signal_ends_a_command_promptly(
    phase: str, after: float, signum: signal.Signals, store: Path, tmp_path: Path
) -> None:
    if phase == "generate":
        run = start(tmp_path, "import", "generate", "--markets", "400", "--store", "s")
    else:
        run = start(tmp_path, phase, "--session", "1", "--store", str(store))
    assert run.stdout is not None
    run.stdout.readline()
    time.sleep(after)
    if run.poll() is not None:
        pytest.fail(f"ended by itself: {run.communicate()[1]}")
    begun = time.monotonic()
    run.send_signal(signum)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + signum, errors
    assert time.monotonic() - begun < 5
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("*.parquet"))


_PROGRAM = """
import ctypes, os, signal, sys
from kalshi_sim.cli.shell import run_command

def work():
    callback = ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.{signum}))
    {swallow}
    {then}

sys.exit(run_command("program", work))
"""


_SWALLOWED = {
    "dropped by ctypes": "callback()",
    "caught by a library": """try:
        os.kill(os.getpid(), signal.{signum})
    except BaseException:
        pass""",
}
"""Where the exception that the signal's handler raises may end."""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallow", list(_SWALLOWED))
@pytest.mark.parametrize(
    ("then", "said"),
    [
        ('raise RuntimeError("no compiled object yet")', "interrupted"),
        ("return 0", "interrupted at its end: its work is done"),
    ],
)
def test_what_follows_a_swallowed_signal_is_the_interruption(
    then: str, said: str, swallow: str, signum: signal.Signals
) -> None:
    code = _PROGRAM.replace("{swallow}", _SWALLOWED[swallow]).replace("{then}", then)
    code = code.format(signum=signum.name)
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (128 + signum, f"program: {said}\n")
