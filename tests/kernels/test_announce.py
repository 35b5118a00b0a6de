"""What is said while kernels compile."""

from __future__ import annotations

import time

import pytest

from kalshi_sim.kernels import announce
from kalshi_sim.kernels.announce import Announcer

pytestmark = pytest.mark.kernel


def test_a_long_compilation_is_never_silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "EVERY_S", 0.05)
    announcer = Announcer()
    announcer.begin("the test")
    announcer.begin("the test")
    announcer.on_start(None)
    announcer.on_start(None)
    announcer.on_end(None)
    deadline = time.monotonic() + 60
    while len(caplog.messages) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    announcer.on_end(None)
    assert caplog.messages[0].startswith("compiling the kernels of the test, once")
    assert set(caplog.messages[1:]) == {"compiling the kernels of the test: 1 done"}


def test_what_compiles_at_once_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    announcer = Announcer()
    announcer.begin("the test")
    announcer.on_start(None)
    announcer.on_end(None)
    assert len(caplog.messages) == 1
