"""Folders of compiled kernels: those of versions nobody runs go, those in use stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kalshi_sim.kernels import cache_folders
from kalshi_sim.kernels.cache_folders import remove_unused, take_folder

pytestmark = pytest.mark.kernel

DAY_S = 86_400
HOLD = """
import sys
from pathlib import Path
from kalshi_sim.kernels.cache_folders import take_folder
print(take_folder(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def unused(folder: Path, days: float) -> Path:
    """A folder of a process that is gone, last used so many days ago."""
    folder.mkdir(parents=True)
    (folder / "kernel.nbc").write_bytes(b"code")
    mark = folder / ".used"
    mark.touch()
    at = time.time() - days * DAY_S
    os.utime(mark, (at, at))
    return folder


def test_a_new_version_removes_those_not_used_for_a_month(tmp_path: Path) -> None:
    old, recent = unused(tmp_path / "old", 31), unused(tmp_path / "recent", 29)
    assert take_folder(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "recent"]
    assert take_folder(tmp_path / "new"), "again"
    assert not old.exists()
    assert (recent / "kernel.nbc").read_bytes() == b"code"


def test_a_folder_that_a_process_uses_stays_until_the_process_ends(tmp_path: Path) -> None:
    folder = tmp_path / "in use"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=-1, stdout=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        os.utime(folder / ".used", (0, 0))
        assert remove_unused(tmp_path) == []
        assert folder.exists()
        process.communicate("")
    assert remove_unused(tmp_path) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_versions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folders, "KEPT_FOLDERS", 2)
    folders = [unused(tmp_path / str(days), days) for days in (1, 2, 3, 4)]
    assert remove_unused(tmp_path) == folders[2:]


def test_folders_of_before_and_halves_of_removals_go_too(tmp_path: Path) -> None:
    before = tmp_path / "without a mark"
    before.mkdir()
    os.utime(before, (0, 0))
    half = unused(tmp_path / "version.removed-1234", 0)
    remove_unused(tmp_path)
    assert not before.exists()
    assert not half.exists()


def test_a_folder_removed_while_it_is_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "version"
    removals = iter([True, False])
    touch = os.utime

    def removed_before(path: Path) -> None:
        if path.parent == folder and next(removals):
            (folder / ".used").unlink()
            folder.rmdir()
        touch(path)

    monkeypatch.setattr(os, "utime", removed_before)
    assert take_folder(folder)
    assert (folder / ".used").exists()


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not take_folder(tmp_path / "file" / "version")
