"""Files written whole or not at all, whatever happens to their writers."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.files import remove_leftovers, whole_file, whole_folder, write_json, write_whole

_WRITER = """
import sys, time
from pathlib import Path
from kalshi_sim.files import whole_file, whole_folder
write = whole_folder if sys.argv[2] == "folder" else whole_file
with write(Path(sys.argv[1])) as temporary:
    (temporary / "part" if sys.argv[2] == "folder" else temporary).write_bytes(b"half")
    print(temporary, flush=True)
    time.sleep(600)
"""


def start_writer(path: Path, kind: str) -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of writing `path`, and its temporary path."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        return process, Path(said.readline().strip())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_spared(
    kind: str, tmp_path: Path
) -> None:
    killed, left = start_writer(tmp_path / "killed", kind)
    living, spared = start_writer(tmp_path / "living", kind)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert left.exists()
        (tmp_path / ".somebody.else.tmp").write_text("not ours")
        remove_leftovers(tmp_path)
        assert not left.exists()
        assert spared.exists()
        assert (tmp_path / ".somebody.else.tmp").exists()
        assert not (tmp_path / "killed").exists()
    finally:
        living.kill()
        living.wait()
    write_whole(tmp_path / "next", b"")
    assert not spared.exists()


def test_a_file_is_replaced_only_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_bytes(bytes(1 // 0))
    assert path.read_bytes() == b"old"
    with pytest.raises(FileExistsError), whole_file(path, replace=False) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    write_json(path, {"a": 1})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"")
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "part").write_bytes(b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_the_second_writer_of_a_folder_leaves_the_first_ones(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "part").write_text(text)
    assert (tmp_path / "folder" / "part").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_no_room_is_one_clear_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*file: File too large; raise"):
            write_whole(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another path"):
        write_whole(tmp_path / "file" / "below", b"")


def test_kills_at_any_moment_leave_a_whole_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = (
        "import sys; from pathlib import Path; from kalshi_sim.files import write_whole\n"
        "for k in range(10**6): write_whole(Path(sys.argv[1]), bytes([k % 256]) * 300_000)"
    )
    for k in range(8):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.013 * k)
        process.kill()
        process.wait()
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
        assert len(list(tmp_path.iterdir())) <= 2
        path.unlink()
    write_whole(path, b"")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
