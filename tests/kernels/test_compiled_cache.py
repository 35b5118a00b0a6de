"""Files of compiled kernels: damage is absence, and never ends a call."""

from __future__ import annotations

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
