"""The kernels' numbers of events are those of the session model."""

from __future__ import annotations

from enum import IntEnum

import pytest

from kalshi_sim.kernels import events
from kalshi_sim.session import NO_TIME, EventFlag, EventKind

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("model", [EventKind, EventFlag])
def test_kinds_and_flags_agree(model: type[IntEnum]) -> None:
    for member in model:
        assert getattr(events, member.name) == member.value


def test_no_time_agrees() -> None:
    assert events.NO_TIME == NO_TIME
