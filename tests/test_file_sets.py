"""Exports that are killed: all files or none, or what no import takes and a rerun repairs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.errors import DataError
from kalshi_sim.file_sets import check_finished, whole_set
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from tests.support.killed import run_killed

MARKETS = 2
MOST_CHANGES = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of two small sessions of the same markets."""
    folder = tmp_path_factory.mktemp("store")
    for number in (1, 2):
        made = generate_session(1, markets=MARKETS, minutes=number, seed=number)
        open_store(folder).save(replace(made, session_id=number))
    return str(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("before", ["nothing", "other files", "another export"])
def test_an_export_killed_at_any_change_of_a_name_is_whole_old_or_refused(
    before: str, store: str, tmp_path: Path
) -> None:
    exported = {}
    for number in (1, 2):
        assert main(["export", str(number), "--store", store, "--out", str(tmp_path / "o")]) == 0
        exported[number] = contents(tmp_path / "o")
        for path in (tmp_path / "o").iterdir():
            path.unlink()
        (tmp_path / "o").rmdir()
    seen, at = set(), 0
    while True:
        at += 1
        assert at < MOST_CHANGES
        place = tmp_path / f"{before[:2]}{at}"
        target = place / "out"
        mine: dict[str, bytes] = {}
        if before != "nothing":
            target.mkdir(parents=True)
            mine = {"notes.txt": b"mine"}
            (target / "notes.txt").write_bytes(b"mine")
        if before == "another export":
            assert main(["export", "1", "--store", store, "--out", str(target)]) == 0
        command = ["kalshi-sim", "export", "2", "--store", store, "--out", str(target)]
        command += ["--overwrite"] if before == "another export" else []
        killed = run_killed(at, place, *command)
        taken = [p for p in target.glob("*") if p.name in exported[2]] if target.exists() else []
        found = {p.name: p.read_bytes() for p in taken}
        if found == exported[2]:
            state = "new"
        elif found == (exported[1] if before == "another export" else {}):
            state = "old"
        else:
            state = "refused"
            csv = target / "markets.csv"
            with pytest.raises(DataError, match="cut short; write them again"):
                import_captures(sorted(target.glob("*.gz")), session_id=3, markets_csv=csv)
        seen.add(state)
        # A rerun needs no --overwrite for what the killed one left, and leaves nothing else.
        again = command if state != "new" else [*command, "--overwrite"]
        assert main(again[1:]) == 0
        assert contents(place) == {f"out/{n}": c for n, c in (mine | exported[2]).items()}
        if not killed:
            break
    # A new folder is renamed as a whole; in another one there are moments in between.
    assert seen == ({"old", "new"} if before == "nothing" else {"old", "refused", "new"})


def test_an_export_into_one_file_comes_with_its_metadata(store: str, tmp_path: Path) -> None:
    for at in range(1, MOST_CHANGES):
        place = tmp_path / str(at)
        place.mkdir()
        out = place / "session.jsonl.gz"
        command = ["export", "1", "--store", store, "--out", str(out)]
        killed = run_killed(at, place, "kalshi-sim", *command)
        if out.exists() and not (place / "session-markets.csv").exists():
            with pytest.raises(DataError, match="cut short"):
                import_captures([out], session_id=1)
        if not killed:
            return
        finished = out.exists() and not list(place.glob(".*"))
        overwrite = ["--overwrite"] if finished else []
        assert main([*command, *overwrite]) == 0
        assert sorted(contents(place)) == ["session-markets.csv", "session.jsonl.gz"]
    pytest.fail("an export changes few names")


def test_a_set_that_another_one_takes_over_is_finished(tmp_path: Path) -> None:
    (tmp_path / ".a.unfinished").write_text('["a", "b"]')
    for name in "ab":
        (tmp_path / name).write_text("half")
    with pytest.raises(DataError, match=r"a is one of several files.*delete .*\.a\.unfinished"):
        check_finished([tmp_path / "c", tmp_path / "a"])
    with whole_set(tmp_path, ["b", "c"]) as temporary:
        for name in "bc":
            (temporary / name).write_text("whole")
    check_finished([tmp_path / "b", tmp_path / "c"])
    with pytest.raises(DataError):
        check_finished([tmp_path / "a"])
    with whole_set(tmp_path, ["a"]) as temporary:
        (temporary / "a").write_text("whole")
    check_finished([tmp_path / "a"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_set_whose_writing_fails_changes_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path):
        with pytest.raises(ZeroDivisionError), whole_set(folder, ["a"]) as temporary:
            (temporary / "a").write_bytes(bytes(1 // 0))
        assert not list(tmp_path.iterdir())


def test_the_command_that_is_told_imports_what_was_written(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs.gz").write_text("of somebody else")
    assert main(["export", "1", "--store", store, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out.split("import it again with: kalshi-sim ")[1]
    command = [*shlex.split(told), "--store", str(tmp_path / "again")]
    assert main(command) == 0
    for word in command[1:3]:
        assert word.startswith(str(tmp_path / "out" / "KXGEN"))
