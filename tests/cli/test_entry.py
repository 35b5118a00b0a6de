"""A signal while a command is imported: one line, a shell's exit code, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

COMMANDS = {
    "kalshi-sim": ("kalshi_sim.entry", "sim", "kalshi_sim.cli.commands"),
    "kalshi-train": ("kalshi_train.entry", "train", "kalshi_train.cli.train"),
    "kalshi-evaluate": ("kalshi_train.entry", "evaluate", "kalshi_train.cli.train"),
    "kalshi-runs": ("kalshi_train.entry", "runs", "kalshi_train.cli.runs"),
    "kalshi-tune": ("kalshi_train.entry", "tune", "kalshi_train.cli.tune"),
    "kalshi-trade": ("kalshi_train.entry", "trade", "kalshi_train.cli.trade"),
}
SCRIPT = """
import os, sys, importlib

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {signum})

sys.meta_path.insert(0, Interrupting())
sys.argv = ["command", {word!r}]
sys.exit(getattr(importlib.import_module({entry!r}), {function!r})())
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", COMMANDS)
def test_a_signal_during_imports_is_one_line(program: str, signum: signal.Signals) -> None:
    entry, function, module = COMMANDS[program]
    script = SCRIPT.format(
        entry=entry, function=function, module=module, signum=int(signum), word="--help"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (128 + signum, f"{program}: interrupted\n")
    assert done.stdout == ""


HALF = """
import importlib.machinery, os, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name != "numpy._core._multiarray_umath":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        spec.loader = type("Loader", (), {
            "create_module": staticmethod(spec.loader.create_module),
            "exec_module": staticmethod(lambda module: (load(module), os.kill(os.getpid(), 2))),
        })()
        return spec

sys.meta_path.insert(0, Interrupting())
sys.argv = ["command", "--session=1"]
from kalshi_train.entry import train
sys.exit(train())
"""


def test_a_signal_while_numpy_is_loaded_is_one_line() -> None:
    """Half loaded, it cannot be loaded again: what words a message needs must not need it."""
    done = subprocess.run([sys.executable, "-c", HALF], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "kalshi-train: interrupted\n")


def test_the_installed_commands_begin_here() -> None:
    from importlib.metadata import entry_points

    found = {e.name: e.value for e in entry_points(group="console_scripts")}
    for program, (entry, function, _) in COMMANDS.items():
        assert found[program] == f"{entry}:{function}"
