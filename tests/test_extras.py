"""What the core does without the libraries of the extras, and that it names them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kalshi_sim import __version__
from kalshi_sim.extras import EXTRAS, missing_extra
from support.lowest import lowest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def run_without(modules: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter in which these modules cannot be imported."""
    block = (
        "import sys\n"
        "class Absent:\n"
        "    @staticmethod\n"
        "    def find_spec(name, *rest):\n"
        f"        if name.partition('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", block + code], capture_output=True, text=True, check=False, cwd=ROOT
    )


EVERY = tuple(module for modules in EXTRAS.values() for module in modules)


def test_extras_name_what_pyproject_installs() -> None:
    for extra, modules in EXTRAS.items():
        listed = [re.split(r"[\[<>=]", r)[0] for r in PROJECT["optional-dependencies"][extra]]
        assert sorted(m.replace("_", "-") for m in modules) == sorted(listed)


def test_the_core_replays_and_steps_without_any_extra() -> None:
    done = run_without(
        EVERY,
        "import numpy as np\n"
        "from kalshi_sim import BatchSimulator, build_tape, LiveMarket\n"
        "from kalshi_sim.synthetic.session import generate_session\n"
        "from kalshi_sim.analysis import analyze_session\n"
        "session = generate_session(1, markets=8, minutes=10)\n"
        "analyze_session(session)\n"
        "simulator = BatchSimulator(build_tape([session]), 2)\n"
        "simulator.reset()\n"
        "print(simulator.step(np.zeros(2, int))[0].shape)\n",
    )
    assert done.stdout == "(2, 52)\n", done.stderr


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("train", "from kalshi_sim import KalshiVecEnv"),
        ("train", "from kalshi_sim import KalshiVectorEnv"),
        ("train", "from kalshi_train import FastPPO"),
        ("postgres", "import kalshi_sim; kalshi_sim.open_store('postgresql://nobody@localhost/x')"),
    ],
)
def test_a_name_that_needs_an_extra_says_which(extra: str, code: str) -> None:
    done = run_without(EXTRAS[extra], code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kalshi_sim.errors.MissingExtraError: this needs ")
    assert last.endswith(f"pip install 'kalshi-sim[{extra}]'")


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("postgres", "from kalshi_sim.cli import main; code = main(['list', '--store', URL])"),
        ("train", "from kalshi_sim.cli import main; code = main(['validate', '--store', URL])"),
        (
            "train",
            "from kalshi_train.cli.train import train_main; code = train_main(['--store', URL])",
        ),
    ],
)
def test_a_command_says_which_extra_in_one_line(extra: str, command: str, tmp_path: Path) -> None:
    url = "postgresql://nobody@localhost/x" if extra == "postgres" else str(tmp_path)
    code = f"URL = {url!r}\n{command}\nsys.exit(code)\n"
    done = run_without(EXTRAS[extra], code)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"pip install 'kalshi-sim[{extra}]'"), line


def test_what_no_extra_installs_stays_what_it_is() -> None:
    assert missing_extra(ModuleNotFoundError("no", name="elsewhere.part")) is None
    named = missing_extra(ModuleNotFoundError("no", name="torch.nn"))
    assert named is not None
    assert "kalshi-sim[train]" in str(named)


@pytest.mark.parametrize(
    ("module", "program"),
    [
        ("kalshi_sim.cli:main", "kalshi-sim"),
        ("kalshi_train.cli.train:train_main", "kalshi-train"),
        ("kalshi_train.cli.train:evaluate_main", "kalshi-evaluate"),
        ("kalshi_train.cli.runs:main", "kalshi-runs"),
        ("kalshi_train.cli.tune:main", "kalshi-tune"),
        ("kalshi_train.cli.trade:main", "kalshi-trade"),
    ],
)
def test_every_command_has_a_version(module: str, program: str) -> None:
    home, _, name = module.partition(":")
    code = f"import {home} as home\nsys.exit(home.{name}(['--version']))\n"
    done = run_without((), code)
    assert (done.returncode, done.stdout) == (0, f"{program} {__version__}\n")


def test_every_command_of_the_package_is_asked_for_its_version() -> None:
    asked = {"kalshi-sim", "kalshi-train", "kalshi-evaluate", "kalshi-runs"}
    asked |= {"kalshi-tune", "kalshi-trade"}
    assert set(PROJECT["scripts"]) == asked


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    pins = lowest()
    assert "numpy==2.0" in pins
    extras = [PROJECT["optional-dependencies"][extra] for extra in EXTRAS]
    needed = {re.split(r"[\[<>=]", r)[0]: r for g in [PROJECT["dependencies"], *extras] for r in g}
    for name, requirement in needed.items():
        (pin,) = [p for p in pins if p.startswith(f"{name}==")]
        assert pin.replace("==", ">=") == re.sub(r"\[.*\]", "", requirement) or name == "torch"
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    assert {p for p in pins if p.partition("==")[0] not in needed} <= set(constraints)
