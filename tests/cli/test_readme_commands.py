"""The commands of the README, as they stand there, on a small recording."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from kalshi_sim.ingest.export import export_captures
from kalshi_sim.synthetic.session import generate_session

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]


def lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def run(line: str, folder: Path) -> None:
    """A line of the README, but for a shorter training."""
    program, *words = shlex.split(line.replace("500000", "4096"))
    module, _, name = SCRIPTS[Path(program).name].partition(":")
    arguments: list[str] = []
    for word in words:
        arguments += sorted(str(p) for p in folder.glob(word)) if "*" in word else [word]
    code = f"import sys; from {module} import {name} as main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    made = generate_session(18, markets=8, minutes=10, seed=4, edge=0.5)
    export_captures(made, tmp_path / "captures")
    metadata = next((tmp_path / "captures").glob("*.csv"))
    metadata.rename(tmp_path / "markets.csv")
    commands = [line for line in lines() if line.startswith(".venv/bin/")]
    # One needs an exchange, one several events: tests/trading and tests/tune run them.
    named = {f".venv/bin/{name}" for name in SCRIPTS} - {
        f".venv/bin/kalshi-{name}" for name in ("trade", "tune")
    }
    assert {line.split()[0] for line in commands} == named
    evaluation = [line for line in commands if "kalshi-evaluate" in line]
    for line in [line for line in commands if line not in evaluation]:
        run(line, tmp_path)
    run(".venv/bin/kalshi-train --session 18 --total-timesteps 500000", tmp_path)  # make train
    for line in evaluation:
        run(line, tmp_path)
    assert list(tmp_path.rglob("*.html"))
