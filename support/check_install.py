"""What an installation of the core alone must do, run by an interpreter that has no extra.

    python -m support.check_install

Makes a session, stores it, replays it and steps it; then asks for what the extras bring and
expects one line that names the extra.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import kalshi_sim
from kalshi_sim.errors import MissingExtraError
from kalshi_sim.extras import EXTRAS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the installed commands."""
    program = Path(sys.executable).with_name(arguments[0])
    return subprocess.run(
        [str(program), *arguments[1:]], capture_output=True, text=True, check=False
    )


def expect(held: bool, what: str) -> None:
    """Stop with what did not hold."""
    if not held:
        raise SystemExit(f"check of the installation: {what}")


def check_core(store: str) -> None:
    """Commands, replay and stepping, without a library of the extras in the process."""
    made = run("kalshi-sim", "generate", "--markets", "3", "--minutes", "5", "--store", store)
    expect(made.returncode == 0, made.stderr)
    capture = f"{store}/capture.ndjson"
    for command in (
        ("export", "1", "--out", capture),
        ("import", capture, "--session", "2"),
        ("list", "--json"),
        ("analyze", "2"),
    ):
        done = run("kalshi-sim", *command, "--store", store)
        expect(done.returncode == 0, f"{command[0]}: {done.stderr}")
        if command[0] == "list":
            expect(len(json.loads(done.stdout)) == 2, done.stdout)
    tape = kalshi_sim.build_tape([kalshi_sim.open_store(store).load(2)])
    simulator = kalshi_sim.BatchSimulator(tape, 4)
    simulator.reset()
    for action in range(5):
        simulator.step(np.full(4, action))
    loaded = [m for modules in EXTRAS.values() for m in modules if m in sys.modules]
    expect(not loaded, f"{loaded} loaded by the core")


def check_missing(store: str) -> None:
    """What needs an extra names it in one line."""
    postgres = "postgresql://nobody@localhost/nothing"
    for extra, command in (
        ("train", ("kalshi-train", "--store", store, "--session", "1")),
        ("train", ("kalshi-sim", "validate", "1", "--store", store)),
        ("postgres", ("kalshi-sim", "list", "--store", postgres)),
    ):
        done = run(*command)
        named = f"pip install 'kalshi-sim[{extra}]'"
        expect(done.returncode != 0 and named in done.stderr, f"{command}: {done.stderr}")
        expect(len(done.stderr.splitlines()) == 1, f"{command}: {done.stderr}")
    try:
        kalshi_sim.KalshiVecEnv  # noqa: B018  # the access itself imports
    except MissingExtraError as error:
        expect("kalshi-sim[train]" in str(error), str(error))
    else:
        expect(False, "KalshiVecEnv without Stable-Baselines3")


def main() -> None:
    """All checks; the second half where no extra is installed."""
    with tempfile.TemporaryDirectory() as folder:
        check_core(folder)
        every = [m for modules in EXTRAS.values() for m in modules]
        if not any(map(importlib.util.find_spec, every)):
            check_missing(folder)
    print(f"kalshi-sim {kalshi_sim.__version__} on Python {sys.version.split()[0]}: ok")


if __name__ == "__main__":
    main()
