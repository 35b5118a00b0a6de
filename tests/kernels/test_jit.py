"""The cache of machine code: never stale, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.kernels import jit as _jit
from tests.support.modes import INTERPRETED

pytestmark = pytest.mark.kernel

USE_A_KERNEL = """
from kalshi_sim.kernels import jit as _jit
from kalshi_sim.kernels.ladder import mirror
print(mirror(30, 100), _jit.is_warm("mirror"))
"""


def run(cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE_A_KERNEL],
        env=os.environ | {"KALSHI_SIM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    paths = [tmp_path / "a.py", tmp_path / "b.py"]
    for path in paths:
        path.write_text("x = 1\n")
    monkeypatch.setattr(_jit, "_SOURCES", paths)
    return paths


def test_any_kernels_change_moves_the_cache(sources: list[Path]) -> None:
    folders = {_jit.cache_folder()}
    for path in sources:
        path.write_text("x = 2\n")
        folders.add(_jit.cache_folder())
    assert len(folders) == 1 + len(sources)


def test_text_that_moves_between_kernels_moves_the_cache(sources: list[Path]) -> None:
    sources[0].write_text("x\n")
    sources[1].write_text("y\n")
    before = _jit.cache_folder()
    sources[0].write_text("x\ny\n")
    sources[1].write_text("")
    assert _jit.cache_folder() != before


def test_bounds_checked_kernels_have_a_cache_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "")
    before = _jit.cache_folder()
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert _jit.cache_folder() != before


def test_a_second_process_finds_the_kernels_of_the_first(tmp_path: Path) -> None:
    assert run(tmp_path / "cache") == f"70 {not INTERPRETED}"
    assert any((tmp_path / "cache").rglob("*.nbi")) is not INTERPRETED


def test_kernels_work_where_nothing_can_be_cached(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    assert run(tmp_path / "file" / "cache") == "70 False"


def test_a_compilation_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    _jit.say_if_compiling("no_such_kernel", "nothing")
    assert "compiling the kernels of nothing" in caplog.text


def test_a_broken_cache_of_compiled_kernels_is_compiled_anew(tmp_path: Path) -> None:
    code = "from kalshi_sim.kernels.fill_models import queue_passed; print(queue_passed(3, 2))"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "KALSHI_SIM_CACHE": str(tmp_path), "NUMBA_DISABLE_JIT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().stdout == "2\n"
    (index,) = tmp_path.rglob("*.nbi")
    (data,) = tmp_path.rglob("*.nbc")
    assert run().stderr == ""
    for file, content in (
        (index, b""),
        (data, b""),
        (index, b"nonsense" * 20),
        (data, data.read_bytes()[:-1]),
        (data, data.read_bytes().replace(b"queue", b"qUeue", 1)),
        (index, index.read_bytes()[::-1]),
    ):
        file.write_bytes(content)
        again = run()
        assert again.stdout == "2\n", again.stderr
        assert "compiled anew" in again.stderr
        assert run().stderr == ""
