"""`kalshi-sim` on a recorder's database: what people see, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.store import open_store
from support.kalshiflow_writer import create_schema, random_recording, write_session
from support.postgres import PASSWORD, QUOTED_PASSWORD, Database, execute
from tests.store.test_postgres_store import assert_same


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
