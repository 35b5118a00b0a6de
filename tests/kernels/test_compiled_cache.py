"""Files of compiled kernels: damage is absence, and never ends a call."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.kernels.compiled_cache import CheckedCacheFile

pytestmark = pytest.mark.kernel


def test_what_was_saved_is_loaded_until_a_byte_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = CheckedCacheFile(str(tmp_path), "kernel", "stamp")
    assert file.load("key") is None
    file.save("key", "code")
    assert file.load("key") == "code"
    (data,) = tmp_path.glob("*.nbc")
    damaged = bytearray(data.read_bytes())
    damaged[-1] ^= 1
    data.write_bytes(bytes(damaged))
    assert file.load("key") is None
    assert "compiled anew" in caplog.text


def test_a_damaged_index_keeps_nothing_and_ends_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = CheckedCacheFile(str(tmp_path), "kernel", "stamp")
    file.save("key", "code")
    (index,) = tmp_path.glob("*.nbi")
    index.write_bytes(b"")
    file.save("other", "code")
    assert "cannot be kept" in caplog.text


_WRITER = """
import sys, time
from kalshi_sim.kernels.compiled_cache import CheckedCacheFile
file = CheckedCacheFile(sys.argv[1], "kernel", "stamp")
with file._open_for_write(file._data_path(sys.argv[2])) as opened:
    opened.write(b"half")
    opened.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_compilation_left_is_removed_and_a_living_one_is_spared(
    tmp_path: Path,
) -> None:
    writers = []
    for name in ("killed", "living"):
        command = [sys.executable, "-c", _WRITER, str(tmp_path), name]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        writers.append(writer)
        assert writer.stdout is not None
        with writer.stdout as said:
            said.readline()
    killed, living = writers
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.glob("*.tmp.*"))) == 2
        CheckedCacheFile(str(tmp_path), "kernel", "stamp").save("key", "code")
        (spared,) = tmp_path.glob("*.tmp.*")
        assert spared.name.startswith("living")
    finally:
        living.kill()
        living.wait()
    CheckedCacheFile(str(tmp_path), "kernel", "stamp").save("other", "code")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".nbc", ".nbc", ".nbi"]


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"half of it"])
def test_a_broken_file_is_built_anew_by_the_next_call(
    suffix: str, content: bytes, tmp_path: Path
) -> None:
    file = CheckedCacheFile(str(tmp_path), "kernel", "stamp")
    file.save("key", "code")
    (broken,) = tmp_path.glob(f"*.{suffix}")
    broken.write_bytes(content)
    assert file.load("key") is None  # so that the dispatcher compiles, and saves
    file.save("key", "code")
    assert file.load("key") == "code"
