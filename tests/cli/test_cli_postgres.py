"""`kalshi-sim` on a recorder's database: what people see, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.kernels.jit import cache_root
from kalshi_sim.store import open_store
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import PASSWORD, QUOTED_PASSWORD, Database, execute
from tests.store.test_postgres_store import assert_same

SIM_COMMAND = "from kalshi_sim.cli import main as f"


@pytest.fixture
def recorder(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A session of each era, in a database that DATABASE_URL names."""
    create_schema(database.url)
    for number, era in enumerate("ABC", start=1):
        write_session(database.url, random_recording(number, era), era, session_id=number)
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """(output, errors) so far, which never show the password."""
    captured = capsys.readouterr()
    for secret in (PASSWORD, QUOTED_PASSWORD):
        assert secret not in captured.out + captured.err
    return captured.out, captured.err


def test_list_names_the_eras(recorder: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out, _ = told(capsys)
    assert all(f"kalshiflow {era}" in out for era in "ABC")
    assert main(["list", "--json"]) == 0
    listed = json.loads(told(capsys)[0])
    assert [s["session_id"] for s in listed] == [1, 2, 3]
    assert {s["snapshots"] + s["deltas"] for s in listed} == {200}


def test_analyze_says_what_an_era_lost(
    recorder: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "2"]) == 0
    out, _ = told(capsys)
    text = " ".join(out.split())
    assert "kalshiflow era B: exact up to 50 cents; above" in text
    assert "levels of unknown size" in text


def test_import_and_export_between_stores(
    recorder: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "sessions")
    assert main(["import", recorder.url, "--session", "3", "--store", folder]) == 0
    database, files = open_store(recorder.url), open_store(folder)
    assert_same(files.load(3), database.load(3))
    assert main(["generate", "--markets", "2", "--minutes", "1", "--session", "44"]) == 0
    assert main(["export", "44", "--to", folder]) == 0
    assert_same(files.load(44), database.load(44))
    told(capsys)


def test_bad_rows_fail_unless_skipped(
    recorder: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(recorder.url, "UPDATE rl_orderbook_deltas SET price = 100 WHERE id = 3")
    command = ["import", recorder.url, "--session", "1", "--store", str(tmp_path)]
    assert main(command) != 0
    assert "rl_orderbook_deltas id 3" in told(capsys)[1]
    assert not list(tmp_path.iterdir())
    assert main([*command, "--skip-bad-rows"]) == 0
    assert "skipped 1 row that cannot be right" in " ".join(told(capsys)[0].split())
    assert main(["analyze", "1"]) != 0
    assert main(["analyze", "1", "--skip-bad-rows"]) == 0


def test_faults_end_with_a_code_and_a_sentence(
    recorder: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = recorder.server.url(recorder.name, password="wrong-secret")
    for arguments, words in (
        (["analyze", "99"], "no session 99"),
        (["list", "--store", wrong], "password authentication failed"),
        (["list", "--store", recorder.server.url("nowhere")], "does not exist"),
    ):
        assert main(arguments) != 0
        out, err = told(capsys)
        assert out.strip() == ""
        assert words in err
        assert "wrong-secret" not in err
        assert "Traceback" not in err


def test_no_output_log_or_file_of_a_whole_run_holds_the_password(
    database: Database, tmp_path: Path
) -> None:
    """A session into the database, a model trained from it, resumed and evaluated with a report."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kernels").symlink_to(cache_root() / "kernels")  # compiled ones; tapes are new
    store = ["--store", database.url]
    train = [*store, "--session", "1", "--n-envs", "2", "--n-steps", "64", "--save-freq", "128"]
    commands = {
        "generate": ["--markets", "6", "--minutes", "10", "--session", "1", *store],
        "train": [*train, "--total-timesteps", "256", "--model-save-path", "run/m.zip"],
        "train ": ["--resume-from", "run/m.zip", "--total-timesteps", "384", *store],
        "evaluate": ["run/m.zip", "--session", "1", *store, "--report", "page.html"],
        "evaluate ": ["run/m.zip", "--session", "1", *store, "--json"],
        "list": store,
        "analyze": ["1", *store],
        "export": ["1", *store, "--out", "captures"],
    }
    for command, arguments in commands.items():
        name = command.strip()
        trains = name in ("train", "evaluate")
        code = f"from kalshi_train.cli.train import {name}_main as f" if trains else SIM_COMMAND
        words = arguments if trains else [name, *arguments]
        run = subprocess.run(
            [sys.executable, "-c", f"import sys; {code}; sys.exit(f(sys.argv[1:]))", *words],
            env={**os.environ, "KALSHI_SIM_CACHE": str(cache)},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert run.returncode == 0, (command, run.stderr)
        assert all(s not in run.stdout + run.stderr for s in (PASSWORD, QUOTED_PASSWORD))
    found = [p for p in tmp_path.rglob("*") if "kernels" not in p.parts]
    assert {"config.json", "m.zip", "page.html"} <= {p.name for p in found}
    for path in found:
        content = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content += b"".join(archive.read(name) for name in archive.namelist())
        assert not any(s.encode() in content for s in (PASSWORD, QUOTED_PASSWORD)), path
