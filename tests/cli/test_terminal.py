"""What a person reads: in terminals of 80 and 60 columns, through a pipe, and in ASCII."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.store import open_store
from tests.support.terminal import in_terminal
from tests.support.wire import MARKET, delta, snapshot, write

OTHER = "KXGAME-26MAR18AB-B"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with six sessions of two settled markets, one of them with a name."""
    place = tmp_path_factory.mktemp("terminal")
    book = ([["0.4000", "1200.00"]], [["0.5000", "10.00"]])
    frames = []
    for i, market in enumerate((MARKET, OTHER)):
        frames.append(snapshot(1 + 40 * i, *book, market=market))
        frames += [delta(40 * i + k, 1000 * k, market=market) for k in range(2, 30)]
    capture = write(place / "c.jsonl", *sorted(frames, key=lambda f: int(f["seq"])))
    known = place / "markets.csv"
    known.write_text(f"market_ticker,result\n{MARKET},yes\n{OTHER},no\n")
    session = import_captures([capture], session_id=9, markets_csv=known)
    store = open_store(str(place / "sessions"))
    for number in range(4, 10):
        name = "finals café" if number == 9 else ""
        store.save(replace(session, session_id=number, name=name))
    return place


def piped(folder: Path, *words: str, **environment: str) -> str:
    surroundings = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "COLUMNS")}
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    done = subprocess.run(
        command, cwd=folder, env=surroundings | environment, capture_output=True, check=True
    )
    return done.stdout.decode("ascii" if environment else "utf-8")


LIST_80 = """
sessions in sessions
session   name          data       started (UTC)      markets   deltas   trades
───────────────────────────────────────────────────────────────────────────────
4                       recorded   2026-03-18 19:36         2       56        0
5                       recorded   2026-03-18 19:36         2       56        0
6                       recorded   2026-03-18 19:36         2       56        0
7                       recorded   2026-03-18 19:36         2       56        0
8                       recorded   2026-03-18 19:36         2       56        0
9         finals café   recorded   2026-03-18 19:36         2       56        0
not shown: minutes, snapshots, source (--wide or --columns shows them)
"""

ANALYZE_60 = """
session 9
data                       recorded (capture)
time (UTC)                 2026-03-18 19:36:08 to 2026-03-18
                           19:36:35
length                     0.5 minutes
markets                    2
suitable markets           2, 10 rows or more
with a known result        2
rows                       56, 124 a minute
rows per suitable market   p0 28, p25 28, p50 28, p75 28,
                           p90 28, p100 28
book frames                58
trades                     not recorded
gaps                       not checked
frames without a time      2

the 2 markets with most rows, medians over rows; prices in
  cents, sizes in contracts
market          KXGAME-26MAR18AB-A   KXGAME-26MAR18AB-B
───────────────────────────────────────────────────────
rows                            28                   28
spread                        10.0                 10.0
result                         YES                   NO
trades                           0                    0
bid size                     1,345                1,345
ask size                        10                   10
contracts                        0                    0
minutes                        0.5                  0.5
rows/min                      62.2                 62.2
longest gap s                  1.0                  1.0
two-sided                  100.0 %              100.0 %
depth                        1,355                1,355
"""


def test_a_list_in_80_columns(folder: Path) -> None:
    assert in_terminal("kalshi-sim", ["list"], 80, folder) == LIST_80


def test_an_analysis_in_60_columns(folder: Path) -> None:
    assert in_terminal("kalshi-sim", ["analyze", "9"], 60, folder) == ANALYZE_60


@pytest.mark.parametrize("width", [80, 60, 40])
def test_nothing_is_wider_than_the_terminal_and_no_number_is_cut(folder: Path, width: int) -> None:
    words = ["--session", "9", "--baselines", "hold,always-buy", "--report", "None"]
    words += ["--resamples", "100"]
    shown = in_terminal("kalshi-evaluate", words, width, folder)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    whole = piped(folder, "kalshi-evaluate", *words)
    assert "not shown" in shown
    assert "not shown" not in whole
    cells = {cell for line in whole.splitlines() for cell in line.split()}
    for line in shown.splitlines():
        if line.startswith(("hold ", "always-buy ")):
            assert set(line.split()) <= cells


