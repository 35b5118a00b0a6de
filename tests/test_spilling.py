"""Large arrays lie in a file without a name, and are arrays like all others."""

from __future__ import annotations

import gc
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim.ingest import capture
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.parallel import in_order
from kalshi_sim.spilling import LARGE_BYTES, spilled

LARGE = LARGE_BYTES // 8


def in_file(array: np.ndarray) -> bool:
    """Whether an array's data lie in a mapping of a file without a name."""
    at = array.ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(n, 16) for n in line.split()[0].split("-"))
        if begin <= at < end:
            return line.endswith("(deleted)")
    return False


def nameless() -> int:
    """How many files without a name this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).endswith("(deleted)") for link in links)


def test_large_arrays_of_a_block_lie_in_a_file_until_the_last_is_gone(tmp_path: Path) -> None:
    before = nameless()
    with spilled(tmp_path):
        large, zeros, small = np.arange(LARGE), np.zeros(LARGE), np.arange(10)
        double = large * 2
        grown = np.fromiter(range(LARGE + 1), dtype=np.int64)
    after = np.arange(LARGE)
    assert [in_file(a) for a in (large, zeros, double, grown)] == [True] * 4
    assert [in_file(a) for a in (small, after, double[::-1] + 1)] == [False] * 3
    assert (double == after * 2).all()
    assert not zeros.any()
    assert (grown == np.arange(LARGE + 1)).all()
    assert list(tmp_path.iterdir()) == []
    assert nameless() == before + 1
    del large, zeros, double, grown
    gc.collect()
    assert nameless() == before


def test_threads_of_a_block_use_its_file(tmp_path: Path) -> None:
    with spilled(tmp_path):
        made = list(in_order([LARGE, LARGE + 1, LARGE + 2], np.arange, 2))
    assert all(in_file(array) for array in made)
    assert [int(array[-1]) for array in made] == [LARGE - 1, LARGE, LARGE + 1]


def test_a_file_of_one_block_is_not_used_by_the_next(tmp_path: Path) -> None:
    with spilled(tmp_path):
        kept = np.ones(LARGE)
        with pytest.raises(ZeroDivisionError), spilled(tmp_path):
            raise ZeroDivisionError
        other = np.ones(LARGE)
    assert in_file(other)
    del other
    assert kept.sum() == LARGE


def test_no_room_is_said_and_a_process_ends_with_arrays_left(tmp_path: Path) -> None:
    code = f"""
import resource, sys
import numpy as np
from pathlib import Path
from kalshi_sim.errors import StoreError
from kalshi_sim.spilling import spilled
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
with spilled(Path(sys.argv[1])):
    kept = np.ones({LARGE})
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * {LARGE_BYTES}, hard))
    try:
        with spilled(Path(sys.argv[1])):
            more = [np.ones({LARGE}) for _ in range(9)]
    except StoreError as error:
        print(error)
print(kept.sum())
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert f"no room for the import in memory, or in {tmp_path}" in run.stdout
    assert f"{float(LARGE)}" in run.stdout


def test_an_import_in_a_file_is_the_import_in_memory(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.jsonl"
    with (recordings / "small/mixed-2026-07-01.jsonl").open("rb") as whole:
        file.write_bytes(b"".join(islice(whole, 3000)))
    expected = import_captures([file], session_id=1)
    monkeypatch.setattr(capture, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(capture, "spilled", lambda: spilled(tmp_path, large_bytes=4096))
    found = import_captures([file], session_id=1)
    assert in_file(found.events.size)
    assert found.events.equals(expected.events)
    assert (found.markets, found.quality) == (expected.markets, expected.quality)


def test_a_forked_process_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, sys
import numpy as np
from pathlib import Path
from kalshi_sim.spilling import spilled
with spilled(Path(sys.argv[1])):
    kept = np.ones({LARGE})
child = os.fork()
if child == 0:
    del kept
    os._exit(0)
os.waitpid(child, 0)
print(kept.sum())
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, f"{float(LARGE)}\n"), run.stderr
