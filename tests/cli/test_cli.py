"""The command `kalshi-sim`, run as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.cli import USER_MISTAKE, main
from kalshi_sim.store import open_store
from tests.support.lives import fee_frame, life_frame, ranges
from tests.support.wire import MARKET, T0, book, delta, snapshot, trade, write

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kalshi_sim.cli", *map(str, arguments)],
        cwd=cwd,
        env={
            **{k: v for k, v in os.environ.items() if k != "DATABASE_URL"},
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def done(*arguments: object, cwd: Path, **environment: str) -> str:
    result = run(*arguments, cwd=cwd, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def as_json(*arguments: object, cwd: Path) -> Any:
    return json.loads(done(*arguments, "--json", cwd=cwd))


def mistake(code: int, *arguments: object, cwd: Path, **environment: str) -> str:
    """What an erring command says; never a traceback."""
    result = run(*arguments, cwd=cwd, **environment)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr + result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a capture, markets.csv and a store that holds session 9 made of them."""
    folder = tmp_path_factory.mktemp("cli")
    lines = [book(1), *[delta(2 + i, 10 * i, size=f"{i}.00") for i in range(30)]]
    lines += [delta(32, 400, size="-10.00"), trade(1, 401)]
    write(folder / "a.jsonl.gz", *lines, snapshot(33, market="KXGAME-26MAR18AB-B"))
    (folder / "markets.csv").write_text(f"market_ticker,result\n{MARKET},yes\n")
    done("import", "a.jsonl.gz", "--markets", "markets.csv", "--session", 9, cwd=folder)
    return folder


def test_help_is_quick_and_names_every_command(tmp_path: Path) -> None:
    begun = time.perf_counter()
    text = done("--help", cwd=tmp_path)
    assert time.perf_counter() - begun < 5
    for command in ("import", "list", "analyze", "generate", "export", "validate"):
        assert command in text
    assert "--whole-subscription" in done("import", "--help", cwd=tmp_path)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from kalshi_sim.cli.commands import main; main(['--help']); "
        "print([m for m in ('numba', 'pyarrow', 'torch', 'asyncpg') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.endswith("[]\n")


def test_import_reports_what_it_found(folder: Path) -> None:
    report = as_json("import", "a.jsonl.gz", "--store", "other", "--whole-subscription", cwd=folder)
    assert report["session_id"] == 1
    assert (report["book_frames"], report["snapshots"], report["deltas"]) == (33, 2, 31)
    assert (report["trades"], report["trades_matched"], report["match_rate"]) == (1, 1, 1.0)
    assert (report["gaps"], report["markets"], report["bad_lines"]) == (0, 2, 0)
    text = done("import", "a.jsonl.gz", "--store", "other", "--session", 4, cwd=folder)
    assert "1 matched (100.0 %)" in text
    assert "\x1b" not in text


def test_list_shows_the_sessions_of_a_store(folder: Path) -> None:
    assert "KX" not in done("list", cwd=folder)
    (listed,) = as_json("list", cwd=folder)
    assert (listed["session_id"], listed["markets"], listed["deltas"]) == (9, 2, 31)
    (again,) = json.loads(done("list", "--json", cwd=folder, DATABASE_URL=str(folder / "sessions")))
    assert again == listed
    assert "has no sessions" in done("list", "--store", "empty", cwd=folder)
    assert as_json("list", "--store", "empty", cwd=folder) == []


def test_analyze_measures_rows_spreads_depth_and_quality(folder: Path) -> None:
    found = as_json("analyze", 9, cwd=folder)
    assert (found["rows"], found["suitable_markets"], found["markets"]) == (31, 1, 2)
    best, other = found["details"]
    assert best["market_ticker"] == MARKET
    assert (best["suitable"], other["suitable"], best["two_sided_share"]) == (True, False, 1.0)
    assert (best["spread_median_cents"], best["bid_size_median"]) == (5.0, 220.0)
    assert best["settlement_value_cents"] == 100.0
    assert other["reason"] == "0 rows; needs 10"
    assert found["quality"]["markets"][MARKET]["trades_matched"] == 1
    text = done("analyze", cwd=folder)
    assert MARKET in text
    assert "1 of 2 markets are not suitable" in text
    (every,) = as_json("analyze", cwd=folder)
    assert every == found


def test_changes_in_markets_are_counted(tmp_path: Path) -> None:
    """2 pauses, 1 change of the grid and 1 of the fees in one market; none in the other."""
    grid = ranges(("0", "1", "0.001"))
    lines = [
        *(book(1), book(2, market="KXGAME-26MAR18AB-B"), delta(3, 10)),
        life_frame(MARKET, "deactivated", ts_ms=T0 + 20),
        life_frame(MARKET, "activated", ts_ms=T0 + 30),
        life_frame(MARKET, "deactivated", ts_ms=T0 + 40),
        life_frame(MARKET, "price_level_structure_updated", price_ranges=grid, ts_ms=T0 + 50),
        fee_frame("quadratic", 2, market_ticker=MARKET, ts_ms=T0 + 60),
        *(delta(4 + i, 100 + i) for i in range(20)),
    ]
    write(tmp_path / "life.jsonl", *lines)
    texts = [done("import", "life.jsonl", cwd=tmp_path, COLUMNS="80"), ""]
    texts[1] = done("analyze", cwd=tmp_path, COLUMNS="80")
    for text in texts:
        shown = [line for line in text.splitlines() if "pauses" in line or "changes of" in line]
        assert [line.split() for line in shown] == [
            ["pauses", "of", "trading", "2"],
            ["changes", "of", "the", "grid", "1"],
            ["changes", "of", "the", "fees", "1"],
        ]
        assert max(map(len, shown)) <= 80
    imported = as_json("import", "life.jsonl", "--session", 2, cwd=tmp_path)
    analysed = as_json("analyze", 2, cwd=tmp_path)
    for counts in (imported["total"], analysed["total"], analysed["quality"]["markets"][MARKET]):
        assert (counts["pauses"], counts["grid_updates"], counts["fee_updates"]) == (2, 1, 1)
    other = analysed["quality"]["markets"]["KXGAME-26MAR18AB-B"]
    assert (other["pauses"], other["grid_updates"], other["fee_updates"]) == (0, 0, 0)


