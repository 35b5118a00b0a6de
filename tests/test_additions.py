"""What CONTRIBUTING says of additions, done in a copy of the package with the files it names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTED = """
import numpy as np
from kalshi_sim import FEATURES, BatchSimulator, SimConfig, build_tape
from kalshi_sim.synthetic.session import generate_session

tape = build_tape([generate_session(7, markets=2, minutes=3, seed=1, deltas=150)], depth=64)
"""
PIPES = """
from collections.abc import Iterator

import msgspec

from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions, convert_lines
from kalshi_sim.ingest.sources import Source


class PipesReader:
    name = "pipes"
    record = "line"

    def knows(self, head: Head) -> bool:
        return head.text.split(b"\\n", 1)[0].count(b"|") == 4

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        yield from convert_lines(source, _convert)


def _convert(line: bytes) -> bytes:
    ms, ticker, side, cents, contracts = line.decode().split("|")
    change = {"side": side, "price": int(cents), "delta": int(contracts), "ts_ms": int(ms)}
    return msgspec.json.encode(
        {"type": "orderbook_delta", "msg": {"market_ticker": ticker, **change}}
    )
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "kalshi_sim", tmp_path / "kalshi_sim", ignore=ignored))


def add(package: Path, file: str, before: str, after: str) -> None:
    """Replace what stands once in a file."""
    text = (package / file).read_text("utf-8")
    assert text.count(before) == 1, f"{before!r} in {file}"
    (package / file).write_text(text.replace(before, after), "utf-8")


def run(package: Path, *command: str) -> str:
    """What a command prints with the copy; as plain Python, so that nothing is compiled."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=package.parent,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_feature(package: Path) -> None:
    row = '    ("two_sided", "1 if both sides are quoted, else 0", 0.0),\n'
    own = '    ("bid_share", "share of the bids in all contracts shown", 0.0),\n'
    add(package, "features.py", row, row + own)
    columns = "kernels/observation.py"
    add(package, columns, "    TWO_SIDED,\n", "    TWO_SIDED,\n    BID_SHARE,\n")
    add(package, columns, "range(53)", "range(54)")
    formula = "    out[BID_SIZE] = log_scaled(bid_top, LOG_SIZE)\n"
    own = "    out[BID_SHARE] = book.total[0] / max(1, book.total[0] + book.total[1])\n"
    add(package, "kernels/features.py", "    BID_LEVELS,\n", "    BID_LEVELS,\n    BID_SHARE,\n")
    add(package, "kernels/features.py", formula, formula + own)
    assert "| 21 | `bid_share` |" in run(package, "-m", "kalshi_sim.features")
    check = """
at = [f.name for f in FEATURES].index("bid_share")
shown = tape.qty.sum(2)
assert tape.features.shape == (len(tape), 41)
assert abs(tape.features[:, at] - shown[:, 0] / shown.sum(1)).max() < 1e-6
for view in tape.views:  # what stands beside the features in a row is as it was
    assert (np.diff(tape.ts_ms[view.start : view.stop]) > 0).all()
    assert tape.flow_offsets[view.start] >= 0
simulator = BatchSimulator(tape, 2, SimConfig())
assert simulator.reset().shape == (2, 53)
obs = simulator.step(np.array([1, 2]))[0]
rows = simulator.agents.core[:, 1]
print(abs(obs[:, at] - tape.features[rows, at]).max(), FEATURES[-1].index)
"""
    assert run(package, "-c", TESTED + check) == "0.0 52\n"


def test_a_fill_model(package: Path) -> None:
    names = 'FillModel = Literal["through", "queue", "prob", "touch"]'
    add(package, "config.py", names, names.replace('"touch"', '"half", "touch"'))
    numbers = "THROUGH, QUEUE, PROB, TOUCH = 0, 1, 2, 3\n"
    own = "THROUGH, QUEUE, PROB, HALF, TOUCH = 0, 1, 2, 3, 4\n"
    add(package, "kernels/layout.py", numbers, own)
    rules = "kernels/fill_models.py"
    add(package, rules, "import PROB, TOUCH", "import HALF, PROB, TOUCH")
    branch = "    if fill_model == TOUCH:\n        return touch_fills(traded), ahead\n"
    own = "    if fill_model == HALF:\n        return traded // 2, ahead\n"
    add(package, rules, branch, branch + own)
    check = """
filled = {}
for model in ("queue", "half", "touch"):
    config = SimConfig(pricing="join", fill_model=model, record_fills=True)
    simulator = BatchSimulator(tape, 2, config)
    simulator.reset()
    filled[model] = 0
    for k in range(200):
        simulator.step(np.full(2, 1 if k % 2 else 3))
        filled[model] += int(simulator.fills()["qty"].sum())
print(filled["queue"] < filled["half"] < filled["touch"])
"""
    assert run(package, "-c", TESTED + check) == "True\n"


def test_a_reader(package: Path) -> None:
    (package / "ingest" / "readers" / "pipes.py").write_text(PIPES)
    names = 'sqlite"\n'
    add(package, "ingest/formats.py", names, 'sqlite, pipes"\n')
    polls = "from kalshi_sim.ingest.readers.polls import PollsReader\n"
    own = "from kalshi_sim.ingest.readers.pipes import PipesReader\n"
    add(package, "ingest/readers/__init__.py", polls, own + polls)
    add(
        package,
        "ingest/readers/__init__.py",
        "    PollsReader(),\n",
        "    PipesReader(),\n    PollsReader(),\n",
    )
    path = package.parent / "lines.txt"
    path.write_text("1773862566001|KXP-1|yes|40|10\n1773862566101|KXP-1|no|55|7\n")
    imported = ["-m", "kalshi_sim.cli", "import", str(path), "--missing-snapshot", "smallest"]
    for number, chosen in enumerate(([], ["--format", "pipes"]), 1):
        run(package, *imported, *chosen, "--store", "sessions", "--session", str(number))
    listed = run(package, "-m", "kalshi_sim.cli", "list", "--store", "sessions", "--json")
    assert listed.count('"deltas": 2') == 2
    assert "pipes" in run(package, "-m", "kalshi_sim.cli", "import", "--help")


def test_a_command_flag(package: Path) -> None:
    option = '    as_json: JsonOption = False,\n) -> int:\n    """The sessions of a store."""\n'
    own = '    min_deltas: Annotated[int, arg(help="Fewest deltas.")] = 0,\n'
    add(package, "cli/commands.py", option, own + option)
    listed = "    sessions = open_store(store).list_sessions()\n    if as_json"
    own = "    sessions = [s for s in sessions if s.deltas >= min_deltas]\n    if as_json"
    add(package, "cli/commands.py", listed, listed.replace("    if as_json", own))
    command = ["-m", "kalshi_sim.cli"]
    made = ["--markets", "1", "--minutes", "1", "--store", "sessions", "--session", "4"]
    run(package, *command, "generate", *made)
    assert '"session_id": 4' in run(package, *command, "list", "--store", "sessions", "--json")
    fewest = ["--min-deltas", "10000000"]
    assert run(package, *command, "list", "--store", "sessions", "--json", *fewest).strip() == "[]"
    assert "--min-deltas" in run(package, *command, "list", "--help")
