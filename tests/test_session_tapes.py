"""`kalshi-sim replay`: the same tapes by one process and by several, found again, and failures."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim import session_tapes
from kalshi_sim.cli.commands import main
from kalshi_sim.cli.session_ids import session_ids
from kalshi_sim.session_tapes import SessionTape, replay_sessions_into_tapes
from kalshi_sim.tape_cache import cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of tapes."""
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "tapes"))
    return cache_folder()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def replayed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["replay", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_several_processes_make_the_tapes_that_one_makes(
    store_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(store_folder)]
    code, found = replayed(capsys, *store, "--jobs", "2")
    assert code == 0
    assert [(s["session_id"], s["how"]) for s in found["sessions"]] == [
        (6, "replayed"),
        (9, "replayed"),
    ]
    of_two = contents(cache)
    assert {Path(name).parent.name for name in of_two} == {s["key"] for s in found["sessions"]}
    shutil.rmtree(cache)
    replay_sessions_into_tapes(str(store_folder), [6, 9], jobs=1)
    assert contents(cache) == of_two
    code, found = replayed(capsys, *store, "--sessions", "6-9", "--jobs", "1")
    assert code == 1  # sessions 7 and 8 are not there
    assert found["counts"] == {"replayed": 0, "fetched": 0, "cached": 2, "failed": 2}
    assert "has no session 7" in found["sessions"][1]["reason"]


def test_failures_are_named_below_the_table(
    store_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--store", str(store_folder), "--sessions", "6,9", "--jobs", "1"]
    assert main(["replay", *words, "--min-episode-length", "100000"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 failed" in shown
    assert shown.count("failed: no market") == 2


def test_a_tape_is_put_into_the_shared_place_and_comes_from_there(
    store_folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = replay_sessions_into_tapes(str(store_folder), [6], jobs=1)
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("KALSHI_SIM_SHARED_TAPES", f"fsspec+file://{shared}")
    (found,) = replay_sessions_into_tapes(str(store_folder), [6], jobs=1)
    assert found.how == "cached"
    assert contents(shared) == contents(cache)  # it was only in the cache
    shutil.rmtree(cache)
    (fetched,) = replay_sessions_into_tapes(str(store_folder), [6], jobs=1)
    assert (fetched.how, fetched.key) == ("fetched", made.key)
    assert contents(shared) == contents(cache)
    shutil.rmtree(shared)
    shared.write_text("no folder")
    (lost,) = replay_sessions_into_tapes(str(store_folder), [6], jobs=1)
    assert lost.how == "failed"
    assert "shared place" in lost.reason


def test_a_tape_that_the_full_cache_drops_is_said(
    store_folder: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_SIM_CACHE_BYTES", "1")
    code, found = replayed(capsys, "--store", str(store_folder), "--jobs", "1")
    assert code == 0
    assert found["notes"] == [
        "1 tape of these had to go again: the cache is full; raise KALSHI_SIM_CACHE_BYTES"
    ]


def _killed(task: Any) -> SessionTape:
    if task.session_id == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return SessionTape(task.session_id, "replayed", "here")


def test_a_process_that_is_killed_fails_its_session_after_three_times(
    store_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_tapes, "_replay", _killed)
    killed, other = replay_sessions_into_tapes(str(store_folder), [6, 9], jobs=2)
    assert killed.how == "failed"
    assert "killed 3 times" in killed.reason
    assert other.how == "replayed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sessions", "9-6"], "a range goes up"),
        (["--sessions", "6,6"], "named twice"),
        (["--jobs", "0"], "--jobs 0: must be 1 or more"),
        (["--jobs", "2", "--ray", "auto"], "give --jobs or --ray, not both"),
        (["--store", "absent"], "absent"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    said: str,
    store_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", str(store_folder))
    assert main(["replay", *words]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_lists_of_sessions_have_ranges() -> None:
    assert session_ids("6, 9,1-3") == (6, 9, 1, 2, 3)
    assert session_ids("") == ()
    for wrong in ("3-1", "1-999999999", "a", "-1-3", "1-"):
        with pytest.raises(ValueError, match=r"."):
            session_ids(wrong)