def test_export_and_import_give_the_session_back(folder: Path) -> None:
    report = as_json("export", 9, "--out", "out/one.jsonl.gz", cwd=folder)
    command = report["import_command"].split()
    assert command[:2] == ["kalshi-sim", "import"]
    done(*command[1:], "--store", "back", "--session", 9, cwd=folder)
    one, other = (open_store(folder / name).load(9) for name in ("sessions", "back"))
    assert one.events.equals(other.events)
    assert one.markets == other.markets
    assert "markets.csv" in done("export", 9, "--out", "many", cwd=folder)
    assert "is there already" in mistake(2, "export", 9, "--out", "many", cwd=folder)


def test_sessions_are_copied_between_stores(folder: Path) -> None:
    done("export", 9, "--to", "copy", cwd=folder)
    done("import", "sessions", "--store", "pulled", "--session", 9, cwd=folder)
    original = open_store(folder / "sessions").load(9)
    for name in ("copy", "pulled"):
        assert open_store(folder / name).load(9).events.equals(original.events)


def test_generate_is_reproducible(tmp_path: Path) -> None:
    options = ("--markets", 4, "--minutes", 2, "--seed", 5, "--edge", 0.5, "--session", 3)
    done("generate", *options, "--store", "a", cwd=tmp_path)
    report = as_json("generate", *options, "--store", "b", cwd=tmp_path)
    assert (report["session_id"], report["source"], report["markets"]) == (3, "synthetic", 4)
    names = ("a", "b")
    one, other = ((tmp_path / n / "session-3.parquet").read_bytes() for n in names)
    assert one == other


def test_validate_checks_the_newest_session(tmp_path: Path) -> None:
    done("generate", "--markets", 30, "--minutes", 10, "--session", 3, "--store", ".", cwd=tmp_path)
    result = run("validate", "--store", ".", "--json", cwd=tmp_path)
    report = json.loads(result.stdout)
    assert report["session_id"] == 3
    assert result.returncode == (0 if report["valid"] else 1)


def test_bad_data_fails_and_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "bad.jsonl", book(1), "nonsense", delta(2, 0))
    said = mistake(1, "import", "bad.jsonl", "--store", "s", cwd=tmp_path)
    assert "bad.jsonl, line 2" in said
    assert not (tmp_path / "s").exists()
    report = as_json("import", "bad.jsonl", "--store", "s", "--max-bad-lines", 1, cwd=tmp_path)
    assert report["bad_lines"] == 1


def test_a_foreign_file_in_a_store_fails_clearly(tmp_path: Path) -> None:
    (tmp_path / "session-1.parquet").write_text("mine")
    assert "session-1.parquet is damaged" in mistake(1, "list", "--store", ".", cwd=tmp_path)
    assert "session-1.parquet" in mistake(1, "analyze", 1, "--store", ".", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("frobnicate",), "frobnicate"),
        (("list", "--colour"), "--colour"),
        (("analyze", "nine"), "nine"),
        (("analyze", 77), "no session 77"),
        (("analyze", 9, "--min-episode-length", 1), "min_episode_length=1"),
        (("import",), "name capture files"),
        (("import", "nowhere.gz"), "no capture file nowhere.gz"),
        (("import", "a.jsonl.gz", "--session", 9), "already has session 9"),
        (("import", "a.jsonl.gz", "--session", -1), "must be 0 or more"),
        (("import", "a.jsonl.gz", "--max-bad-lines", -1), "must be 0 or more"),
        (("import", "."), "folder without sessions"),
        (("import", "sessions"), "--session ID"),
        (("generate", "--markets", 0, "--store", "g"), "markets"),
        (("export", 9), "--out FILE"),
        (("export", 77, "--out", "x.jsonl"), "no session 77"),
        (("validate", 77), "no session 77"),
    ],
)
def test_mistakes_are_told_clearly(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main([*map(str, arguments)]) == USER_MISTAKE
    told = capsys.readouterr()
    assert complaint in told.err + told.out


def test_a_markets_file_with_a_mistake_is_named(folder: Path) -> None:
    (folder / "wrong.csv").write_text("market_ticker,close_time\nA,soon\n")
    said = mistake(1, "import", "a.jsonl.gz", "--markets", "wrong.csv", "--store", "w", cwd=folder)
    assert "wrong.csv, line 2, column close_time" in said


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:hush@127.0.0.1:1/none"
    said = mistake(1, "list", "--store", url, cwd=tmp_path)
    assert "hush" not in said
    assert "127.0.0.1" in said


def test_the_end_of_a_pipe_is_no_error(folder: Path) -> None:
    command = f"{sys.executable} -m kalshi_sim.cli analyze 9 --json | head -c 10"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