def test_columns_are_chosen_by_name(folder: Path) -> None:
    shown = in_terminal("kalshi-sim", ["list", "--columns", "Deltas,snapshots"], 60, folder)
    assert shown.splitlines()[2].split() == ["session", "deltas", "snapshots"]
    alone = in_terminal("kalshi-sim", ["list", "--columns", "session"], 60, folder)
    assert alone.splitlines()[2].split() == ["session"]
    wide = in_terminal("kalshi-sim", ["list", "--wide"], 60, folder)
    assert "source" in wide
    assert wide == "\n" + piped(folder, "kalshi-sim", "list").lstrip("\n")
    done = subprocess.run(
        [sys.executable, "-m", "kalshi_sim.cli", "list", "--columns", "delta"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no column named delta; there are session, name" in done.stderr


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_ascii_is_enough(folder: Path, environment: dict[str, str]) -> None:
    text = piped(folder, "kalshi-sim", "list", **environment)
    assert "finals caf\\u00e9" in text
    assert "----" in text
    listed = json.loads(piped(folder, "kalshi-sim", "list", "--json", **environment))
    assert listed[-1]["name"] == "finals café"
    assert "--columns A,B" in piped(folder, "kalshi-sim", "list", "--help", **environment)


@pytest.mark.parametrize(
    ("command", "words", "answer"),
    [
        ("kalshi-sim", ["anlyze", "5"], "no command anlyze; did you mean analyze?"),
        ("kalshi-sim", ["list", "--stroe", "x"], "did you mean --store? (kalshi-sim list --help)"),
        ("kalshi-train", ["--sesion", "5"], "did you mean --session or --sessions?"),
        ("kalshi-evaluate", ["--fill-modell", "queue"], "did you mean --fill-model?"),
    ],
)
def test_mistyped_words_are_answered(command: str, words: list[str], answer: str) -> None:
    path = Path(sys.executable).parent / command
    done = subprocess.run([path, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert answer in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_session_is_found_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from kalshi_train.cli.train import train_main, evaluate_main\n"
        f"words = ['--session', '77', '--store', {str(tmp_path)!r}]\n"
        "codes = train_main(words), evaluate_main(words)\n"
        "print(codes, [m for m in ('torch', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 2) []\n"
    assert done.stderr.count("has no session 77; it has none") == 2


def test_help_is_in_groups_with_one_default_an_option() -> None:
    command = [str(Path(sys.executable).parent / "kalshi-train"), "--help"]
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}
    ).stdout
    groups = [line for line in text.splitlines() if line.startswith("╭")]
    named = [line.split()[1] for line in groups]
    assert named == ["options", "run", "data", "simulation", "learner", "evaluation", "output"]
    options = " ".join(text.replace("│", " ").split()).split(" --")
    for option in options[1:]:
        assert option.count("(default: ") <= 1, option
    by_algorithm = "(default: ppo, maskable-ppo, recurrent-ppo 0.95; a2c 0.98)"
    assert any(by_algorithm in option for option in options)


@pytest.mark.parametrize(
    "words",
    [
        ["kalshi-sim"],
        ["kalshi-sim", "merge"],
        ["kalshi-train"],
        ["kalshi-evaluate"],
        ["kalshi-trade"],
        ["kalshi-tune"],
        ["kalshi-runs"],
    ],
    ids=" ".join,
)
def test_help_fits_the_terminal(words: list[str]) -> None:
    text = subprocess.run(
        [str(Path(sys.executable).parent / words[0]), *words[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    ).stdout
    assert "╭" in text
    assert max(map(len, text.splitlines())) <= 80
